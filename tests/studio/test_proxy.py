"""What the page draws itself: the largest, the selection, and no more than the cap."""

from dataclasses import replace

import numpy as np
import pytest
from splatworks.renderers.sh import C0
from splatworks.stages.formats import edits, regions
from splatworks.stages.scene.layers import baked, with_selected
from splatworks.stages.scene.operations import perform
from splatworks.studio.proxy import HIGHLIGHT, Proxies, chosen_rows

from ..stages import scene_setup as made


def weights(values) -> np.ndarray:
    opacity = 1 / (1 + np.exp(-values.logit_opacities.astype(float)))
    axes = np.sort(np.exp(values.log_scales.astype(float)), axis=1)
    return opacity * axes[:, 1] * axes[:, 2]


def test_small_scenes_are_shown_whole_and_exactly() -> None:
    scene = made.scene_of(a=made.cloud(60, 3), b=made.cloud(40, 0, seed=1))
    turn = edits.Move(layer="a", of="all", rotation=(1, 0.5, 0.2, 0), scale=1.5)
    scene = perform(scene, turn).scene
    proxy = Proxies().of(scene, tinted=False)
    parts = [baked(layer).values for layer in scene.layers]
    assert np.allclose(proxy.centers, np.concatenate([part.means for part in parts]))
    spreads = np.concatenate([made.spreads(part) for part in parts])
    assert np.allclose(proxy.covariances, spreads, rtol=1e-4, atol=1e-9)
    plain = np.concatenate([C0 * part.sh[:, 0] + 0.5 for part in parts])
    assert np.allclose(proxy.colors, plain.clip(0, 1), atol=1e-6)
    logits = np.concatenate([part.logit_opacities for part in parts])
    assert np.allclose(proxy.opacities[:, 0], 1 / (1 + np.exp(-logits)), atol=1e-6)
    assert proxy.layers == ("a", "b") and (proxy.owners == [0] * 60 + [1] * 40).all()


def test_the_largest_are_taken_whatever_their_layer() -> None:
    scene = made.scene_of(a=made.cloud(300), b=made.cloud(300, seed=1))
    scene = perform(scene, edits.Move(layer="b", of="all", scale=3.0)).scene
    proxy = Proxies().of(scene, most=100)
    every = np.concatenate([weights(baked(layer).values) for layer in scene.layers])
    wanted = np.sort(np.argsort(-every)[:100])
    means = np.concatenate([baked(layer).values.means for layer in scene.layers])
    assert np.allclose(proxy.centers, means[wanted])
    assert (proxy.owners == 1).sum() > 60


def test_the_selection_comes_first_but_leaves_room() -> None:
    rng = np.random.default_rng(0)
    weight = rng.random(1000)
    few = weight < np.sort(weight)[50]  # The 50 smallest, which would never be taken.
    rows = chosen_rows(weight, few, 100)
    assert few[rows].sum() == 50 and len(rows) == 100 and (np.diff(rows) > 0).all()
    most = weight > 0.1
    rows = chosen_rows(weight, most, 100)
    assert most[rows].sum() == 80 and (~most[rows]).sum() == 20
    everything = np.ones(1000, bool)
    assert len(chosen_rows(weight, everything, 100)) == 100
    assert len(chosen_rows(weight[:30], everything[:30], 100)) == 30


def test_the_selection_is_tinted_and_known_by_layer() -> None:
    scene = made.scene_of(a=made.cloud(50), b=made.cloud(50, seed=1))
    half = np.arange(50) < 25
    scene = scene.put(with_selected(scene.layer("b"), half))
    plain, tinted = Proxies().of(scene, tinted=False), Proxies().of(scene)
    rows = tinted.of("b", everything=False)
    assert (np.flatnonzero(rows) == np.arange(50, 75)).all()
    assert np.allclose(tinted.colors[rows], (plain.colors[rows] + HIGHLIGHT) / 2, atol=1e-6)
    assert np.allclose(tinted.colors[~rows], plain.colors[~rows])
    assert tinted.of("a", everything=True).sum() == 50
    assert not tinted.of("gone", everything=True).any()


def test_hidden_layers_and_changes_are_followed() -> None:
    proxies = Proxies()
    scene = made.scene_of(a=made.cloud(30), b=made.cloud(30, seed=1))
    assert proxies.of(scene, frozenset({"a"})).layers == ("b",)
    assert len(proxies.of(scene, frozenset({"a", "b"})).centers) == 0
    first = proxies.of(scene, most=10)
    layer = scene.layer("a")
    larger = replace(layer, values=replace(layer.values, log_scales=layer.values.log_scales + 5))
    second = proxies.of(scene.put(larger), most=10)
    assert (first.owners == 0).sum() < 10 and (second.owners == 0).all()


@pytest.mark.parametrize("shape", [regions.All(), regions.Sphere(center=(9, 9, 9), radius=1)])
def test_whether_all_or_nothing_is_selected_there_is_a_picture(shape: regions.Shape) -> None:
    scene = made.scene_of(a=made.cloud(80))
    select = edits.Select(term=regions.Term(shape=shape))
    assert len(Proxies().of(perform(scene, select).scene, most=50).centers) == 50
