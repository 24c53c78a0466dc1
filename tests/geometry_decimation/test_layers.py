"""Sheets close behind each other: what makes them keep their order, and rims their place."""

from dataclasses import replace

import numpy as np
import pytest
from splatworks.stages.geometry.components import Surface, face_areas
from splatworks.stages.geometry.decimation import fit, fitting, simplify
from splatworks.stages.geometry.decimation.layers import (
    KEPT,
    STRENGTH,
    Layers,
    find_layers,
    made_way,
)
from splatworks.stages.geometry.decimation.points import Points, on_rim, spread_points
from splatworks.stages.geometry.rays import first_hits

from .measure import apart
from .shapes import box, bumpy, grid, moved, plate, together


def level_of(made) -> Surface:
    return Surface(made.levels[0].positions, made.levels[0].faces)


def seen_from_behind(mesh: Surface, steps: int = 100) -> float:
    """Share of what is seen straight from above and below that is a face's back."""
    ticks = (np.arange(steps) + 0.5) / steps
    x, y = (a.ravel() for a in np.meshgrid(ticks, ticks))
    cross = np.cross(*(mesh.positions[mesh.faces[:, k]] - mesh.positions[mesh.faces[:, 0]]
                       for k in (1, 2)))  # fmt: skip
    shares = []
    for side in (1.0, -1.0):
        starts = np.stack([x, y, np.full_like(x, side)], axis=1)
        hits = first_hits(mesh, starts, np.tile([0, 0, -side], (len(x), 1)))
        met = np.isfinite(hits.distance_m)
        shares.append((side * cross[hits.faces[met], 2] < 0).mean())
    return float(np.mean(shares))


def test_the_sides_of_a_thin_plate_cross_less(monkeypatch) -> None:
    thin = plate(24, 0.001)
    made = simplify(thin, targets=[150])
    fitted = fit(made, 0)
    monkeypatch.setattr(fitting, "made_way", lambda *_: [])
    alone = fit(made, 0)
    before, after = seen_from_behind(level_of(alone)), seen_from_behind(level_of(fitted))
    assert before > 0.02, "otherwise this shows nothing"
    assert after < 0.6 * before
    assert apart(thin, level_of(fitted))[0] < 0.9 * apart(thin, level_of(made))[0]


def two_sheets(gap: float):
    """A sheet at 0 that looks up, one at `gap` that looks down, and a pair of places 0.1 apart."""
    high = moved(grid(2), [0, 0, gap])
    mesh = together(grid(2), Surface(high.positions, high.faces[:, ::-1]))
    up = np.array([[0.0, 0, 1]])
    near = Points(np.array([[0.3, 0.1, 0]]), up, np.array([1.0]), np.array([0]))
    far = Points(np.array([[0.3, 0.1, 0.1]]), -up, np.array([3.0]), np.array([8]))
    return mesh, Layers(near, far, up, np.array([0.1]))


@pytest.mark.parametrize("gap", [0.04, -0.06])
def test_who_matters_less_makes_way_further(gap: float) -> None:
    mesh, layers = two_sheets(gap)
    low, high = made_way(mesh.positions, mesh.faces, layers)
    missing = KEPT * 0.1 - gap
    assert low.places[0] == pytest.approx([0.3, 0.1, -0.75 * missing])
    assert high.places[0] == pytest.approx([0.3, 0.1, gap + 0.25 * missing])
    assert high.places[0, 2] - low.places[0, 2] == pytest.approx(KEPT * 0.1)
    assert low.normals[0].tolist() == [0, 0, 1] and high.normals[0].tolist() == [0, 0, -1]
    assert (low.weights, high.weights) == (STRENGTH, 3 * STRENGTH)


def test_who_keeps_distance_stays() -> None:
    mesh, layers = two_sheets(0.06)
    assert not any(len(side.places) for side in made_way(mesh.positions, mesh.faces, layers))


def test_faces_that_share_a_corner_and_places_beside_them_tell_nothing() -> None:
    mesh, layers = two_sheets(-0.06)
    joined = mesh.faces.copy()
    joined[8:] = np.where(joined[8:] == 9, 0, joined[8:])
    assert not any(len(side.places) for side in made_way(mesh.positions, joined, layers))
    for name in ("near", "far"):
        side = getattr(layers, name)
        off = replace(layers, **{name: replace(side, places=side.places - [0, 0.2, 0])})
        assert not any(len(one.places) for one in made_way(mesh.positions, mesh.faces, off))


