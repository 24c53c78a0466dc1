"""Operations other than moves: what they change, what they leave alone, what they refuse."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from splatworks.pipeline.errors import InputError
from splatworks.renderers import sh as harmonics
from splatworks.renderers.choose import splat_renderer
from splatworks.stages.formats import edits, regions
from splatworks.stages.formats.splats import Sidecar
from splatworks.stages.geometry.activation import activate
from splatworks.stages.scene import placing
from splatworks.stages.scene.layers import baked, positions
from splatworks.stages.scene.measures import measured
from splatworks.stages.scene.recolor import LUMA, correction
from splatworks.stages.scene.thinning import thinned

from . import scene_setup as made
from .splat_objects import joined, sphere

CLOUD = made.cloud(300)
SCENE = made.scene_of(a=CLOUD)
RIGHT = edits.Select(term=regions.Term(shape=regions.Plane(point=(0, 0, 0), normal=(1, 0, 0))))
IS_RIGHT = CLOUD.means[:, 0] >= 0


def values_of(scene, name=None):
    return baked(scene.layer(name)).values


def test_delete_and_crop_are_complements() -> None:
    deleted = values_of(made.after(SCENE, RIGHT, edits.Delete()))
    cropped = values_of(made.after(SCENE, RIGHT, edits.Crop()))
    for out, rows in ((deleted, ~IS_RIGHT), (cropped, IS_RIGHT)):
        assert (out.means == CLOUD.means[rows]).all() and (out.sh == CLOUD.sh[rows]).all()
        assert (out.quaternions == CLOUD.quaternions[rows]).all()


def test_moves_stay_with_the_gaussians_that_are_left() -> None:
    scene = made.after(SCENE, RIGHT, edits.Move(translation=(9, 0, 0)))
    left = regions.Term(shape=regions.Plane(point=(0, 0, 0), normal=(0, 1, 0)))
    scene = made.after(scene, edits.Select(term=left), edits.Delete())
    kept = CLOUD.means[CLOUD.means[:, 1] < 0].astype(np.float64)
    kept[kept[:, 0] >= 0, 0] += 9
    np.testing.assert_allclose(positions(scene.layers[0]), kept, atol=1e-12)


def test_duplicate_and_separate() -> None:
    scene = made.after(SCENE, RIGHT, edits.Move(translation=(1, 0, 0)), edits.Duplicate(name="b"))
    assert [len(layer) for layer in scene.layers] == [300, IS_RIGHT.sum()]
    assert (values_of(scene, "b").means == values_of(scene, "a").means[IS_RIGHT]).all()
    assert not scene.layer("b").selected.any()
    scene = made.after(SCENE, RIGHT, edits.Separate(name="b"))
    assert made.same_bits(values_of(scene, "a"), made.some(CLOUD, ~IS_RIGHT))
    assert made.same_bits(values_of(scene, "b"), made.some(CLOUD, IS_RIGHT))
    assert scene.layer("a").origin is None


def test_merging_brings_moves_degrees_and_selections_together() -> None:
    other = made.cloud(50, degree=1, seed=1)
    scene = made.scene_of(a=CLOUD, b=other)
    select = replace(RIGHT, layer="b")
    move = edits.Move(layer="b", of="all", translation=(0, 5, 0))
    scene = made.after(scene, select, move, edits.Merge(layer="a", others=("b",)))
    out = values_of(scene)
    assert (out.means[:300] == CLOUD.means).all() and (out.sh[:300] == CLOUD.sh).all()
    np.testing.assert_allclose(out.means[300:], other.means + np.array([0, 5, 0]), rtol=1e-6)
    assert (out.sh[300:, :4] == other.sh).all() and not out.sh[300:, 4:].any()
    assert (scene.layers[0].selected[300:] == (other.means[:, 0] >= 0)).all()


def test_a_merge_renders_as_both_parts_composited() -> None:
    left, right = sphere(700, 0.2, (-0.3, 0, 0)), sphere(700, 0.2, (0.3, 0, 0))
    scene = made.after(made.scene_of(a=left, b=right), edits.Merge(layer="a", others=("b",)))
    cameras, render = made.view(azimuth=0, elevation=0), splat_renderer("cpu")
    together = render(activate(values_of(scene)), cameras).rgb
    apart = sum(render(activate(part), cameras).rgb for part in (left, right))
    assert (together - apart).abs().max() < 1e-4


def test_merging_refuses_what_one_file_can_not_say() -> None:
    scene = made.scene_of(a=CLOUD, b=replace(CLOUD, sidecar=Sidecar(meters_per_unit=0.01)))
    with pytest.raises(InputError, match=r'meters_per_unit is 1.0 in a, 0.01 in b.*"frame"'):
        made.after(scene, edits.Merge(layer="a", others=("b",)))
    scene = made.scene_of(a=CLOUD, b=replace(CLOUD, sidecar=Sidecar(antialiased=True)))
    with pytest.raises(InputError, match="antialiased is False in a, True in b"):
        made.after(scene, edits.Merge(layer="a", others=("b",)))


def test_a_frame_scales_and_turns_the_layer_to_suit() -> None:
    other = replace(CLOUD, sidecar=Sidecar(meters_per_unit=0.01, up_axis="-z"))
    scene = made.scene_of(a=CLOUD, b=other)
    scene = made.after(scene, edits.Frame(layer="b", like="a"))
    there = positions(scene.layer("b"))
    np.testing.assert_allclose(there[:, 1], -0.01 * CLOUD.means[:, 2], atol=1e-9)
    made.after(scene, edits.Merge(layer="a", others=("b",)))
    sidecar = values_of(scene, "b").sidecar
    assert (sidecar.meters_per_unit, sidecar.up_axis) == (1.0, "+y")


# Colors.


def test_recoloring_maps_the_color_of_every_direction() -> None:
    """Against the correction done on colors, before the renderer's max(0, ·)."""
    edit = edits.Recolor(
        black=0.1, white=0.8, brightness=0.05, saturation=0.4, temperature=0.5, tint=(1, 0.8, 1.2)
    )
    out = values_of(made.after(SCENE, RIGHT, edit))
    at = torch.from_numpy(np.random.default_rng(0).normal(size=(300, 3)))
    at = torch.nn.functional.normalize(at, dim=1)

    def seen(splats):
        weights = harmonics.basis(at, 16).numpy()
        return np.einsum("nk,nkc->nc", weights, splats.sh.astype(np.float64)) + 0.5

    before = seen(CLOUD)
    levels = (before - 0.1) / 0.7 + 0.05
    warm = np.array([1.15, 1, 0.85])
    gained = levels * np.array([1, 0.8, 1.2]) * warm / (warm @ LUMA)
    luma = gained @ LUMA
    expected = luma[:, None] + 0.4 * (gained - luma[:, None])
    np.testing.assert_allclose(seen(out)[IS_RIGHT], expected[IS_RIGHT], atol=2e-5)
    assert (out.sh[~IS_RIGHT] == CLOUD.sh[~IS_RIGHT]).all()


