"""Marching cubes over blocks of voxels, by Open3D: the one way from a grid to a surface."""

import numpy as np
from jaxtyping import Bool, Float, Int

from .components import Surface
from .open3d_module import open3d

BLOCK = 8
"""Voxels along one side of a block, Open3D's unit of allocation."""
AWAY_FROM_ZERO = 1e-3
"""Values nearer to 0 than this are moved to it: a surface exactly through a voxel would make
needle triangles and pinched vertices."""


def march(
    keys: Int[np.ndarray, "block 3"],
    values: Float[np.ndarray, "block voxel"],
    voxel: float,
    known: Bool[np.ndarray, "block voxel"] | None = None,
    *,
    away_from_zero: float = AWAY_FROM_ZERO,
) -> Surface:
    """The surface where `values` change sign, in no particular order of vertices and faces.

    Args:
        keys: (x, y, z) of each block, in blocks; its first voxel lies at `keys * BLOCK * voxel`.
        values: Negative inside. Voxels of a block in Open3D's order, x fastest (`steps`).
        voxel: Distance of two voxels.
        known: Voxels that count; cells with another one have no surface. None: all do.
    """
    if not len(keys):
        return Surface(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int64))
    o3d = open3d()
    core = o3d.core
    volume = o3d.t.geometry.VoxelBlockGrid(
        ("tsdf", "weight"), (core.float32, core.float32), ((1), (1)), voxel, BLOCK, len(keys)
    )
    wanted = core.Tensor(np.ascontiguousarray(keys, np.int32))
    volume.hashmap().activate(wanted)
    slots, _ = volume.hashmap().find(wanted)
    at = slots.numpy().astype(np.int64)
    near = np.abs(values) < away_from_zero
    moved = np.where(near, np.copysign(away_from_zero, values), values)
    shape = (-1, BLOCK, BLOCK, BLOCK, 1)
    volume.attribute("tsdf").numpy()[at] = moved.reshape(shape)
    volume.attribute("weight").numpy()[at] = 1.0 if known is None else known.reshape(shape)
    mesh = volume.extract_triangle_mesh(weight_threshold=0.5)
    if "indices" not in mesh.triangle:
        return Surface(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int64))
    faces = mesh.triangle.indices.numpy().astype(np.int64)
    return Surface(mesh.vertex.positions.numpy().copy(), faces)


def steps() -> Int[np.ndarray, "voxel 3"]:
    """(x, y, z) of the voxels of a block, relative to its first one, in the order of `march`."""
    inner = np.arange(BLOCK)
    z, y, x = np.meshgrid(inner, inner, inner, indexing="ij")
    return np.stack([x, y, z], axis=-1).reshape(-1, 3)
