"""How alike two pictures of one object are.

Both are premultiplied by alpha and are put on one common background before they are compared, so
that the outlines count as well as the colors.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

CEILING_DB = 99.0
"""Stands for infinity where two pictures are the same."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """One pair of pictures."""

    psnr_db: float
    """Over the whole picture."""
    psnr_silhouette_db: float
    """Over the pixels that either object covers: does not rise with the empty border."""
    silhouette_overlap: float
    """Intersection over union of alpha > 0.5."""


def likeness(
    first: Float[np.ndarray, "height width 4"],
    second: Float[np.ndarray, "height width 4"],
    background: float,
) -> Likeness:
    """Compare two pictures with premultiplied color and alpha on a gray `background`."""
    square = (over(first, background) - over(second, background)) ** 2
    either = (first[..., 3] > 0.5) | (second[..., 3] > 0.5)
    both = (first[..., 3] > 0.5) & (second[..., 3] > 0.5)
    return Likeness(
        psnr_db=psnr_db(square),
        psnr_silhouette_db=psnr_db(square, either),
        silhouette_overlap=float(both.sum() / either.sum()) if either.any() else 1.0,
    )


def psnr_db(
    square: Float[np.ndarray, "height width channel"],
    where: Bool[np.ndarray, "height width"] | None = None,
) -> float:
    """-10 log10 of the mean squared difference (peak 1); `CEILING_DB` where there is none."""
    values = square if where is None else square[where]
    mean = float(values.mean()) if values.size else 0.0
    return min(-10 * math.log10(mean), CEILING_DB) if mean > 0 else CEILING_DB


def over(
    picture: Float[np.ndarray, "height width 4"], background: float
) -> Float[np.ndarray, "height width 3"]:
    """Composite on gray, in float64."""
    picture = picture.astype(np.float64)
    return picture[..., :3] + (1 - picture[..., 3:]) * background
