"""Gaussians fitted to pictures that need not agree.

The loss is the sum of absolute differences, whose best compromise between views that contradict
each other is a median and not a blur. Thin things that a visual hull fills out or loses (a sail, an
ear, the hole of a handle) are found by it, as every pixel of every view has a say.

Notation: n Gaussians, v views of s x s.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Float
from torch import Tensor

from ...renderers.scene import Cameras, Frames, Gaussians, Renderer
from ..geometry.activation import Parameters, activate, deactivate
from ..geometry.adam import BETAS, adam_steps
from ..geometry.bending import bending
from ..randomness import generator
from .hull import silhouettes

VIEWS_PER_STEP = 8
FINAL_SHARE = 0.1
"""All step lengths fall exponentially to this share."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the pictures of a step should be, and the weights of what else is wanted of them."""

    images: Float[Tensor, "v s s 3"]
    backgrounds: Float[Tensor, "v 3"]
    inside: Float[Tensor, "v s s"]
    """Their silhouettes, from 0 to 1."""
    smooth: float
    outline: float


def fit(
    start: Gaussians,
    images: Float[Tensor, "v s s 3"],
    backgrounds: Float[Tensor, "v 3"],
    cameras: Cameras,
    renderer: Renderer,
    *,
    steps: int,
    seed: int,
    smooth: float = 0.0,
    outline: float = 0.0,
    on_step: Callable[[], object] = lambda: None,
) -> Gaussians:
    """`start`, moved so that it looks like `images`; its number of Gaussians stays.

    Args:
        images: sRGB in [0, 1].
        backgrounds: The plain color behind each view.
        smooth: Weight of bends in the surface that views show (`geometry.bending`).
        outline: Weight of the difference between alpha and the pictures' silhouettes. Without it a
            Gaussian of which nothing should be seen may as well take the background's color.
    """
    values = deactivate(start)
    inside, _ = silhouettes(images)
    first = second = Parameters(*(torch.zeros_like(getattr(values, f.name)) for f in _FIELDS))
    cell = float(start.scales.mean())
    for k in range(steps):
        which = _due(k, len(images), seed)
        wishes = Wishes(images[which], backgrounds[which], inside[which], smooth, outline)
        gradients = _gradients(values, wishes, take(cameras, which), renderer)
        fall = FINAL_SHARE ** (k / steps)
        rates = {name: rate * fall for name, rate in _rates(cell).items()}
        values, first, second = adam_steps(
            values, gradients, first, second, rates, steps_before=k, betas=BETAS
        )
        on_step()
    return activate(values)


@torch.no_grad()
def pictures_of(
    gaussians: Gaussians,
    backgrounds: Float[Tensor, "v 3"],
    cameras: Cameras,
    renderer: Renderer,
) -> Float[Tensor, "v s s 3"]:
    """How the Gaussians look from each camera, before its background."""
    return _composed(gaussians, backgrounds, cameras, renderer).clamp(0, 1)


def moved(gaussians: Gaussians, device: str) -> Gaussians:
    """The same on another device."""
    return replace(
        gaussians,
        means=gaussians.means.to(device),
        quaternions=gaussians.quaternions.to(device),
        scales=gaussians.scales.to(device),
        opacities=gaussians.opacities.to(device),
        sh=gaussians.sh.to(device),
    )


def take(cameras: Cameras, which: Tensor) -> Cameras:
    """Some of the cameras, by number or by mask."""
    return Cameras(
        cameras.world_to_camera[which],
        cameras.focal_px[which],
        cameras.center_px[which],
        cameras.width_px,
        cameras.height_px,
    )


_FIELDS = fields(Parameters)


def _rates(cell_m: float) -> dict[str, float]:
    """Adam's step lengths, from the size of a Gaussian at the start."""
    return {
        "means": 0.15 * cell_m,
        "log_scales": 0.01,
        "logit_opacities": 0.1,
        "quaternions": 0.01,
        "sh": 0.06,
    }


def _due(step: int, count: int, seed: int) -> Tensor:
    """Numbers of the views of a step: all are seen equally often, in ever new order."""
    size = min(VIEWS_PER_STEP, count)
    round_, part = divmod(step, count // size)
    order = torch.randperm(count, generator=generator(seed, round_, "views to fit"))
    return order[part * size : (part + 1) * size]


def _gradients(
    values: Parameters, wishes: Wishes, cameras: Cameras, renderer: Renderer
) -> Parameters:
    leaves = Parameters(*(getattr(values, f.name).detach().requires_grad_() for f in _FIELDS))
    frames = renderer(activate(leaves), cameras, frozenset({"rgb", "alpha", "depth"}))
    assert frames.depth is not None and frames.alpha is not None
    bends = bending(frames.depth, frames.alpha, cameras.focal_px) / frames.alpha.numel()
    color = (_before(frames, wishes.backgrounds) - wishes.images).abs().mean()
    outline = (frames.alpha[..., 0] - wishes.inside).abs().mean()
    loss = color + wishes.smooth * bends + wishes.outline * outline
    return Parameters(*torch.autograd.grad(loss, [getattr(leaves, f.name) for f in _FIELDS]))


def _composed(
    gaussians: Gaussians, backgrounds: Tensor, cameras: Cameras, renderer: Renderer
) -> Float[Tensor, "v s s 3"]:
    return _before(renderer(gaussians, cameras, frozenset({"rgb", "alpha"})), backgrounds)


def _before(frames: Frames, backgrounds: Tensor) -> Float[Tensor, "v s s 3"]:
    assert frames.rgb is not None and frames.alpha is not None
    return frames.rgb + (1 - frames.alpha) * backgrounds[:, None, None]
