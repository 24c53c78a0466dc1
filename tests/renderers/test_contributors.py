"""Whom a pixel shows, against the reference: there every Gaussian is a channel of its own."""

from dataclasses import replace

import numba
import numpy as np
import pytest
import torch
from splatworks.renderers import cpu, reference
from splatworks.renderers.cpu import compiled
from splatworks.renderers.cpu.contributions import contributions
from splatworks.renderers.cpu.contributors import insert

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


def test_faint_ones_and_the_end_of_blending() -> None:
    """Walls one behind the other: weights far below 1e-4, and none behind T = 1e-4."""
    n = 6
    scene = gaussians(n, seed=33, degree=0, size=50.0)
    means = torch.zeros(n, 3)
    means[:, 2] = -0.1 * torch.arange(n)
    opacities = torch.tensor([0.99, 0.98, 0.006, 0.006, 0.9, 0.5])
    scene = replace(scene, means=means, opacities=opacities)
    view = cameras(6, 6, elevation_deg=0.0, distance_m=5.0)
    each = replace(scene, channels=torch.eye(n))
    wanted = reference.render(each, view, frozenset({"channels"})).channels[0, 3, 3]
    best = cpu.render(scene, view, contributors=n).contributors
    found = torch.zeros(n, dtype=torch.float64)
    ids, weights = best.ids[0, 3, 3], best.weights[0, 3, 3]
    found[ids[ids >= 0].long()] = weights[ids >= 0].double()
    assert (wanted > 0).sum() == 4 and 0 < wanted[wanted > 0].min() < 1e-5
    torch.testing.assert_close(found, wanted.double(), rtol=1e-3, atol=1e-9)
    (matrix,) = contributions(scene, view)
    torch.testing.assert_close(
        torch.from_numpy(matrix.toarray()[21]).double(), wanted.double(), rtol=1e-3, atol=1e-9
    )


def test_the_nearer_of_two_equal_weights_comes_first() -> None:
    @numba.njit(**compiled._OPTIONS)
    def put_all(ids, weights, found, given):
        for k in range(len(found)):
            insert(ids, weights, 0, 3, found[k], given[k])

    ids, weights = np.full(3, -1, np.int32), np.zeros(3, np.float32)
    given = np.array([0.25, 0.5, 0.25, 0.25], np.float32)
    put_all(ids, weights, np.array([4, 5, 6, 7], np.int32), given)
    assert ids.tolist() == [5, 4, 6] and weights.tolist() == [0.5, 0.25, 0.25]


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
