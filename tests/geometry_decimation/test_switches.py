"""Locks, topology, pruning, error limit, progress; and what is refused."""

import numpy as np
import pytest
from splatworks.stages.geometry.components import Surface, report
from splatworks.stages.geometry.decimation import Rules, complex, decimate, simplify

from .shapes import box, bumpy, grid, hills, mobius, moved, sphere, surface, together


def edge_counts(faces: np.ndarray) -> np.ndarray:
    pairs = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    return np.unique(pairs, axis=0, return_counts=True)[1]


def euler(level) -> int:
    return len(level.positions) - len(edge_counts(level.faces)) + len(level.faces)


def torus(around: int, across: int) -> Surface:
    u, v = (np.arange(n) * 2 * np.pi / n for n in (around, across))
    uu, vv = np.meshgrid(u, v, indexing="ij")
    r = 1 + 0.3 * np.cos(vv)
    points = np.stack([r * np.cos(uu), r * np.sin(uu), 0.3 * np.sin(vv)], -1).reshape(-1, 3)
    k = np.arange(around * across).reshape(around, across)
    a, b = k.ravel(), np.roll(k, -1, 0).ravel()
    c, d = np.roll(np.roll(k, -1, 0), -1, 1).ravel(), np.roll(k, -1, 1).ravel()
    return surface(points, np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]))


def test_topology_is_kept_to_the_end() -> None:
    """A torus ends with at least 14 faces (Csaszar), a ball with 4, a piece of land with 1 or 2."""
    mesh = together(torus(24, 12), moved(sphere(2), [3, 0, 0]), moved(hills(5), [-4, 0, 0]))
    level = simplify(mesh, targets=[1], rules=Rules(keep_topology=True)).levels[0]
    start = simplify(mesh, targets=[10**9]).levels[0]
    assert euler(level) == euler(start) == 0 + 2 + 1
    counts = edge_counts(level.faces)
    assert counts.max() == 2 and 19 <= len(level.faces) <= 40
    assert report(Surface(level.positions, level.faces)).components == 3
    free = simplify(mesh, targets=[1]).levels[0]
    assert len(free.faces) == 1


