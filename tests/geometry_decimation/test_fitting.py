"""Levels fitted to the input: least squares, flips, and what must not change."""

from dataclasses import replace

import numpy as np
import pytest
from splatworks.stages.geometry.components import Surface, face_areas, report
from splatworks.stages.geometry.decimation import Rules, correspond, fit, simplify
from splatworks.stages.geometry.decimation.flips import flip_edges
from splatworks.stages.geometry.decimation.least_squares import solve
from splatworks.stages.geometry.decimation.points import attached, spread, spread_points

from .measure import apart
from .shapes import box, bumpy, fan, grid, hills, mobius, moved, plate, surface, together


def level_of(made, number: int = 0) -> Surface:
    return Surface(made.levels[number].positions, made.levels[number].faces)


def equations(seed: int, vertices: int = 7, count: int = 60):
    rng = np.random.default_rng(seed)
    normals = rng.normal(size=(count, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    half = rng.normal(size=(vertices, 3, 3))
    quadrics = np.zeros((vertices, 10))
    for v in range(vertices):
        a = half[v] @ half[v].T
        quadrics[v] = [*a[np.triu_indices(3)], *rng.normal(size=3), 5.0]
    return (
        rng.normal(size=(vertices, 3)), rng.integers(0, vertices, (count, 3)),
        rng.dirichlet([1, 1, 1], count), normals, rng.normal(size=count),
        rng.uniform(0.1, 2, count), rng.uniform(0.01, 0.1, vertices), quadrics,
    )  # fmt: skip


def objective(x, x0, corners, b, n, d, w, ridges, quadrics, mass) -> float:
    miss = np.einsum("sk,skc,sc->s", b, x[corners], n) - d
    total = (w * miss**2).sum() + (ridges * mass * ((x - x0) ** 2).sum(1)).sum()
    for v, q in enumerate(quadrics):
        a = np.zeros((3, 3))
        a[np.triu_indices(3)] = q[:6]
        a = a + a.T - np.diag(np.diag(a))
        total += x[v] @ a @ x[v] + 2 * q[6:9] @ x[v] + q[9]
    return total


def weighed(corners, b, w, quadrics) -> np.ndarray:
    """The traces of the blocks."""
    mass = quadrics[:, [0, 3, 5]].sum(axis=1)
    np.add.at(mass, corners.ravel(), (w[:, None] * b**2).ravel())
    return mass


@pytest.mark.parametrize("seed", range(3))
def test_the_solution_is_that_of_a_dense_solver(seed: int) -> None:
    x0, corners, b, n, d, w, ridges, quadrics = equations(seed)
    # Equations with one corner twice have a block of their own that the reference leaves out.
    proper = (np.diff(np.sort(corners, axis=1), axis=1) > 0).all(axis=1)
    corners, b, n, d, w = (a[proper] for a in (corners, b, n, d, w))
    mass = weighed(corners, b, w, quadrics)
    count = len(x0)
    rows = np.zeros((len(w), count, 3))
    for k in range(3):
        rows[np.arange(len(w)), corners[:, k]] += b[:, k, None] * n
    rows = rows.reshape(len(w), -1)
    matrix = rows.T @ (w[:, None] * rows) + np.diag(np.repeat(ridges * mass, 3))
    right = rows.T @ (w * d) + np.repeat(ridges * mass, 3) * x0.ravel()
    for v, q in enumerate(quadrics):
        a = np.zeros((3, 3))
        a[np.triu_indices(3)] = q[:6]
        block = slice(3 * v, 3 * v + 3)
        matrix[block, block] += a + a.T - np.diag(np.diag(a))
        right[block] -= q[6:9]
    expected = np.linalg.solve(matrix, right).reshape(-1, 3)
    assert solve(x0, corners, b, n, d, w, ridges, quadrics) == pytest.approx(expected, abs=1e-4)


def test_the_solution_is_least_by_finite_differences() -> None:
    x0, corners, b, n, d, w, ridges, quadrics = equations(5)
    proper = (np.diff(np.sort(corners, axis=1), axis=1) > 0).all(axis=1)
    corners, b, n, d, w = (a[proper] for a in (corners, b, n, d, w))
    rest = x0, corners, b, n, d, w, ridges, quadrics, weighed(corners, b, w, quadrics)
    x = solve(*rest[:-1])
    for v in range(len(x)):
        for axis in range(3):
            ways = []
            for step in (1e-3, -1e-3):
                y = x.copy()
                y[v, axis] += step
                ways.append(objective(y, *rest))
            assert (ways[0] - ways[1]) / 2e-3 == pytest.approx(0, abs=1e-3)
            assert min(ways) >= objective(x, *rest) - 1e-9


def test_vertices_that_nothing_pulls_at_or_that_are_held_stay() -> None:
    x0, corners, b, n, d, w, ridges, quadrics = equations(1)
    corners[corners == 2] = 3
    quadrics[2] = 0
    ridges[4] = np.inf
    x = solve(x0, corners, b, n, d, w, ridges, quadrics)
    assert (x[[2, 4]] == x0[[2, 4]]).all() and (x[[0, 1, 3, 5, 6]] != x0[[0, 1, 3, 5, 6]]).all()


@pytest.mark.parametrize("target", [1000, 250])
def test_a_fitted_level_is_much_nearer_and_still_closed(target: int) -> None:
    ball = bumpy(4)
    made = simplify(ball, targets=[target])
    fitted = fit(made, 0)
    before, after = apart(ball, level_of(made)), apart(ball, level_of(fitted))
    assert after[0] < 0.75 * before[0]
    assert len(fitted.levels[0].faces) == len(made.levels[0].faces)
    found = report(level_of(fitted))
    assert found.watertight and found.components == 1
    corners = np.sort(fitted.levels[0].faces, axis=1)
    assert len(np.unique(corners, axis=0)) == len(corners)
    assert fitted.levels[0].flips is not None and len(fitted.levels[0].flips.starts) > 5
    assert fitted.levels[0].error_m == made.levels[0].error_m
    with pytest.raises(ValueError, match="fitted before"):
        fit(fitted, 0)


def test_normals_come_nearer_too() -> None:
    """What shading shows: at the same points the level's normal is closer to the input's."""
    ball = bumpy(4)
    made = simplify(ball, targets=[400])
    both = [turned_deg(ball, which) for which in (made, fit(made, 0))]
    assert both[1] < 0.95 * both[0]


def turned_deg(source: Surface, made) -> float:
    level = level_of(made)
    faces, corners = spread(face_areas(level), 5000)
    points = np.einsum("pk,pkc->pc", corners, level.positions[level.faces[faces]])
    found, _ = correspond(made, 0, faces, points)
    cosines = (unit(source, found) * unit(level, faces)).sum(axis=1)
    return float(np.degrees(np.arccos(np.clip(cosines, -1, 1))).mean())


def unit(mesh: Surface, faces: np.ndarray) -> np.ndarray:
    a, b, c = np.moveaxis(mesh.positions[mesh.faces[faces]], 1, 0)
    cross = np.cross(b - a, c - a)
    return cross / np.linalg.norm(cross, axis=1, keepdims=True)


def test_the_same_bytes_whatever_the_threads_and_the_other_levels() -> None:
    mesh = together(bumpy(3), moved(hills(10), [1.1, 0, 0]))
    made = simplify(mesh, targets=[500, 200])
    one, two = fit(made, 1), fit(fit(made, 0), 1, threads=2)
    assert one.levels[1].positions.tobytes() == two.levels[1].positions.tobytes()
    assert one.levels[1].faces.tobytes() == two.levels[1].faces.tobytes()
    assert one.levels[0] is made.levels[0]


def test_scale_and_place_do_not_matter() -> None:
    mesh = hills(20)
    far = moved(mesh, [300.0, -100.0, 20.0], 100.0)
    one = fit(simplify(mesh, targets=[120]), 0).levels[0]
    two = fit(simplify(far, targets=[120]), 0).levels[0]
    assert (two.positions - [300, -100, 20]) / 100 == pytest.approx(one.positions, abs=2e-4)


def test_flat_stays_flat_and_as_large() -> None:
    made = fit(simplify(grid(12), targets=[40]), 0).levels[0]
    assert np.abs(made.positions[:, 2]).max() < 1e-12
    assert face_areas(Surface(made.positions, made.faces)).sum() == pytest.approx(1, abs=1e-4)


def test_a_box_stays_the_box_that_it_is() -> None:
    cube = box((1, 2, 3), cuts=3)
    made = fit(simplify(cube, targets=[12]), 0)
    assert apart(cube, level_of(made))[1] < 1e-4


def test_locked_vertices_stay() -> None:
    land = hills(24)
    locked = land.positions[:, 0] < 0.3
    made = simplify(land, targets=[500], locked=locked)
    fitted = fit(made, 0).levels[0]
    left = made.levels[0].positions
    assert made.levels[0].locked.any() and not made.levels[0].locked.all()
    held = made.levels[0].locked
    assert fitted.positions[held] == pytest.approx(left[held], abs=1e-12)
    assert not np.allclose(fitted.positions[~held], left[~held])
    inside = held[made.levels[0].faces].all(axis=1)
    assert (fitted.faces[inside] == made.levels[0].faces[inside]).all()


def test_what_has_vanished_pulls_at_nothing() -> None:
    """Many crumbs lie above a plate that is not flat; they go first, the plate stays in place."""
    rng = np.random.default_rng(0)
    land = hills(24)
    crumbs = [moved(box(), [*rng.uniform(0.1, 0.9, 2), 0.13], 0.004) for _ in range(60)]
    made = simplify(together(land, *crumbs), targets=[140])
    places = spread_points(made, 0, None, 1).places * made.diagonal_m + made.center_m
    assert (
        len(made.levels[0].faces) == 140 and places[:, 2].max() < land.positions[:, 2].max() + 0.01
    )
    alone = fit(simplify(land, targets=[140]), 0)
    assert apart(land, level_of(fit(made, 0)))[0] < 1.6 * apart(land, level_of(alone))[0]


def test_points_lie_on_the_input_and_belong_to_their_own_part() -> None:
    thick = together(plate(16, 0.01), moved(plate(16, 0.01), [0, 0, 0.02]))
    made = simplify(thick, targets=[200])
    points = spread_points(made, 0, None, 1)
    low = points.places[:, 2] * made.diagonal_m + made.center_m[2]
    half = len(plate(16, 0.01).faces)
    of_level = made.levels[0].face_ids[points.faces] >= half
    tops = np.concatenate([np.zeros(half, bool), np.ones(half, bool)])
    assert len(points.places) > 0.9 * 2 * 48 * len(made.levels[0].faces)
    # The two plates overlap in height; what tells them apart is the component.
    assert tops[made.levels[0].face_ids[points.faces]].tolist() == of_level.tolist()
    assert low[of_level].mean() - low[~of_level].mean() == pytest.approx(0.02, abs=3e-3)
    assert points.weights.sum() == pytest.approx(
        2 * face_areas(thick).sum() / made.diagonal_m**2, rel=0.2
    )


def test_weights_say_where_it_matters() -> None:
    """With all weight on one half that half gets nearer than with the weight on the other."""
    ball = bumpy(4)
    upper = ball.positions[ball.faces].mean(axis=1)[:, 2] > 0
    made = simplify(ball, targets=[150])
    found = [fit(made, 0, np.where(upper == which, 1.0, 1e-3)) for which in (True, False)]
    half = Surface(ball.positions, ball.faces[upper])
    from .measure import distances, samples

    points = samples(half, 5000)
    there, elsewhere = (distances(points, level_of(which)).mean() for which in found)
    assert there < elsewhere


@pytest.mark.parametrize("name", ["mobius", "fan", "one", "soup"])
def test_odd_meshes_come_through(name: str) -> None:
    shapes = {
        "mobius": mobius(60, 5),
        "fan": fan(7, 6),
        "one": surface(np.eye(3), [0, 1, 2]),
        "soup": surface(np.random.default_rng(3).normal(size=(900, 3)), np.arange(900)),
    }
    mesh = shapes[name]
    made = simplify(mesh, targets=[max(len(mesh.faces) // 5, 1)])
    fitted = fit(made, 0).levels[0]
    assert np.isfinite(fitted.positions).all()
    assert fitted.faces.shape == made.levels[0].faces.shape
    corners = np.sort(fitted.faces, axis=1)
    assert (np.diff(corners, axis=1) > 0).all()
    assert len(np.unique(corners, axis=0)) == len(corners)


def test_points_on_a_fitted_level_find_their_way_back() -> None:
    ball = bumpy(4)
    made = fit(simplify(ball, targets=[300]), 0)
    level = level_of(made)
    faces, corners = spread(face_areas(level), 4000)
    points = np.einsum("pk,pkc->pc", corners, level.positions[level.faces[faces]])
    found, weights = correspond(made, 0, faces, points)
    there = np.einsum("pk,pkc->pc", weights, ball.positions[ball.faces[found]])
    off = np.linalg.norm(there - points, axis=1) / made.diagonal_m
    assert off.mean() < 4e-3 and off.max() < 0.04
    assert (unit(ball, found) * unit(level, faces)).sum(axis=1).min() > 0


def test_points_on_flipped_faces_are_nearer_by_the_flips() -> None:
    """Without their record, points on the part of a face that was another's go astray."""
    ball = bumpy(4)
    made = fit(simplify(ball, targets=[2000]), 0)
    level = made.levels[0]
    assert level.flips is not None and level.flips.starts[-1] == len(level.flips.ids) > 0
    rows = np.flatnonzero(np.isin(level.face_ids, made.numbers[level.flips.ids]))
    before = simplify(ball, targets=[2000]).levels[0].faces
    changed = (np.sort(level.faces, axis=1) != np.sort(before, axis=1)).any(axis=1)
    assert np.isin(np.flatnonzero(changed), rows).all() and changed.sum() > 20
    faces = np.repeat(rows, 200)
    weights = np.random.default_rng(0).dirichlet([1, 1, 1], len(faces))
    points = np.einsum("pk,pkc->pc", weights, level.positions[level.faces[faces]])
    off = []
    for which in (made, replace(made, levels=(replace(level, flips=None),))):
        found, corners = correspond(which, 0, faces, points)
        there = np.einsum("pk,pkc->pc", corners, ball.positions[ball.faces[found]])
        off.append(np.linalg.norm(there - points, axis=1))
    assert off[0].mean() < off[1].mean() and off[0].max() < 0.5 * off[1].max()


def crossed() -> tuple[np.ndarray, np.ndarray]:
    """A ridge along x over a square whose diagonal edge runs across it."""
    positions = np.array([[0, -1.0, 0], [1, 0, 0.5], [0, 1, 0], [-1, 0, 0.5]])
    return positions, np.array([[0, 1, 2], [2, 3, 0]])


def over(positions: np.ndarray, faces: np.ndarray, count: int = 200):
    """Points and normals of faces, and which face of `faces` is below."""
    mesh = Surface(positions, faces)
    found, corners = spread(face_areas(mesh), count)
    places = np.einsum("pk,pkc->pc", corners, positions[faces[found]])
    return places, unit(mesh, found)


def test_an_edge_across_a_ridge_is_flipped_along_it() -> None:
    positions, faces = crossed()
    wanted = np.array([[3, 1, 2], [1, 3, 0]])
    places, normals = over(positions, wanted)
    owner = np.where(places[:, 0] > 0, 0, 1)
    free = np.zeros(4, bool)
    pairs, made = flip_edges(positions, faces, places, normals, np.ones(200), owner, free)
    assert pairs.tolist() in ([[0, 1]], [[1, 0]])
    assert {tuple(np.roll(f, -np.argmin(f))) for f in made} == {(1, 2, 3), (0, 1, 3)}
    places, normals = over(positions, faces)
    owner = np.where(places[:, 0] > 0, 0, 1)
    assert not len(flip_edges(positions, faces, places, normals, np.ones(200), owner, free)[0])
    assert not len(flip_edges(positions, faces, *over(positions, wanted), np.ones(200), owner,
                              np.ones(4, bool))[0]), "locked edges stay"  # fmt: skip


def test_edges_that_exist_or_are_no_inner_ones_are_not_made() -> None:
    positions, faces = crossed()
    wanted = np.array([[3, 1, 2], [1, 3, 0]])
    places, normals = over(positions, wanted)
    owner = np.where(places[:, 0] > 0, 0, 1)
    free = np.zeros(5, bool)
    more = np.concatenate([positions, [[0, 0, 3.0]]])
    for extra in ([1, 3, 4], [0, 2, 4]):
        full = np.concatenate([faces, [extra]])
        assert not len(flip_edges(more, full, places, normals, np.ones(200), owner, free)[0])
    opposed = np.array([[0, 1, 2], [0, 3, 2]])
    assert not len(flip_edges(positions, opposed, places, normals, np.ones(200), owner, free)[0])


def test_points_go_to_the_closest_aligned_face_nearby() -> None:
    from splatworks.stages.geometry.decimation.points import Points

    land = grid(4)
    places = np.array([[0.9, 0.1, 0.1], [0.1, 0.9, -0.2], [0.5, 0.55, 0.0]])
    up = np.tile([0.0, 0, 1], (3, 1))
    made = attached(land.positions, land.faces, Points(places, up, np.ones(3), np.array([0, 5, 9])))
    for face, place in zip(made.faces, places, strict=True):
        corners = land.positions[land.faces[face]][:, :2]
        assert corners.min(axis=0)[0] <= place[0] <= corners.max(axis=0)[0] + 0.25
    near = attached(
        land.positions, land.faces, Points(places, -up, np.ones(3), np.array([0, 5, 9]))
    )
    assert not len(near.places), "what looks the other way belongs to nothing"


def test_rules_do_not_stand_in_the_way() -> None:
    mesh = together(bumpy(3), moved(bumpy(3, 1), [1.6, 0, 0]))
    made = simplify(mesh, targets=[120], rules=Rules(virtual_edges="global"))
    assert apart(mesh, level_of(fit(made, 0)))[0] < apart(mesh, level_of(made))[0]
