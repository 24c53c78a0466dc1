"""The edit's stages in pieces: each term, gate and bound by itself, without a run to the end."""

import logging
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from splatworks.pipeline.errors import InputError
from splatworks.renderers.scene import Cameras
from splatworks.stages.edit import Config, coarse, fine, loop, moving, reach, removing, texture
from splatworks.stages.edit.loop import Pace
from splatworks.stages.edit.pictures_in import Retouched
from splatworks.stages.edit.settings import Coarse, Matching, Removal, Rigidity, Texture
from splatworks.stages.edit.skinning import Deformed, Pose
from splatworks.stages.edit.state import State, advance, value
from splatworks.stages.edit.texture import Wish
from splatworks.stages.edit.transport import match
from splatworks.stages.edit.views import tiles_of
from splatworks.stages.geometry.activation import activate

from .edit_setup import camera, picture, problem_of, random_turns, right_shifted, two_balls
from .splat_objects import context

SHIFT = (0.2, 0.0, 0.0)


@pytest.fixture(scope="module")
def problem() -> coarse.Problem:
    config = Config(coarse=Coarse(anchors=100), rigidity=Rigidity(adaptive=False))
    return problem_of(two_balls(), right_shifted(two_balls(), SHIFT), config=config)


def at_rest(problem: coarse.Problem) -> Pose:
    rest = problem.skin.rest
    return Pose(rest.clone(), rest.new_tensor([1.0, 0, 0, 0]).repeat(len(rest), 1))


def shifted(problem: coarse.Problem, way) -> Pose:
    pose = at_rest(problem)
    return Pose(pose.places + torch.tensor(way), pose.turns)


# coarse


def test_leaving_ones_place_has_its_price_and_no_more(problem: coarse.Problem) -> None:
    logits = torch.full((3, len(problem.edges.start)), 4.0)
    scale = coarse.STAY_SHARE * problem.size
    for far in (0.5 * scale, 20 * scale):
        found = coarse.resting(problem, logits, shifted(problem, (far, 0.0, 0.0)), 0.0)
        share = far**2 / (far**2 + scale**2)
        assert float(found.detach()) == pytest.approx(problem.coarse.stay * share, rel=1e-3)


def test_the_positional_loss_pulls_where_the_match_says(problem: coarse.Problem) -> None:
    view = problem.views[0]
    channels = torch.zeros(*view.target.shape[:2], 2, requires_grad=True)
    tiles = view.tiles
    none = match(tiles, tiles, coarse.Price(0.7, 0.003, 0.3), None, 1)
    pull = torch.tensor([0.1, -0.05]).repeat(len(tiles.mass), 1)
    found = replace(none, pull=pull, trust=torch.ones(len(tiles.mass)))
    loss = coarse.positional(view, channels, found)
    assert float(loss.detach()) == pytest.approx(len(tiles.mass) * (0.1**2 + 0.05**2), rel=1e-5)
    (slope,) = torch.autograd.grad(loss, channels)
    assert (slope[..., 0] < 0).all() and (slope[..., 1] > 0).all()


