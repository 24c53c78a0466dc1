"""Limbs found by trying: which tries count as better, and what is found by them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from splatworks.renderers.projection import view_points
from splatworks.stages.edit import Config, coarse, judging, limbs, skinning, tries, whole
from splatworks.stages.edit.settings import Coarse
from splatworks.stages.edit.skinning import Pose
from splatworks.stages.edit.views import make_view
from splatworks.stages.formats.splats import RawSplats
from splatworks.stages.geometry.activation import activate
from splatworks.stages.geometry.orbit import look_at_origin
from splatworks.stages.scene.affine import about, carried, joined, rotation_matrix, take

from .edit_setup import camera, picture, problem_of, right_shifted, rod, two_balls
from .splat_objects import raw


def colored(points: np.ndarray, color: tuple[float, float, float]) -> RawSplats:
    count = len(points)
    return raw(
        points, np.full((count, 3), 0.02), np.tile([1.0, 0, 0, 0], (count, 1)),
        np.full(count, 0.95), np.tile(color, (count, 1)),
    )  # fmt: skip


def two_legs() -> tuple[RawSplats, np.ndarray]:
    """A body with two legs, one right behind the other as seen by the camera; and whose leg each
    Gaussian is of: 0 the near one's, 1 the far one's."""
    body = rod((-0.3, 0.3, 0), (0.3, 0.3, 0), 0.14, 500, seed=8)
    legs = [rod((0, 0.25, z), (0, -0.5, z), 0.05, 400, seed=9) for z in (0.12, -0.12)]
    parts = [colored(body, (0.5, 0.5, 0.5)), colored(legs[0], (0.8, 0.2, 0.2)),
             colored(legs[1], (0.2, 0.3, 0.8))]  # fmt: skip
    return joined(parts, parts[0]), np.repeat([-1, 0, 1], [500, 400, 400])


@pytest.mark.parametrize("moving", [0, 1])
def test_the_leg_that_moved_is_found_be_it_hidden_or_not(moving: int) -> None:
    rest, owner = two_legs()
    turn = rotation_matrix([np.cos(np.pi / 8), 0, 0, np.sin(np.pi / 8)])
    swung = carried(take(rest, owner == moving), about(turn, (0, 0.25, 0)))
    order = np.argsort(np.concatenate([np.flatnonzero(owner != moving),
                                       np.flatnonzero(owner == moving)]))  # fmt: skip
    goal = take(joined([take(rest, owner != moving), swung], rest), order)
    problem = problem_of(rest, goal, 80)
    pose, count = tries.first_pose(problem)
    assert count >= 1
    moved = skinning.deform(problem.skin, problem.scene.means[problem.movable], pose).means
    after = rest.means.copy()
    after[problem.movable.numpy()] = moved.numpy()
    tip = rest.means[:, 1] < -0.2
    off = np.linalg.norm(after - goal.means, axis=1)
    gone = np.linalg.norm(goal.means - rest.means, axis=1)
    assert off[tip & (owner == moving)].mean() < 0.35 * gone[tip & (owner == moving)].mean()
    assert off[owner == 1 - moving].mean() < 0.05


def upright(problem: coarse.Problem) -> Pose:
    rest = problem.skin.rest
    return Pose(rest, rest.new_tensor(coarse.UPRIGHT).repeat(len(rest), 1))


def test_nothing_is_turned_where_a_ball_was_shifted() -> None:
    problem = problem_of(two_balls(), right_shifted(two_balls(), (0.15, 0, 0)))
    pose, count = tries.first_pose(problem)
    assert count == 1  # The whole, as one.
    way = pose.places - problem.skin.rest
    assert (way - way[0]).abs().max() < 1e-6
    assert way[0].numpy() == pytest.approx([0.15, 0, 0], abs=0.03)
    assert torch.equal(pose.turns[:, 0], torch.ones(len(way)))


def test_nothing_is_tried_for_the_whole_where_a_leg_swung() -> None:
    rest, goal, _ = both_swung((30.0, 0.0))
    problem = problem_of(rest, goal, 80)
    pose = upright(problem)
    small = [judging.reduced(view, 0) for view in problem.views]
    now = judging.seen(problem, pose, small)
    for one in tries.whole_tries(problem, pose, small):
        assert judging.gain(now, judging.seen(problem, one(pose), small), small) == 0


@pytest.mark.parametrize("background", [0.0, 1.0])
@pytest.mark.parametrize("by_px", [(7, -3), (-20, 11), (0, 0)])
def test_a_shift_is_the_peak_of_the_correlation_whatever_lies_behind(by_px, background) -> None:
    rng = np.random.default_rng(4)
    alone = background + 0.3 * rng.uniform(-1, 1, (48, 64, 3))
    card = rng.uniform(0, 1, (12, 9, 3))

    def shown(column: int, row: int) -> np.ndarray:
        out = alone.copy()
        out[row : row + 12, column : column + 9] = card
        return out

    own, edited = shown(28, 18), shown(28 + by_px[0], 18 + by_px[1])
    assert whole.shift_px(own, alone, edited) == by_px


def test_the_whole_is_carried_by_so_many_pixels_across_the_line_of_sight() -> None:
    eye = look_at_origin([30.0], [40.0], distance_m=2.0, fovy_deg=45.0, size_px=(64, 64))
    places = torch.tensor([[0.1, 0.0, 0.0], [-0.1, 0.05, 0.1], [0.0, 0.2, -0.1]])
    pose = Pose(places, torch.tensor([[2.0, 0, 0, 0]]).repeat(3, 1))
    after = whole.moved(eye, (5, -8), pose)
    middle = [view_points(one.mean(0, keepdim=True), eye.world_to_camera)[0, 0]
              for one in (places, after.places)]  # fmt: skip
    assert float(middle[1][2]) == pytest.approx(float(middle[0][2]), abs=1e-5)
    pixels = [eye.focal_px[0] * one[:2] / one[2] for one in middle]
    assert (pixels[1] - pixels[0]).tolist() == pytest.approx([5, -8], abs=1e-3)
    assert torch.allclose(after.places - places, (after.places - places)[:1].expand(3, 3))
    assert after.turns.norm(dim=1).tolist() == pytest.approx([1, 1, 1])


def test_only_what_lies_behind_a_mask_is_tried() -> None:
    rest = two_balls()
    eye = camera(64)
    mask = np.zeros((64, 64), bool)
    mask[20:44, 36:60] = True
    view = make_view(activate(rest), eye, picture(rest, eye), mask, torch.ones(3))
    means = torch.from_numpy(rest.means)
    found = tries.under_edit(means, [view])
    assert found[rest.means[:, 0] < 0].sum() == 0
    assert found[rest.means[:, 0] > 0.12].mean() > 0.9
    behind = means * torch.tensor([1.0, 1.0, 0.0]) + torch.tensor([0.0, 0.0, 9.0])
    assert not tries.under_edit(behind, [view]).any()


@pytest.mark.parametrize(("size_px", "longer_px", "off"), [(240, 150, 1e-6), (640, 400, 0.004)])
def test_reduced_pictures_show_the_same_as_the_full_ones(size_px, longer_px, off) -> None:
    """Up to `RENDERED_PX` exactly, since they are rendered as large as they were edited."""
    rest = two_balls()
    problem = problem_of(rest, right_shifted(rest, (0.2, 0, 0)), size_px)
    cut = problem.views[0]
    assert abs(max(cut.target.shape) - longer_px) < 0.2 * longer_px
    view = replace(cut, target=torch.from_numpy(picture(rest, cut.camera)))
    small = judging.reduced(view, 0)
    assert max(small.target.shape) <= judging.SMALL_PX
    (shown,) = judging.seen(problem, upright(problem), [small])
    assert (shown - small.target).abs().mean() < off


def both_swung(angles_deg: tuple[float, float]) -> tuple[RawSplats, RawSplats, np.ndarray]:
    """The two legs before and after each is turned, and whose leg each Gaussian is of."""
    rest, owner = two_legs()
    parts, order = [take(rest, owner < 0)], [np.flatnonzero(owner < 0)]
    for leg, angle_deg in enumerate(angles_deg):
        half = np.deg2rad(angle_deg) / 2
        turn = rotation_matrix([np.cos(half), 0, 0, np.sin(half)])
        parts.append(carried(take(rest, owner == leg), about(turn, (0, 0.25, 0))))
        order.append(np.flatnonzero(owner == leg))
    return rest, take(joined(parts, rest), np.argsort(np.concatenate(order))), owner


def off_at_tips(
    problem: coarse.Problem, pose: Pose, goal: RawSplats, owner: np.ndarray
) -> list[float]:
    """How far each leg's lower end is from where it belongs, on average."""
    moved = skinning.deform(problem.skin, problem.scene.means[problem.movable], pose).means
    after = goal.means.copy()
    after[problem.movable.numpy()] = moved.detach().numpy()
    tip = problem.scene.means.numpy()[:, 1] < -0.2
    off = np.linalg.norm(after - goal.means, axis=1)
    return [float(off[tip & (owner == leg)].mean()) for leg in (0, 1)]


