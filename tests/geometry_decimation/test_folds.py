"""Surfaces that fold onto themselves: rejected collapses get another chance, doubles vanish."""

import numpy as np
import pytest
from splatworks.stages.geometry.components import Surface
from splatworks.stages.geometry.decimation import Rules, complex, reference, simplify

from .shapes import bumpy, plate


def crumpled(seed: int) -> Surface:
    """A closed ball that looks like thrown-away paper: faces turn over wherever edges collapse."""
    ball = bumpy(1)
    shaken = ball.positions + np.random.default_rng(seed).normal(size=ball.positions.shape) * 0.15
    return Surface(shaken, ball.faces)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_rejected_collapses_are_priced_again_when_their_ring_changes(seed: int) -> None:
    """The readable version does that by looking through all of them; without borders nothing else
    brings a price down."""
    surface, rules = crumpled(seed), Rules()
    made = simplify(surface, targets=[1], rules=rules)
    start = complex.build(surface)
    steps, _ = reference.collapses(start, 1, rules)
    points = made.history.points[len(start.positions) :]
    assert len(steps) == len(points)
    for n, (step, point) in enumerate(zip(steps, points, strict=True)):
        np.testing.assert_allclose(point, step.position, atol=2e-6, err_msg=f"collapse {n}")


@pytest.mark.parametrize("surface", [bumpy(2), crumpled(0), plate(10, 0.005)])
def test_no_level_has_a_face_twice(surface: Surface) -> None:
    """Sides that come to lie on each other are one face: a complex is a set."""
    counts = [n for n in range(len(surface.faces), 0, -1) if n <= 40 or n % 7 == 0]
    made = simplify(surface, targets=counts)
    for level in made.levels:
        corners = np.sort(level.faces, axis=1)
        assert len(np.unique(corners, axis=0)) == len(corners)
        assert (np.diff(corners, axis=1) > 0).all()
