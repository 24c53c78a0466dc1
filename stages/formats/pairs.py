"""`correspondence/1`: pixel pairs, as CSV that a matcher or a person writes.

    x0,y0,x1,y1
    101.5,80.5,140.0,62.5

(x0, y0) in the scene's own picture is (x1, y1) in the edited one: column and row in pixels, the
upper left pixel's centre at (0.5, 0.5). The header may be left out.
"""

import csv
import math
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from ...pipeline.errors import InputError

COLUMNS = ["x0", "y0", "x1", "y1"]


def load(path: Path, width_px: int, height_px: int) -> Float64[np.ndarray, "pair 4"]:
    """Read pairs; a place outside of the pictures is refused."""
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            rows = [(number, row) for number, row in enumerate(csv.reader(file), 1) if row]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: no readable CSV ({error}).") from None
    if rows and [cell.strip() for cell in rows[0][1]] == COLUMNS:
        rows = rows[1:]
    if not rows:
        raise InputError(f"{path}: holds no pairs. Write lines of x0,y0,x1,y1.")
    out = np.array([_numbers(path, number, row) for number, row in rows])
    outside = (out < 0) | (out > [width_px, height_px, width_px, height_px])
    if outside.any():
        number = rows[int(outside.any(axis=1).argmax())][0]
        raise InputError(
            f"{path}: line {number} lies outside of the picture of {width_px} x {height_px} px."
        )
    return out


def _numbers(path: Path, number: int, row: list[str]) -> list[float]:
    try:
        values = [float(cell) for cell in row]
    except ValueError:
        values = []
    if len(values) != 4 or not all(map(math.isfinite, values)):
        raise InputError(
            f"{path}: line {number} must be four numbers x0,y0,x1,y1, got {','.join(row)!r}."
        )
    return values
