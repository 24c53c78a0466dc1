"""Links between components, and the exact distances they rest on."""

import numpy as np
from scipy.optimize import lsq_linear
from splatworks.stages.geometry.decimation import complex, virtual_edges
from splatworks.stages.geometry.decimation.triangles import segments_apart, triangles_apart

from .shapes import box, bumpy, grid, moved, together


def by_optimization(one: np.ndarray, two: np.ndarray) -> float:
    """Least distance of two triangles as a bounded least-squares problem in two pairs of weights.

    x = a + s (b - a) + t (c - a) with s, t >= 0 and s + t <= 1, mapped by (s, t) = (u v, u (1-v))
    is not linear; so the three sides s + t = 1 are covered by trying all corners as the origin.
    """
    best = np.inf
    for k in range(3):
        for m in range(3):
            a, b = np.roll(one, -k, axis=0), np.roll(two, -m, axis=0)
            matrix = np.stack([a[1] - a[0], a[2] - a[0], b[0] - b[1], b[0] - b[2]], 1)
            found = lsq_linear(matrix, b[0] - a[0], bounds=(0, 1), tol=1e-12)
            s, t, u, v = found.x
            if s + t <= 1 + 1e-9 and u + v <= 1 + 1e-9:
                best = min(best, 2 * found.cost)
    return best


def dense(one: np.ndarray, two: np.ndarray, count: int = 30) -> float:
    """From above: the least distance of grids of points on both."""
    s, t = np.meshgrid(np.linspace(0, 1, count), np.linspace(0, 1, count))
    inside = (s + t).ravel() <= 1 + 1e-12
    w = np.stack([1 - s - t, s, t], -1).reshape(-1, 3)[inside]
    apart = ((w @ one)[:, None] - (w @ two)[None]) ** 2
    return float(apart.sum(-1).min())


def test_distances_of_random_triangles() -> None:
    rng = np.random.default_rng(2)
    crossing = exact = 0
    for n in range(40):
        one, two = rng.normal(size=(2, 3, 3))
        two = two + rng.normal(size=3) * (0 if n % 2 else 2)
        found = triangles_apart(one, two)
        above = dense(one, two)
        assert found <= above + 1e-12
        assert np.sqrt(above) - np.sqrt(found) < 0.2
        crossing += found == 0
        solved = by_optimization(one, two)
        if np.isfinite(solved):
            exact += 1
            assert abs(np.sqrt(found) - np.sqrt(max(solved, 0))) < 1e-4
    assert crossing > 3 and exact > 15


def test_distances_of_segments() -> None:
    """Random, parallel and shrunk to a point, as a bounded least-squares problem."""
    apart = getattr(segments_apart, "py_func", segments_apart)
    rng = np.random.default_rng(4)
    ends = rng.normal(size=(60, 4, 3)) * [1, 1, 0.2]
    ends[40:48, 3] = ends[40:48, 2] + 2 * (ends[40:48, 1] - ends[40:48, 0])
    ends[48:54, 3] = ends[48:54, 2]
    ends[52:60, 1] = ends[52:60, 0]
    at_ends = np.zeros(2, int)
    for a, b, c, d in ends:
        solved = lsq_linear(np.stack([b - a, c - d], 1), c - a, bounds=(0, 1), method="bvls")
        np.testing.assert_allclose(apart(a, b, c, d), 2 * solved.cost, atol=1e-12)
        at_ends += np.isin(solved.x.round(9), (0, 1))
    assert at_ends.min() > 10


def test_a_needle_through_a_face_is_at_no_distance() -> None:
    """All corner and side distances are large: only the piercing test sees it."""
    wide = np.array([[-9.0, -9, 0], [9, -9, 0], [0, 9, 0]])
    needle = np.array([[0.0, 0, -5], [0.1, 0, 5], [0, 0.1, 5]])
    assert triangles_apart(wide, needle) == 0 and triangles_apart(needle, wide) == 0
    assert triangles_apart(wide, needle + np.array([0, 0, 6])) == 1
    assert triangles_apart(wide, needle + np.array([40, 0, 0])) > 100


def linked(mesh, reach="global") -> complex.Complex:
    found = complex.build(mesh)
    return virtual_edges.link(found, complex.labels(found), reach)


def test_links_are_those_of_the_definition() -> None:
    """All pairs of triangles, one by one."""
    mesh = together(bumpy(1), moved(bumpy(1, 4), [1.75, 0.2, 0.1]), moved(box(cuts=1), [0, 1.4, 0]))
    found = complex.build(mesh)
    labels = complex.labels(found)
    for radii, reach in ((virtual_edges.global_radii(found), "global"),
                         (virtual_edges.local_radii(found), "local")):  # fmt: skip
        wanted = set()
        corners = found.positions[found.faces]
        for n in range(len(found.faces)):
            for m in range(n):
                a, b = found.faces[n], found.faces[m]
                if labels[a[0]] == labels[b[0]]:
                    continue
                if triangles_apart(corners[n], corners[m]) >= (radii[n] + radii[m]) ** 2:
                    continue
                pairs = np.linalg.norm(corners[n][:, None] - corners[m][None], axis=-1)
                k = np.unravel_index(pairs.argmin(), (3, 3))
                wanted.add(tuple(sorted((int(a[k[0]]), int(b[k[1]])))))
        made = virtual_edges.link(found, labels, reach)
        got = {tuple(map(int, edge)) for edge in made.edges[made.edge_faces == 0]}
        assert wanted == got and len(got) > 2, reach


def test_radii_are_half_an_edge_and_capped() -> None:
    fine, coarse = complex.build(grid(200)), complex.build(grid(4))
    np.testing.assert_allclose(virtual_edges.global_radii(fine), 0.005 / np.sqrt(2) / 2)
    assert (virtual_edges.global_radii(coarse) == virtual_edges.LARGEST).all()
    assert (virtual_edges.local_radii(fine) <= virtual_edges.LARGEST).all()


def test_one_component_gets_no_links() -> None:
    assert (linked(bumpy(2)).edge_faces > 0).all()


def test_many_sheets_at_one_place_do_not_explode() -> None:
    sheets = together(*(moved(grid(3), [0, 0, 1e-5 * n]) for n in range(150)))
    found = linked(sheets)
    assert 0 < (found.edge_faces == 0).sum() <= virtual_edges.MOST * len(found.faces)
