"""The density and what follows from it, against closed forms and a sum written out by hand."""

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from splatworks.stages.surface.density import Density, ideal_distance, level_offset
from splatworks.stages.surface.shapes import Shapes


def some(count: int = 40, seed: int = 0, spread: float = 0.5) -> Shapes:
    """Gaussians of all shapes and directions."""
    rng = np.random.default_rng(seed)
    return Shapes(
        means=rng.normal(0, spread, (count, 3)),
        axes=Rotation.random(count, random_state=seed).as_matrix(),
        scales=rng.uniform(0.1, 0.6, (count, 3)),
        opacities=rng.uniform(0.2, 0.95, count),
    )


def flat(thickness: float = 0.01, opacity: float = 1.0, turn: Rotation | None = None) -> Shapes:
    """One disk, as it is or turned, away from the origin; its normal is its local z."""
    turn = turn or Rotation.from_rotvec([0.4, -0.7, 0.2])
    return Shapes(
        means=np.array([[0.3, -0.2, 0.5]]),
        axes=turn.as_matrix()[None],
        scales=np.array([[1.0, 0.8, thickness]]),
        opacities=np.array([opacity]),
    )


def by_hand(shapes: Shapes, point: np.ndarray) -> float:
    """The definition, with an inverse covariance per Gaussian."""
    total = 0.0
    for mean, axes, scales, opacity in zip(
        shapes.means, shapes.axes, shapes.scales, shapes.opacities, strict=True
    ):
        inverse = np.linalg.inv(axes @ np.diag(scales**2) @ axes.T)
        away = point - mean
        total += opacity * math.exp(-0.5 * away @ inverse @ away)
    return total


def test_the_density_is_the_sum() -> None:
    shapes = some()
    points = np.random.default_rng(1).normal(0, 0.6, (30, 3))
    found, _ = Density(shapes, neighbors=40).value(points, np.zeros(30, np.int64))
    np.testing.assert_allclose(found, [by_hand(shapes, p) for p in points], rtol=1e-9)


def test_only_the_neighbors_of_the_given_gaussian_count() -> None:
    shapes = some()
    near = np.argsort(np.linalg.norm(shapes.means - shapes.means[7], axis=1))[:5]
    few = Shapes(*(getattr(shapes, n)[near] for n in Shapes.__slots__))
    point = shapes.means[7] + [[0.05, 0.1, -0.02]]
    found, _ = Density(shapes, neighbors=5).value(point, np.array([7]))
    assert found[0] == pytest.approx(by_hand(few, point[0]), rel=1e-9)
    assert found[0] < by_hand(shapes, point[0])


def test_the_gradient_agrees_with_finite_differences() -> None:
    shapes = some()
    points = np.random.default_rng(2).normal(0, 0.5, (20, 3))
    of, step = np.zeros(20, np.int64), 1e-5
    density = Density(shapes, neighbors=40)
    _, slope = density.value(points, of)
    for axis in range(3):
        shift = step * np.eye(3)[axis]
        ahead, behind = (density.value(points + sign * shift, of)[0] for sign in (1, -1))
        wanted = (ahead - behind) / (2 * step)
        np.testing.assert_allclose(slope[:, axis], wanted, rtol=1e-4, atol=1e-7)


def test_the_ideal_distance_is_the_distance_to_the_disk() -> None:
    """One flat, opaque Gaussian, along its normal: |f| is the distance to 1e-5."""
    shapes = flat()
    away = np.linspace(-0.03, 0.03, 13)
    points = shapes.means + away[:, None] * shapes.axes[0, :, 2]
    found, _ = Density(shapes, neighbors=1).value(points, np.zeros(13, np.int64))
    np.testing.assert_allclose(ideal_distance(found, np.full(13, 0.01)), np.abs(away), atol=1e-5)
    assert ideal_distance(np.array([1.7]), np.array([0.01]))[0] == 0


@pytest.mark.parametrize("slant_deg", [0.0, 40.0])
def test_the_level_set_lies_outside_by_the_formula(slant_deg: float) -> None:
    shapes, opacity = flat(opacity=0.9), 0.9
    density = Density(shapes, neighbors=1)
    normal = shapes.axes[0, :, 2]
    direction = Rotation.from_rotvec(math.radians(slant_deg) * shapes.axes[0, :, 0]).apply(-normal)
    of = np.zeros(1, np.int64)
    reach = np.full(1, 0.05)
    t = density.along(shapes.means, direction[None], reach, of, samples=201, at="level", level=0.3)
    offset = level_offset(0.01, opacity, 0.3)
    assert offset == pytest.approx(0.01 * math.sqrt(2 * math.log(3)))
    height = -t[0] * math.cos(math.radians(slant_deg))
    # The disk thins out within its plane, which matters on a slanted ray only.
    assert height == pytest.approx(offset, rel=2e-3 if slant_deg == 0 else 0.02)


