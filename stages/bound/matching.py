"""Finding the triangles of a bound mesh again in a file that another program has written.

Programs split vertices where normals or texture coordinates differ, join them, and write them in
another order; triangles keep their order. So triangles are taken by their number, and that this
was right is shown by the corners: those that were one vertex at rest must still lie together. Where
they do not, but the vertices have kept their numbers, triangles are looked up by these.
"""

from logging import Logger
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...pipeline.errors import InputError
from ..formats import wild

TOGETHER = 1e-4
"""Corners of one vertex may be this far apart, relative to the mesh's extent."""


def posed_corners(
    path: Path,
    rest: Float[Tensor, "face 3 3"],
    faces: Int[np.ndarray, "face 3"],
    log: Logger,
) -> Float[Tensor, "face 3 3"]:
    """Where the file has the corners of each triangle, in float64. InputError where it is another
    mesh."""
    model = wild.read(path)
    if model.rig is not None:
        raise InputError(
            f"{path}: holds a skeleton, and so the mesh at rest. Write the posed shape itself: in "
            f"Blender apply the armature (Object > Convert > Mesh), then export."
        )
    for remark in model.remarks:
        log.warning("%s: %s.", path.name, remark)
    if len(model.faces) != len(faces):
        raise InputError(
            f"{path}: has {len(model.faces)} triangles, the bound mesh has {len(faces)}. It must "
            f"be the same mesh in another pose: nothing added, removed or joined."
        )
    corners = model.positions[model.faces].astype(np.float64)
    apart = torn(corners, faces)
    if apart.any():
        by_number = _by_vertex_number(model.positions, model.faces, faces)
        if by_number is None:
            where = int(np.flatnonzero(apart)[0])
            raise InputError(
                f"{path}: its triangles are others than those of the bound mesh, or in another "
                f"order: {int(apart.sum())} of {len(apart)} vertices come apart (first: vertex "
                f"{where}). Pose the mesh that `pipeline bind` wrote; change nothing but places."
            )
        corners = by_number
    return torch.from_numpy(corners)


def torn(
    corners: Float[np.ndarray, "face 3 3"], faces: Int[np.ndarray, "face 3"]
) -> Bool[np.ndarray, " vertex"]:
    """Vertices of the bound mesh whose corners do not lie together."""
    index, places = faces.reshape(-1), corners.reshape(-1, 3)
    count = int(index.max()) + 1
    low, high = np.full((count, 3), np.inf), np.full((count, 3), -np.inf)
    np.minimum.at(low, index, places)
    np.maximum.at(high, index, places)
    extent = float(np.ptp(places, axis=0).max())
    used = np.isfinite(low[:, 0])
    apart = np.zeros(count, bool)
    apart[used] = (high[used] - low[used]).max(axis=1) > TOGETHER * extent
    return apart


def _by_vertex_number(
    positions: np.ndarray, theirs: np.ndarray, ours: np.ndarray
) -> np.ndarray | None:
    """Corners where both name the same triangles, in any order, each from any corner on."""
    if _sorted(theirs) != _sorted(ours) or int(ours.max()) >= len(positions):
        return None
    return positions[ours].astype(np.float64)


def _sorted(faces: np.ndarray) -> list[tuple[int, ...]]:
    """Triangles from their smallest vertex on, in order."""
    first = faces.argmin(axis=1)
    turns = (first[:, None] + np.arange(3)) % 3
    rows = np.take_along_axis(faces.astype(np.int64), turns, axis=1)
    return sorted(map(tuple, rows.tolist()))
