"""What a try is judged by: how much nearer it brings the reduced pictures to the edited ones.

Pictures are rendered larger than they are compared, where that costs little, and then averaged.
The renderer widens every splat by 0.3 square pixels. At half of an edit's size that is a rim around
all that is shown, which no pose takes away: with it, the true pose of a limb explains so little of
the difference that a wrong one, or none, passes for better.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from ...renderers.cpu import render
from ...renderers.scene import Cameras
from . import coarse
from .skinning import Pose, deform
from .views import View, composited

BETTER = 0.75
"""A try is taken if it leaves at most this share of the difference where it changes the picture."""
LEAST = 0.03
"""And if it removes at least this share of the whole difference."""
CHANGED = 0.02
"""Mean change of the channels from which on a pixel has changed."""
SMALL_PX = 96
"""Longer side of the pictures that are compared, at most."""
RENDERED_PX = 192
"""And of those that are rendered."""

Picture = Float[Tensor, "height width 3"]
Pictures = Sequence[Float[Tensor, "_ _ 3"]]
"""One per view; views differ in size."""


@dataclass(frozen=True, slots=True)
class Small:
    """An edited picture, reduced."""

    number: int
    """Of the view."""
    camera: Cameras
    """Of what is rendered."""
    target: Picture
    pool: int = 1
    """So many rendered pixels on a side are one of the target's."""


def reduced(view: View, number: int) -> Small:
    """By whole factors; what does not fill a pixel at the right and below is left out."""
    longer = max(view.target.shape[:2])
    factor = -(-longer // RENDERED_PX)
    pool = -(-longer // (factor * SMALL_PX))
    target = pooled(view.target, factor * pool)
    height, width = target.shape[:2]
    camera = replace(
        view.camera,
        focal_px=view.camera.focal_px / factor,
        center_px=view.camera.center_px / factor,
        width_px=width * pool,
        height_px=height * pool,
    )
    return Small(number, camera, target, pool)


def pooled(
    picture: Float[Tensor, "rows columns channel"], factor: int
) -> Float[Tensor, "height width channel"]:
    """Means over squares of `factor` pixels on a side."""
    return functional.avg_pool2d(picture.permute(2, 0, 1)[None], factor)[0].permute(1, 2, 0)


def seen(problem: coarse.Problem, pose: Pose, small: Sequence[Small]) -> Pictures:
    """What the reduced views show of a pose."""
    out = []
    with torch.no_grad():
        moved = deform(problem.skin, problem.scene.means[problem.movable], pose)
        for one in small:
            frames = render(coarse.seen(problem, moved, one.number), one.camera)
            shown = composited(frames, problem.views[one.number].background)
            out.append(pooled(shown, one.pool))
    return out


def gain(now: Pictures, after: Pictures, small: Sequence[Small]) -> float:
    """What a try removes of the summed difference to the pictures; 0 if that is not enough."""
    removed = changed_before = before = 0.0
    for old, new, one in zip(now, after, small, strict=True):
        was, then = ((shown - one.target).abs().mean(dim=-1) for shown in (old, new))
        changed = (new - old).abs().mean(dim=-1) > CHANGED
        removed += float((was - then).sum())
        changed_before += float(was[changed].sum())
        before += float(was.sum())
    enough = removed >= max((1 - BETTER) * changed_before, LEAST * before)
    return removed if enough else 0.0
