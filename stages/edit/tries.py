"""Limbs are tried in other poses, and the whole in another place, before the coarse stage begins
and again half way.

A leg that is hidden behind another one has no gradient that would take it to where the edited
picture shows it: what is not seen gets none. Transport takes the wrong one of two legs as readily
as the right one. But there are few limbs, and a try is one small rendering.

The try that the picture gains most by is taken, then the next one, until none helps. What it is
judged by is the part of the picture that it changes, so that a thin leg counts like a whole body.
Half way, when the rest is in place, wrong choices stand out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from ...renderers.cpu import render
from ...renderers.projection import view_points
from ...renderers.scene import Cameras
from . import coarse, whole
from .limbs import Limb, alike, bent, exchanged, inner, limbs, turned
from .skinning import Pose, deform
from .state import State
from .views import View, composited

ANGLES_DEG = (-75.0, -60.0, -45.0, -30.0, -15.0, 0.0, 15.0, 30.0, 45.0, 60.0, 75.0)
BENDS_DEG = tuple(product((-50.0, -25.0, 25.0, 50.0), (-60.0, -30.0, 30.0, 60.0)))
"""A limb and its lower half, at once."""
BETTER = 0.75
"""A try is taken if it leaves at most this share of the difference where it changes the picture."""
LEAST = 0.03
"""And if it removes at least this share of the whole difference."""
CHANGED = 0.02
"""Mean change of the channels from which on a pixel has changed."""
MOST_TURNS = 12
PROMISING = 60
"""So many tries are repeated once one has been taken; all of them, when none of these helps."""
SMALL_PX = 96
"""Longer side of the pictures that are compared, about."""
UNDER_EDIT = 0.3
"""Share of a turned limb's anchors that lie behind a mask, for the turn to be tried."""

Try = Callable[[Pose], Pose]


@dataclass(frozen=True, slots=True)
class Small:
    """An edited picture, reduced."""

    number: int
    """Of the view."""
    camera: Cameras
    target: Float[Tensor, "height width 3"]


def first_pose(problem: coarse.Problem) -> tuple[Pose, int]:
    """Where the coarse stage begins, and how many limbs were moved for it."""
    rest = problem.skin.rest
    upright = rest.new_tensor(coarse.UPRIGHT).repeat(len(rest), 1)
    return improved(problem, Pose(rest.clone(), upright))


def step(problem: coarse.Problem, state: State) -> None:
    """One iteration of the coarse stage, in place, before which limbs are tried if it is time."""
    half = round(problem.matching.until_share * problem.coarse.iterations)
    if problem.coarse.limbs and state.iteration == half > 0:
        with torch.no_grad():
            pose, count = improved(problem, coarse.pose_of(problem, state))
        if count:
            coarse.put(problem, state, pose)
    coarse.step(problem, state)


def improved(problem: coarse.Problem, pose: Pose) -> tuple[Pose, int]:
    """The pose after all tries that help, and how many these are."""
    small = [reduced(view, number) for number, view in enumerate(problem.views)]
    everything = [*whole_tries(problem, pose, small), *tries(problem, pose)]
    todo, count = everything, 0
    now = seen(problem, pose, small) if todo else []
    while todo and count < MOST_TURNS:
        gains = np.array([gain(now, seen(problem, one(pose), small), small) for one in todo])
        order = np.argsort(-gains, kind="stable")
        if gains[order[0]] > 0:
            pose, count = todo[order[0]](pose), count + 1
            now = seen(problem, pose, small)
            todo = [todo[k] for k in order[:PROMISING] if gains[k] > 0]
        else:
            # What was not promising before may be so now.
            todo = everything if len(todo) < len(everything) else []
    return pose, count


def whole_tries(problem: coarse.Problem, pose: Pose, small: Sequence[Small]) -> list[Try]:
    """All that may move, shifted to where the first picture shows it: a card that was moved looks
    a little as if one end of it was turned."""
    first = small[0]
    view, still = problem.views[first.number], problem.still[first.number]
    if not len(still.means):
        alone = view.background.expand_as(first.target)
    else:
        with torch.no_grad():
            alone = composited(render(still, first.camera), view.background)
    (own,) = seen(problem, pose, [first])
    by_px = whole.shift_px(own.numpy(), alone.numpy(), first.target.numpy())
    return [partial(whole.moved, first.camera, by_px)] if any(by_px) else []


def tries(problem: coarse.Problem, pose: Pose) -> list[Try]:
    """All that is tried with limbs."""
    rest, views = problem.skin.rest.double().numpy(), problem.views
    camera = views[0].camera.world_to_camera[0].double().numpy()
    eye = -camera[:3, :3].T @ camera[:3, 3]
    found = limbs(rest, problem.edges)
    out: list[Try] = []
    for limb in found:
        turns: list[Try] = [partial(turned, rest, limb, eye, angle) for angle in ANGLES_DEG]
        lower = inner(limb, found)
        if lower is not None:
            turns += [partial(bent, rest, limb, lower, eye, angles) for angles in BENDS_DEG]
        out += [one for one in turns if _ends_up_under(one(pose), limb, views)]
    for k, first in enumerate(found):
        pairs = [second for second in found[k + 1 :] if alike(rest, first, second, problem.edges)]
        out += [partial(exchanged, rest, first, second) for second in pairs]
    return out


def gain(now: Sequence[Tensor], after: Sequence[Tensor], small: Sequence[Small]) -> float:
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


def _ends_up_under(pose: Pose, limb: Limb, views: Sequence[View]) -> bool:
    inside = torch.from_numpy(limb.inside)
    return bool(under_edit(pose.places[inside], views).mean() >= UNDER_EDIT)


def under_edit(places: Float[Tensor, "n 3"], views: Sequence[View]) -> Bool[np.ndarray, " n"]:
    """Which places lie behind a pixel of some mask."""
    out = np.zeros(len(places), bool)
    for view in views:
        camera, (height, width) = view.camera, view.mask.shape
        points = view_points(places, camera.world_to_camera.to(places))[0]
        where = camera.focal_px * points[:, :2] / points[:, 2:] + camera.center_px
        where = where.nan_to_num(-1.0).floor().numpy()
        shown = ((where >= 0) & (where < (width, height))).all(axis=1) & (points[:, 2] > 0).numpy()
        column, row = np.where(shown[:, None], where, 0).astype(int).T
        out |= shown & view.mask.numpy()[row, column]
    return out


def reduced(view: View, number: int) -> Small:
    """By a whole factor; what does not fill a pixel at the right and below is left out."""
    camera, factor = view.camera, -(-max(view.target.shape[:2]) // SMALL_PX)
    target = functional.avg_pool2d(view.target.permute(2, 0, 1)[None], factor)[0].permute(1, 2, 0)
    small = replace(
        camera,
        focal_px=camera.focal_px / factor,
        center_px=camera.center_px / factor,
        width_px=target.shape[1],
        height_px=target.shape[0],
    )
    return Small(number, small, target)


def seen(
    problem: coarse.Problem, pose: Pose, small: Sequence[Small]
) -> list[Float[Tensor, "height width 3"]]:
    """What the reduced views show of a pose."""
    out = []
    with torch.no_grad():
        moved = deform(problem.skin, problem.scene.means[problem.movable], pose)
        for one in small:
            frames = render(coarse.seen(problem, moved, one.number), one.camera)
            out.append(composited(frames, problem.views[one.number].background))
    return out