def test_half_way_legs_that_were_taken_for_one_another_are_exchanged() -> None:
    rest, goal, owner = both_swung((40.0, -30.0))
    config = Config(what="geometry", coarse=Coarse(anchors=150, iterations=20))
    problem = problem_of(rest, goal, 80, config=config)
    places, eye = problem.skin.rest.double().numpy(), np.array([0.0, 0.0, 2.0])
    found = limbs.limbs(places, problem.edges)
    pairs = [(a, b) for k, a in enumerate(found) for b in found[k + 1 :]
             if limbs.alike(places, a, b, problem.edges)]  # fmt: skip
    near, far = max(pairs, key=lambda pair: pair[0].inside.sum())
    if places[near.tip, 2] < places[far.tip, 2]:
        near, far = far, near
    # Turns about the line of sight, which goes against the z axis.
    wrong = limbs.turned(places, near, eye, 30.0, upright(problem))
    wrong = limbs.turned(places, far, eye, -40.0, wrong)
    state = coarse.start(problem, wrong)
    assert min(off_at_tips(problem, wrong, goal, owner)) > 0.3
    state.iteration = 9
    tries.step(problem, state)
    assert min(off_at_tips(problem, coarse.pose_of(problem, state), goal, owner)) > 0.3
    tries.step(problem, state)  # The tenth of twenty: matching is over.
    assert max(off_at_tips(problem, coarse.pose_of(problem, state), goal, owner)) < 0.15
    off = replace(problem, coarse=replace(problem.coarse, limbs=False))
    state = coarse.start(off, wrong)
    state.iteration = 10
    tries.step(off, state)
    assert min(off_at_tips(off, coarse.pose_of(off, state), goal, owner)) > 0.3


