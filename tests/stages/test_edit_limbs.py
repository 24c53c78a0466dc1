"""Ways along surfaces, and limbs: told by shape, turned about their joints, found by trying."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from splatworks.stages.edit import anchors, coarse, limbs, skinning, tries, ways
from splatworks.stages.edit.skinning import Pose
from splatworks.stages.edit.views import make_view
from splatworks.stages.formats.splats import RawSplats
from splatworks.stages.geometry.activation import activate
from splatworks.stages.scene.affine import about, carried, joined, rotation_matrix, take

from .edit_setup import camera, picture, problem_of, right_shifted, two_balls
from .splat_objects import raw

GAP = 0.08


def rod(start, end, radius: float = 0.03, count: int = 500, seed: int = 0) -> np.ndarray:
    """Points all through it."""
    rng = np.random.default_rng(seed)
    along = rng.uniform(0, 1, (count, 1))
    off = rng.normal(size=(count, 3))
    off *= radius * rng.uniform(0, 1, (count, 1)) ** (1 / 3) / np.linalg.norm(off, axis=1)[:, None]
    return np.asarray(start) * (1 - along) + np.asarray(end) * along + off


def fork() -> np.ndarray:
    """Two legs, `GAP` apart between their middles, joined at the top by a bar of no length."""
    left = rod((-GAP / 2, 0, 0), (-GAP / 2, 1, 0), 0.02)
    right = rod((GAP / 2, 0, 0), (GAP / 2, 1, 0), 0.02, seed=1)
    bar = rod((-GAP / 2, 1, 0), (GAP / 2, 1, 0), 0.02, 60, seed=2)
    return np.concatenate([left, right, bar])


def star(arms: int = 5, length: float = 0.6) -> tuple[np.ndarray, np.ndarray]:
    """A ball with arms in the plane z = 0; and which arm each point is of, -1 for the ball."""
    rng = np.random.default_rng(3)
    ball = rng.normal(size=(500, 3))
    ball *= 0.2 * rng.uniform(0.3, 1, (500, 1)) ** (1 / 3) / np.linalg.norm(ball, axis=1)[:, None]
    parts, owner = [ball], [np.full(500, -1)]
    for k in range(arms):
        way = np.array([np.cos(2 * np.pi * k / arms), np.sin(2 * np.pi * k / arms), 0])
        parts.append(rod(0.18 * way, (0.2 + length) * way, 0.04, 300, seed=k))
        owner.append(np.full(300, k))
    return np.concatenate(parts), np.concatenate(owner)


def test_ways_go_along_and_not_across() -> None:
    points = fork()
    places = np.array([[-GAP / 2, 0.1, 0], [-GAP / 2, 0.3, 0], [GAP / 2, 0.1, 0], [0.0, 1.0, 0]])
    found = ways.dense(ways.ways(points, np.concatenate([places, points[::40]])))
    near = (points[:, 0] < 0) & (points[:, 1] < 0.2)
    own, straight = found[near, 0], np.linalg.norm(points[near] - places[0], axis=1)
    assert np.isfinite(own).all()
    assert (own >= straight - 1e-9).all()
    assert np.median(own / straight) < 1.5  # Through points strewn at random.
    assert not np.isfinite(found[near, 2]).any()


def test_joints_are_those_of_the_definition() -> None:
    """Both among the other's nearest, and not long for either."""
    points = np.random.default_rng(4).normal(size=(60, 3))
    found = ways.joints(points).toarray()
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    order = np.argsort(apart, axis=1)[:, 1 : ways.JOINED + 1]
    near = np.zeros((60, 60), bool)
    for k, row in enumerate(order):
        longest = ways.LONGEST_JOINT * np.median(apart[k, row])
        near[k, row[apart[k, row] <= longest]] = True
    assert np.allclose(found, np.where(near & near.T, apart, 0))


def test_ways_between_anchors_are_symmetric_and_not_shorter_than_straight() -> None:
    points = fork()
    places = points[::25]
    found = ways.between(ways.ways(points, places), points, places)
    straight = np.linalg.norm(places[:, None] - places[None], axis=2)
    assert np.array_equal(found, found.T)
    assert np.diag(found).max() == 0
    assert (found >= straight - 1e-9).all()
    assert (np.isfinite(found).sum(axis=1) > 2).mean() > 0.9


def test_coinciding_points_have_ways() -> None:
    points = np.repeat(fork()[::4], 3, axis=0)
    places = points[::30]
    found = ways.between(ways.ways(points, places), points, places)
    assert not np.isnan(found).any()


def test_a_point_does_not_hang_on_the_leg_beside_its_own() -> None:
    points = fork()
    places = anchors.spread(points, 60)
    along = ways.ways(points, places)
    edges = anchors.graph(places, 6, ways.between(along, points, places))
    low_left = (points[:, 0] < 0) & (points[:, 1] < 0.7)
    beside = (places[:, 0] > 0) & (places[:, 1] < 0.7)
    there = skinning.bind(points, places, edges, 8, along).weights.toarray()[low_left]
    assert there[:, beside].max() == 0
    assert np.allclose(there.sum(axis=1), 1)
    in_space = skinning.bind(points, places, anchors.graph(places, 6), 8).weights.toarray()
    assert in_space[low_left][:, beside].max() > 0.05  # So this is no empty test.


