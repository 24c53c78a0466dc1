"""The terms of the price against their definitions."""

import numpy as np
import pytest
from splatworks.stages.geometry.decimation import Rules, complex, heap, quadrics, simplify, web
from splatworks.stages.geometry.decimation.collapse import price

from .shapes import Surface, bumpy, grid, surface


def plain(compiled):
    """The Python function itself: the same source without the seconds of compiling it."""
    return getattr(compiled, "py_func", compiled)


def area(q, a, b, w) -> None:
    plain(quadrics.add_area)(q, *a, *b, w)


def plane(q, n, d, w) -> None:
    plain(quadrics.add_plane)(q, 0, *n, d, w)


def value(q, x) -> float:
    return plain(quadrics.value)(q, *x)


def least(q, x, pull):
    return plain(quadrics.least)(q, *x, pull)


@pytest.fixture
def rng() -> np.random.Generator:
    """Of each test its own, so that none depends on which others ran."""
    return np.random.default_rng(5)


def test_the_area_quadric_is_twice_the_squared_area(rng: np.random.Generator) -> None:
    for _ in range(50):
        a, b, x = rng.normal(size=(3, 3))
        q = np.zeros(11)
        area(q, a, b, 1.0)
        size = np.linalg.norm(np.cross(a - x, b - x)) / 2
        assert value(q, x) == pytest.approx(2 * size**2, rel=1e-12)
        distance = 2 * size / np.linalg.norm(b - a)
        assert value(q, x) / q[10] == pytest.approx(distance**2, rel=1e-11)


def test_planes_and_lines_are_squared_distances(rng: np.random.Generator) -> None:
    for _ in range(50):
        n, p, x = rng.normal(size=(3, 3))
        n /= np.linalg.norm(n)
        q = np.zeros(11)
        plane(q, n, -n @ p, 0.7)
        assert value(q, x) == pytest.approx(0.7 * (n @ (x - p)) ** 2, rel=1e-10)
        row = np.zeros(14)
        row[:3] = p
        plain(quadrics.add_line)(row, 3, *n, 0.3)
        across = (x - p) - n * (n @ (x - p))
        assert value(row[3:], x) == pytest.approx(0.3 * across @ across, rel=1e-10)


def random_quadric(rng: np.random.Generator, planes: int) -> np.ndarray:
    q = np.zeros(11)
    for _ in range(planes):
        n = rng.normal(size=3)
        plane(q, n / np.linalg.norm(n), rng.normal(), rng.uniform(0.1, 1))
    return q


def test_the_slope_vanishes_at_the_least_point(rng: np.random.Generator) -> None:
    """By finite differences of the value."""
    for _ in range(20):
        q = random_quadric(rng, 5)
        good, *x = least(q, np.zeros(3), 0.0)
        assert good
        for axis in np.eye(3):
            slope = (value(q, x + 1e-4 * axis) - value(q, x - 1e-4 * axis)) / 2e-4
            assert slope == pytest.approx(0, abs=1e-9)
            assert value(q, x + 1e-2 * axis) > value(q, np.array(x))


def test_open_directions_are_left_alone() -> None:
    q = np.zeros(11)
    plane(q, np.array([0.0, 0, 1]), -2.0, 1.0)
    assert not least(q, np.array([0.3, 0.4, 0.0]), 0.0)[0]
    good, x, y, z = least(q, np.array([0.3, 0.4, 0.0]), 1e-5)
    assert good and (x, y) == pytest.approx((0.3, 0.4)) and z == pytest.approx(2, rel=1e-4)


def prices(shape: Surface, rules: Rules) -> tuple[np.ndarray, np.ndarray, complex.Complex]:
    """Of all edges, before anything has collapsed."""
    from splatworks.stages.geometry.decimation.decimate import _prepare

    found = complex.build(shape)
    state = web.build(found)
    settings = _prepare(state, found, rules, None, None, None)
    q = np.zeros(11)
    rows = [
        price(state.reals, state.vertices, state.edges, e, settings, q)
        for e in range(len(found.edges))
    ]
    return np.array([r[0] for r in rows]), np.array([r[1:] for r in rows]), found


