"""The zero surface of a distance that can be asked for anywhere.

Only blocks that the surface may pass through are evaluated voxel by voxel; `marching` joins them.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Float32

from .components import Surface
from .marching import BLOCK, march, steps

SLACK = 2.0
"""A block is skipped if its center is farther from the surface than so many times the way to its
corners: room for a distance that is wrong by this factor."""


def isosurface(
    distance: Callable[[Float32[np.ndarray, "point 3"]], Float[np.ndarray, " point"]],
    resolution: int,
) -> Surface:
    """Marching cubes over the unit cube, in no particular order of vertices and faces.

    Args:
        distance: Negative inside; a surface that leaves the cube is open there.
        resolution: Voxels along the cube's side, rounded up to whole blocks.
    """
    blocks = -(-resolution // BLOCK)
    voxel = 1 / (blocks * BLOCK)
    line = np.arange(blocks, dtype=np.int32)
    keys = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)
    centers = (keys * BLOCK + (BLOCK - 1) / 2) * voxel
    reach = SLACK * np.sqrt(3) * (BLOCK + 1) / 2 * voxel
    keys = keys[np.abs(distance(centers.astype(np.float32))) < reach]
    where = (keys[:, None] * BLOCK + steps()).reshape(-1, 3).astype(np.float32) * np.float32(voxel)
    values = (distance(where) / voxel).astype(np.float32)
    return march(keys, values.reshape(len(keys), BLOCK**3), voxel)