def test_the_default_correction_is_none() -> None:
    matrix, shift = correction(edits.Recolor())
    np.testing.assert_allclose(matrix, np.eye(3), atol=1e-15)
    assert not shift.any()


def test_gray_stays_as_bright_when_it_gets_warmer() -> None:
    matrix, _ = correction(edits.Recolor(temperature=0.7))
    assert LUMA @ matrix @ np.ones(3) == pytest.approx(1)
    assert (matrix @ np.ones(3))[0] > 1 > (matrix @ np.ones(3))[2]


def test_opacity_is_multiplied_and_stays_below_one() -> None:
    half = made.after(SCENE, RIGHT, edits.Opacity(factor=0.5))
    before = measured(SCENE.layers[0], "opacity")
    after = measured(half.layers[0], "opacity")
    np.testing.assert_allclose(after[IS_RIGHT], 0.5 * before[IS_RIGHT], rtol=1e-5)
    assert (values_of(half).logit_opacities[~IS_RIGHT] == CLOUD.logit_opacities[~IS_RIGHT]).all()
    full = made.after(SCENE, edits.Opacity(of="all", factor=1e6))
    assert np.isfinite(values_of(full).logit_opacities).all()
    assert measured(full.layers[0], "opacity").min() > 0.9999


def test_degrees_go_down_and_up() -> None:
    down = values_of(made.after(SCENE, edits.Degree(degree=1)))
    assert (down.sh == CLOUD.sh[:, :4]).all()
    up = values_of(made.after(SCENE, edits.Degree(degree=1), edits.Degree(degree=2)))
    assert up.sh.shape[1] == 9
    assert (up.sh[:, :4] == CLOUD.sh[:, :4]).all() and not up.sh[:, 4:].any()


