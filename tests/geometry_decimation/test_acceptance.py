"""The small acceptance figures of the method: borders, scale, soup, components, reach."""

import numpy as np
import pytest
from splatworks.stages.geometry.components import Surface, canonical, face_areas, report
from splatworks.stages.geometry.decimation import Rules, simplify

from .measure import apart, distances, samples
from .shapes import box, bricks, bumpy, hills, moved, plate, soup, sphere, together, wild

LINKED = Rules(virtual_edges="global")


def only(surface: Surface, target: int, rules: Rules = Rules()) -> Surface:  # noqa: B008
    level = simplify(surface, targets=[target], rules=rules).levels[0]
    return Surface(level.positions, level.faces)


def test_a_closed_ball_stays_closed_and_close() -> None:
    ball = bumpy(4)
    made = only(ball, 512)
    mean, largest = apart(ball, made)
    assert report(made).watertight
    assert mean < 1e-3 and largest < 8e-3
    plain = only(ball, 512, Rules(boundary_area=False))
    linked = only(ball, 512, LINKED)
    assert plain.positions.tobytes() == linked.positions.tobytes() == made.positions.tobytes()


def test_an_open_border_stays_where_it_is() -> None:
    """Without the area term much of the surface is lost."""
    land = hills(40)
    made = only(land, 160)
    assert len(land.faces) == 3200 and len(made.faces) in (159, 160)
    assert face_areas(made).sum() / face_areas(land).sum() == pytest.approx(1, abs=5e-3)
    assert apart(land, made)[1] < 5e-3
    plain = only(land, 160, Rules(boundary_area=False, line_weight=0.0))
    assert apart(land, plain)[1] > 0.02


def test_round_borders_do_not_grow() -> None:
    """A flat ring: where two sides of its border meet beyond a third, no plane and no area is any
    farther; without a price on what is gained its corners walk outwards."""
    around, across = 64, 2
    turn = 2 * np.pi * np.arange(around) / around
    circle = np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1)
    places = np.concatenate([(1 - 0.15 * row) * circle for row in range(across + 1)])
    k = np.arange(around * across)
    right = k // around * around + (k + 1) % around
    faces = np.concatenate(
        [np.stack([k, right, right + around], 1), np.stack([k, right + around, k + around], 1)]
    )
    ring = Surface(places, faces)

    def radii(rules: Rules) -> list[float]:
        levels = simplify(ring, targets=[51, 19], rules=rules).levels
        return [float(np.linalg.norm(level.positions, axis=1).max()) for level in levels]

    priced, free = radii(Rules()), radii(Rules(grow_penalty=0.0))
    assert priced[0] < 1.02 and priced[1] < 1.15
    assert free[0] > 1.03 and free[1] > 1.2


@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_scale_and_place_do_not_matter(scale: float) -> None:
    land = hills(20)
    one = apart(land, only(land, 80))
    other = moved(land, [3.0 * scale, -scale, 0], scale)
    two = apart(other, only(other, 80))
    assert two[1] == pytest.approx(one[1], rel=0.05)
    assert two[0] == pytest.approx(one[0], rel=0.05)


def test_soup_is_recovered_by_welding_and_by_virtual_edges() -> None:
    """With tiny gaps, welding does not help, and links take its place."""
    ball = sphere(3)
    welded = apart(ball, only(soup(ball), 128))
    assert welded[1] < 0.02
    torn = soup(ball)
    inward = np.repeat(torn.positions[torn.faces].mean(1), 3, axis=0) - torn.positions
    torn = Surface(torn.positions + 1e-4 * inward, torn.faces)
    assert simplify(torn, targets=[1280]).report.components == 1280
    linked, alone = apart(ball, only(torn, 128, LINKED)), apart(ball, only(torn, 128))
    assert linked[1] < 0.02 and linked[1] <= 1.3 * welded[1]
    assert alone[1] > 0.1


def test_separate_parts_are_joined_where_that_is_better() -> None:
    """A wall of bricks becomes one block: walls that look at each other vanish."""
    wall = bricks(mirrored=True)
    target = round(0.03 * len(wall.faces))
    linked, alone = apart(wall, only(wall, target, LINKED)), apart(wall, only(wall, target))
    assert linked[0] <= 0.8 * alone[0]
    middle = wall.positions[wall.faces].mean(axis=1)
    low, high = wall.positions.min(axis=0), wall.positions.max(axis=0)
    outside = (np.isclose(middle, low) | np.isclose(middle, high)).any(axis=1)
    shell = samples(Surface(wall.positions, wall.faces[outside]), 5000)
    quarter = len(wall.faces) // 4
    joined, apart_ = (distances(shell, only(wall, quarter, r)).mean() for r in (LINKED, Rules()))
    assert joined < 0.1 * apart_, "the block's outside is whole again"


