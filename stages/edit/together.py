"""Tries with two limbs at once, where each shows only if the other one moves as well.

Two legs that stand one before the other in the scene's picture and apart in the edited one: to turn
the near one alone uncovers the far one where nothing should be, and to turn the far one alone lets
the near one cover what should be free. Either makes the picture worse, or is bent to explain what
the other one should. All pairs of tries are too many to render, but not to lay over one another:
each limb is rendered alone in each of its tries, and so is all else, and a pixel is composited of
these three by their depths. What promises most that way is rendered, and judged like other tries.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...renderers.cpu import render
from . import coarse
from .judging import LEAST, Small, pooled, seen
from .limbs import Limb
from .skinning import Pose, Skin, deform
from .walker import subset

MOST_PAIRS = 12
"""So many are rendered for each pair of tips."""
SHARED = 0.5
"""Opacity from which on a limb, in some try, covers a pixel; a pair shares at least one."""
FAINT = 0.01
"""Opacity below which a limb counts nowhere."""
NONE = np.zeros(0, int)

Try = Callable[[Pose], Pose]


@dataclass(frozen=True, slots=True)
class Layer:
    """Part of a picture, pixel by pixel, in one try or in each of several."""

    colors: Float[Tensor, "*tried 3 pixel"]
    """Premultiplied."""
    alpha: Float[Tensor, "*tried 1 pixel"]
    depth: Float[Tensor, "*tried 1 pixel"]

    def at(self, pixels: Bool[Tensor, " pixel"]) -> "Layer":
        return Layer(self.colors[..., pixels], self.alpha[..., pixels], self.depth[..., pixels])


@dataclass(frozen=True, slots=True)
class Option:
    """A limb with what is tried with it, the first of which is to leave it as it is."""

    limb: Limb
    rows: Bool[Tensor, " m"]
    """Movable Gaussians that are its own."""
    turns: Sequence[Try]
    shown: Sequence[Layer]
    """Per view."""


def pairs(
    problem: coarse.Problem,
    pose: Pose,
    small: Sequence[Small],
    tried: Sequence[tuple[Limb, Sequence[Try]]],
) -> list[Try]:
    """What promises most, for each pair of tips."""
    options = [_option(problem, pose, small, *one) for one in tried if one[1]]
    wrong = [(shown - one.target).abs().mean(dim=-1).flatten()
             for shown, one in zip(seen(problem, pose, small), small, strict=True)]  # fmt: skip
    least = LEAST * float(sum(one.sum() for one in wrong))
    found: dict[tuple[int, int], list[tuple[float, Try]]] = {}
    for first, second in combinations(options, 2):
        pixels = _pixels(first, second)
        there = sum(float(one[some].sum()) for one, some in zip(wrong, pixels, strict=True))
        # There has to be enough to be gained where the two show.
        if there >= least and not (first.limb.inside & second.limb.inside).any():
            tips = (first.limb.tip, second.limb.tip)
            promises = _of_two(problem, pose, small, (first, second), pixels)
            found.setdefault(tips, []).extend(one for one in promises if one[0] >= least)
    best = [sorted(some, key=lambda one: -one[0])[:MOST_PAIRS] for some in found.values()]
    return [one for some in best for _, one in some]


def both(first: Try, second: Try, pose: Pose) -> Pose:
    """One try after the other."""
    return second(first(pose))


def _option(
    problem: coarse.Problem, pose: Pose, small: Sequence[Small], limb: Limb, turns: Sequence[Try]
) -> Option:
    inside = torch.from_numpy(limb.inside).float()[:, None]
    rows = problem.skin.blended(inside)[:, 0] > 0.5
    alone = _part(problem, rows, still=False)
    poses = [pose, *(turn(pose) for turn in turns)]
    shown = []
    for one in small:
        layers = [_layer(alone, each, one) for each in poses]
        shown.append(Layer(torch.stack([each.colors for each in layers]),
                           torch.stack([each.alpha for each in layers]),
                           torch.stack([each.depth for each in layers])))  # fmt: skip
    return Option(limb, rows, [_as_it_is, *turns], shown)


def _as_it_is(pose: Pose) -> Pose:
    return pose


def _pixels(first: Option, second: Option) -> list[Bool[Tensor, " pixel"]]:
    """Per view, where either shows in some try; nowhere in any, unless both cover some pixel."""
    feet = [[layer.alpha.amax(dim=0)[0] for layer in one.shown] for one in (first, second)]
    shared = any(((a > SHARED) & (b > SHARED)).any() for a, b in zip(*feet, strict=True))
    return [(torch.maximum(a, b) > FAINT) & shared for a, b in zip(*feet, strict=True)]


def _of_two(
    problem: coarse.Problem,
    pose: Pose,
    small: Sequence[Small],
    two: tuple[Option, Option],
    pixels: Sequence[Bool[Tensor, " pixel"]],
) -> list[tuple[float, Try]]:
    """What pairs of tries with two limbs promise to remove, and the pairs."""
    first, second = two
    body = _part(problem, ~(first.rows | second.rows), still=True)
    left = torch.zeros(len(first.turns), len(second.turns))
    for k, (one, some) in enumerate(zip(small, pixels, strict=True)):
        layers = [
            each.at(some) for each in (first.shown[k], second.shown[k], _layer(body, pose, one))
        ]
        target, background = one.target.flatten(0, 1)[some].T, problem.views[one.number].background
        left += differences(*layers, target, background)
    removed = (left[0, 0] - left)[1:, 1:]
    count = removed.shape[1]
    best = removed.flatten().argsort(descending=True)[:MOST_PAIRS].tolist()
    return [
        (float(removed.flatten()[k]),
         partial(both, first.turns[1 + k // count], second.turns[1 + k % count]))
        for k in best
    ]  # fmt: skip


def _part(problem: coarse.Problem, rows: Bool[Tensor, " m"], *, still: bool) -> coarse.Problem:
    """Some of the movable Gaussians, with or without what may not move."""
    weights = problem.skin.weights[rows.numpy()]
    return replace(
        problem,
        movable=problem.movable[rows],
        skin=Skin(weights, weights.T.tocsr(), problem.skin.rest),
        still=[one if still else subset(one, NONE) for one in problem.still],
    )


def _layer(part: coarse.Problem, pose: Pose, one: Small) -> Layer:
    with torch.no_grad():
        moved = deform(part.skin, part.scene.means[part.movable], pose)
        scene = coarse.seen(part, moved, one.number)
        frames = render(scene, one.camera, frozenset({"rgb", "alpha", "depth"}))
    assert frames.rgb is not None and frames.alpha is not None and frames.depth is not None
    colors, alpha = (pooled(each[0], one.pool) for each in (frames.rgb, frames.alpha))
    depth = pooled(frames.depth[0] * frames.alpha[0], one.pool) / alpha.clamp(min=1e-6)
    return Layer(*(each.flatten(0, 1).T.contiguous() for each in (colors, alpha, depth)))


def differences(
    first: Layer,
    second: Layer,
    body: Layer,
    target: Float[Tensor, "3 pixel"],
    background: Float[Tensor, "3"],
) -> Float[Tensor, "first second"]:
    """Summed mean difference of the channels to the target, for each pair of tries.

    What is in front takes its share of what is behind; a layer without opacity takes none.
    """
    before = body.depth < second.depth
    past_body = 1 - body.alpha * before
    past_second = 1 - second.alpha * ~before
    out = []
    for colors, alpha, depth in zip(first.colors, first.alpha, first.depth, strict=True):
        nearer, behind = depth < second.depth, body.depth < depth
        picture = (
            colors * ((1 - body.alpha * behind) * (1 - second.alpha * ~nearer))
            + second.colors * (past_body * (1 - alpha * nearer))
            + body.colors * (past_second * (1 - alpha * ~behind))
            + background[:, None] * ((1 - alpha) * (1 - second.alpha) * (1 - body.alpha))
        )
        out.append((picture - target).abs().sum(dim=(-2, -1)) / 3)
    return torch.stack(out)
