"""Limbs are tried in other poses, and the whole in another place, before the coarse stage begins
and again half way.

A leg that is hidden behind another one has no gradient that would take it to where the edited
picture shows it: what is not seen gets none. Transport takes the wrong one of two legs as readily
as the right one. But there are few limbs, and a try is one small rendering.

The try that the picture gains most by is taken, then the next one, until none helps; then tries of
two limbs at once (`together.py`). What a try is judged by is the part of the picture that it
changes, so that a thin leg counts like a whole body (`judging.py`). Half way, when the rest is in
place, wrong choices stand out.
"""

from collections.abc import Sequence
from functools import partial
from itertools import combinations, product

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...renderers.cpu import render
from ...renderers.projection import view_points
from . import coarse, together, whole
from .judging import Small, gain, pooled, reduced, seen
from .limbs import Limb, alike, bent, exchanged, inner, limbs, turned
from .skinning import Pose
from .state import State
from .together import Try
from .views import View, composited

ANGLES_DEG = (-75.0, -60.0, -45.0, -30.0, -15.0, 0.0, 15.0, 30.0, 45.0, 60.0, 75.0)
BENDS_DEG = tuple(product((-50.0, -25.0, 25.0, 50.0), (-60.0, -30.0, 30.0, 60.0)))
"""A limb and its lower half, at once."""
MOST_TURNS = 12
PROMISING = 60
"""So many tries are repeated once one has been taken; all of them, when none of these helps."""
UNDER_EDIT = 0.3
"""Share of a turned limb's anchors that lie behind a mask, for the turn to be tried."""


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
    """The pose after all tries that help, and how many these are: of one limb, then of two at once,
    and if any of these helps, of one again."""
    small = [reduced(view, number) for number, view in enumerate(problem.views)]
    limb_turns = turns(problem, pose)
    single = [*whole_tries(problem, pose, small), *(one for _, some in limb_turns for one in some),
              *exchanges(problem, [limb for limb, _ in limb_turns])]  # fmt: skip
    pose, count = greedy(problem, pose, small, single, MOST_TURNS)
    if count < MOST_TURNS:
        double = together.pairs(problem, pose, small, limb_turns)
        pose, helped = greedy(problem, pose, small, double, MOST_TURNS - count)
        count += helped
        if helped:
            pose, helped = greedy(problem, pose, small, single, MOST_TURNS - count)
            count += helped
    return pose, count


def greedy(
    problem: coarse.Problem, pose: Pose, small: Sequence[Small], tries: Sequence[Try], most: int
) -> tuple[Pose, int]:
    """The best try first, then the next one, until none helps; and how many helped."""
    todo, count = list(tries), 0
    now = seen(problem, pose, small) if todo else []
    while todo and count < most:
        gains = np.array([gain(now, seen(problem, one(pose), small), small) for one in todo])
        order = np.argsort(-gains, kind="stable")
        if gains[order[0]] > 0:
            pose, count = todo[order[0]](pose), count + 1
            now = seen(problem, pose, small)
            todo = [todo[k] for k in order[:PROMISING] if gains[k] > 0]
        else:
            # What was not promising before may be so now.
            todo = list(tries) if len(todo) < len(tries) else []
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
            alone = pooled(composited(render(still, first.camera), view.background), first.pool)
    (own,) = seen(problem, pose, [first])
    columns, rows = whole.shift_px(own.numpy(), alone.numpy(), first.target.numpy())
    by_px = (first.pool * columns, first.pool * rows)
    return [partial(whole.moved, first.camera, by_px)] if any(by_px) else []


def turns(problem: coarse.Problem, pose: Pose) -> list[tuple[Limb, list[Try]]]:
    """Limbs, and at which angles each is tried."""
    rest, views = problem.skin.rest.double().numpy(), problem.views
    camera = views[0].camera.world_to_camera[0].double().numpy()
    eye = -camera[:3, :3].T @ camera[:3, 3]
    found = limbs(rest, problem.edges)
    out = []
    for limb in found:
        tried: list[Try] = [partial(turned, rest, limb, eye, angle) for angle in ANGLES_DEG]
        lower = inner(limb, found)
        if lower is not None:
            tried += [partial(bent, rest, limb, lower, eye, angles) for angles in BENDS_DEG]
        out.append((limb, [one for one in tried if _ends_up_under(one(pose), limb, views)]))
    return out


def exchanges(problem: coarse.Problem, found: Sequence[Limb]) -> list[Try]:
    """Of all that have the same shape."""
    rest = problem.skin.rest.double().numpy()
    return [
        partial(exchanged, rest, first, second)
        for first, second in combinations(found, 2)
        if alike(rest, first, second, problem.edges)
    ]


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
