"""Whom a pixel shows, against the reference: there every Gaussian is a channel of its own."""

from dataclasses import replace

import pytest
import torch
from splatworks.renderers import cpu, reference

from .scenes import cameras, gaussians, overlapping

COUNT = 5
SCENES = {"soft": gaussians(70, seed=31, size=0.12), "opaque": overlapping()}


@pytest.fixture(scope="module", params=SCENES)
def weights(request) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(pixel, Gaussian) from the reference, ids and weights from `cpu`."""
    scene, view = SCENES[request.param], cameras(35, 21, azimuths_deg=(10.0, 140.0))
    each = replace(scene, channels=torch.eye(len(scene.means)))
    wanted = reference.render(each, view, frozenset({"channels"})).channels
    found = cpu.render(scene, view, contributors=COUNT).contributors
    return wanted, found.ids, found.weights


def test_the_largest_weights_largest_first(weights) -> None:
    every, _, found = weights
    wanted = every.sort(dim=-1, descending=True).values[..., :COUNT]
    assert found.shape == wanted.shape
    assert ((found - wanted).abs() < 1e-4).double().mean() >= 0.999
    assert (found[..., :-1] >= found[..., 1:]).all()


def test_each_index_has_its_weight_and_none_twice(weights) -> None:
    every, ids, found = weights
    none = ids < 0
    assert torch.equal(none, found == 0)
    wanted = every.gather(-1, ids.clamp(min=0).long()).masked_fill(none, 0)
    assert ((found - wanted).abs() < 1e-4).double().mean() >= 0.999
    ordered = ids.sort(dim=-1).values
    assert ((ordered[..., 1:] != ordered[..., :-1]) | (ordered[..., 1:] < 0)).all()
    assert 0 < none.double().mean() < 0.9 or not none.any()


def test_more_than_there_are_leaves_places_empty() -> None:
    scene, view = gaussians(3, seed=32, size=0.3), cameras(20, 20)
    frames = cpu.render(scene, view, contributors=6)
    best = frames.contributors
    assert (best.ids[..., 3:] == -1).all() and (best.ids[..., :3] >= 0).any()
    torch.testing.assert_close(best.weights.sum(-1, keepdim=True), frames.alpha)


def test_none_unless_asked_for() -> None:
    assert cpu.render(gaussians(2), cameras(8, 8)).contributors is None
    with pytest.raises(ValueError, match="contributors"):
        cpu.render(gaussians(2), cameras(8, 8), contributors=-1)
