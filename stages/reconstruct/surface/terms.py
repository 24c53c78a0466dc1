"""The terms of one iteration, weighted and added up."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ....renderers.projection import rotation_matrices, view_points
from ....renderers.scene import Cameras, Frames, Gaussians
from ..settings import Surface
from . import compiled_field, ideal
from . import field as plain_field
from .entropy import binary_entropy
from .field import Cloud, Field, cloud_of
from .flatness import roundness
from .samples import Samples, depth_at, draw, on_seen_surface

SDF_DENSITY_SHARE = 1 / 16
"""Of the summed density, where distances are compared (authors' code)."""
SDF_UNIT = 0.1
"""Distances are counted in this much of the extent."""
SDF_FARTHEST = 10.0
"""Errors of distance are cut off at this many extents."""


@dataclass(frozen=True, slots=True)
class Look:
    """One rendered view, as the terms want it."""

    gaussians: Gaussians
    logit_opacities: Float[Tensor, " n"]
    frames: Frames
    camera: Cameras

    def visible(self) -> Bool[Tensor, " n"]:
        assert self.frames.radii_px is not None
        return self.frames.radii_px[0] > 0


def deciding(look: Look, surface: Surface) -> Float[Tensor, ""]:
    """Weighted mean entropy of the visible opacities; 0 where nothing is seen."""
    visible = look.visible()
    if not bool(visible.any()):
        return look.logit_opacities.sum() * 0
    return surface.entropy * binary_entropy(look.logit_opacities[visible]).mean()


@dataclass(frozen=True, slots=True)
class Moment:
    """Where in the training the terms are asked for."""

    table: Int[Tensor, "n k"]
    """Neighbors of each Gaussian."""
    extent: float
    """Of the cameras."""
    progress: float
    """The share of the surface phase that is over."""
    random: torch.Generator


def lying_flat(look: Look, surface: Surface, moment: Moment) -> Float[Tensor, ""]:
    """Weighted distance, normal and flatness terms; 0 where nothing is seen."""
    visible, gaussians = look.visible(), look.gaussians
    axes = rotation_matrices(gaussians.quaternions)
    depth = blended_depth(look.frames) if surface.mode == "sdf" else None
    eligible = visible
    if depth is not None:
        eligible = visible & on_seen_surface(gaussians, axes.detach(), depth, look.camera)
    if not bool(eligible.any()):
        return gaussians.means.sum() * 0
    samples = draw(gaussians, axes.detach(), eligible, surface.samples, moment.random)
    cloud = cloud_of(gaussians.means, axes, gaussians.scales, gaussians.opacities)
    found = field(samples, moment.table, cloud)
    beta = gaussians.scales.amin(dim=1)[moment.table.long()].mean(dim=1)[samples.own]
    if depth is None:
        error = density_error(samples, cloud, found, beta)
    else:
        error = distance_error(samples, found, beta, depth, look.camera, moment.extent)
    turned = normal_error(samples, cloud, found)
    loss = surface.distance * error.mean() + surface.normals * turned.mean()
    flatness = surface.flatness * moment.progress
    if flatness:
        loss = loss + flatness * roundness(gaussians.scales[visible]).mean()
    return loss


def field(samples: Samples, table: Int[Tensor, "n k"], cloud: Cloud) -> Field:
    """By the compiled kernel where it can be had."""
    on_cpu = cloud.means.device.type == "cpu" and cloud.means.dtype == torch.float32
    return (compiled_field if on_cpu else plain_field).field(samples, table, cloud)


def density_error(
    samples: Samples, cloud: Cloud, found: Field, beta: Float[Tensor, " m"]
) -> Float[Tensor, " m"]:
    """|d - d_bar|, the distance to the surface being that along the own Gaussian's normal."""
    own = samples.own
    along = ((samples.places - cloud.means[own]) * cloud.normals[own]).sum(dim=1)
    return (ideal.bounded(found.density) - ideal.flat_density(along, beta)).abs()


def distance_error(
    samples: Samples,
    found: Field,
    beta: Float[Tensor, " m"],
    depth: Float[Tensor, "height width"],
    camera: Cameras,
    extent: float,
) -> Float[Tensor, " m"]:
    """|f - |depth of the picture - depth of the sample||, in tenths of the extent; 0 outside of
    the picture."""
    at = view_points(samples.places, camera.world_to_camera.to(samples.places))[0]
    seen, inside = depth_at(at, depth, camera)
    distance = ideal.distance(ideal.bounded(SDF_DENSITY_SHARE * found.density), beta)
    error = (distance - (seen - at[:, 2]).abs()).abs().clamp(max=SDF_FARTHEST * extent)
    return torch.where(inside, error / (SDF_UNIT * extent), 0.0)


def normal_error(samples: Samples, cloud: Cloud, found: Field) -> Float[Tensor, " m"]:
    """|v(p) - n_g|²; 0 where no neighbor reaches."""
    reached = (found.direction != 0).any(dim=1)
    square = (found.direction - cloud.normals[samples.own]).square().sum(dim=1)
    return torch.where(reached, square, 0.0)


def blended_depth(frames: Frames) -> Float[Tensor, "height width"]:
    """Blended depth, what is not covered being as far as the farthest that is."""
    assert frames.depth is not None and frames.alpha is not None
    depth, alpha = frames.depth[0, ..., 0], frames.alpha[0, ..., 0]
    return depth * alpha + (1 - alpha) * depth.detach().amax()
