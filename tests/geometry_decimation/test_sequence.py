"""The kernels against the readable version: the same collapses in the same order."""

import numpy as np
import pytest
from splatworks.stages.geometry.components import Surface
from splatworks.stages.geometry.decimation import Rules, complex, reference, simplify, virtual_edges

from .shapes import box, bumpy, fan, grid, hills, mobius, moved, soup, together


def rough(surface: Surface, seed: int = 0) -> Surface:
    """Without ties: every position shaken a little. Equal positions stay equal."""
    places, index = np.unique(surface.positions, axis=0, return_inverse=True)
    shaken = places + np.random.default_rng(seed).normal(size=places.shape) * 3e-3
    return Surface(shaken[index.reshape(-1)], surface.faces)


SHAPES = {
    "closed": bumpy(1),
    "open": hills(5),
    "moebius": mobius(12, 2),
    "branching": fan(5, 3),
    "two parts": together(bumpy(1), moved(bumpy(0, 5), [1.9, 0.1, 0.05])),
    "crossing parts": together(hills(3), moved(hills(3), [0.02, -0.01, 0.01])),
    "stacked parts": together(hills(4), moved(hills(4), [0.004, -0.003, 0.018])),
    "facing walls": together(box(cuts=1), moved(box(cuts=1), [1.03, 0, 0])),
    "slivers": Surface(hills(4).positions * [100.0, 1.0, 3.0], hills(4).faces),
    "sharing vertices": soup(hills(3)),
}
LINKED = ("two parts", "crossing parts", "stacked parts", "facing walls")
"""Shapes with components that are near enough."""
RULES = {
    "default": Rules(),
    "plain": Rules(boundary_area=False, line_weight=0.0),
    "linked": Rules(virtual_edges="global"),
}


@pytest.mark.parametrize("shape", ["open", "branching", "two parts", "sharing vertices"])
def test_the_same_where_some_is_transparent(shape: str) -> None:
    surface = rough(SHAPES[shape])
    start = complex.build(surface)
    shown = np.random.default_rng(1).uniform(0.03, 1, len(start.positions))
    made = simplify(surface, targets=[1], shown=shown[start.vertex_of])
    steps, _ = reference.collapses(start, 1, Rules(), shown)
    points = made.history.points[len(start.positions) :]
    assert len(steps) == len(points)
    for n, (step, point) in enumerate(zip(steps, points, strict=True)):
        np.testing.assert_allclose(point, step.position, atol=2e-6, err_msg=f"collapse {n}")


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("shape", SHAPES)
def test_same_collapses_in_the_same_order(shape: str, rules: str) -> None:
    surface = rough(SHAPES[shape])
    made = simplify(surface, targets=[1], rules=RULES[rules])
    start = complex.build(surface)
    if RULES[rules].virtual_edges != "off":
        start = virtual_edges.link(start, complex.labels(start), "global")
        assert (start.edge_faces == 0).any() == (shape in LINKED)
    steps, mesh = reference.collapses(start, 1, RULES[rules])
    points = made.history.points[len(start.positions) :]
    assert len(steps) == len(points)
    for n, (step, point) in enumerate(zip(steps, points, strict=True)):
        np.testing.assert_allclose(point, step.position, atol=2e-6, err_msg=f"collapse {n}")
    level = made.levels[-1]
    assert sorted(made.numbers[list(mesh.faces)]) == sorted(level.face_ids)


def test_who_is_cut_off_is_priced_anew() -> None:
    """A row of boxes that grow together: vertices whose last edge to the place of a collapse goes
    have fewer borders than before, and so cheaper edges."""
    row = together(*(moved(box(cuts=1), [1.02 * n, 0, 0]) for n in range(3)))
    surface, rules = rough(row, 3), RULES["linked"]
    made = simplify(surface, targets=[1], rules=rules)
    start = complex.build(surface)
    start = virtual_edges.link(start, complex.labels(start), "global")
    steps, _ = reference.collapses(start, 1, rules)
    points = made.history.points[len(start.positions) :]
    assert len(steps) == len(points)
    np.testing.assert_allclose(points, [step.position for step in steps], atol=2e-6)


def test_a_price_found_above_the_floor_does_not_hold_below_it() -> None:
    """A sheet so rough that its area falls to the floor while most of its edges are left."""
    sheet, noise = grid(6), np.random.default_rng(2)
    places = sheet.positions + noise.normal(size=sheet.positions.shape) * [0, 0, 0.05]
    both = together(bumpy(1), moved(Surface(places, sheet.faces), [2.5, 0, 0]))
    surface = Surface(both.positions + noise.normal(size=both.positions.shape) * 3e-3, both.faces)
    rules = Rules(part_floor=0.9, part_share=0.01, part_faces=0.5)
    made = simplify(surface, targets=[1], rules=rules)
    start = complex.build(surface)
    steps, _ = reference.collapses(start, 1, rules)
    points = made.history.points[len(start.positions) :]
    assert len(steps) == len(points)
    np.testing.assert_allclose(points, [step.position for step in steps], atol=2e-6)


def test_the_reference_knows_its_numbers() -> None:
    """A collapse on a tent, by hand: the ridge keeps its height."""
    tent = Surface(
        np.array([[0.0, 0, 0], [2, 0, 0], [0, 1, 1], [2, 1, 1], [0, 2, 0], [2, 2, 0]]),
        np.array([[0, 1, 3], [0, 3, 2], [2, 3, 5], [2, 5, 4]]),
    )
    rules = Rules(line_weight=0.0, boundary_area=False)
    mesh = reference.start(complex.build(tent), rules)
    ridge = next(e for e, ends in mesh.edges.items() if set(ends) == {2, 3})
    cost, position = reference.price(mesh, ridge)
    assert cost == pytest.approx(0, abs=1e-12)
    assert position[2] == pytest.approx(mesh.position[2][2])
