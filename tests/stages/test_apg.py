"""Adaptive projected guidance: the identities of the paper."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from splatworks.stages.guidance.apg import default_radius, project
from splatworks.stages.guidance.cfg import combine, scale_from_text_convention

F64 = torch.float64


def pair(seed: int, spread: float = 0.1) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    text = torch.randn(2, 4, 8, 8, generator=rng, dtype=F64)
    return text, text + spread * torch.randn(text.shape, generator=rng, dtype=F64)


def by_loop(text, nothing, scale, eta, radius) -> torch.Tensor:
    """The five steps of the paper for one sample after the other, in plain Python floats."""
    rows = []
    for c, u in zip(text.flatten(1).tolist(), nothing.flatten(1).tolist(), strict=True):
        d = [a - b for a, b in zip(c, u, strict=True)]
        length = math.sqrt(math.fsum(v * v for v in d))
        if radius > 0 and length > radius:
            d = [v * radius / length for v in d]
        square = math.fsum(v * v for v in c)
        dot = math.fsum(a * b for a, b in zip(d, c, strict=True))
        parallel = [dot / square * v for v in c]
        rows.append(
            [a + (scale - 1) * (b - p + eta * p) for a, b, p in zip(c, d, parallel, strict=True)]
        )
    return torch.tensor(rows, dtype=F64).view(text.shape)


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**31),
    scale=st.floats(0, 100),
    eta=st.floats(0, 1),
    radius=st.sampled_from([0.0, 0.5, 3.0, 1e3]),
)
def test_matches_the_definition(seed, scale, eta, radius) -> None:
    text, nothing = pair(seed)
    done = project(text, nothing, scale, eta=eta, radius=radius)
    torch.testing.assert_close(
        done, by_loop(text, nothing, scale, eta, radius), rtol=1e-10, atol=1e-10
    )


def test_with_everything_off_it_is_plain_guidance() -> None:
    text, nothing = pair(0)
    done = project(text.float(), nothing.float(), 7.5, eta=1.0, radius=0.0)
    assert (done - combine(text, nothing, 7.5)).abs().max() <= 1e-4


def test_the_update_is_perpendicular_to_the_prediction() -> None:
    text, nothing = pair(1)
    update = project(text, nothing, 7.5, radius=0.0) - text
    cosine = torch.nn.functional.cosine_similarity(update.flatten(1), text.flatten(1), dim=1)
    assert cosine.abs().max() <= 1e-6


def test_the_spread_does_not_grow_where_guidance_is_parallel() -> None:
    text, _ = pair(2)
    _, other = pair(3)
    nothing = 0.6 * text + 0.1 * other
    assert combine(text, nothing, 7.5).std() >= 3 * text.std()
    assert project(text, nothing, 7.5).std() <= 1.05 * text.std()


def test_scale_one_is_the_text_prediction() -> None:
    text, nothing = pair(4)
    assert torch.equal(project(text, nothing, 1.0), text)


def test_the_radius_bounds_each_sample_by_itself() -> None:
    text, nothing = pair(5)
    nothing[1] = text[1] + 0.001
    done = project(text, nothing, 2.0, eta=1.0, radius=1.0) - text
    lengths = done.flatten(1).norm(dim=1)
    assert lengths[0] == pytest.approx(1.0) and lengths[1] == pytest.approx(0.016)


def test_default_radius_is_the_papers() -> None:
    assert default_radius(4 * 128 * 128) == pytest.approx(15, rel=2e-3)
    assert default_radius(4 * 64 * 64) == pytest.approx(7.5, rel=2e-3)
    text, nothing = pair(6, spread=3.0)
    by_default = project(text, nothing, 3.0)
    assert torch.equal(by_default, project(text, nothing, 3.0, radius=default_radius(256)))
    assert not torch.equal(by_default, project(text, nothing, 3.0, radius=0.0))


def test_a_prediction_of_zero_stays_finite() -> None:
    zero = torch.zeros(1, 4, 2, 2)
    assert torch.isfinite(project(zero, zero, 7.5)).all()


@given(scale=st.floats(-10, 200))
def test_presets_of_the_other_convention(scale) -> None:
    """text + 100 d == uncond + 101 d."""
    text, nothing = pair(7)
    theirs = text + scale * (text - nothing)
    ours = combine(text, nothing, scale_from_text_convention(scale))
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