def test_the_ridge_of_one_gaussian_is_exact_from_anywhere_near() -> None:
    """Also off its center and between samples; along a ray, where its metric is closest."""
    shapes = flat(thickness=0.2)
    density = Density(shapes, neighbors=1)
    rng = np.random.default_rng(3)
    starts = shapes.means + rng.normal(0, 0.05, (50, 3))
    directions = rng.normal(size=(50, 3)) + 3 * shapes.axes[0, :, 2]
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    of = np.zeros(50, np.int64)
    t = density.along(starts, directions, np.full(50, 1.0), of, samples=21, at="ridge")
    inverse = np.linalg.inv(shapes.axes[0] @ np.diag(shapes.scales[0] ** 2) @ shapes.axes[0].T)
    wanted = np.array(
        [d @ inverse @ (shapes.means[0] - s) / (d @ inverse @ d)
         for s, d in zip(starts, directions, strict=True)]
    )  # fmt: skip
    np.testing.assert_allclose(t, wanted, atol=1e-9)


def test_rays_without_an_answer_say_so() -> None:
    shapes = flat(opacity=0.2)
    density = Density(shapes, neighbors=1)
    normal, of = shapes.axes[0, :, 2][None], np.zeros(1, np.int64)

    def along(start: np.ndarray, **more) -> float:
        return float(density.along(start, normal, np.array([0.03]), of, samples=21, **more)[0])

    assert math.isnan(along(shapes.means, at="level", level=0.3)), "never reaches the level"
    assert math.isnan(along(shapes.means + 0.05 * normal, at="ridge")), "falls all the way"
    inside = Density(flat(opacity=0.9, thickness=0.1), neighbors=1)
    t = inside.along(shapes.means, normal, np.array([0.03]), of, samples=21, at="level", level=0.3)
    assert math.isnan(t[0]), "begins above the level"


def test_the_width_is_the_standard_deviation() -> None:
    shapes = some(6)
    directions = np.random.default_rng(4).normal(size=(6, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    found = Density(shapes, neighbors=2).width(np.arange(6), directions)
    for k in range(6):
        covariance = shapes.axes[k] @ np.diag(shapes.scales[k] ** 2) @ shapes.axes[k].T
        assert found[k] == pytest.approx(math.sqrt(directions[k] @ covariance @ directions[k]))


def test_normals_face_the_viewer() -> None:
    shapes = flat()
    normal = shapes.axes[0, :, 2]
    points, of = np.repeat(shapes.means, 2, axis=0), np.zeros(2, np.int64)
    found = Density(shapes, neighbors=1).normals(points, of, np.stack([normal, -normal]))
    np.testing.assert_allclose(found, [-normal, normal], atol=1e-12)


def test_thin_gaussians_are_thickened_where_asked() -> None:
    density = Density(flat(thickness=1e-6), neighbors=1, thinnest=0.25)
    assert density.scales[0].tolist() == [1.0, 0.8, 0.2]
    assert Density(flat(thickness=1e-6), neighbors=1).scales[0, 2] == 1e-6


def test_level_set_points_over_a_plane_are_biased_as_the_formula_says() -> None:
    """Flat Gaussians in a plane, without noise; d at the surface is measured, the bias foretold."""
    rng = np.random.default_rng(5)
    count, thickness = 4000, 0.004
    shapes = Shapes(
        means=np.column_stack([rng.uniform(-1, 1, (count, 2)), np.zeros(count)]),
        axes=np.tile(np.eye(3), (count, 1, 1)),
        scales=np.tile([0.03, 0.03, thickness], (count, 1)),
        opacities=np.full(count, 0.8),
    )
    density = Density(shapes, neighbors=16)
    starts = np.column_stack([rng.uniform(-0.8, 0.8, (500, 2)), np.zeros(500)])
    of = np.array([np.linalg.norm(shapes.means - s, axis=1).argmin() for s in starts])
    down = np.tile([0.0, 0.0, -1.0], (500, 1))
    surface, _ = density.value(starts, of)
    t = density.along(starts, down, np.full(500, 4 * thickness), of, samples=41, at="level")
    there = np.isfinite(t) & (surface > 0.6)
    assert there.sum() > 400
    wanted = thickness * np.sqrt(2 * np.log(surface[there] / 0.3))
    np.testing.assert_allclose(-t[there], wanted, rtol=0.15)
    ridge = density.along(starts, down, np.full(500, 4 * thickness), of, samples=41, at="ridge")
    assert np.abs(ridge[there]).max() < 1e-3 * thickness
