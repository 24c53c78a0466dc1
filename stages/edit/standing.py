"""Where a camera stands: not inside of what is to be edited."""

import math
from logging import Logger

import torch
from jaxtyping import Float
from torch import Tensor

from ...pipeline.errors import InputError
from ...renderers.scene import Cameras, Gaussians

SOLID = 0.5
"""Opacity from which on a Gaussian is in the way."""
NEAR = 0.15
"""Walls are near that are this far away at most, as a share of the scene's diagonal."""
WALLED = 0.85
"""Share of all directions in which there is a wall near, from which on a camera is walled in."""
DIRECTIONS = 200
EXTENT = 1.5
"""How wide a Gaussian is taken to be, in its longest standard deviation."""
AT_ONCE = 1 << 14


def check_outside(scene: Gaussians, camera: Cameras, name: str, log: Logger) -> None:
    """Refuse a camera that stands in a Gaussian: nothing of the edit could be placed. Warn of one
    that is walled in, as inside of a hollow object; a narrow room looks the same."""
    pose = camera.world_to_camera[0].to(scene.means)
    eye = -pose[:3, :3].T @ pose[:3, 3]
    offset = (scene.means - eye).norm(dim=1)
    around = (offset < 2 * scene.scales.amin(dim=1)) & (scene.opacities > SOLID)
    if bool(around.any()):
        raise InputError(
            f"{name}: its camera stands inside of {int(around.sum())} Gaussians of the scene. "
            f"Take a camera outside of the object."
        )
    if walled_share(scene, eye) > WALLED:
        log.warning(
            "%s: its camera is walled in on all sides, as inside of an object. If that is not "
            "meant, take one outside of it.", name,
        )  # fmt: skip


def walled_share(scene: Gaussians, eye: Float[Tensor, "3"]) -> float:
    """In how many of all directions a solid Gaussian is near, as a ball."""
    some = scene.means[:: max(1, len(scene.means) // 10_000)]
    low, high = torch.quantile(some, some.new_tensor([0.01, 0.99]), dim=0)
    offset = scene.means - eye
    distance = offset.norm(dim=1)
    near = (distance < NEAR * (high - low).norm()) & (scene.opacities > SOLID)
    offset, distance = offset[near], distance[near].clamp(min=1e-9)
    radius = EXTENT * scene.scales[near].amax(dim=1)
    least = distance / (distance.square() + radius.square()).sqrt()  # Cosine of its half-width.
    walled, rays = torch.zeros(DIRECTIONS, dtype=torch.bool), directions().to(offset)
    for first in range(0, len(offset), AT_ONCE):
        part = slice(first, first + AT_ONCE)
        cosine = rays @ (offset[part] / distance[part, None]).T
        walled |= (cosine >= least[part]).any(dim=1)
    return float(walled.float().mean())


def directions() -> Float[Tensor, "direction 3"]:
    """Spread evenly over the sphere, along a Fibonacci spiral."""
    height = 1 - (2 * torch.arange(DIRECTIONS) + 1) / DIRECTIONS
    angle = torch.arange(DIRECTIONS) * (math.pi * (3 - math.sqrt(5)))
    ring = (1 - height.square()).sqrt()
    return torch.stack([ring * angle.cos(), ring * angle.sin(), height], dim=1)