def test_edges_follow_the_measure_and_lone_points_keep_two() -> None:
    places = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [0, 0.1, 0], [1, 0.1, 0], [9, 9, 9]])
    apart = np.full((6, 6), np.inf)
    for a, b, d in ((0, 1, 1.0), (1, 2, 1.0), (0, 2, 2.0), (3, 4, 1.0)):
        apart[a, b] = apart[b, a] = d
    edges = anchors.graph(places, 3, apart)
    found = set(zip(edges.start.tolist(), edges.end.tolist(), strict=True))
    assert {(0, 1), (0, 2), (1, 0), (1, 2), (2, 1), (2, 0)} <= found
    assert not {(0, 3), (0, 4), (1, 3), (2, 4)} & found
    starts = edges.start.numpy()
    assert (np.bincount(starts, minlength=6) >= anchors.KEPT_EDGES).all()
    sums = np.bincount(starts, weights=edges.kernel.double().numpy())
    assert np.allclose(sums, 1)


def starred() -> tuple[np.ndarray, np.ndarray, anchors.Graph, list[limbs.Limb]]:
    points, owner = star()
    chosen = np.random.default_rng(5).permutation(len(points))[:400]
    edges = anchors.graph(points[chosen], 8)
    return points[chosen], owner[chosen], edges, limbs.limbs(points[chosen], edges)


def test_the_arms_of_a_star_are_its_limbs() -> None:
    _, owner, _, found = starred()
    for arm in range(5):
        own = owner == arm
        share = max((limb.inside & own).sum() / (limb.inside | own).sum() for limb in found)
        assert share > 0.85
    for limb in found:
        assert not (limb.inside & limb.hold).any()
        assert 2 * limb.inside.sum() <= len(owner)


def test_a_ball_has_no_limbs() -> None:
    rng = np.random.default_rng(6)
    ball = rng.normal(size=(300, 3))
    ball *= rng.uniform(0.3, 1, (300, 1)) ** (1 / 3) / np.linalg.norm(ball, axis=1)[:, None]
    assert limbs.limbs(ball, anchors.graph(ball, 8)) == []


def upright(places: np.ndarray) -> Pose:
    turns = torch.zeros(len(places), 4)
    turns[:, 0] = 1
    return Pose(torch.from_numpy(places).float(), turns)


def test_a_limb_turns_about_its_joint_as_seen_from_the_eye() -> None:
    rest, _, _, found = starred()
    limb, eye = found[0], np.array([0.0, 0.0, 3.0])
    pose = limbs.turned(rest, limb, eye, 30.0, upright(rest))
    axis = limb.joint - eye
    spin = Rotation.from_rotvec(np.deg2rad(30) * axis / np.linalg.norm(axis))
    expected = spin.apply(rest[limb.inside] - limb.joint) + limb.joint
    assert np.allclose(pose.places[limb.inside].numpy(), expected, atol=1e-5)
    assert np.allclose(pose.places[~limb.inside].numpy(), rest[~limb.inside], atol=1e-6)
    turns = Rotation.from_quat(pose.turns[limb.inside].numpy()[:, [1, 2, 3, 0]])
    assert (turns * spin.inv()).magnitude().max() < 1e-3


def test_a_limb_goes_with_what_it_hangs_on_and_gets_its_shape_back() -> None:
    rest, _, _, found = starred()
    limb = found[0]
    turn, shift = Rotation.from_rotvec([0.3, -0.5, 0.8]), np.array([0.2, 0.1, -0.4])
    places = turn.apply(rest) + shift
    crumpled = places.copy()
    crumpled[limb.inside] += np.random.default_rng(7).normal(0, 0.2, (limb.inside.sum(), 3))
    pose = limbs.turned(rest, limb, np.array([0.0, 0.0, 5.0]), 0.0, upright(crumpled))
    assert np.allclose(pose.places.numpy(), places, atol=1e-4)


def test_the_coarse_stage_starts_in_the_pose_it_is_given(tmp_path) -> None:
    problem = problem_of(two_balls(), right_shifted(two_balls(), (0.2, 0, 0)))
    generator = torch.Generator().manual_seed(0)
    rest = problem.skin.rest
    turns = torch.nn.functional.normalize(torch.randn(len(rest), 4, generator=generator), dim=1)
    given = Pose(rest + 0.1 * torch.randn(len(rest), 3, generator=generator), turns)
    found = coarse.pose_of(problem, coarse.start(problem, given))
    assert torch.allclose(found.places, given.places, atol=1e-6)
    sign = torch.where(given.turns[:, :1] < 0, -1.0, 1.0)
    assert torch.allclose(found.turns, sign * given.turns, atol=1e-6)


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


def test_nothing_is_turned_where_a_ball_was_shifted() -> None:
    problem = problem_of(two_balls(), right_shifted(two_balls(), (0.15, 0, 0)))
    pose, count = tries.first_pose(problem)
    assert count == 0
    assert torch.equal(pose.places, problem.skin.rest)


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


def test_reduced_pictures_show_the_same_as_the_full_ones() -> None:
    rest = two_balls()
    eye = camera(300)
    mask = np.ones((300, 300), bool)
    view = make_view(activate(rest), eye, picture(rest, eye), mask, torch.ones(3))
    small = tries.reduced(view, 0)
    assert small.target.shape == (75, 75, 3)
    shown = picture(rest, small.camera)
    assert np.abs(shown - small.target.numpy()).mean() < 0.01
