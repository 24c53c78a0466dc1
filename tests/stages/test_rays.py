"""Rays against surfaces whose crossings are known."""

import numpy as np
import trimesh
from splatworks.stages.geometry.components import Surface
from splatworks.stages.geometry.rays import first_hits


def ball(center: tuple[float, float, float] = (0, 0, 0)) -> Surface:
    shape = trimesh.creation.icosphere(4)
    return Surface(np.asarray(shape.vertices) + center, np.asarray(shape.faces, np.int64))


def test_hits_lie_on_their_faces_where_the_ray_is() -> None:
    rng = np.random.default_rng(0)
    surface = ball((1e4, -2e4, 3e4))  # far from the origin, where float32 knows millimetres
    directions = rng.normal(size=(500, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    starts = np.array([1e4, -2e4, 3e4]) - 3 * directions
    hits = first_hits(surface, starts, directions)
    np.testing.assert_allclose(hits.distance_m, 2, atol=5e-3)
    np.testing.assert_allclose(hits.barycentrics.sum(axis=1), 1, atol=1e-6)
    corners = surface.positions[surface.faces[hits.faces]]
    places = np.einsum("rc,rcx->rx", hits.barycentrics, corners)
    reached = starts + hits.distance_m[:, None] * directions
    np.testing.assert_allclose(places, reached, atol=1e-5)


def test_both_sides_are_met() -> None:
    hits = first_hits(ball(), np.zeros((1, 3)), np.array([[0.6, 0.0, 0.8]]))
    np.testing.assert_allclose(hits.distance_m, 1, atol=5e-3)


def test_rays_end_at_their_reach() -> None:
    starts = np.array([[0.0, 0, 3], [5.0, 0, 3]])
    down = np.tile([0.0, 0, -1], (2, 1))
    assert np.isfinite(first_hits(ball(), starts, down, 2.1).distance_m).tolist() == [True, False]
    assert np.isinf(first_hits(ball(), starts, down, 1.9).distance_m).all()


def test_without_rays_or_faces_nothing_is_met() -> None:
    assert not len(first_hits(ball(), np.zeros((0, 3)), np.zeros((0, 3))).faces)
    empty = Surface(np.zeros((0, 3)), np.zeros((0, 3), np.int64))
    assert np.isinf(first_hits(empty, np.zeros((2, 3)), np.eye(3)[:2]).distance_m).all()
