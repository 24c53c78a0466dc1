"""An edit of the geometry: coarse, in rigid groups, fine."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from logging import Logger

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...pipeline.contract import Context
from ...renderers.cpu import render
from ...renderers.scene import Gaussians
from . import Config, anchors, coarse, fine, groups, removing, tries
from .loop import Pace, finish
from .pictures_in import Retouched
from .reach import posed_problem
from .skinning import Deformed, Pose, deform
from .state import State
from .views import View, composited

TOUCHED_PX = 0.15
"""What moves less, in pixels of the edit, stays as it was."""
EXTENT = 2.0
"""How far out a Gaussian is judged, in its longest standard deviation."""
GROUP_SLACK, GROUP_FLOOR = 1.15, 0.002
"""Rigid groups are taken if the difference to the picture is at most so many times that without
them, plus this."""

Show = Callable[[Float[Tensor, "height width 3"], str], None]


@dataclass(frozen=True, slots=True)
class Moved:
    """What an edit of the geometry did."""

    rows: Int[Tensor, " m"]
    """Gaussians that it moved."""
    means: Float[Tensor, "m 3"]
    turns: Float[Tensor, "m 4"]
    growth: Float[Tensor, "m 3"]
    """Change of the log scales."""
    rest: Float[Tensor, "anchor 3"]
    pose: Pose
    """Of the anchors."""
    error_before: float
    """Mean absolute difference to the edited pictures inside the masks."""
    error_coarse: float
    error_after: float

    @property
    def explained(self) -> float:
        """Share of the difference that anchors alone remove."""
        return 1 - self.error_coarse / max(self.error_before, 1e-9)


def move(
    scene: Gaussians, shots: Sequence[Retouched], config: Config, ctx: Context, show: Show
) -> Moved:
    """All stages; only the coarse one where `auto` finds that nothing has moved."""
    problem = posed_problem(scene, shots, config, ctx.threads)
    count = sum(len(one.rows) for one in problem.pairs if one is not None)
    ctx.log.info("%d pixel pairs", count)
    ctx.log.info(
        "%d of %d Gaussians may move, with %d anchors",
        len(problem.movable), len(scene.means), len(problem.skin.rest),
    )  # fmt: skip
    pace = _pace(config, ctx)
    state = _coarse(problem, pace, ctx, show)
    result = moved_by(problem, coarse.pose_of(problem, state))
    ctx.log.info("moving explains %.0f %% of the difference", 100 * result.explained)
    if config.what == "auto" and result.explained < config.explained:
        return result
    if config.coarse.group_iterations:
        settled = moved_by(problem, _settled(problem, state, pace, ctx, show))
        result = replace(settled, error_coarse=result.error_coarse)
    if not config.fine.iterations or len(result.rows) < 2:
        return result
    return _refined(result, fine_problem(result, problem, config), pace, ctx, show)


def take_out(
    scene: Gaussians, shots: Sequence[Retouched], config: Config, ctx: Context, show: Show
) -> Int[np.ndarray, " k"]:
    """Which Gaussians a removal takes out."""
    settings = replace(config, matching=replace(config.matching, find_pairs=False))
    base = posed_problem(scene, shots, settings, ctx.threads)
    views, problem = base.views, removing.Problem(base, config.removal)
    state = removing.start(problem)
    finish(
        "removal",
        state,
        config.removal.iterations,
        lambda now: removing.step(problem, now),
        lambda now: show(_picture(removing.faded(problem, now), views[0]), "removal"),
        _pace(config, ctx),
        ctx,
    )
    return removing.removed(problem, state)


def _coarse(problem: coarse.Problem, pace: Pace, ctx: Context, show: Show) -> State:
    """The anchors, from what has been tried to where the losses take them."""
    begin = None
    if problem.coarse.limbs:
        begin, count = tries.first_pose(problem)
        ctx.log.info("%d tries with limbs, or with the whole, were of use", count)
    state = coarse.start(problem, begin)
    finish(
        "coarse",
        state,
        problem.coarse.iterations,
        lambda now: tries.step(problem, now),
        lambda now: show(_seen_now(problem, coarse.pose_of(problem, now)), "coarse"),
        pace,
        ctx,
    )
    return state


def _refined(result: Moved, problem: fine.Problem, pace: Pace, ctx: Context, show: Show) -> Moved:
    """What the fine stage makes of it."""
    views, last = problem.views, fine.start(problem)
    finish(
        "fine",
        last,
        problem.fine.iterations,
        lambda now: fine.step(problem, now),
        lambda now: show(_picture(fine.seen(problem, now, 0), views[0]), "fine"),
        pace,
        ctx,
    )
    errors = [_error(fine.seen(problem, last, k), view) for k, view in enumerate(views)]
    return replace(with_fine(result, last), error_after=float(np.mean(errors)))


def _settled(problem: coarse.Problem, state: State, pace: Pace, ctx: Context, show: Show) -> Pose:
    """The anchors after their rigid groups have found their places, if they are of use."""
    found = coarse.pose_of(problem, state)
    pieces = groups.grouped(problem.skin.rest, found, problem.edges)
    if pieces is None:
        return found
    count = int(pieces.moves.sum())
    last = groups.start(problem, pieces)
    logits = state["masks"].detach()
    finish(
        "groups",
        last,
        problem.coarse.group_iterations,
        lambda now: groups.step(problem, pieces, logits, now),
        lambda now: show(_seen_now(problem, groups.pose_of(problem, pieces, now)), "groups"),
        pace,
        ctx,
    )
    return better(problem, found, groups.pose_of(problem, pieces, last), count, ctx.log)


def better(problem: coarse.Problem, found: Pose, rigid: Pose, count: int, log: Logger) -> Pose:
    """The rigid pose, unless the picture shows that the edit was not rigid."""
    errors = [pose_error(problem, pose) for pose in (found, rigid)]
    taken = errors[1] <= GROUP_SLACK * errors[0] + GROUP_FLOOR
    log.info(
        "%d rigid groups: difference %.4f, without them %.4f: %s",
        count, errors[1], errors[0], "taken" if taken else "left",
    )  # fmt: skip
    return rigid if taken else found


def pose_error(problem: coarse.Problem, pose: Pose) -> float:
    """Mean absolute difference to the edited pictures inside of the masks."""
    moved = deformed(problem, pose)
    errors = [_error(coarse.seen(problem, moved, k), view) for k, view in enumerate(problem.views)]
    return float(np.mean(errors))


def moved_by(problem: coarse.Problem, pose: Pose) -> Moved:
    """What a pose of the anchors does."""
    scene, views = problem.scene, problem.views
    moved = deformed(problem, pose)
    chosen = touched(problem, moved)
    rows = problem.movable[chosen]
    before = [_error(scene, view) for view in views]
    after = [_error(coarse.seen(problem, moved, k), view) for k, view in enumerate(views)]
    return Moved(
        rows=rows,
        means=moved.means[chosen],
        turns=moved.turns[chosen],
        growth=torch.zeros(len(rows), 3),
        rest=problem.skin.rest,
        pose=Pose(pose.places.detach(), pose.turns.detach()),
        error_before=float(np.mean(before)),
        error_coarse=float(np.mean(after)),
        error_after=float(np.mean(after)),
    )


def fine_problem(result: Moved, before: coarse.Problem, config: Config) -> fine.Problem:
    """What the coarse stage has left to do."""
    scene, rows = before.scene, result.rows
    return fine.Problem(
        scene=scene,
        free=rows,
        still=[coarse.still_part(scene, rows, view) for view in before.views],
        places=result.means,
        turns=result.turns,
        edges=anchors.graph(scene.means[rows].double().numpy(), config.fine.edges),
        views=before.views,
        size=before.size,
        rigidity=config.rigidity,
        fine=config.fine,
        ssim=config.ssim,
        threads=before.threads,
    )


def with_fine(result: Moved, state: State) -> Moved:
    """What the fine stage has done."""
    return replace(
        result,
        means=state["places"].detach(),
        turns=torch.nn.functional.normalize(state["turns"].detach(), dim=1),
        growth=state["growth"].detach(),
    )


def touched(problem: coarse.Problem, deformed: Deformed) -> Tensor:
    """Which of the movable Gaussians have moved to speak of."""
    view = problem.views[0]
    pixel = problem.size / max(view.camera.width_px, view.camera.height_px)
    rows = problem.movable
    gone = (deformed.means - problem.scene.means[rows]).norm(dim=1)
    half_sine = deformed.turns[:, 1:].norm(dim=1)
    swept = 2 * half_sine * EXTENT * problem.scene.scales[rows].amax(dim=1)
    return gone + swept > TOUCHED_PX * pixel


def deformed(problem: coarse.Problem, pose: Pose) -> Deformed:
    """The movable Gaussians where the anchors put them."""
    with torch.no_grad():
        return deform(problem.skin, problem.scene.means[problem.movable], pose)


def _seen_now(problem: coarse.Problem, pose: Pose) -> Float[Tensor, "height width 3"]:
    return _picture(coarse.seen(problem, deformed(problem, pose), 0), problem.views[0])


def _picture(scene: Gaussians, view: View) -> Float[Tensor, "height width 3"]:
    with torch.no_grad():
        return composited(render(scene, view.camera), view.background)


def _error(scene: Gaussians, view: View) -> float:
    return float((_picture(scene, view) - view.target).abs()[view.mask].mean())


def _pace(config: Config, ctx: Context) -> Pace:
    return Pace(_signature(config, ctx), config.checkpoint_every_s, config.preview_every_s)


def _signature(config: Config, ctx: Context) -> str:
    """Tells a checkpoint of another configuration; the inputs are in the scratch path's key."""
    values = asdict(config)
    values.pop("checkpoint_every_s")
    values.pop("preview_every_s")
    return json.dumps({"seed": ctx.seed, **values}, sort_keys=True)
