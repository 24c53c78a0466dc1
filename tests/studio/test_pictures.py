"""The server's pictures: right in every harmonic, after every edit, and never out of date."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from splatworks.renderers.reference import render as by_the_book
from splatworks.stages.formats import edits, regions
from splatworks.stages.geometry.activation import activate
from splatworks.stages.scene.layers import Scene, baked
from splatworks.stages.scene.operations import perform
from splatworks.studio.pictures import BACKGROUND, Look, Pictures
from splatworks.studio.proxy import HIGHLIGHT, TINT

from ..stages import scene_setup as made
from .scenes import looking

CAMERA = looking((96, 72)).viewpoint()


def scene() -> Scene:
    return made.scene_of(a=made.cloud(80, 3), b=made.cloud(60, 1, seed=1))


def expected(scene: Scene, output: str = "rgb") -> np.ndarray:
    """By the reference renderer, on the merged file."""
    names = [layer.name for layer in scene.layers]
    merged = perform(scene, edits.Merge(layer=names[0], others=tuple(names[1:]))).scene
    frames = by_the_book(
        activate(baked(merged.layers[0]).values), CAMERA.cameras(), frozenset({output, "alpha"})
    )
    value, alpha = getattr(frames, output)[0].numpy(), frames.alpha[0].numpy()
    if output == "normal":
        value = 0.5 * value + 0.5 * alpha
    return value + (1 - alpha) * BACKGROUND


def close(picture: np.ndarray, wanted: np.ndarray) -> bool:
    off = np.abs(picture / 255 - wanted.clip(0, 1))
    return bool(np.quantile(off, 0.999) < 0.003 and off.max() < 0.02)


def test_colors_are_those_of_the_reference_renderer_before_and_after_moving() -> None:
    pictures, before = Pictures(1), scene()
    first = pictures.take(before, CAMERA)
    assert close(first, expected(before))
    turn = edits.Move(layer="a", of="all", rotation=(1, 1, 0.3, 0), translation=(0.2, 0, 0))
    after = perform(before, turn).scene
    second = pictures.take(after, CAMERA)
    assert close(second, expected(after)) and not (first == second).all()
    assert (pictures.take(before, CAMERA) == first).all(), "undone"


def test_a_moved_selection_and_changed_colors_are_seen() -> None:
    pictures, now = Pictures(1), scene()
    for edit in (
        edits.Select(layer="a", term=regions.Term(shape=regions.Plane(
            point=(0, 0, 0), normal=(1, 0, 0)))),
        edits.Move(layer="a", rotation=(1, 0, 0.4, 0), translation=(0.1, 0, 0)),
        edits.Move(layer="a", rotation=(1, 0, 0.4, 0), translation=(0.1, 0, 0)),
        edits.Recolor(layer="b", of="all", saturation=0.1),
        edits.Delete(layer="a"),
    ):  # fmt: skip
        now = perform(now, edit).scene
        assert close(pictures.take(now, CAMERA, Look(tinted=False)), expected(now)), edit


def test_normals_and_depth() -> None:
    now = scene()
    assert close(Pictures(1).take(now, CAMERA, Look(mode="normals")), expected(now, "normal"))
    ramp = made.scene_of(a=made.cloud(1, 0))
    depth = Pictures(1).take(now, CAMERA, Look(mode="depth")).astype(int)
    assert (depth[..., 0] == depth[..., 2]).all() and depth.max() > 200
    frames = by_the_book(
        activate(baked(perform(now, edits.Merge(layer="a", others=("b",))).scene.layers[0]).values),
        CAMERA.cameras(), frozenset({"depth", "alpha"}),
    )  # fmt: skip
    solid = frames.alpha[0, ..., 0] > 0.98
    far = frames.depth[0, ..., 0][solid]
    bright = torch.from_numpy(depth[..., 0])[solid]
    order = torch.argsort(far)
    assert (bright[order].diff() <= 3).all() and bright[order][0] > bright[order][-1] + 50
    assert Pictures(1).take(ramp, CAMERA, Look(mode="depth")).shape == (72, 96, 3)


def test_centers_are_dots() -> None:
    lone = made.cloud(1, 3)
    lone.means[:] = 0.0, 0.0, 0.0
    lone.log_scales[:] = -1.0
    picture = Pictures(1).take(made.scene_of(a=lone), CAMERA, Look(mode="centers")).astype(int)
    changed = np.abs(picture - round(255 * BACKGROUND)).max(axis=2) > 3
    rows, columns = np.nonzero(changed)
    assert 9 <= changed.sum() <= 45
    middle = 48 - 0.25 * CAMERA.focal_px[0] / 2
    assert abs(columns.mean() + 0.5 - middle) < 1 and abs(rows.mean() + 0.5 - 36) < 1


def test_the_selection_is_tinted_and_can_be_left_plain() -> None:
    pictures, now = Pictures(1), scene()
    plain = pictures.take(now, CAMERA)
    for layer in ("a", "b"):
        everything = regions.Term(shape=regions.All())
        now = perform(now, edits.Select(layer=layer, term=everything)).scene
    tinted = pictures.take(now, CAMERA).astype(int)
    assert (pictures.take(now, CAMERA, Look(tinted=False)) == plain).all()
    seen = np.abs(plain.astype(int) - round(255 * BACKGROUND)).max(axis=2) > 60
    assert tinted[seen].mean(axis=0)[0] > plain[seen].mean(axis=0)[0] + 20


def test_the_tint_is_halfway_to_orange() -> None:
    wide = made.cloud(1, 0)
    wide.means[:], wide.log_scales[:], wide.logit_opacities[:] = 0.0, 1.0, 12.0
    wide.sh[:, 0] = (np.array([0.2, 0.4, 0.8]) - 0.5) / 0.28209479177387814
    everything = edits.Select(layer="a", term=regions.Term(shape=regions.All()))
    selected = perform(made.scene_of(a=wide), everything).scene
    middle = Pictures(1).take(selected, CAMERA)[36, 40] / 255
    wanted = (1 - TINT) * np.array([0.2, 0.4, 0.8]) + TINT * HIGHLIGHT
    assert middle == pytest.approx(wanted, abs=0.012)


def test_another_assignment_of_the_same_maps_is_another_picture() -> None:
    half = regions.Term(shape=regions.Plane(point=(0, 0, 0), normal=(1, 0, 0)))
    now = perform(scene(), edits.Select(layer="a", term=half)).scene
    now = perform(now, edits.Move(layer="a", translation=(0.3, 0.2, 0))).scene
    layer = now.layer("a")
    swapped = now.put(replace(layer, slots=layer.slots[::-1].copy(), grouped=None))
    pictures = Pictures(1)
    first = pictures.take(now, CAMERA)
    second = pictures.take(swapped, CAMERA)
    assert (second == Pictures(1).take(swapped, CAMERA)).all() and not (first == second).all()


def test_hidden_layers_and_empty_scenes() -> None:
    now = scene()
    alone = made.scene_of(b=made.cloud(60, 1, seed=1))
    hidden = Pictures(1).take(now, CAMERA, Look(hidden=frozenset({"a"})))
    assert (hidden == Pictures(1).take(alone, CAMERA)).all()
    nothing = Pictures(1).take(now, CAMERA, Look(hidden=frozenset({"a", "b"})))
    assert (nothing == round(255 * BACKGROUND)).all()


@pytest.mark.parametrize("mode", ["splats", "depth", "normals", "centers"])
def test_looking_away_shows_the_background(mode) -> None:
    away = looking((48, 36))
    away = type(away)((1.0, 0, 0, 0), away.position, away.fovy_rad, away.size_px)
    picture = Pictures(1).take(scene(), away.viewpoint(), Look(mode=mode, background=0.4))
    assert (picture == round(255 * 0.4)).all()
