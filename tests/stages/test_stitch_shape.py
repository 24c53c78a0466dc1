"""Stitching: the Poisson solution, the visible step, and mending the cut."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree
from splatworks.renderers.choose import splat_renderer
from splatworks.renderers.scene import Cameras
from splatworks.stages.formats.splats import RawSplats
from splatworks.stages.geometry.activation import activate
from splatworks.stages.geometry.orbit import look_at_origin
from splatworks.stages.stitch import poisson
from splatworks.stages.stitch.seam import lab
from splatworks.stages.stitch.step import crossings, visible_step
from splatworks.stages.stitch.tidy import tidied

from . import scene_setup as made
from .splat_objects import joined, raw

# Poisson.


def test_the_solution_of_the_normal_equations() -> None:
    """Against all links written out one by one and a dense solver."""
    rng = np.random.default_rng(0)
    points, members, k = rng.normal(size=(60, 3)), np.arange(0, 60, 7), 4
    change = rng.normal(size=(len(members), 3))
    found = poisson.propagated(points, members, change, k)
    gaps = np.linalg.norm(points[:, None] - points[None], axis=-1)
    links = set()
    for one in range(60):
        for other in np.argsort(gaps[one])[1 : k + 1]:
            links.add((min(one, int(other)), max(one, int(other))))
    rows = np.zeros((len(links) + 60, 60))
    for row, (one, other) in enumerate(sorted(links)):
        rows[row, one], rows[row, other] = 1, -1
    rows[len(links) :] = np.sqrt(poisson.EPSILON) * np.eye(60)
    free = np.setdiff1d(np.arange(60), members)
    right = -rows[:, members] @ change
    expected = np.linalg.lstsq(rows[:, free], right, rcond=None)[0]
    np.testing.assert_allclose(found[free], expected, atol=1e-4)
    assert (found[members] == change).all()


def test_a_shift_goes_through_and_islands_stay() -> None:
    rng = np.random.default_rng(1)
    sheet = np.concatenate([rng.uniform(size=(800, 2)), np.zeros((800, 1))], axis=1)
    island = rng.uniform(size=(50, 3)) + 50
    members = np.flatnonzero(sheet[:, 0] < 0.1)
    change = np.tile([0.3, -0.2], (len(members), 1))
    found = poisson.propagated(np.concatenate([sheet, island]), members, change, 8)
    np.testing.assert_allclose(found[:800], np.tile([0.3, -0.2], (800, 1)), atol=2e-3)
    assert np.abs(found[800:]).max() < 1e-9
    mixed = poisson.propagated(sheet, members, rng.uniform(size=(len(members), 1)), 8)
    assert mixed.min() > -1e-3 and mixed.max() < 1 + 1e-3, "no more than the boundary's extremes"


# The visible step.

GRAY = (0.5, 0.5, 0.5)


def sheet(left: float, right: float, color, *, z: float = 0.0, step: float = 0.05) -> RawSplats:
    """A wall of flat Gaussians that faces the camera, from x = left to right."""
    x, y = np.meshgrid(np.arange(left + step / 2, right, step), np.arange(-1, 1, step))
    count = x.size
    return raw(
        means=np.stack([x.ravel(), y.ravel(), np.full(count, z)], axis=1),
        scales=np.tile([0.7 * step, 0.7 * step, 0.05 * step], (count, 1)),
        quaternions=np.tile([1.0, 0, 0, 0], (count, 1)),
        opacities=np.full(count, 0.98),
        colors=np.broadcast_to(color, (count, 3)),
    )


def front(size: int = 96) -> Cameras:
    return look_at_origin([0.0], [0.0], distance_m=3.0, fovy_deg=40, size_px=(size, size))


def step_of(target: RawSplats, source: RawSplats, reach: float = 0.2):
    one, two = activate(target), activate(source)
    return visible_step(crossings(one, two, front(), reach, 1), one.sh, two.sh)


def test_the_step_is_the_color_difference_across() -> None:
    red, blue = (0.8, 0.2, 0.2), (0.2, 0.3, 0.8)
    found = step_of(sheet(-1, 0, red), sheet(0, 1, blue))
    expected = np.linalg.norm(lab(np.array(red)) - lab(np.array(blue)))
    assert found.pairs > 50
    assert found.across == pytest.approx(expected, rel=0.1)
    # Beside it there is only what the two blur into each other.
    assert found.beside is not None and found.beside < 0.15 * expected


def test_there_is_no_step_where_colors_are_alike() -> None:
    found = step_of(sheet(-1, 0, GRAY), sheet(0, 1, GRAY))
    assert found.pairs > 50 and found.across is not None and found.across < 0.1


def test_what_only_hides_the_other_is_no_seam() -> None:
    found = step_of(sheet(-1, 0, GRAY), sheet(-1, 1, (0.9, 0.9, 0.1), z=-0.5))
    assert found.pairs == 0 and found.across is None


# Mending the cut.


def test_spikes_and_strays_at_the_cut_are_mended_and_nothing_else() -> None:
    target, source = sheet(-1, 0, GRAY), sheet(0, 1, GRAY)
    at_edge = int(np.argmin(np.linalg.norm(target.means - [-0.05, 0, 0], axis=1)))
    far = int(np.argmin(np.linalg.norm(target.means - [-0.9, 0, 0], axis=1)))
    scales = target.log_scales.copy()
    scales[[at_edge, far], 2] = np.log(0.6)  # Needles that stand out of the wall.
    target = replace(target, log_scales=scales)
    stray = sheet(0, 0.05, GRAY)
    stray = replace(stray, means=stray.means[:1] * 0 + np.float32([0.1, 0.0, 0.3]))
    stray = RawSplats(*(getattr(stray, name)[:1] for name in made.FIELDS))
    found = tidied(joined(target, stray), source, 0.4)
    assert (found.pruned, found.shrunk, found.added) == (1, 1, 0)
    rest = np.setdiff1d(np.arange(len(target)), [at_edge])
    assert len(found.splats) == len(target)
    assert made.same_bits(made.some(found.splats, rest), made.some(target, rest)), (
        "also the needle that is not at the cut"
    )
    usual = np.log(0.7 * 0.05)
    assert found.splats.log_scales[at_edge] == pytest.approx([usual, usual, usual], abs=1e-5)


def test_gaps_are_filled_between_neighbors() -> None:
    target, source = sheet(-1, 0, GRAY), sheet(0.2, 1.2, GRAY)
    found = tidied(target, source, 0.3)
    assert found.pruned == found.shrunk == 0 and found.added > 0
    assert made.same_bits(made.some(found.splats, slice(len(target))), target)
    new = found.splats.means[len(target) :]
    assert (new[:, 0] > 0).all() and (new[:, 0] < 0.2).all()
    assert cKDTree(new).query([[0.1, y, 0] for y in np.arange(-0.9, 0.9, 0.05)])[0].max() < 0.1

    def covered(left: RawSplats) -> float:
        frames = splat_renderer("cpu")(activate(joined(left, source)), front())
        assert frames.alpha is not None
        # 3 m away, a focal length of 131.9 px: 44 px per metre; the gap is 9 px wide.
        return float(frames.alpha[0, 30:66, 50:55].mean())

    assert covered(target) < 0.4 and covered(found.splats) > 0.9


def test_a_clean_cut_is_left_alone() -> None:
    target, source = sheet(-1, 0, GRAY), sheet(0, 1, GRAY)
    found = tidied(target, source, 0.3)
    assert (found.pruned, found.shrunk, found.added) == (0, 0, 0)
    assert made.same_bits(found.splats, target)
    apart = tidied(target, sheet(5, 6, GRAY), 0.3)
    assert apart.splats is target
