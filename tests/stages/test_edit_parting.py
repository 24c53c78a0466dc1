"""What was shifted as one piece, told apart from the wall that it hangs on."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree
from splatworks.renderers.projection import image_points
from splatworks.stages.edit import Config, anchors, parting, reach, walker, ways, whereabouts
from splatworks.stages.edit.difference import difference
from splatworks.stages.edit.pictures_in import Retouched
from splatworks.stages.formats.splats import RawSplats
from splatworks.stages.geometry.activation import activate

from .edit_setup import camera, patched, picture
from .splat_objects import joined, raw, sphere

BALL = 500
AWAY = 0.4
parted = parting.parted


def noise(points: np.ndarray) -> np.ndarray:
    """Colors that repeat nowhere, with detail of a few pixels."""
    rng = np.random.default_rng(5)
    ways_, phases = rng.normal(size=(3, 6, 3)) * 9, rng.uniform(0, 6, (3, 6))
    waves = [np.cos(points @ w.T + p).mean(axis=1) for w, p in zip(ways_, phases, strict=True)]
    return (0.5 + 0.6 * np.stack(waves, axis=1)).clip(0.03, 0.97)


def mounted(count: int = BALL) -> RawSplats:
    """A ball that touches a wall behind it, with a hidden haze between both."""
    ball = sphere(count, 0.25, (-0.15, 0.1, 0.0))
    steps = np.linspace(-1.2, 1.2, 48)
    x, y = (part.ravel() for part in np.meshgrid(steps, steps))
    points = np.stack([x, y, np.full(len(x), -0.24)], axis=1)
    wall = raw(
        points, np.tile([0.05, 0.05, 0.004], (len(x), 1)), np.tile([1.0, 0, 0, 0], (len(x), 1)),
        np.full(len(x), 0.95), noise(points),
    )  # fmt: skip
    return joined(patched(ball), wall)


def shot_of(scene: RawSplats, goal: RawSplats) -> Retouched:
    eye = camera(96)
    own, edited = picture(scene, eye), picture(goal, eye)
    found = difference(own, edited)
    return Retouched(eye, own, edited, found.mask, np.ones(3, np.float32), found.noise)


def moved_ball(scene: RawSplats, way=(AWAY, 0.0, 0.0)) -> RawSplats:
    means = scene.means.copy()
    means[:BALL] += np.asarray(way, np.float32)
    return replace(scene, means=means)


@pytest.fixture(scope="module")
def problem():
    scene = mounted()
    shot = shot_of(scene, moved_ball(scene))
    return scene, shot, reach.posed_problem(activate(scene), [shot], Config(what="geometry"), 1)


def test_most_pairs_have_to_agree() -> None:
    start = np.random.default_rng(0).uniform(0, 90, (20, 2))
    pairs = np.hstack([start, start + np.array([3.0, 31.0])])
    assert parting.shift_of(pairs) == (3, 31)
    pairs[:8, 2:] += 40 * np.arange(1, 9)[:, None]
    assert parting.shift_of(pairs) == (3, 31)
    pairs[8:12, 2:] -= 40 * np.arange(1, 5)[:, None]
    assert parting.shift_of(pairs) is None
    assert parting.shift_of(np.hstack([start, start + np.array([2.0, 3.0])])) is None
    assert parting.shift_of(np.zeros((0, 4))) is None


def test_pixels_tell_what_went_what_stayed_and_what_they_do_not_know() -> None:
    rng = np.random.default_rng(1)
    own = np.full((60, 120, 3), 0.5)
    own[:, 40:] = rng.uniform(size=(60, 80, 3))
    block = rng.uniform(size=(16, 16, 3))
    own[10:26, 8:24] = block
    edited = own.copy()
    edited[10:26, 8:24] = 0.5
    edited[10:26, 48:64] = block
    found = whereabouts.told(own, edited, (40, 0))
    assert found.gone[13:23, 11:21].all()
    assert not found.gone[:, 30:].any()
    assert found.stayed[30:55, 45:75].all()
    assert found.stayed[13:23, 51:61].all()  # Covered by what came.
    plain = found.gone[30:55, 2:35] | found.stayed[30:55, 2:35]
    assert not found.gone[30:55, 2:35].any()
    assert found.stayed[30:55, 2:35].all() == plain.all()


def test_a_plain_wall_that_looks_like_where_it_would_have_gone_has_not_gone() -> None:
    """What comes covers it, and farther on the wall looks the same."""
    own = np.full((40, 90, 3), 0.6)
    own[10:30, 5:25] = np.random.default_rng(1).uniform(size=(20, 20, 3))
    edited = np.full((40, 90, 3), 0.6)
    edited[10:30, 35:55] = own[10:30, 5:25]
    found = whereabouts.told(own, edited, (30, 0))
    assert found.gone[13:27, 8:22].all()
    assert not found.gone[13:27, 38:52].any()


def squared(points: np.ndarray):
    """Distance in spacings of the points."""
    return lambda one, other: np.square(points[one] - points[other]).sum(axis=1) / (2 * 0.026**2)


def test_what_no_picture_shows_goes_where_it_hangs_best() -> None:
    """A chain of points from what went to what stayed, with one wide gap."""
    at = np.concatenate([np.linspace(0, 1, 40), np.linspace(1.06, 2.06, 40)])
    points = np.stack([at, 0 * at, 0 * at], axis=1)
    belief, firmness = np.zeros(80), np.zeros(80)
    belief[:3], firmness[:3], firmness[-3:] = 1.0, 1.0, 1.0
    gray = np.full((80, 3), 0.5)
    found = walker.walked(points, gray, belief, firmness, squared(points))
    assert (found[:38] > 0.5).all()
    assert (found[42:] < 0.5).all()
    assert (np.diff(found[:40]) <= 1e-6).all()
    # Where colors change decides before distance does.
    two = np.where((np.arange(80) < 20)[:, None], 0.1, 0.9) * np.ones(3)
    found = walker.walked(points, two, belief, firmness, squared(points))
    assert (found[:20] > 0.5).all()
    assert (found[20:] < 0.5).all()


def test_what_is_far_from_all_that_is_known_stays() -> None:
    line = np.linspace(0, 1, 40)
    points = np.stack([line, 0 * line, 0 * line], axis=1)
    points = np.concatenate([points, points + np.array([30.0, 0, 0])])
    belief, firmness = np.zeros(80), np.zeros(80)
    belief[:40] = firmness[:40] = 1.0
    found = walker.walked(points, np.zeros((80, 3)), belief, firmness, squared(points))
    assert (found[:40] > 0.9).all()
    assert (found[40:] < 0.1).all()


def test_a_ball_is_parted_from_the_wall_that_it_touches(problem) -> None:
    scene, shot, found = problem
    gap = cKDTree(scene.means[BALL:]).query(scene.means[:BALL])[0].min()
    assert gap < 0.03  # Nearer than Gaussians of the ball are to each other.
    movable = np.zeros(len(scene), bool)
    movable[found.movable.numpy()] = True
    assert movable[:BALL].mean() > 0.97
    # Of the wall, only what the ball hid.
    places = image_points(activate(scene), shot.camera)[0].numpy()
    radius = np.linalg.norm(places[:BALL] - places[:BALL].mean(axis=0), axis=1).max()
    away = np.linalg.norm(places[BALL:] - places[:BALL].mean(axis=0), axis=1)
    assert away[movable[BALL:]].max() < 1.1 * radius


def test_what_has_gone_hangs_on_no_anchor_of_what_has_not(monkeypatch) -> None:
    scene = mounted()
    shot = shot_of(scene, moved_ball(scene))
    kept = []
    monkeypatch.setattr(
        reach.parting, "parted", lambda *given: kept.append(parted(*given)) or kept[0]
    )
    found = reach.posed_problem(activate(scene), [shot], Config(what="geometry"), 1)
    gone = kept[0].gone[found.movable.numpy()]
    assert 100 < gone.sum() < len(gone)
    nearest = cKDTree(scene.means[found.movable.numpy()]).query(found.skin.rest.numpy())[1]
    on_gone = found.skin.weights @ gone[nearest].astype(np.float32)
    assert np.abs(on_gone - gone).max() < 0.01


def test_a_bend_and_a_lone_object_are_not_parted() -> None:
    scene = mounted()
    lone = patched(sphere(BALL, 0.25, (-0.15, 0.1, 0.0)))
    shift = shot_of(lone, moved_ball(lone))
    near = np.ones(BALL, bool)
    pairs = np.tile([30.0, 40.0, 53.0, 40.0], (20, 1))
    assert parting.parted(activate(lone), shift, pairs, near) is None
    shot, near = shot_of(scene, moved_ball(scene)), np.ones(len(scene), bool)
    wrong = np.tile([30.0, 40.0, 30.0, 63.0], (20, 1))
    assert parting.parted(activate(scene), shot, wrong, near) is None


def test_no_way_leads_from_one_part_to_the_other() -> None:
    points = np.random.default_rng(0).uniform(size=(400, 3))
    part = points[:, 0] > 0.5
    places = anchors.spread(points, 40)
    whole = ways.dense(ways.ways(points, places))
    apart = ways.dense(ways.ways(points, places, part))
    starts = part[cKDTree(points).query(places)[1]]
    across = part[:, None] != starts
    assert np.isfinite(whole[across]).mean() > 0.5
    assert not np.isfinite(apart[across]).any()
    assert np.isfinite(apart[~across]).mean() > 0.5
