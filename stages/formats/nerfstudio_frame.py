"""From the coordinates that nerfstudio trains and exports in to those of the capture.

Notation: x what `transforms.json` holds, o what COLMAP once had, t what nerfstudio trains in.

    x = A o     A: "applied_transform" of transforms.json, a turn of axes by ns-process-data
    t = s D o   D, s: "transform" and "scale" of dataparser_transforms.json
    x = A inverse(D) (a t / s)    a: "applied_scale" of transforms.json, which s contains

(Read off nerfstudio 1.1.5, `nerfstudio_dataparser.py`.) Each of A and D is a 3 x 4 matrix.
"""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from ...pipeline.errors import InputError
from . import documents

LEGACY_APPLIED = ((0.0, 1.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0), (0.0, 0.0, -1.0, 0.0))
"""What nerfstudio takes A to be where a `colmap/sparse/0` lies beside a transforms.json without."""
TURN_TOLERANCE = 1e-3


def to_capture(dataparser: Path, transforms: Path | None) -> Float64[np.ndarray, "4 4"]:
    """The similarity t -> x. Without `transforms`, A is the identity and a is 1."""
    document = documents.read_any(dataparser)
    trained = _motion(dataparser, document, "transform")
    scale = _positive(dataparser, document, "scale", None)
    applied, applied_scale = np.eye(4), 1.0
    if transforms is not None:
        capture = documents.read_any(transforms)
        applied_scale = _positive(transforms, capture, "applied_scale", 1.0)
        if "applied_transform" in capture:
            applied = _motion(transforms, capture, "applied_transform")
        elif (transforms.parent / "colmap" / "sparse" / "0" / "cameras.bin").is_file():
            applied[:3] = LEGACY_APPLIED
    resized = np.diag([*3 * [applied_scale / scale], 1.0])
    return applied @ np.linalg.inv(trained) @ resized


def _motion(path: Path, document: dict[str, Any], name: str) -> Float64[np.ndarray, "4 4"]:
    """3 x 4 or 4 x 4: a rotation, perhaps with a mirror, and a shift."""
    try:
        rows = np.array(document.get(name), dtype=np.float64)
    except (TypeError, ValueError):
        rows = np.zeros(0)
    if rows.shape not in ((3, 4), (4, 4)) or not np.isfinite(rows).all():
        raise InputError(f'{path}: "{name}" must be 3 x 4 finite numbers.')
    error = float(np.abs(rows[:3, :3] @ rows[:3, :3].T - np.eye(3)).max())
    if error > TURN_TOLERANCE:
        raise InputError(f'{path}: "{name}" is no rotation and shift (off by {error:.3g}).')
    motion = np.eye(4)
    motion[:3] = rows[:3]
    # Rounded to float32 in the file: the nearest orthogonal matrix keeps it a similarity.
    u, _, v = np.linalg.svd(motion[:3, :3])
    motion[:3, :3] = u @ v
    return motion


def _positive(path: Path, document: dict[str, Any], name: str, default: float | None) -> float:
    value = document.get(name, default)
    if type(value) not in (int, float) or not 0 < value < float("inf"):
        raise InputError(f'{path}: "{name}" must be a positive number, got {value!r}.')
    return float(value)