def test_on_a_closed_surface_the_price_is_garland_and_heckberts() -> None:
    """Area-weighted planes alone, solved by NumPy; borders and virtual edges have no part."""
    rules = Rules(line_weight=0.0, placement_pull=0.0, virtual_edges="global")
    cost, position, found = prices(bumpy(2), rules)
    corners = found.positions[found.faces]
    crosses = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas = np.linalg.norm(crosses, axis=1) / 2
    normals = crosses / (2 * areas[:, None])
    for edge in range(0, len(cost), 7):
        i, j = found.edges[edge]
        weights = (areas / 3) * ((found.faces == i).sum(1) + (found.faces == j).sum(1))
        offsets = -np.einsum("fc,fc->f", normals, corners[:, 0])
        rows = np.sqrt(weights)[:, None] * normals
        best, *_ = np.linalg.lstsq(rows, -np.sqrt(weights) * offsets, rcond=None)
        lowest = (weights * (normals @ best + offsets) ** 2).sum()
        middle = found.positions[[i, j]].mean(0)
        length = np.linalg.norm(np.diff(found.positions[[i, j]], axis=0))
        if np.linalg.norm(best - middle) < rules.placement_reach * length:
            assert cost[edge] == pytest.approx(lowest, rel=1e-6, abs=1e-16)
            np.testing.assert_allclose(position[edge], best, atol=1e-8)


def test_a_border_costs_the_area_that_is_swept(rng: np.random.Generator) -> None:
    """In a flat piece planes cost nothing: what is left is Lindstrom and Turk's term."""
    rules = Rules(line_weight=0.0)
    flat = grid(4)
    shaken = flat.positions + rng.normal(size=flat.positions.shape) * [0.03, 0.03, 0]
    flat = Surface(shaken, flat.faces)
    cost, position, found = prices(flat, rules)
    costly = 0
    for edge, (i, j) in enumerate(found.edges):
        lines = []
        for e, (a, b) in enumerate(found.edges):
            if found.edge_faces[e] == 1 and e != edge and {a, b} & {i, j}:
                lines.append((found.positions[a], found.positions[b]))
        swept = sum(
            0.5 * np.linalg.norm(np.cross(b - a, position[edge] - a)) ** 2 for a, b in lines
        )
        assert cost[edge] == pytest.approx(swept, rel=1e-6, abs=1e-15)
        costly += cost[edge] > 1e-12  # a thousand times the tolerance
    assert costly > 15
    free = prices(flat, Rules(line_weight=0.0, boundary_area=False))[0]
    assert free.max() < 1e-15


def test_importance_scales_the_memory() -> None:
    ball = bumpy(3)
    importance = np.where(ball.positions[:, 2] > 0, 30.0, 1.0)
    plain = simplify(ball, targets=[200]).levels[0]
    level = simplify(ball, targets=[200], importance=importance).levels[0]
    above = [(lv.positions[lv.faces].mean(1)[:, 2] > 0).sum() for lv in (plain, level)]
    assert above[1] > 1.3 * above[0]


def test_the_heap_sorts_whatever_is_done_to_it(rng: np.random.Generator) -> None:
    """Against sorting by hand, with ties."""
    found = complex.build(bumpy(2))
    state = web.build(found)
    count = len(found.edges)
    keys = rng.integers(0, 40, count).astype(float)
    state.keys[:] = keys
    heap.fill(state)
    for _ in range(300):
        edge, key = int(rng.integers(count)), float(rng.integers(0, 40))
        plain(heap.set_key)(state, edge, key)
        keys[edge] = key
    popped = []
    for _ in range(count):
        popped.append(int(state.heap[0]))
        plain(heap.pop)(state)
    assert popped == sorted(range(count), key=lambda e: (keys[e], e))
    assert state.counts[web.HEAP] == 0 and (state.edges[:, web.PLACE] == -1).all()


def test_error_is_the_distance_to_the_planes() -> None:
    """A roof's ridge pushed down: the error is what the planes say, in metres."""
    roof = surface(
        [[0, -1, 0], [4, -1, 0], [0, 0, 0.5], [4, 0, 0.5], [0, 1, 0], [4, 1, 0]],
        [[0, 1, 3], [0, 3, 2], [2, 3, 5], [2, 5, 4]],
    )
    made = simplify(roof, targets=[4, 1])
    assert made.levels[0].error_m == 0
    assert 0.01 < made.levels[1].error_m < 2
    bigger = simplify(Surface(roof.positions * 100, roof.faces), targets=[4, 1])
    assert bigger.levels[1].error_m == pytest.approx(100 * made.levels[1].error_m, rel=1e-6)
