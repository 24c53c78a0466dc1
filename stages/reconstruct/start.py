"""The Gaussians before the first iteration.

From the capture's points where it has any. Else at random: half in a sphere around the point that
all cameras look at, half way to them; half outside of it, uniform in inverse distance. Each has the
mean color of the photographs that see it.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial import cKDTree
from torch import Tensor

from ...renderers.sh import C0
from ..formats.photos import Photo
from ..formats.shots import Points
from ..geometry.activation import Parameters
from ..geometry.focus import extent, focus
from ..randomness import generator
from .settings import Start

NEAR = 0.5
"""Radius of the sphere, relative to the mean distance of the cameras from its middle."""
FARTHEST = 16.0
"""Random ones outside reach to so many radii of the sphere."""
POINTS_PER_GAUSSIAN = 10
NEIGHBORS = 3
LARGEST = 0.1
"""Starting sizes are no larger than this, relative to the radius of the sphere."""


def extent_of(photos: Sequence[Photo]) -> float:
    """1.1 times the largest distance of a camera from their mean (reference 3DGS); in a capture
    from one place, of the sphere looked at instead."""
    return extent(torch.stack([photo.world_to_camera for photo in photos]))


def focus_of(photos: Sequence[Photo]) -> tuple[Float[Tensor, "3"], float]:
    """The point nearest to all optical axes, and the mean distance of the cameras from it."""
    return focus(torch.stack([photo.world_to_camera for photo in photos]))


def first_gaussians(
    photos: Sequence[Photo],
    points: Points | None,
    start: Start,
    degree: int,
    seed: int,
    most: int | None = None,
) -> Parameters:
    """Round Gaussians as large as the distance to their neighbors; never more than `most`."""
    if points is not None and len(points.positions) >= NEIGHBORS + 1:
        wanted = start.gaussians * POINTS_PER_GAUSSIAN
        positions, colors = _given(points, min(wanted, most or wanted), seed)
    else:
        fewer = min(start.gaussians, most or start.gaussians)
        positions = _scattered(photos, replace(start, gaussians=fewer), seed)
        colors = _seen_colors(photos, positions)
    _, radius = focus_of(photos)
    near = _spacing(positions).clamp(1e-6 * radius, LARGEST * radius)
    count = len(positions)
    sh = torch.zeros(count, (degree + 1) ** 2, 3)
    sh[:, 0] = (colors - 0.5) / C0
    quaternions = torch.zeros(count, 4)
    quaternions[:, 0] = 1
    return Parameters(
        means=positions.float(),
        log_scales=near.log().float()[:, None].expand(count, 3).clone(),
        logit_opacities=torch.full((count,), math.log(start.opacity / (1 - start.opacity))),
        quaternions=quaternions,
        sh=sh,
    )


def _given(points: Points, most: int, seed: int) -> tuple[Tensor, Tensor]:
    positions = torch.from_numpy(points.positions).double()
    colors = torch.from_numpy(points.colors).float() / 255
    if len(positions) > most:
        kept = torch.randperm(len(positions), generator=generator(seed, "points"))[:most]
        kept = kept.sort().values
        positions, colors = positions[kept], colors[kept]
    return positions, colors


def _scattered(photos: Sequence[Photo], start: Start, seed: int) -> Float[Tensor, "n 3"]:
    center, radius = focus_of(photos)
    random = generator(seed, "start")
    ways = torch.randn(start.gaussians, 3, generator=random, dtype=torch.float64)
    ways = ways / ways.norm(dim=1, keepdim=True)
    share = torch.rand(start.gaussians, generator=random, dtype=torch.float64)
    outside = torch.arange(start.gaussians) < round(start.outside_share * start.gaussians)
    inner = share ** (1 / 3)
    outer = 1 / (1 - share * (1 - 1 / FARTHEST))
    return center + radius * NEAR * torch.where(outside, outer, inner)[:, None] * ways


def _seen_colors(photos: Sequence[Photo], positions: Tensor) -> Float[Tensor, "n 3"]:
    """Mean over the photographs into which a position falls; gray where it falls into none."""
    total = torch.zeros(len(positions), 3)
    seen = torch.zeros(len(positions), 1)
    for photo in photos:
        pose = photo.world_to_camera.double()
        at = positions @ pose[:3, :3].T + pose[:3, 3]
        focal = torch.tensor(photo.lens.focal_px, dtype=torch.float64)
        center = torch.tensor(photo.lens.center_px, dtype=torch.float64)
        pixel = at[:, :2] / at[:, 2:].clamp(min=1e-9) * focal + center
        height, width = photo.pixels.shape[1:]
        inside = (at[:, 2] > 1e-3) & (pixel >= 0).all(dim=1)
        inside &= (pixel[:, 0] < width) & (pixel[:, 1] < height)
        column, row = pixel[inside].long().unbind(dim=1)
        total[inside] += photo.pixels[:, row, column].T.float() / 255
        seen[inside] += 1
    return torch.where(seen > 0, total / seen.clamp(min=1), 0.5)


def _spacing(positions: Tensor) -> Float[Tensor, " n"]:
    """Root mean square distance to the three nearest others."""
    table = positions.numpy()
    distance, _ = cKDTree(table).query(table, k=NEIGHBORS + 1, workers=1)
    return torch.from_numpy(np.sqrt(np.square(distance[:, 1:]).mean(axis=1)))
