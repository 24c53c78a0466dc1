"""Where the field is looked at."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ....renderers.projection import view_points
from ....renderers.scene import Cameras, Gaussians

SPREAD = 1.5
"""Samples lie so many times a Gaussian's own deviations around it (authors' code)."""
NEAR_DEVIATIONS = 2.0
"""A Gaussian is on the seen surface within so many of its deviations along the view."""


@dataclass(frozen=True, slots=True)
class Samples:
    places: Float[Tensor, "m 3"]
    """Fixed: what is learned moves beneath them."""
    own: Int[Tensor, " m"]
    """The Gaussian that each was drawn from."""


def draw(
    gaussians: Gaussians,
    axes: Float[Tensor, "n 3 3"],
    eligible: Bool[Tensor, " n"],
    count: int,
    random: torch.Generator,
) -> Samples:
    """`count` places around Gaussians drawn uniformly among the eligible, not by their size.

    Args:
        axes: Local axes as columns.
        eligible: At least one.
    """
    chosen = eligible.nonzero()[:, 0]
    drawn = torch.randint(len(chosen), (count,), generator=random).to(chosen.device)
    own = chosen[drawn]
    noise = torch.randn(count, 3, generator=random).to(gaussians.means)
    with torch.no_grad():
        local = SPREAD * gaussians.scales[own] * noise
        places = gaussians.means[own] + (axes[own] @ local[..., None])[..., 0]
    return Samples(places, own)


@torch.no_grad()
def on_seen_surface(
    gaussians: Gaussians,
    axes: Float[Tensor, "n 3 3"],
    depth: Float[Tensor, "height width"],
    camera: Cameras,
) -> Bool[Tensor, " n"]:
    """Whether a centre lies within two deviations, along the view axis, of the depth picture."""
    at = view_points(gaussians.means, camera.world_to_camera.to(gaussians.means))[0]
    seen, inside = depth_at(at, depth, camera)
    view = camera.world_to_camera[0, 2, :3].to(axes)
    deviation = ((view @ axes) * gaussians.scales).norm(dim=-1)
    return inside & ((seen - at[:, 2]).abs() <= NEAR_DEVIATIONS * deviation)


def depth_at(
    at: Float[Tensor, "m 3"], depth: Float[Tensor, "height width"], camera: Cameras
) -> tuple[Float[Tensor, " m"], Bool[Tensor, " m"]]:
    """The picture's depth where points in camera coordinates fall, and whether they do.

    Differentiable by the depth; the nearest pixel's.
    """
    focal, center = camera.focal_px[0].to(at), camera.center_px[0].to(at)
    front = at[:, 2] > 0
    pixel = focal * at[:, :2] / torch.where(front, at[:, 2], 1.0)[:, None] + center
    size = pixel.new_tensor([camera.width_px, camera.height_px])
    inside = front & (pixel >= 0).all(dim=1) & (pixel < size).all(dim=1)
    column, row = torch.where(inside[:, None], pixel, 0.0).long().unbind(dim=1)
    return depth[row, column], inside
