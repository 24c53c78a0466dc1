"""Where the object is, and cameras that see all of it from all sides.

Notation: n Gaussians.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float

from ...pipeline.errors import InputError
from ...renderers.scene import Cameras, Gaussians
from .orbit import look_at_origin

FOVY_DEG = 40.0
VISIBLE_OPACITY = 0.05
"""Fainter Gaussians say nothing about where the object is."""


@dataclass(frozen=True, slots=True)
class Ball:
    """A sphere around the object."""

    center: Float[np.ndarray, "3"]
    radius_m: float


def bounding_ball(scene: Gaussians, *, outlier_share: float) -> Ball:
    """A sphere that holds the visible Gaussians to three standard deviations.

    The innermost `1 - outlier_share` of them, weighted by opacity times area, set a scale;
    Gaussians beyond 1.5 times that distance are strays and do not count.
    """
    means = scene.means.detach().numpy().astype(np.float64)
    scales = scene.scales.detach().numpy().astype(np.float64)
    opacities = scene.opacities.detach().numpy().astype(np.float64)
    visible = opacities >= VISIBLE_OPACITY
    if not visible.any():
        raise InputError(
            f"None of the {len(means)} Gaussians has an opacity of {VISIBLE_OPACITY} or more: "
            "there is nothing to mesh."
        )
    means, scales = means[visible], scales[visible].max(axis=1)
    mass = opacities[visible] * np.minimum(scales, np.median(scales)) ** 2
    center = np.array([_quantile(means[:, axis], mass, 0.5) for axis in range(3)])
    distance = np.linalg.norm(means - center, axis=1)
    limit = 1.5 * _quantile(distance, mass, 1 - outlier_share)
    inside = distance <= limit
    reach = 3 * np.minimum(scales[inside], limit / 3)
    low = (means[inside] - reach[:, None]).min(axis=0)
    high = (means[inside] + reach[:, None]).max(axis=0)
    center = (low + high) / 2
    reached = np.linalg.norm(means[inside] - center, axis=1) + reach
    return Ball(center, float(max(reached.max(), 1e-6)))


def centered(scene: Gaussians, ball: Ball) -> Gaussians:
    """The scene with the ball's centre moved to the origin."""
    shift = torch.as_tensor(ball.center, dtype=scene.means.dtype, device=scene.means.device)
    return replace(scene, means=scene.means - shift)


def spread_cameras(radius_m: float, *, views: int, size_px: int) -> Cameras:
    """`views` cameras on a Fibonacci sphere around the origin, each just holding the ball.

    The polar directions are near the first and the last of them, so that the top and the
    underside are seen too.
    """
    steps = np.arange(views) + 0.5
    elevations = np.degrees(np.arcsin(1 - 2 * steps / views))
    azimuths = np.degrees(steps * math.pi * (3 - math.sqrt(5))) % 360
    return look_at_origin(
        azimuths.tolist(),
        elevations.tolist(),
        distance_m=1.02 * radius_m / math.sin(math.radians(FOVY_DEG / 2)),
        fovy_deg=FOVY_DEG,
        size_px=(size_px, size_px),
    )


def _quantile(
    values: Float[np.ndarray, " n"], mass: Float[np.ndarray, " n"], share: float
) -> float:
    order = np.argsort(values, kind="stable")
    total = np.cumsum(mass[order])
    return float(values[order[np.searchsorted(total, share * total[-1]).clip(max=len(order) - 1)]])