def test_tiles_are_trusted_by_their_mass(problem: coarse.Problem) -> None:
    view, state = problem.views[0], coarse.start(problem)
    alpha = torch.zeros(*view.target.shape[:2], 1)
    alpha[:, : view.target.shape[1] // 2] = 1
    found = coarse.matched(view, view.target, alpha, problem.matching, state, 0)
    mass = tiles_of(view.target, alpha, view.tile_px).mass
    assert float(found.trust.sum()) <= 1 + 1e-5
    assert found.trust[mass == 0].abs().max() == 0


def test_pairs_pull_until_the_matching_ends() -> None:
    rest = two_balls()
    pairs = np.array([[44.0, 32.0, 50.0, 32.0], [42.0, 30.0, 48.0, 30.0]])
    config = Config(coarse=Coarse(anchors=100), matching=Matching(weight=0.0))
    given = problem_of(rest, right_shifted(rest, SHIFT), pairs=pairs, config=config)
    without = replace(given, pairs=[None])
    moved = moving.deformed(given, at_rest(given))
    ends = given.matching.until_share
    early, late = (
        [float(coarse.view_loss(one, coarse.start(one), moved, 0, share).detach())
         for one in (given, without)]
        for share in (0.0, ends)
    )  # fmt: skip
    assert early[0] > early[1] + 0.01
    assert late[0] == late[1]


def test_the_size_of_an_edit_is_its_box_at_its_depth(problem: coarse.Problem) -> None:
    view = problem.views[0]
    eye = replace(view.camera, width_px=100, height_px=60,
                  focal_px=torch.full_like(view.camera.focal_px, 50.0))  # fmt: skip
    assert coarse.edit_size(replace(view, camera=eye), 3.0) == pytest.approx(6.0)


# fine


def fine_of(problem: coarse.Problem) -> fine.Problem:
    result = moving.moved_by(problem, shifted(problem, SHIFT))
    return moving.fine_problem(result, problem, Config())


def test_growing_has_its_price(problem: coarse.Problem) -> None:
    given = replace(fine_of(problem), rigidity=Rigidity(adaptive=False))
    state = fine.start(given)
    before = float(fine.resting(given, state).detach())
    with torch.no_grad():
        state["growth"].fill_(math.log(1.5))
    after = float(fine.resting(given, state).detach())
    assert after - before == pytest.approx(0.5 * given.fine.scale_price, rel=1e-4)


def test_the_fine_stage_shows_what_is_turned_and_grown(problem: coarse.Problem) -> None:
    given = fine_of(problem)
    scene = given.scene
    tilted = random_turns(len(scene.means), 1, torch.float32)
    given = replace(given, scene=replace(scene, quaternions=tilted))
    state = fine.start(given)
    count = len(given.free)
    turns = random_turns(count, 2, torch.float32)
    with torch.no_grad():
        state["turns"].copy_(turns)
        state["growth"].copy_(torch.tensor([math.log(2.0), 0.0, math.log(0.5)]).repeat(count, 1))
    shown = fine.seen(given, state, 0)
    factors = torch.tensor([2.0, 1.0, 0.5])
    assert torch.allclose(shown.scales[:count], scene.scales[given.free] * factors, rtol=1e-5)
    rotation = [Rotation.from_quat(q.detach().numpy()[:, [1, 2, 3, 0]])
                for q in (turns, tilted[given.free], shown.quaternions[:count])]  # fmt: skip
    apart = (rotation[0] * rotation[1]) * rotation[2].inv()
    assert apart.magnitude().max() < 1e-3


# texture


def wished(mask: np.ndarray, color: float) -> list[Wish]:
    eye = camera(64)
    target = np.full((64, 64, 3), color, np.float32)
    return [Wish(eye, target, mask, np.ones(3, np.float32))]


def box_mask() -> np.ndarray:
    mask = np.zeros((64, 64), bool)
    mask[24:40, 38:50] = True
    return mask


def test_only_what_lies_inside_of_the_mask_is_wished_for() -> None:
    problem = texture.system(two_balls(), wished(box_mask(), 0.9))
    assert np.abs(problem.residual[~problem.inside]).max() == 0
    assert np.abs(problem.residual[problem.inside]).max() > 0.1


@pytest.mark.parametrize("color", [-3.0, 4.0])
def test_paint_stays_within_what_a_picture_can_show(color: float) -> None:
    problem = texture.system(two_balls(), wished(box_mask(), color))
    change = texture.solved(problem, Texture())
    assert np.abs(change).max() > 0.1
    assert (change >= problem.low - 1e-9).all() and (change <= problem.high + 1e-9).all()
    low, high = problem.low[problem.free], problem.high[problem.free]
    assert low.min() >= -1 - 1e-6 and high.max() <= 1 + 1e-6


def test_splitting_adds_no_more_than_its_share() -> None:
    rest = two_balls(200)
    noise = np.random.default_rng(0).uniform(0, 1, (64, 64, 3)).astype(np.float32)
    mask = np.zeros((64, 64), bool)
    mask[16:48, 34:58] = True
    wishes = [Wish(camera(64), noise, mask, np.ones(3, np.float32))]
    settings = Texture(rounds=3, most_share=0.1, split_above=0.0)
    found = texture.painted(rest, wishes, settings, lambda now: None)
    assert len(rest) < len(found.splats) <= 1.1 * len(rest)


# removing


def removal(smooth: float = 0.2) -> removing.Problem:
    rest = two_balls()
    goal = right_shifted(rest, SHIFT)
    base = problem_of(rest, goal, config=Config(matching=Matching(find_pairs=False)))
    return removing.Problem(base, Removal(smooth=smooth))


def test_nothing_outside_of_the_edit_is_removed(monkeypatch) -> None:
    monkeypatch.setattr(reach, "at_rest", lambda scene, shots: np.zeros(len(scene.means), bool))
    given = removal()
    state = removing.start(given)
    with torch.no_grad():
        state["own"].fill_(-20.0)
    gone = removing.removed(given, state)
    inside = removing.inside_all(given.base.scene, given.base.views).numpy()
    assert 0 < len(gone) < len(given.base.movable)
    assert inside[gone].all()


def test_what_is_behind_the_camera_is_not_inside() -> None:
    given = removal()
    scene, view = given.base.scene, given.base.views[0]
    eye = camera_center(view.camera)
    behind = replace(scene, means=2 * eye - scene.means)  # Projects to the same pixels.
    assert removing.inside_all(scene, [view]).any()
    assert not removing.inside_all(behind, [view]).any()


def camera_center(eye: Cameras) -> torch.Tensor:
    pose = eye.world_to_camera[0]
    return -pose[:3, :3].T @ pose[:3, 3]


def test_neighbors_pay_for_going_apart() -> None:
    losses = []
    for smooth in (0.0, 1.0):
        given = removal(smooth)
        state = removing.start(given)
        with torch.no_grad():
            state["own"][::3] *= -1
        shares = removing.shares_of(given, state).detach()
        edges = given.base.edges
        apart = (shares[edges.start] - shares[edges.end]).square()
        rough = float((edges.kernel * apart).sum() / edges.count)
        removing.step(given, state)
        losses.append(state.losses[-1])
    assert rough > 0.001
    assert losses[1] - losses[0] == pytest.approx(rough, rel=1e-3)


# moving


def test_what_only_turns_has_moved_as_well(problem: coarse.Problem) -> None:
    count = len(problem.movable)
    turns = torch.zeros(count, 4)
    turns[:, 0] = 1
    turns[0] = torch.tensor([math.cos(0.5), 0.0, 0.0, math.sin(0.5)])
    means = problem.scene.means[problem.movable]
    found = moving.touched(problem, Deformed(means, turns))
    assert found.nonzero().flatten().tolist() == [0]


def test_rigid_groups_are_left_where_the_picture_denies_them(problem: coarse.Problem) -> None:
    log, rest = logging.getLogger("test"), problem.skin.rest
    right = (rest[:, :1] > 0).float()
    truth = at_rest(problem)
    truth = Pose(truth.places + right * torch.tensor(SHIFT), truth.turns)
    wrong = shifted(problem, (0.0, -0.2, 0.0))
    assert moving.better(problem, truth, wrong, 1, log) is truth
    almost = Pose(truth.places + 1e-4, truth.turns)
    assert moving.better(problem, truth, almost, 1, log) is almost


def test_what_lies_outside_of_the_mask_is_not_counted(problem: coarse.Problem) -> None:
    view = problem.views[0]
    other = torch.where(view.mask[..., None], view.target, 1 - view.target)
    elsewhere = replace(problem, views=[replace(view, target=other)])
    here = moving.pose_error(problem, at_rest(problem))
    assert moving.pose_error(elsewhere, at_rest(problem)) == here > 0


# loop


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second passes with every look at the time."""
    now = iter(range(10**6))
    monkeypatch.setattr(loop.time, "monotonic", lambda: float(next(now)))


def run_loop(folder: Path, pace: Pace, iterations: int = 40) -> tuple[list[int], list[int]]:
    """When it was shown, and when it was saved."""
    folder.mkdir(exist_ok=True)
    state = State({"x": value(torch.ones(2), 0.01, vectors=False)}, [])
    ctx = context(folder)
    ctx.scratch.mkdir(parents=True, exist_ok=True)
    shown: list[int] = []
    saved: list[int] = []
    save = loop.states.save
    loop.states.save = lambda state, *rest: (saved.append(state.iteration), save(state, *rest))
    try:
        loop.finish(
            "test", state, iterations,
            lambda now: advance(now, now["x"].square().sum(), 1.0),
            lambda now: shown.append(now.iteration), pace, ctx,
        )  # fmt: skip
    finally:
        loop.states.save = save
    return shown, saved


def test_the_first_preview_comes_early_and_the_others_in_their_time(clock, tmp_path) -> None:
    shown, saved = run_loop(tmp_path / "a", Pace("", 1e9, 10.0))
    assert shown == [5, 15, 25, 35]
    assert saved == [40]


def test_checkpoints_are_written_on_the_way(clock, tmp_path) -> None:
    shown, saved = run_loop(tmp_path / "a", Pace("", 15.0, 1e9))
    assert saved == [15, 30, 40]
    assert not shown


def test_what_is_not_finite_is_reported(tmp_path) -> None:
    state = State({"x": value(torch.ones(1), 0.1)}, [])
    ctx = context(tmp_path)
    ctx.scratch.mkdir(parents=True, exist_ok=True)
    with pytest.raises(InputError, match="iteration 1 is not finite"):
        loop.finish(
            "test", state, 5, lambda now: advance(now, now["x"].sum() * float("nan"), 1.0),
            lambda now: None, Pace("", 1e9, 1e9), ctx,
        )  # fmt: skip


def test_once_matching_is_over_what_holds_the_anchors_lets_go() -> None:
    problem = problem_of(two_balls(), right_shifted(two_balls(), SHIFT))
    logits = torch.zeros(3, len(problem.edges.start))
    pose = shifted(problem, (0.03, 0.0, 0.0))
    until = problem.matching.until_share
    early, late = (float(coarse.resting(problem, logits, pose, s)) for s in (until - 0.01, until))
    assert early > 0
    assert late == pytest.approx(problem.rigidity.settled * early, rel=1e-5)


# reach


def test_reach_is_the_box_and_a_share_of_its_diagonal_around() -> None:
    seen = np.random.default_rng(0).uniform(-1, 1, (400, 3))
    diagonal = np.linalg.norm(np.ptp(np.percentile(seen, [1, 99], axis=0), axis=0))
    edge = np.percentile(seen[:, 0], 99) + reach.REACH * diagonal
    others = np.array([[edge - 0.01, 0, 0], [edge + 0.01, 0, 0]])
    points = np.concatenate([seen, others])
    none = np.zeros(len(points), bool)
    found = reach.within_reach(points, np.arange(len(points)) < 400, none)
    assert found.tolist() == [True] * 401 + [False]
    assert reach.within_reach(points, none, none).all()


def test_a_wall_seen_at_rest_is_out_of_reach_but_for_a_rim_and_hidden_parts_go_along() -> None:
    grid = np.stack(np.meshgrid(np.arange(-1, 1, 0.04), np.arange(-1, 1, 0.04)), -1).reshape(-1, 2)
    wall = np.column_stack([grid, np.zeros(len(grid))])
    # A stick from the wall towards the eye: most of it is edited, its root hidden.
    stick = np.zeros((100, 3))
    stick[:, 2] = np.linspace(0.008, 0.8, 100)
    islands = np.array([[0.0, 0.3, 0.7], [0.3, 0.3, 0.05]])
    points = np.concatenate([wall, stick, islands])
    edited = np.zeros(len(points), bool)
    edited[len(wall) + 25 : -2] = True
    resting = np.zeros(len(points), bool)
    resting[: len(wall)] = np.linalg.norm(wall, axis=1) > 0.1
    box = reach.within_reach(points, edited, np.zeros(len(points), bool))
    found = reach.within_reach(points, edited, resting)
    assert box[: len(wall)].sum() > 50
    assert not found[: len(wall)][resting[: len(wall)]].any()
    assert found[len(wall) + 20 : -2].all()
    assert found[-2] and not found[-1]  # Apart from all: with what is nearer.
    # What is at rest right beside the edit is its rim.
    edited[len(wall) : len(wall) + 25] = True
    rim = reach.within_reach(points, edited, resting)[: len(wall)]
    low, high = np.percentile(points[edited], [1, 99], axis=0)
    reached = np.linalg.norm(wall[rim], axis=1)
    width = reach.RIM * np.linalg.norm(high - low)
    assert 0.7 * width < reached.max() <= width


def test_at_rest_is_what_pictures_show_outside_of_the_mask_alone() -> None:
    rest = two_balls()
    eye = camera(64)
    own = picture(rest, eye)
    mask = np.zeros((64, 64), bool)
    mask[:, 32:] = True
    shot = Retouched(eye, own, own, mask, np.ones(3, np.float32), 0.0)
    found = reach.at_rest(activate(rest), [shot])
    left = rest.means[:, 0] < 0
    assert not found[~left].any()
    assert 0.02 < found[left].mean() < 1  # Its far side is hidden.
    assert found[left & (rest.means[:, 2] > rest.means[left, 2].max() - 0.03)].all()


def test_given_pairs_count_from_the_corner_of_the_whole_picture() -> None:
    rest = two_balls()
    given = np.array([[43.0, 33.0, 50.0, 29.0]])
    problem = problem_of(rest, right_shifted(rest, SHIFT), 64, given)
    view, pairs = problem.views[0], problem.pairs[0]
    assert view.box.left > 0 and pairs is not None
    near = pairs.goals[0].numpy() + np.array([view.box.left, view.box.top])
    assert np.abs(near - given[0, 2:]).max() < 2.5
