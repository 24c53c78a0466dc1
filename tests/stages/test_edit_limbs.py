"""Ways along surfaces, and limbs: told by shape, turned about their joints."""

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from splatworks.stages.edit import anchors, coarse, limbs, skinning, ways
from splatworks.stages.edit.skinning import Pose

from .edit_setup import problem_of, right_shifted, rod, two_balls

GAP = 0.08


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


def pair_of(found: list[limbs.Limb], rest: np.ndarray, edges: anchors.Graph):
    return next(
        (a, b) for k, a in enumerate(found) for b in found[k + 1 :]
        if limbs.alike(rest, a, b, edges)
    )  # fmt: skip


def legs() -> tuple[np.ndarray, anchors.Graph, list[limbs.Limb]]:
    """A bar with two legs of the very same points, 0.4 apart."""
    leg = rod((-0.2, 0, 0), (-0.2, -0.8, 0), 0.04, 160, seed=4)
    bar = rod((-0.25, 0, 0), (0.25, 0, 0), 0.1, 260, seed=5)
    rest = np.concatenate([bar, leg, leg + np.array([0.4, 0, 0])])
    edges = anchors.graph(rest, 8)
    return rest, edges, limbs.limbs(rest, edges)


def test_alike_are_legs_of_one_length_and_direction() -> None:
    rest, edges, found = legs()
    left, right = ([one for one in found if rest[one.tip, 0] * side > 0 and rest[one.tip, 1] < -0.5]
                   for side in (-1, 1))  # fmt: skip
    assert any(limbs.alike(rest, one, other, edges) for one in left for other in right)
    assert not any(limbs.alike(rest, one, other, edges) for one in left for other in left)
    assert not limbs.alike(rest, left[0], right[-1], edges)
    # Arms of a star point elsewhere.
    points, _, star_edges, arms = starred()
    whole = [max((a for a in arms if a.tip == tip), key=lambda a: a.reach)
             for tip in {a.tip for a in arms}]  # fmt: skip
    assert not any(limbs.alike(points, a, b, star_edges) for a in whole for b in whole)


def test_exchanged_legs_take_each_others_turn_about_their_own_joints() -> None:
    rest, edges, found = legs()
    first, second = pair_of(found, rest, edges)
    eye = np.array([0.0, -0.4, 3.0])
    pose = limbs.turned(rest, first, eye, 40.0, upright(rest))
    pose = limbs.turned(rest, second, eye, -20.0, pose)
    expected = limbs.turned(rest, first, eye, -20.0, upright(rest))
    expected = limbs.turned(rest, second, eye, 40.0, expected)
    found_pose = limbs.exchanged(rest, first, second, pose)
    # Each limb's line of sight is a little another one.
    for one in (first, second):
        off = found_pose.places[one.inside] - expected.places[one.inside]
        assert off.norm(dim=1).max() < 0.35 * edges.length + 0.05
        assert off.norm(dim=1).mean() < 0.05
    others = ~(first.inside | second.inside)
    assert torch.equal(found_pose.places[others], pose.places[others])
    back = limbs.exchanged(rest, first, second, found_pose)
    assert (back.places - pose.places).norm(dim=1).mean() < 0.02


def test_the_lower_half_of_a_leg_bends_about_its_own_joint() -> None:
    rest, _, found = legs()
    whole = next(one for one in found if limbs.inner(one, found) is not None)
    lower = limbs.inner(whole, found)
    assert lower is not None and lower.tip == whole.tip
    assert abs(lower.reach / whole.reach - 0.5) <= limbs.HALF_WAY
    eye = np.array([0.0, -0.4, 3.0])
    pose = limbs.bent(rest, whole, lower, eye, (30.0, -50.0), upright(rest))
    turns = Rotation.from_quat(pose.turns.numpy()[:, [1, 2, 3, 0]]).magnitude()
    upper = whole.inside & ~lower.inside & ~lower.hold
    assert np.allclose(turns[upper], np.deg2rad(30), atol=1e-3)
    assert np.allclose(turns[lower.inside], np.deg2rad(20), atol=0.05)
    assert np.allclose(turns[~whole.inside], 0, atol=1e-6)


def test_put_takes_a_pose_and_leaves_the_masks() -> None:
    problem = problem_of(two_balls(), right_shifted(two_balls(), (0.2, 0, 0)))
    state = coarse.start(problem)
    for _ in range(3):
        coarse.step(problem, state)
    masks, losses = state["masks"].detach().clone(), list(state.losses)
    rest = problem.skin.rest
    given = Pose(rest + torch.tensor([0.1, 0.2, 0.3]), upright(rest.numpy()).turns)
    coarse.put(problem, state, given)
    assert torch.allclose(coarse.pose_of(problem, state).places, given.places, atol=1e-6)
    assert torch.equal(state["masks"], masks)
    assert state.iteration == 3 and state.losses == losses