def test_what_did_not_promise_at_first_is_tried_again(monkeypatch) -> None:
    rest, goal, owner = both_swung((40.0, -30.0))
    problem = problem_of(rest, goal, 80)
    monkeypatch.setattr(tries, "PROMISING", 1)
    pose, count = tries.first_pose(problem)
    assert count >= 2
    assert max(off_at_tips(problem, pose, goal, owner)) < 0.2


def small_view(target: torch.Tensor) -> judging.Small:
    return judging.Small(0, camera(8), target)


def test_a_try_is_judged_where_it_changes_the_picture() -> None:
    """Elsewhere as much may be wrong as will; but noise is no gain."""
    target = torch.zeros(20, 20, 3)
    now = torch.zeros(20, 20, 3)
    now[:, :10] = 0.5  # What this try has nothing to do with: 100 of difference.
    now[:2, 10:] = 1.0  # What it mends: 20.
    mended = now.clone()
    mended[:2, 10:] = 0.0
    small = [small_view(target)]
    assert judging.gain([now], [mended], small) == pytest.approx(20.0)
    partly = now.clone()
    partly[:2, 10:] = 0.8  # 20 -> 16: not clearly.
    assert judging.gain([now], [partly], small) == 0
    worse = mended.clone()
    worse[10:12, 10:] = 0.9  # Puts as much wrong elsewhere: 20 -> 18.
    assert judging.gain([now], [worse], small) == 0
    tiny = now.clone()
    tiny[0, 10:13] = 0.0  # 3 of 120, all that it changes.
    assert judging.gain([now], [tiny], small) == 0
    assert judging.gain([now], [now], small) == 0


def test_views_of_different_sizes_are_judged_together() -> None:
    """Often, because of several pictures only some are looked at when types are checked."""
    sizes = [(20, 12), (16, 24), (8, 8)]
    target = [torch.zeros(*size, 3) for size in sizes]
    now = [torch.ones(*size, 3) for size in sizes]
    small = [small_view(one) for one in target]
    gains = {judging.gain(now, target, small) for _ in range(20)}
    assert gains == {float(sum(height * width for height, width in sizes))}