# Order and number.


def test_sorting_only_changes_the_order() -> None:
    for by in ("morton", "size", "opacity"):
        scene = made.after(SCENE, RIGHT, edits.Sort(by=by))
        out = values_of(scene)
        back = np.lexsort(out.means.T), np.lexsort(CLOUD.means.T)
        assert (out.sh[back[0]] == CLOUD.sh[back[1]]).all()
        assert (scene.layers[0].selected == (out.means[:, 0] >= 0)).all()
    opacity = measured(made.after(SCENE, edits.Sort(by="opacity")).layers[0], "opacity")
    assert (np.diff(opacity) <= 0).all()
    size = measured(made.after(SCENE, edits.Sort(by="size")).layers[0], "scale")
    assert (np.diff(size) <= 0).all()


def test_morton_order_keeps_neighbors_together() -> None:
    scene = made.scene_of(a=made.cloud(3000))

    def step(scene):
        return np.linalg.norm(np.diff(positions(scene.layers[0]), axis=0), axis=1).mean()

    assert step(made.after(scene, edits.Sort())) < 0.3 * step(scene)


def test_two_of_the_same_become_one_of_the_same() -> None:
    twice = joined(made.cloud(1), made.cloud(1))
    out, rows = thinned(twice, 1)
    np.testing.assert_allclose(made.spreads(out), made.spreads(twice)[:1], rtol=1e-4)
    np.testing.assert_allclose(out.sh, twice.sh[:1], rtol=1e-6)
    opacity = 1 / (1 + np.exp(-twice.logit_opacities[0].astype(float)))
    merged = 1 / (1 + np.exp(-out.logit_opacities[0].astype(float)))
    assert merged == pytest.approx(1 - (1 - opacity) ** 2, rel=1e-4)
    assert rows.tolist() == [0]


def test_a_merged_pair_has_the_moments_of_the_mixture() -> None:
    """Mean and covariance by sampling nothing: the closed form of a two-component mixture."""
    pair = made.cloud(2, seed=4)
    out, _ = thinned(pair, 1)
    scale = np.exp(pair.log_scales.astype(float))
    area = (scale * np.roll(scale, 1, axis=1)).sum(1)
    mass = area / (1 + np.exp(-pair.logit_opacities.astype(float)))
    share = mass / mass.sum()
    means = pair.means.astype(float)
    mean = share @ means
    second = sum(
        w * (s + np.outer(m, m)) for w, s, m in zip(share, made.spreads(pair), means, strict=True)
    )
    np.testing.assert_allclose(out.means[0], mean, rtol=1e-5)
    a, b, c = np.exp(out.log_scales[0].astype(float))
    opacity = 1 / (1 + np.exp(-float(out.logit_opacities[0])))
    assert opacity * (a * b + b * c + c * a) == pytest.approx(mass.sum(), rel=1e-4)
    np.testing.assert_allclose(made.spreads(out)[0], second - np.outer(mean, mean), atol=1e-6)
    np.testing.assert_allclose(out.sh[0], np.einsum("i,ikc->kc", share, pair.sh), atol=1e-6)


def test_decimating_looks_better_than_leaving_others_out() -> None:
    ball = sphere(2000)
    scene, cameras = made.scene_of(a=ball), made.view()
    out = values_of(made.after(scene, edits.Decimate(of="all", keep=0.125)))
    assert len(out) == 250

    def picture(splats):
        return splat_renderer("cpu")(activate(splats), cameras).rgb

    whole = picture(ball)
    fewer = made.psnr(whole, picture(out))
    assert fewer > made.psnr(whole, picture(made.some(ball, slice(None, None, 8)))) + 5
    assert fewer > 22