def test_walls_whose_diagonals_cross_stay_between_joined_parts() -> None:
    """They have no face in common, so they do not cancel; still better than not to join."""
    wall = bricks()
    target = round(0.03 * len(wall.faces))
    linked, alone = apart(wall, only(wall, target, LINKED)), apart(wall, only(wall, target))
    assert linked[0] <= 0.93 * alone[0]


def test_a_thin_plate_is_no_gap() -> None:
    """Its two sides look away from each other: one of them stays when they fall together."""
    thin = plate(6, 0.002)
    other = moved(plate(6, 0.002), [0, 0, 0.3])
    made, plain = (only(together(thin, other), 30, rules) for rules in (LINKED, Rules()))
    for part in (thin, other):
        points = samples(part, 2000)
        assert distances(points, made).mean() < 1.2 * distances(points, plain).mean()


def test_thin_poles_do_not_eat_the_budget_of_houses() -> None:
    """Few big bodies among many thin poles: at a tenth the houses are as good as whole."""
    rng = np.random.default_rng(0)
    houses = together(*(moved(bumpy(3, n), [3.0 * n, 0, 0]) for n in range(3)))
    pole = box((0.02, 0.6, 0.02), cuts=2)
    poles = together(*(moved(pole, [*rng.uniform(-1, 8, 2), 2 + rng.random()]) for _ in range(60)))
    city = together(houses, poles)
    made = only(city, len(city.faces) // 10)
    assert distances(samples(houses, 20_000), made).max() < 0.05


@pytest.mark.parametrize("name", wild())
def test_any_mesh_reaches_any_count(name: str) -> None:
    mesh = wild()[name]
    for rules in (Rules(), LINKED):
        first = simplify(mesh, targets=[10**9], rules=rules).levels[0]
        count = len(first.faces)
        ratios = (0.5, 0.1, 0.05, 0.02, 0.01, 0.001)
        targets = [max(1, round(count * ratio)) for ratio in ratios]
        made = simplify(mesh, targets=targets, rules=rules)
        for target, level in zip(targets, made.levels, strict=True):
            assert len(level.faces) <= target
            corners = np.sort(level.faces, axis=1)
            assert len(np.unique(corners, axis=0)) == len(corners)
            assert (np.diff(corners, axis=1) > 0).all()
            assert np.isfinite(level.positions).all()
            assert level.faces.max() == len(level.positions) - 1
            used = mesh.positions[mesh.faces.ravel()]
            size = np.linalg.norm(np.ptp(used, axis=0))
            assert (np.abs(level.positions - used.mean(0)) < 1.5 * size).all()
        assert len(made.levels[-1].faces) >= 1
        assert np.all(np.diff([level.error_m for level in made.levels]) >= 0)


def test_targets_are_met_closely() -> None:
    for mesh in (bumpy(4), hills(40), wild()["soup of a ball"], wild()["moebius"]):
        count = len(simplify(mesh, targets=[10**9]).levels[0].faces)
        for ratio in (0.5, 0.1, 0.02):
            target = round(count * ratio)
            assert target - 2 <= len(only(mesh, target).faces) <= target


def test_no_large_part_is_lost() -> None:
    """Thin plates, of which each is more than 2 % of the area, at 2 % of the faces."""
    plates = together(
        *(moved(box((1, 0.01, 1), cuts=4), [1.5 * (n % 4), 0.7 * (n // 4), 0]) for n in range(12))
    )
    made = only(plates, round(0.02 * len(plates.faces)))
    for n in range(12):
        middle = np.array([[1.5 * (n % 4), 0.7 * (n // 4), 0.0]])
        assert distances(middle, made)[0] < 0.05, f"plate {n}"


def test_the_same_bytes_again_whatever_the_order_of_levels() -> None:
    mesh = together(bumpy(3), moved(hills(10), [1.1, 0, 0]))
    one = simplify(mesh, targets=[500, 200, 50], rules=LINKED)
    two = simplify(mesh, targets=[50], rules=LINKED)
    assert one.levels[-1].positions.tobytes() == two.levels[0].positions.tobytes()
    assert one.levels[-1].faces.tobytes() == two.levels[0].faces.tobytes()
    assert one.history.ids.tobytes() == two.history.ids.tobytes()
    a = only(mesh, 100)
    b = canonical(only(mesh, 100))
    assert len(a.faces) == len(b.faces)
