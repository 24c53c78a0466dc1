"""Which vertices of a mesh a region (`region/1`) selects: the shapes that are about places."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from ...pipeline.errors import InputError
from ..formats import regions
from ..scene.affine import rotation_matrix
from ..scene.selectors import combined

AXES = ("x", "y", "z")


def selected(path: Path, positions: Float[np.ndarray, "vertex 3"]) -> Bool[np.ndarray, " vertex"]:
    """Raises InputError for shapes that are only about splats, and where nothing is selected."""
    out = np.zeros(len(positions), bool)
    for term in regions.load(path):
        out = combined(out, _inside(path, term.shape, positions), term.how)
    if not out.any():
        raise InputError(f"{path}: selects no vertex of the mesh.")
    return out


def _inside(
    path: Path, shape: regions.Shape, positions: Float[np.ndarray, "vertex 3"]
) -> Bool[np.ndarray, " vertex"]:
    match shape:
        case regions.All():
            return np.ones(len(positions), bool)
        case regions.Box():
            own = (positions - np.asarray(shape.center)) @ rotation_matrix(shape.rotation)
            return np.asarray((np.abs(own) <= 0.5 * np.asarray(shape.size)).all(axis=1))
        case regions.Sphere():
            offset = positions - np.asarray(shape.center)
            return (offset**2).sum(axis=1) <= shape.radius**2
        case regions.Plane():
            offset = positions - np.asarray(shape.point)
            return np.einsum("ij,j->i", offset, np.asarray(shape.normal)) >= 0
        case regions.Range() if shape.property in AXES:
            values = positions[:, AXES.index(shape.property)]
            low = -np.inf if shape.low is None else shape.low
            high = np.inf if shape.high is None else shape.high
            return (low <= values) & (values <= high)
        case _:
            raise InputError(
                f"{path}: {type(shape).__name__.lower()} selects splats only; for a mesh use all, "
                "box, sphere, plane, or range of x, y or z."
            )
