"""Fused median depth on a sparse grid, in plain space or in a contracted one.

Plain space is cut off at the region. The contraction of mip-NeRF 360 (Barron et al. 2022) holds
all of an open scene in a ball of radius 2,

    y = x                        |x| <= 1        (x relative to the region)
    y = (2 - 1/|x|) x/|x|        beyond,

in which voxels, and with them the truncation, grow with the distance: times 1/(2 - |y|) (2DGS).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ...pipeline.errors import InputError
from ..geometry.components import Surface
from ..geometry.marching import BLOCK, march, steps
from .depths import Fused
from .looking import Look, rays
from .task import Task

MOST_VOXELS = 512
"""Along the diameter, of what is chosen by the pixels."""
RIM = 1.95
"""Contracted places farther out than this are left away: 20 radii."""
BLOCKS_AT_ONCE = 4_000
MOST_BLOCKS = 400_000
"""Of 2 kB, and as much again while they are meshed."""


@dataclass(frozen=True, slots=True)
class Space:
    """Where the grid is even. Takes and gives places, "point 3"."""

    into: Callable[[np.ndarray], np.ndarray]
    back: Callable[[np.ndarray], np.ndarray]
    stretch: Callable[[np.ndarray], np.ndarray]
    """How much longer a step at y is in the world, in metres, "point"."""
    limit: float
    """The grid's places lie within so far of its origin."""


def fused(task: Task) -> Surface:
    """In plain space, within the region."""
    center, radius = task.region.center, task.region.radius_m
    space = Space(
        into=lambda x: (x - center) / radius,
        back=lambda y: y * radius + center,
        stretch=lambda y: np.full(len(y), radius),
        limit=1.0,
    )
    return _in_space(task, space)


def fused_contracted(task: Task) -> Surface:
    """In contracted space, all of the scene."""
    center, radius = task.region.center, task.region.radius_m
    space = Space(
        into=lambda x: contracted((x - center) / radius),
        back=lambda y: uncontracted(y) * radius + center,
        stretch=lambda y: radius / (2 - np.clip(np.linalg.norm(y, axis=1), 1.0, RIM)),
        limit=RIM,
    )
    return _in_space(task, space)


def contracted(x: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, "point 3"]:
    """x to y."""
    length = np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-300)
    return np.where(length <= 1, x, (2 - 1 / length) * x / length)


def uncontracted(y: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, "point 3"]:
    """y to x; |y| must be below 2."""
    length = np.maximum(np.linalg.norm(y, axis=1, keepdims=True), 1e-300)
    return np.where(length <= 1, y, y / length / (2 - length))


def _in_space(task: Task, space: Space) -> Surface:
    depths = Fused(task)
    voxel = _voxel(task)
    truncation = task.config.tsdf.truncation_voxels * voxel
    keys = _blocks([*depths.fine, *task.looks], space, voxel)
    if len(keys) > MOST_BLOCKS:
        raise InputError(
            f"the surface passes {len(keys)} blocks of {BLOCK}^3 voxels, at most {MOST_BLOCKS} are "
            f"possible. Lower tsdf.voxels (now {round(2 / voxel)})."
        )
    values = np.empty((len(keys), BLOCK**3), np.float32)
    known = np.empty((len(keys), BLOCK**3), bool)
    starts = range(0, len(keys), BLOCKS_AT_ONCE)
    with task.ctx.progress("fusing depth", len(starts)) as bar:
        for start in starts:
            part = slice(start, start + BLOCKS_AT_ONCE)
            places = ((keys[part, None] * BLOCK + steps()) * voxel).reshape(-1, 3)
            inside = np.linalg.norm(places, axis=1) < space.limit
            places = np.where(inside[:, None], places, 0.0)
            distance, count = depths.distances(
                space.back(places), truncation * space.stretch(places)
            )
            values[part] = distance.reshape(-1, BLOCK**3)
            enough = (count >= task.config.tsdf.min_views) & inside
            known[part] = enough.reshape(-1, BLOCK**3)
            bar.advance()
    found = march(keys, values, voxel, known)
    if not len(found.faces):
        raise InputError(
            "No surface: the depth maps of the views agree on none. Are these the cameras of these "
            "splats? Otherwise lower tsdf.voxels."
        )
    task.ctx.log.info(
        "%d blocks of voxels of %.3g m, %d faces",
        len(keys), voxel * task.region.radius_m, len(found.faces),
    )  # fmt: skip
    return Surface(space.back(found.positions.astype(np.float64)), found.faces)


def _voxel(task: Task) -> float:
    """Relative to the region's radius."""
    if task.config.tsdf.voxels is not None:
        return 2 / task.config.tsdf.voxels
    pixels = [
        np.median(seen.depth[seen.depth > 0]) / float(seen.camera.focal_px[0, 0])
        for seen in task.looks
        if (seen.depth > 0).any()
    ]
    return max(float(np.median(pixels)) / task.region.radius_m, 2 / MOST_VOXELS)


def _blocks(looks: Sequence[Look], space: Space, voxel: float) -> Int[np.ndarray, "block 3"]:
    """Those within reach of a pixel's depth, sorted."""
    found = np.zeros((0, 3), np.int64)
    for seen in looks:
        chosen = seen.depth > 0
        lines = rays(seen.camera, chosen)
        places = lines.origin + seen.depth[chosen].astype(np.float64)[:, None] * lines.directions
        y = space.into(places)
        y = y[np.linalg.norm(y, axis=1) < space.limit]
        keys = np.unique(np.floor(y / (BLOCK * voxel)).astype(np.int64), axis=0)
        found = np.unique(np.concatenate([found, keys]), axis=0)
    around = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), -1).reshape(-1, 3)
    return np.unique((found[:, None] + around).reshape(-1, 3), axis=0)
