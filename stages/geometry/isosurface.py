"""The zero surface of a distance that can be asked for anywhere.

Only blocks that the surface may pass through are evaluated voxel by voxel; Open3D's marching cubes
joins them.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Float32

from .components import Surface
from .open3d_module import open3d

BLOCK = 8
"""Voxels along one side of a block."""
SLACK = 2.0
"""A block is skipped if its center is farther from the surface than so many times the way to its
corners: room for a distance that is wrong by this factor."""
AWAY_FROM_ZERO = 1e-3
"""In voxels: a surface exactly through a voxel would make needle triangles."""


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
    if not len(keys):
        return Surface(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int64))
    # Open3D's order inside a block: x fastest.
    inner = np.arange(BLOCK)
    z, y, x = np.meshgrid(inner, inner, inner, indexing="ij")
    steps = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    where = (keys[:, None] * BLOCK + steps).reshape(-1, 3).astype(np.float32) * np.float32(voxel)
    values = (distance(where) / voxel).astype(np.float32)
    near = np.abs(values) < AWAY_FROM_ZERO
    values = np.where(near, np.copysign(np.float32(AWAY_FROM_ZERO), values), values)
    return _march(keys, values.reshape(-1, BLOCK, BLOCK, BLOCK, 1), voxel)


def _march(keys: np.ndarray, values: np.ndarray, voxel: float) -> Surface:
    o3d = open3d()
    core = o3d.core
    volume = o3d.t.geometry.VoxelBlockGrid(
        ("tsdf", "weight"), (core.float32, core.float32), ((1), (1)), voxel, BLOCK, len(keys)
    )
    found = core.Tensor(np.ascontiguousarray(keys))
    volume.hashmap().activate(found)
    slots, _ = volume.hashmap().find(found)
    at = slots.numpy().astype(np.int64)
    volume.attribute("tsdf").numpy()[at] = values
    volume.attribute("weight").numpy()[at] = 1.0
    mesh = volume.extract_triangle_mesh(weight_threshold=0.5)
    faces = mesh.triangle.indices.numpy().astype(np.int64)
    return Surface(mesh.vertex.positions.numpy().copy(), faces)