def test_decimating_a_selection_leaves_the_rest_in_place() -> None:
    out = made.after(SCENE, RIGHT, edits.Decimate(keep=0.4))
    values, layer = values_of(out), out.layers[0]
    wanted = round(0.4 * IS_RIGHT.sum())
    assert layer.selected.sum() == wanted and len(layer) == (~IS_RIGHT).sum() + wanted
    assert (values.means[~layer.selected] == CLOUD.means[~IS_RIGHT]).all()
    places = {tuple(mean): index for index, mean in enumerate(CLOUD.means.tolist())}
    found = [places[mean] for mean in map(tuple, values.means.tolist()) if mean in places]
    assert found == sorted(found) and len(found) > (~IS_RIGHT).sum(), "all in the old order"
    again = values_of(made.after(SCENE, RIGHT, edits.Decimate(keep=0.4)))
    assert made.same_bits(values, again)


# Where a scene stands.


def test_a_tilted_floor_becomes_the_ground() -> None:
    rng = np.random.default_rng(0)
    floor = np.stack([*rng.uniform(-2, 2, size=(2, 1500)), rng.normal(size=1500) * 0.003])
    things = np.stack([*rng.uniform(-0.5, 0.5, size=(2, 400)), rng.uniform(0, 1, size=400)])
    tilt = placing.turn_between(np.array([0, 0, 1.0]), np.array([0.36, -0.48, 0.8]))
    points = (np.concatenate([floor, things], axis=1).T @ tilt.T) + [3, 4, 5]
    cloud = replace(made.cloud(1900), means=points.astype(np.float32))
    layer = made.after(made.scene_of(a=cloud), edits.Ground(of="all")).layers[0]
    height = positions(layer)[:, 1]
    assert np.abs(height[:1500]).max() < 0.03
    np.testing.assert_allclose(height[1500:], things[2], atol=0.03)
    before, after = (np.linalg.norm(p - p[0], axis=1) for p in (points, positions(layer)))
    np.testing.assert_allclose(before, after, atol=1e-5)


def test_turns_between_any_two_axes() -> None:
    axes = [placing.axis_vector(a) for a in ("+x", "-x", "+y", "-y", "+z", "-z")]
    for one in axes:
        for two in axes:
            turn = placing.turn_between(one, two)
            np.testing.assert_allclose(turn @ one, two, atol=1e-12)
            np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
            assert np.linalg.det(turn) == pytest.approx(1)


def test_centering_puts_the_middle_of_the_box_in_place() -> None:
    layer = made.after(SCENE, RIGHT, edits.Center(at=(1, 2, 3))).layers[0]
    chosen = positions(layer)[IS_RIGHT]
    np.testing.assert_allclose((chosen.min(0) + chosen.max(0)) / 2, [1, 2, 3], atol=1e-12)
    shift = positions(layer) - CLOUD.means
    np.testing.assert_allclose(shift, np.broadcast_to(shift[0], shift.shape), atol=1e-12)


# Refusals.


@pytest.mark.parametrize(
    "edit",
    [
        edits.Delete(), edits.Crop(), edits.Move(), edits.Recolor(), edits.Opacity(factor=2),
        edits.Separate(name="b"), edits.Duplicate(name="b"), edits.Decimate(keep=0.5),
        edits.Center(), edits.Ground(), edits.Stretch(factors=(1, 2, 3)),
    ],
)  # fmt: skip
def test_an_empty_selection_is_an_error(edit) -> None:
    with pytest.raises(InputError, match="nothing is selected in layer a"):
        made.after(SCENE, edit)


def test_nobody_ends_with_nothing_or_two_of_a_name() -> None:
    everything = edits.Select(term=regions.Term(shape=regions.All()))
    for edit in (edits.Delete(), edits.Separate(name="b")):
        with pytest.raises(InputError, match="nothing of layer a would be left"):
            made.after(SCENE, everything, edit)
    with pytest.raises(InputError, match="a layer A already"):
        made.after(SCENE, RIGHT, edits.Duplicate(name="A"))
    with pytest.raises(InputError, match="no layer 'b'; there is a"):
        made.after(SCENE, replace(RIGHT, layer="b"))
    with pytest.raises(InputError, match="say which layer; there is a, b"):
        made.after(made.scene_of(a=CLOUD, b=CLOUD), RIGHT)
