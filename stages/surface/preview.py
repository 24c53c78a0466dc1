"""A first look: the density on a coarse grid, and marching cubes (DreamGaussian, Tang et al. 2024).

Gaussians thinner than a voxel are widened to it, so that none falls through the grid. What comes
out is about a voxel too fat.
"""

import numpy as np

from ...pipeline.errors import InputError
from ..geometry.components import Surface
from ..geometry.marching import BLOCK, march
from . import kernels
from .task import Task

REACH = 3.0
FAINTEST = 0.05
WIDENED = 0.6
"""Of a voxel, the least standard deviation along any axis."""


def density_surface(task: Task) -> Surface:
    """Within the region."""
    settings, region = task.config.preview, task.region
    voxel = 2 * region.radius_m / settings.resolution
    blocks = -(-(settings.resolution + 4) // BLOCK)
    side = blocks * BLOCK
    low = region.center - (side - 1) / 2 * voxel
    shapes = task.shapes
    used = shapes.opacities >= FAINTEST
    scales = np.maximum(shapes.scales[used], WIDENED * voxel)
    whiten = np.swapaxes(shapes.axes[used], 1, 2) / scales[:, :, None] * voxel
    half = REACH * np.sqrt(((shapes.axes[used] * scales[:, None]) ** 2).sum(axis=2)) / voxel
    grid = np.zeros((side, side, side))
    kernels.splat_into(
        (shapes.means[used] - low) / voxel, half, whiten.reshape(-1, 9), shapes.opacities[used],
        grid,
    )  # fmt: skip
    # An open scene ends at the grid's rim: closed there, it would be a box.
    line = np.arange(blocks)
    keys = np.stack(np.meshgrid(line, line, line, indexing="ij"), -1).reshape(-1, 3)
    z, y, x = keys.T[::-1]
    split = grid.reshape(blocks, BLOCK, blocks, BLOCK, blocks, BLOCK).transpose(0, 2, 4, 1, 3, 5)
    values = settings.level - split[z, y, x].reshape(len(keys), -1)
    if not (values < 0).any():
        raise InputError(
            f"No surface: the density on the grid reaches {float(grid.max()):.3g}, nowhere "
            f"{settings.level}. Lower preview.level."
        )
    found = march(keys, values.astype(np.float32), voxel)
    return Surface(found.positions + low, found.faces)