def test_pairs_are_one_gap_apart_and_belong_to_their_faces() -> None:
    thin = plate(24, 0.0015)
    made = simplify(thin, targets=[150])
    points = spread_points(made, 0, None, 1)
    layers = find_layers(made, 0, points)
    assert len(layers.gaps) > 0.5 * len(points.places)
    apart_ = layers.near.places + layers.gaps[:, None] * layers.ways - layers.far.places
    assert np.abs(apart_).max() < 1e-6
    assert (layers.gaps * made.diagonal_m).max() == pytest.approx(0.0015, rel=0.05)
    inside = (layers.near.places[:, :2] ** 2).max(axis=1) < 0.3**2
    ways = fitting.normals_and_areas(level_of(made))[0]
    for side in (layers.near, layers.far):
        assert ((ways[side.faces] * side.normals).sum(axis=1)[inside] > 0).mean() > 0.98


def test_other_parts_are_left_alone() -> None:
    """Two sheets as far apart as the walls of a plate that are no plate."""
    sheets = plate(24, 0.0015)
    halves = len(grid(24).faces)
    loose = Surface(sheets.positions, sheets.faces[: 2 * halves])
    made = simplify(loose, targets=[150])
    assert made.parts.max() == 1
    assert not len(find_layers(made, 0, spread_points(made, 0, None, 1)).gaps)


def test_without_error_nothing_is_looked_for() -> None:
    ball = bumpy(2)
    made = simplify(ball, targets=[len(ball.faces)])
    layers = find_layers(made, 0, spread_points(made, 0, None, 1))
    assert not len(layers.gaps)


def test_rims_of_plates_are_found_and_edges_of_boxes_are_not() -> None:
    lens = together(grid(4), Surface(grid(4).positions, grid(4).faces[:, ::-1]))
    low, high = lens.positions[:25], lens.positions[25:]
    edge = (low[:, :2] == 0).any(axis=1) | (low[:, :2] == 1).any(axis=1)
    number = np.where(edge, np.arange(25), np.arange(25, 50))
    faces = np.concatenate([lens.faces[:32], number[lens.faces[32:] - 25]])
    bulged = np.concatenate([low + [0, 0, 0.05] * ~edge[:, None], high - [0, 0, 0.05]])
    found = on_rim(Surface(bulged, faces))
    assert (found[:25] == edge).all() and not found[25:].any()
    assert not on_rim(box(cuts=1)).any()
    assert not on_rim(Surface(bulged, faces[:32])).any(), "a border is none"


def test_a_plate_keeps_its_size(monkeypatch) -> None:
    thin = plate(24, 0.0015)
    made = simplify(thin, targets=[150])
    held = face_areas(level_of(fit(made, 0))).sum()
    monkeypatch.setattr(fitting, "on_rim", lambda mesh: np.zeros(len(mesh.positions), bool))
    slid = face_areas(level_of(fit(made, 0))).sum()
    whole = face_areas(thin).sum()
    assert abs(held - whole) < 0.3 * abs(slid - whole)


def test_where_three_sheets_meet_is_no_rim() -> None:
    """Their normals add up to nothing, as those of two sheets back to back do."""
    turns = 2 * np.pi / 3 * np.arange(3)
    tips = np.stack([np.cos(turns), np.sin(turns), [0.5] * 3], axis=1)
    places = np.concatenate([[[0.0, 0, 0], [0, 0, 1]], tips])
    assert not on_rim(Surface(places, np.array([[0, 1, 2], [0, 1, 3], [0, 1, 4]]))).any()


def test_fewer_pairs_count_for_all(monkeypatch) -> None:
    made = simplify(plate(24, 0.0015), targets=[150])
    points = spread_points(made, 0, None, 1)
    every = find_layers(made, 0, points).near.weights
    monkeypatch.setattr(f"{find_layers.__module__}.MOST_POINTS", len(points.places) // 4)
    some = find_layers(made, 0, points).near.weights
    assert 0.1 * len(every) < len(some) < 0.4 * len(every)
    assert some.sum() == pytest.approx(every.sum(), rel=0.1)
