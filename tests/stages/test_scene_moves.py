"""Moving Gaussians: exact under similarities, right covariances under the rest, and lazy."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.linalg import polar
from scipy.spatial.transform import Rotation
from splatworks.renderers.choose import splat_renderer
from splatworks.stages.formats.edits import Invert, Move, Select, Stretch
from splatworks.stages.formats.regions import All, Plane, Sphere, Term
from splatworks.stages.geometry.activation import activate
from splatworks.stages.scene import affine, layers, operations
from splatworks.stages.scene.layers import baked, new_layer, positions

from . import scene_setup as made

HALF = Select(term=Term(shape=Plane(point=(0, 0, 0), normal=(1, 0, 0))))
TURN = Rotation.from_rotvec([0.7, -1.1, 0.4])
W, X, Y, Z = np.roll(TURN.as_quat(), 1)
SIMILARITY = affine.about(1.7 * TURN.as_matrix(), (0.1, 0.2, 0.3), (1.0, -2.0, 0.5))


def picture(splats, cameras):
    return splat_renderer("cpu")(activate(splats), cameras).rgb


def test_a_moved_scene_before_a_moved_camera_looks_the_same() -> None:
    scene, cameras = made.cloud(400), made.view()
    before = picture(scene, cameras)
    moved = affine.carried(scene, SIMILARITY)
    there = made.camera_after(cameras, SIMILARITY, 1.7)
    assert made.psnr(before, picture(moved, there)) > 50
    forgotten = replace(moved, sh=scene.sh)
    assert made.psnr(before, picture(forgotten, there)) < 35, "SH must matter in this test"


def test_a_mirrored_scene_is_seen_mirrored() -> None:
    """No quaternion mirrors, yet covariances and harmonics can be carried through a mirror."""
    scene, cameras = made.cloud(400), made.view(azimuth=0, elevation=0)
    mirror = affine.about(np.diag([-1.0, 1.0, 1.0]), (0, 0, 0))
    mirrored = picture(affine.carried(scene, mirror), cameras)
    assert made.psnr(picture(scene, cameras).flip(2), mirrored) > 50


@pytest.mark.parametrize(
    "linear",
    [
        SIMILARITY[:3, :3],
        np.diag([2.0, 0.5, 1.0]),
        np.diag([1.0, -3.0, 1.0]),
        np.array([[1.0, 0.8, 0], [0, 1, 0], [0, -0.3, 1.2]]),
        -1e-3 * TURN.as_matrix(),
    ],
)
def test_covariances_are_carried(linear: np.ndarray) -> None:
    scene = made.cloud(300)
    out = affine.carried(scene, affine.about(linear, (0, 0, 0), (1, 2, 3)))
    expected = linear @ made.spreads(scene) @ linear.T
    size = np.abs(expected).max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(made.spreads(out) / size, expected / size, atol=3e-6)
    np.testing.assert_allclose(out.means, scene.means @ linear.T + [1, 2, 3], atol=1e-5)
    assert (out.logit_opacities == scene.logit_opacities).all()
    turned = affine.polar(linear)[0]
    np.testing.assert_allclose(turned, polar(linear)[0], atol=1e-12)


def test_tiny_and_needle_shaped_gaussians_survive_stretching() -> None:
    scene = made.cloud(50)
    needles = np.tile(np.float32([-60, -20, -45]), (50, 1))
    scene = replace(scene, log_scales=needles)
    out = affine.carried(scene, affine.about(np.diag([1.0, 1.0, 3.0]), (0, 0, 0)))
    assert np.isfinite(out.log_scales).all()
    change = np.sort(out.log_scales, axis=1)[:, 2] + 20
    assert (change > -1e-5).all() and (change < np.log(3) + 1e-5).all()
    # The volume grows by the determinant, whatever the direction.
    np.testing.assert_allclose(out.log_scales.sum(1), -125 + np.log(3), atol=1e-4)


def test_the_length_of_quaternions_is_kept() -> None:
    scene = made.cloud()
    out = affine.carried(scene, SIMILARITY)
    before, length = (np.linalg.norm(s.quaternions, axis=1) for s in (scene, out))
    np.testing.assert_allclose(length, before, rtol=1e-6)


def test_blocks_of_rows_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = made.cloud(100)
    whole = affine.carried(scene, SIMILARITY)
    monkeypatch.setattr(affine, "_ROWS", 7)
    assert made.same_bits(affine.carried(scene, SIMILARITY), whole)


def test_moves_of_selections_are_what_moving_each_gaussian_gives() -> None:
    """Overlapping selections, moved in turn, against plain matrices per Gaussian."""
    start = made.scene_of(a=made.cloud())
    points = positions(start.layers[0])
    ball = Select(term=Term(shape=Sphere(center=(0, 0, 0), radius=0.4), how="add"))
    move = Move(translation=(1, 0, 0), rotation=(W, X, Y, Z), scale=2, pivot=(0, 1, 0))
    pull = Stretch(factors=(1, 2, 1), pivot=(0.5, 0, 0))
    scene = made.after(start, HALF, move, ball, pull, Invert(), Move(translation=(0, 0, 5)))

    first = points[:, 0] >= 0
    there = points.copy()
    there[first] = 2 * TURN.apply(there[first] - [0, 1, 0]) + [1, 1, 0]
    second = first | (np.linalg.norm(there, axis=1) <= 0.4)
    there[second, 1] *= 2
    there[~second, 2] += 5
    layer = made.only(scene)
    np.testing.assert_allclose(positions(layer), there, atol=1e-12)
    np.testing.assert_allclose(baked(layer).values.means, there, rtol=1e-6, atol=1e-6)
    assert (layer.selected == ~second).all()


def test_what_is_not_moved_keeps_its_bits() -> None:
    start = made.scene_of(a=made.cloud())
    scene = made.after(start, HALF, Move(translation=(1, 0, 0)), Stretch(factors=(1, 2, 3)))
    layer = made.only(scene)
    out = baked(layer).values
    assert made.same_bits(out, start.layers[0].values, ~layer.selected)
    assert not (out.means[layer.selected] == layer.values.means[layer.selected]).all()
    # There and back again.
    back = made.after(start, HALF, Move(translation=(1, 0, 0)), Move(translation=(-1, 0, 0)))
    assert made.same_bits(baked(made.only(back)).values, start.layers[0].values)


def test_moving_a_selection_again_touches_only_the_palette() -> None:
    scene = made.after(made.scene_of(a=made.cloud()), HALF, Move(translation=(1, 0, 0)))
    before = made.only(scene)
    layer = made.only(made.after(scene, Move(rotation=(W, X, Y, Z))))
    assert layer.values is before.values and layer.slots is before.slots
    assert layer.selected is before.selected
    assert len(layer.palette) == 2
    everything = made.only(made.after(scene, Move(of="all", scale=2)))
    assert everything.slots is before.slots


def test_the_palette_does_not_run_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "MOST_SLOTS", 5)
    start = made.scene_of(a=made.cloud())
    rng, scene = np.random.default_rng(0), start
    there = positions(start.layers[0])
    for _ in range(20):
        point, shift = rng.normal(size=3) * 0.2, rng.normal(size=3)
        plane = Term(shape=Plane(point=tuple(point), normal=tuple(shift)))
        scene = made.after(scene, Select(term=plane), Move(translation=tuple(shift)))
        there[(there - point) @ shift >= 0] += shift
        assert len(made.only(scene).palette) <= 5
    np.testing.assert_allclose(positions(made.only(scene)), there, atol=1e-4)


def test_the_sidecar_tells_where_a_scene_came_from_while_it_moves_as_one() -> None:
    start = made.scene_of(a=made.cloud())
    scene = made.after(start, Move(of="all", scale=2), Move(of="all", translation=(0, 3, 0)))
    note = baked(made.only(scene)).values.sidecar.source_transform
    expected = np.diag([2.0, 2.0, 2.0, 1.0])
    expected[1, 3] = 3
    assert note == tuple(expected.ravel())
    scene = made.after(start, HALF, Move(translation=(0, 3, 0)))
    assert baked(made.only(scene)).values.sidecar == start.layers[0].values.sidecar


def test_stretching_warns_where_harmonics_have_no_exact_answer() -> None:
    select = Select(term=Term(shape=All()))
    scene = made.after(made.scene_of(a=made.cloud()), select)
    assert "no exact answer" in operations.perform(scene, Stretch(factors=(1, 2, 1))).warning
    assert not operations.perform(scene, Stretch(factors=(2, -2, 2))).warning
    flat = made.after(made.scene_of(a=made.cloud(degree=0)), select)
    assert not operations.perform(flat, Stretch(factors=(1, 2, 1))).warning


def test_new_layers_are_under_no_map() -> None:
    layer = new_layer("a", made.cloud())
    assert baked(layer) is layer
