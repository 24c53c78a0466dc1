"""The zero surface of a function that can be asked for anywhere, such as a distance.

Only blocks that the surface may pass through are joined by `marching`.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Float32, Int32

from .components import Surface
from .marching import BLOCK, march, steps

SLACK = 2.0
"""A block is skipped if its center is farther from the surface than so many times the way to its
corners: room for a distance that is wrong by this factor."""
AT_ONCE = 1 << 10
"""Blocks that are looked through together."""

Function = Callable[[Float32[np.ndarray, "point 3"]], Float[np.ndarray, " point"]]


def isosurface(function: Function, resolution: int, *, everywhere: bool = False) -> Surface:
    """Marching cubes over the unit cube, in no particular order of vertices and faces.

    Args:
        function: Negative inside; a surface that leaves the cube is open there.
        resolution: Voxels along the cube's side, rounded up to whole blocks.
        everywhere: Ask at every voxel. Without it, `function` must be about the distance to the
            surface, and blocks that are far from it are skipped.
    """
    blocks = -(-resolution // BLOCK)
    voxel = 1 / (blocks * BLOCK)
    line = np.arange(blocks, dtype=np.int32)
    keys = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)
    found = _crossed(function, keys, voxel) if everywhere else _near(function, keys, voxel)
    keys = keys[found]
    values = (function(_voxels(keys, voxel)) / voxel).astype(np.float32)
    return march(keys, values.reshape(len(keys), BLOCK**3), voxel)


def _voxels(keys: Int32[np.ndarray, "block 3"], voxel: float) -> Float32[np.ndarray, "point 3"]:
    """All voxels of some blocks."""
    where = (keys[:, None] * BLOCK + steps()).reshape(-1, 3)
    return where.astype(np.float32) * np.float32(voxel)


def _near(
    distance: Function, keys: Int32[np.ndarray, "block 3"], voxel: float
) -> Bool[np.ndarray, " block"]:
    centers = (keys * BLOCK + (BLOCK - 1) / 2) * voxel
    reach = SLACK * np.sqrt(3) * (BLOCK + 1) / 2 * voxel
    return np.abs(distance(centers.astype(np.float32))) < reach


def _crossed(
    function: Function, keys: Int32[np.ndarray, "block 3"], voxel: float
) -> Bool[np.ndarray, " block"]:
    """Of all blocks of a cube, those with both signs in them or around them: a cell may lie
    between two blocks."""
    from scipy.ndimage import binary_dilation

    inside, outside = np.zeros(len(keys), bool), np.zeros(len(keys), bool)
    for first in range(0, len(keys), AT_ONCE):
        some = slice(first, first + AT_ONCE)
        negative = function(_voxels(keys[some], voxel)).reshape(-1, BLOCK**3) < 0
        inside[some], outside[some] = negative.any(axis=1), ~negative.all(axis=1)
    cube = tuple(keys.max(axis=0) + 1)
    around = np.ones((3, 3, 3), bool)
    both = [binary_dilation(signs.reshape(cube), around) for signs in (inside, outside)]
    return (both[0] & both[1]).reshape(-1)
