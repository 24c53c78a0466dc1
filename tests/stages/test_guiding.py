"""Rescaled guidance and Perp-Neg."""

import math

import pytest
import torch
from splatworks.stages.guidance.cfg import predict_guided
from splatworks.stages.guidance.perp_neg import (
    AVOIDED,
    Negatives,
    combine_perpendicular,
    mixed,
    side_of,
)
from splatworks.stages.guidance.protocol import Condition
from splatworks.stages.guidance.rescale import rescale
from splatworks.stages.guidance.view_words import STABLE_DIFFUSION, ViewWords, Word

from .closed_form import Exact, around

F64 = torch.float64
EIGHT = ViewWords(azimuth=tuple(Word(f"w{k}", 45.0 * k) for k in range(8)))


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def test_rescaling_gives_back_the_spread_of_the_text() -> None:
    text, guided = draw(0, 3, 4, 5, 5), 7 * draw(1, 3, 4, 5, 5) + 2
    whole = rescale(guided, text, 1.0)
    torch.testing.assert_close(whole.flatten(1).std(dim=1), text.flatten(1).std(dim=1))
    torch.testing.assert_close(rescale(guided, text, 0.0), guided)
    torch.testing.assert_close(rescale(guided, text, 0.7), 0.7 * whole + 0.3 * guided)
    flat = torch.full((1, 4, 5, 5), 3.0, dtype=F64)
    assert torch.equal(rescale(flat, text[:1], 1.0), flat)


def test_rescaled_noise_and_picture_agree() -> None:
    model, mu, z_t, t = Exact(), draw(1, 2, 3, 8, 8), draw(0, 2, 3, 8, 8), torch.tensor([20, 90])
    guess = predict_guided(
        model, z_t, t, around(mu, 0.2), around(0 * mu, 1.0), scale=9.0, method="rescale"
    )
    a = model.alphas_cumprod[t].view(2, 1, 1, 1)
    torch.testing.assert_close(a.sqrt() * guess.x0 + (1 - a).sqrt() * guess.eps, z_t)


# --- Perp-Neg ---


def test_what_is_added_lies_across_the_wanted_direction() -> None:
    text, nothing, avoided = draw(0, 2, 4, 3, 3), draw(1, 2, 4, 3, 3), draw(2, 2, 2, 4, 3, 3)
    weights = torch.tensor([[-1.0, -0.3], [-0.5, 0.0]], dtype=F64)
    plain = nothing + 5 * (text - nothing)
    got = combine_perpendicular(text, nothing, avoided, weights, 5.0)
    added = (got - plain).flatten(1)
    wanted = (text - nothing).flatten(1)
    assert ((added * wanted).sum(dim=1).abs() < 1e-9 * added.norm(dim=1) * wanted.norm(dim=1)).all()
    # And it is the part of the avoided ones across, each with its weight.
    for k in range(2):
        expected = torch.zeros_like(wanted[k])
        unit = wanted[k] / wanted[k].norm()
        for i in range(2):
            e = (avoided[i, k] - nothing[k]).flatten()
            expected += 5 * weights[i, k] * (e - (e @ unit) * unit)
        torch.testing.assert_close(added[k], expected)


def test_avoiding_the_wanted_text_itself_changes_nothing() -> None:
    text, nothing = draw(0, 1, 4, 3, 3), draw(1, 1, 4, 3, 3)
    got = combine_perpendicular(text, nothing, text[None], -torch.ones(1, 1, dtype=F64), 3.0)
    torch.testing.assert_close(got, nothing + 3 * (text - nothing))
    same = combine_perpendicular(text, text, nothing[None], -torch.ones(1, 1, dtype=F64), 0.0)
    assert torch.isfinite(same).all()


@pytest.mark.parametrize("azimuth", [-180.0, -135.0, -90.0, -30.0, 0.0, 45.0, 90.0, 179.0, 300.0])
def test_weights_push_away_and_vanish_at_their_own_word(azimuth) -> None:
    side = side_of(STABLE_DIFFUSION, azimuth)
    assert len(side.weights) == AVOIDED and all(weight <= 0 for weight in side.weights)
    apart = [abs((deg - azimuth + 180) % 360 - 180) for deg in side.avoided_deg]
    for gap, weight in zip(apart, side.weights, strict=True):
        if gap < 1e-9:
            assert weight > -1e-3
    assert side.avoided_deg[1] in (0.0, 90.0, -90.0)


def test_weights_by_hand() -> None:
    """A camera at 45 degrees, half way from front to side; at 135, half way from side to back."""
    near = side_of(STABLE_DIFFUSION, 45.0)
    f = 4 * math.exp(-0.25) - 2.426
    assert near.share == pytest.approx(0.5) and near.avoided_deg == (0.0, 90.0)
    assert near.weights == pytest.approx((-f, -f))
    far = side_of(STABLE_DIFFUSION, -135.0)
    assert far.wanted_deg == (-90.0, 180.0) and far.avoided_deg == (-90.0, 0.0)
    expected = (-(math.exp(-0.25) - 0.606), -(math.exp(-0.25) + 0.967))
    assert far.share == pytest.approx(0.5) and far.weights == pytest.approx(expected)


def test_both_rows_agree_at_the_side() -> None:
    before, after = side_of(STABLE_DIFFUSION, 90.0), side_of(STABLE_DIFFUSION, 90.0 + 1e-6)
    assert dict(zip(before.avoided_deg, before.weights, strict=True)) == pytest.approx(
        dict(zip(after.avoided_deg, after.weights, strict=True)), abs=2e-3
    )
    assert before.share == 0 and after.share == pytest.approx(1)  # Both mean the side.


def test_a_model_with_closer_words_keeps_its_own() -> None:
    side = side_of(EIGHT, 130.0)
    assert side.wanted_deg == (130.0, 130.0) and side.share == 1
    assert side.weights == side_of(STABLE_DIFFUSION, 130.0).weights


def test_mixing_interpolates_embeddings_only() -> None:
    one = Condition({"states": torch.ones(1, 2), "time_ids": torch.tensor([[5]])})
    two = Condition({"states": torch.zeros(1, 2), "time_ids": torch.tensor([[5]])})
    half = mixed(one, two, 0.25)
    assert (
        half.tensors["states"].tolist() == [[0.25, 0.25]] and half.tensors["time_ids"].item() == 5
    )
    assert mixed(one, two, 1.0) is one


def test_the_model_is_asked_once_with_all_texts() -> None:
    model, mu, z_t, t = Exact(), draw(1, 2, 3, 8, 8), draw(0, 2, 3, 8, 8), torch.tensor([20, 90])
    nothing, other = around(0 * mu, 1.0), around(-mu, 0.2)
    negatives = Negatives([other, nothing], torch.tensor([[-0.5, -1.0], [-2.0, 0.0]]))
    guess = predict_guided(model, z_t, t, around(mu, 0.2), nothing, scale=4.0, negatives=negatives)
    eps = [model.predict(z_t, t, c).eps for c in (around(mu, 0.2), nothing, other)]
    expected = combine_perpendicular(
        eps[0], eps[1], torch.stack([eps[2], eps[1]]), negatives.weights, 4.0
    )
    torch.testing.assert_close(guess.eps, expected)
    a = model.alphas_cumprod[t].view(2, 1, 1, 1)
    torch.testing.assert_close(a.sqrt() * guess.x0 + (1 - a).sqrt() * guess.eps, z_t)
