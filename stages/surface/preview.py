"""A first look: the density on a coarse grid, and marching cubes (DreamGaussian, Tang et al. 2024).

Gaussians thinner than a voxel are widened to it, so that none falls through the grid. What comes
out is about a voxel too fat.
"""

import numpy as np

from ...pipeline.errors import InputError
from ...renderers.cpu.compiled import kernel
from ..geometry.components import Surface
from ..geometry.marching import BLOCK, march
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
    _add(
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


@kernel
def _add(means, half, whiten, opacities, grid):
    """Each Gaussian into the voxels (z, y, x) that it reaches; places in voxels."""
    side = len(grid)
    u = np.empty(3)
    for g in range(len(means)):
        first = np.empty(3, np.int64)
        last = np.empty(3, np.int64)
        for axis in range(3):
            first[axis] = max(int(np.ceil(means[g, axis] - half[g, axis])), 0)
            last[axis] = min(int(np.floor(means[g, axis] + half[g, axis])), side - 1)
        for z in range(first[2], last[2] + 1):
            for y in range(first[1], last[1] + 1):
                for x in range(first[0], last[0] + 1):
                    square = 0.0
                    for i in range(3):
                        u[i] = (
                            whiten[g, 3 * i] * (x - means[g, 0])
                            + whiten[g, 3 * i + 1] * (y - means[g, 1])
                            + whiten[g, 3 * i + 2] * (z - means[g, 2])
                        )
                        square += u[i] * u[i]
                    if square < 9.0:
                        grid[z, y, x] += opacities[g] * np.exp(-0.5 * square)
