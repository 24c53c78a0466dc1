"""Colors of fitted Gaussians from the views that see them best, and how far views agree on them.

The fit settles on the median of views that put dots and windows elsewhere, which is the ground
between them: the pattern fades, and a model that is asked to draw again after it leaves it out. One
view by itself has the whole pattern. So the shape is left to the fit, and each Gaussian gets the
color that the view shows which has most of it, as cells of the hull do (`hull.surface`).

Notation: n Gaussians, v views of s x s.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from ...renderers.scene import Cameras, Gaussians, Renderer
from .blob import SH_DC
from .hull import project

PREFERENCE = 16
"""Power of what a view shows of a Gaussian, over what the best view does, in the view's weight."""
SEEN_WELL = 0.3
"""A view that shows less of a Gaussian than this share of what the best view does has no say in
whether views agree."""
LEAST_SHARE = 0.05
"""Gaussians of which the best view shows less than this, in units of the median over Gaussians,
keep their color: they lie behind others."""


@torch.no_grad()
def recolored(
    gaussians: Gaussians,
    images: Float[Tensor, "v s s 3"],
    inside: Float[Tensor, "v s s"],
    cameras: Cameras,
    renderer: Renderer,
) -> Gaussians:
    """The same Gaussians in plain colors of `images`, sRGB in [0, 1], with silhouettes `inside`.

    What a view shows of a Gaussian is its blending weight, summed over the pixels: little where
    others cover it, and less at flat angles, where more of them share a pixel. A view that has
    background there says nothing of its color.
    """
    samples, share, seen = _seen_by(gaussians, images, inside, cameras, renderer)
    colors = _means(samples, share**PREFERENCE)
    sh = gaussians.sh.clone()
    sh[seen, 0], sh[seen, 1:] = (colors[seen] - 0.5) / SH_DC, 0.0
    return replace(gaussians, sh=sh)


@torch.no_grad()
def disagreement(
    gaussians: Gaussians,
    images: Float[Tensor, "v s s 3"],
    inside: Float[Tensor, "v s s"],
    cameras: Cameras,
    renderer: Renderer,
) -> float:
    """How different views color the same Gaussian, in sRGB units: the standard deviation over the
    views that see it well, averaged over the channels' squares and the Gaussians in sight.

    Shading that depends on the view counts too: some 0.05 for an object of one color.
    """
    samples, share, seen = _seen_by(gaussians, images, inside, cameras, renderer)
    weight = torch.where(share > SEEN_WELL, share, 0.0)
    spread = _means((samples - _means(samples, weight)) ** 2, weight).mean(-1).sqrt()
    return float(spread[seen].mean()) if bool(seen.any()) else 0.0


def _seen_by(
    gaussians: Gaussians,
    images: Float[Tensor, "v s s 3"],
    inside: Float[Tensor, "v s s"],
    cameras: Cameras,
    renderer: Renderer,
) -> tuple[Float[Tensor, "v n 3"], Float[Tensor, "v n"], Bool[Tensor, " n"]]:
    """Per view and Gaussian the color there, and what is shown over what the best view shows; and
    which Gaussians are in sight at all."""
    shown = renderer(gaussians, cameras, frozenset({"rgb", "alpha", "weights"})).weights
    assert shown is not None
    shown = shown * _samples(gaussians.means, inside[..., None], cameras)[..., 0]
    best = shown.amax(dim=0)
    samples = _samples(gaussians.means, images, cameras)
    return samples, shown / best.clamp(min=1e-8), best > LEAST_SHARE * best.median()


def _means(values: Float[Tensor, "v n 3"], weight: Float[Tensor, "v n"]) -> Float[Tensor, "n 3"]:
    return (values * weight[..., None]).sum(0) / weight.sum(0).clamp(min=1e-8)[:, None]


def _samples(
    means: Float[Tensor, "n 3"], images: Float[Tensor, "v s s c"], cameras: Cameras
) -> Float[Tensor, "v n c"]:
    """What each view has at each Gaussian's center."""
    pixels, _ = project(means, cameras)
    half = pixels.new_tensor([cameras.width_px, cameras.height_px]) / 2
    where = (pixels / half - 1)[:, :, None]
    found = F.grid_sample(images.permute(0, 3, 1, 2), where, align_corners=False)
    return found[..., 0].transpose(1, 2)