def test_a_band_one_face_wide_is_not_pinched() -> None:
    """Every edge across it joins border to border, whichever edge of a vertex comes last."""
    band = mobius(16, 1)
    level = simplify(band, targets=[1], rules=Rules(keep_topology=True)).levels[0]
    assert euler(level) == euler(simplify(band, targets=[10**9]).levels[0]) == 0
    sides = np.sort(level.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    edges, hanging = np.unique(sides, axis=0, return_counts=True)
    assert hanging.max() == 2 and 5 <= len(level.faces) < len(band.faces)
    _, ends = np.unique(edges[hanging == 1], return_counts=True)
    assert (ends == 2).all()


def test_locked_vertices_stay() -> None:
    ball = bumpy(3)
    locked = ball.positions[:, 0] > 0.5
    level = simplify(ball, targets=[1], locked=locked).levels[0]
    there = {tuple(np.round(p, 9)) for p in level.positions}
    assert 10 < locked.sum() <= len(level.positions)
    assert all(tuple(np.round(p, 9)) in there for p in ball.positions[locked])


def test_locked_borders_stay() -> None:
    land = hills(10)
    level = simplify(land, targets=[40], rules=Rules(lock_borders=True)).levels[0]
    x, y = land.positions[:, 0], land.positions[:, 1]
    rim = land.positions[(x == 0) | (x == 1) | (y == 0) | (y == 1)]
    there = {tuple(np.round(p, 9)) for p in level.positions}
    assert all(tuple(np.round(p, 9)) in there for p in rim)
    assert len(level.faces) >= len(rim) - 2


def test_seams_stay_in_place() -> None:
    """A line on a flat square, which no distance tells of: a quarter circle between two charts."""
    flat = grid(24)
    middle = flat.positions[flat.faces].mean(axis=1)
    inner = np.hypot(middle[:, 0], middle[:, 1]) < 0.6
    seam = edges_between(flat, inner)
    crossed = []
    for charts in (None, inner.astype(np.int64)):
        level = simplify(flat, targets=[150], charts=charts).levels[0]
        corners = np.hypot(*level.positions[level.faces][..., :2].transpose(2, 0, 1))
        straddles = (corners.min(axis=1) < 0.6 - 0.06) & (corners.max(axis=1) > 0.6 + 0.06)
        crossed.append(int(straddles.sum()))
    assert len(seam) > 20
    assert crossed[1] < 0.25 * crossed[0]


def edges_between(mesh: Surface, inner: np.ndarray) -> np.ndarray:
    """Edges with a face on either side."""
    found = complex.build(mesh)
    sides = complex.seams(found, inner.astype(np.int64))
    assert len(sides) % 2 == 0, "each edge from both of its faces"
    ends = np.stack([found.faces[sides[:, 0], (sides[:, 1] + k) % 3] for k in range(2)], axis=1)
    for edge in np.unique(np.sort(ends, axis=1), axis=0):
        faces = np.isin(found.faces, edge).sum(axis=1) == 2
        assert inner[faces].any() and not inner[faces].all()
    return np.unique(np.sort(ends, axis=1), axis=0)


def test_small_parts_are_pruned_first() -> None:
    mesh = together(bumpy(3), moved(box(), [3, 0, 0], 0.01), moved(box(), [0, 3, 0], 0.8))
    made = simplify(mesh, targets=[10**9], rules=Rules(prune_share=0.05))
    assert made.report.pruned_components == 1 and made.report.components == 3
    assert len(made.levels[0].faces) == len(mesh.faces) - 12
    assert len(simplify(mesh, targets=[10**9]).levels[0].faces) == len(mesh.faces)
    ids = made.levels[0].face_ids
    assert not np.isin(np.arange(1280, 1292), ids).any() and 1292 in ids


def test_the_error_limit_stops_early() -> None:
    ball = sphere(4)
    free = simplify(ball, targets=[1000, 100])
    limit = (free.levels[0].error_m + free.levels[1].error_m) / 2
    made = simplify(ball, targets=[1000, 100], max_error_m=limit)
    assert len(made.levels[0].faces) <= 1000 < 2 * len(made.levels[1].faces) + 1000
    assert 100 < len(made.levels[1].faces) < 1000
    assert free.levels[0].error_m <= made.levels[1].error_m <= limit
    level = made.levels[1]
    off = np.abs(np.linalg.norm(level.positions, axis=1) - 1).max()
    assert off < 10 * limit


def test_progress_rises_and_may_interrupt() -> None:
    told = []
    simplify(bumpy(5), targets=[2000, 100], progress=told.append)
    assert len(told) > 3 and told[-1] == 1 and (np.diff(told) >= 0).all() and told[0] < 0.9

    def stop(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simplify(bumpy(4), targets=[100], progress=stop)


def test_the_report_counts() -> None:
    ball = sphere(1)
    needle = surface([[0, 0, 0], [1, 0, 0], [2, 0, 0]], [[0, 1, 2], [0, 0, 1]])
    made = simplify(together(ball, ball, needle, moved(ball, [5, 0, 0])), targets=[10**9])
    found = made.report
    assert (found.degenerate_faces, found.duplicate_faces) == (2, len(ball.faces))
    assert found.components == 2 and found.welded_vertices == len(ball.positions) + 3
    assert found.virtual_edges == 0


def test_welding_knows_a_tolerance() -> None:
    """Seams within a millionth of the diagonal close; gaps a hundred times as wide stay."""
    land = grid(8)
    left, right = land.faces[: len(land.faces) // 2], land.faces[len(land.faces) // 2 :]
    for gap, parts in ((2e-7, 1), (2e-4, 2)):
        both = together(
            Surface(land.positions, left), Surface(land.positions + np.array([0, 0, gap]), right)
        )
        assert simplify(both, targets=[10**9]).report.components == parts


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"targets": []}, "targets"),
        ({"targets": [0]}, "targets"),
        ({"targets": [10, 20]}, "falling"),
        ({"targets": [10], "max_error_m": -1.0}, "max_error_m"),
        ({"targets": [10], "locked": np.zeros(3, bool)}, "locked has 3"),
        ({"targets": [10], "importance": np.zeros(42)}, "positive"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        simplify(sphere(1), **arguments)


def test_corners_that_are_not_finite_are_refused() -> None:
    ball = sphere(1)
    ball.positions[ball.faces[7, 0]] = np.nan
    with pytest.raises(ValueError, match=r"Face \d+ has a corner"):
        simplify(ball, targets=[10])


def test_nothing_left_after_cleaning() -> None:
    flat = surface(np.zeros((3, 3)), [0, 1, 2])
    made = simplify(flat, targets=[1])
    assert len(made.levels[0].faces) == 0 and made.report.degenerate_faces == 1


@pytest.mark.parametrize(
    "bad", [{"virtual_edges": "some"}, {"flip_penalty": -1.0}, {"prune_share": 1.0},
            {"border_weight": float("nan")}],
)  # fmt: skip
def test_rules_are_checked(bad: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        Rules(**bad)


def test_decimate_is_canonical() -> None:
    one = decimate(bumpy(3), target_faces=200)
    assert 198 <= len(one.faces) <= 200 and report(one).watertight
    assert (one.faces[:, 0] < one.faces[:, 1:].min(axis=1)).all()
