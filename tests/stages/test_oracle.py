"""The oracle: exact posterior means, chosen by what the caption says."""

import json
import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from splatworks.pipeline.errors import InputError
from splatworks.stages.guidance.load import load as load_any
from splatworks.stages.guidance.oracle import (
    ANY,
    OracleGuidance,
    posterior_mean,
    scaled_linear_alphas_cumprod,
)
from splatworks.stages.guidance.view_words import Background, ViewWords, Word

F64 = torch.float64
WORDS = ViewWords(
    template="{prompt}, {azimuth} view, {elevation}",
    azimuth=(Word("front", 0.0), Word("front-left", 45.0), Word("left", 90.0), Word("back", 180.0)),
    elevation=(Word("level", 0.0), Word("overhead", 45.0)),
    jitter_deg=10.0,
    background_template="{prompt}, {background} background",
    backgrounds=(Background("white", (1.0, 1.0, 1.0)), Background("blue", (0.0, 0.0, 1.0))),
)
ANGLES = [(a, e) for a in (-5.0, 4.0, 45.0, 90.0, 180.0) for e in (2.0, 44.0)]


def pictures() -> torch.Tensor:
    """Opaque disks of a different color each."""
    rng = torch.Generator().manual_seed(0)
    rgba = torch.randint(0, 256, (len(ANGLES), 4, 1, 1), generator=rng).expand(-1, -1, 8, 8).clone()
    rgba[:, 3] = 0
    rgba[:, 3, 2:6, 2:6] = 255
    rgba[:, 3, 2, 2] = 51
    return rgba.to(torch.uint8)


@pytest.fixture
def oracle() -> OracleGuidance:
    azimuths, elevations = torch.tensor(ANGLES).T
    return OracleGuidance(pictures(), azimuths, elevations, WORDS)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**31), abar=st.floats(0.01, 0.99))
def test_posterior_mean_by_bayes(seed, abar) -> None:
    """Weights are normal densities, multiplied out over all numbers."""
    rng = torch.Generator().manual_seed(seed)
    stored = torch.randn(3, 1, 2, 2, generator=rng, dtype=F64)
    z_t = torch.randn(1, 2, 2, generator=rng, dtype=F64)
    density = []
    for z in stored:
        p = 1.0
        for value, middle in zip(z_t.flatten().tolist(), z.flatten().tolist(), strict=True):
            p *= math.exp(-((value - abar**0.5 * middle) ** 2) / (2 * (1 - abar)))
        density.append(p)
    expected = sum(p * z for p, z in zip(density, stored, strict=True)) / sum(density)
    torch.testing.assert_close(posterior_mean(z_t, abar, stored), expected, rtol=1e-9, atol=1e-12)


def test_much_noise_gives_the_mean_little_noise_the_nearest() -> None:
    stored = torch.stack([torch.zeros(1, 4, 4), torch.ones(1, 4, 4)]).double()
    near_one = torch.full((1, 4, 4), 0.8, dtype=F64)
    assert torch.allclose(posterior_mean(near_one * 0.999, 0.998, stored), stored[1])
    blurred = posterior_mean(torch.zeros(1, 4, 4, dtype=F64), 1e-9, stored)
    assert torch.allclose(blurred, torch.full_like(blurred, 0.5), atol=1e-3)


def test_the_prediction_is_the_score_of_the_mixture() -> None:
    """eps = -sigma * gradient of log p(z_t): an independent derivation (Tweedie)."""
    rng = torch.Generator().manual_seed(1)
    stored = torch.randn(4, 1, 2, 2, generator=rng, dtype=F64)
    z_t = torch.randn(1, 2, 2, generator=rng, dtype=F64).requires_grad_()
    abar = 0.6
    exponents = -((z_t - abar**0.5 * stored) ** 2).flatten(1).sum(1) / (2 * (1 - abar))
    (score,) = torch.autograd.grad(torch.logsumexp(exponents, 0), z_t)
    x0 = posterior_mean(z_t.detach(), abar, stored)
    eps = (z_t.detach() - abar**0.5 * x0) / (1 - abar) ** 0.5
    torch.testing.assert_close(eps, -((1 - abar) ** 0.5) * score)


def test_encoding_loses_nothing(oracle) -> None:
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    z = oracle.encode(images)
    assert tuple(z.shape[1:]) == oracle.latent_shape == (48, 2, 2)
    torch.testing.assert_close(oracle.decode(z), images)
    assert torch.equal(oracle.encode(torch.full((1, 3, 8, 8), 0.5)), torch.zeros(1, 48, 2, 2))


def test_captions_become_views(oracle) -> None:
    say = WORDS.text
    rows = (
        oracle.embed(
            [
                say("a cow, left view", 0, 0),
                say("a cow", 45, 45, background="blue"),
                say("a cow", 90, 0, background="white"),
                "a cow",
                "",
            ]
        )
        .tensors["view"]
        .tolist()
    )
    nothing = [ANY, ANY, ANY]
    assert rows == [[0, 0, ANY], [1, 1, 1], [2, 0, 0], nothing, nothing]


@pytest.mark.parametrize("azimuth", [0, 45, 90, 180])
@pytest.mark.parametrize("background", ["white", "blue"])
def test_the_named_view_on_the_named_background_is_meant(oracle, azimuth, background) -> None:
    """At little noise the prediction is a stored picture of that view, composited."""
    which = [k for k, (a, e) in enumerate(ANGLES) if abs(a - azimuth) < 10 and e < 10]
    rgba = pictures().float()[which] / 255
    color = torch.tensor(dict((b.name, b.rgb) for b in WORDS.backgrounds)[background])
    wanted = rgba[:, :3] * rgba[:, 3:] + (1 - rgba[:, 3:]) * color.view(1, 3, 1, 1)
    condition = oracle.embed([WORDS.text("x", azimuth, 0, background=background)])
    for image in wanted:
        z = oracle.encode(image[None])
        t = torch.tensor([0])
        z_t = oracle.alphas_cumprod[0].sqrt() * z
        guess = oracle.predict(z_t, t, condition)
        torch.testing.assert_close(oracle.decode(guess.x0)[0], image, atol=1e-5, rtol=0)


@pytest.mark.parametrize("azimuth, elevation", [(0, 0), (0, 45), (90, 45)])
def test_no_other_view_is_thought_of(oracle, azimuth, elevation) -> None:
    """At much noise the prediction is a mean: of pictures of this view and of no other."""
    rgba = pictures().float() / 255
    which = [
        k for k, (a, e) in enumerate(ANGLES) if abs(a - azimuth) < 10 and abs(e - elevation) < 10
    ]
    on_white = rgba[which, :3] * rgba[which, 3:] + (1 - rgba[which, 3:])
    a, z_t = float(oracle.alphas_cumprod[999]), torch.zeros(1, 48, 2, 2)
    expected = posterior_mean(z_t[0], a, oracle.encode(on_white))
    condition = oracle.embed([WORDS.text("x", azimuth, elevation, background="white")])
    guess = oracle.predict(z_t, torch.tensor([999]), condition)
    torch.testing.assert_close(guess.x0[0], expected)


def test_nothing_named_means_a_sample_of_everything() -> None:
    """100 pictures of different gray: every third stands for all, on each background."""
    rgba = torch.full((100, 4, 4, 4), 255, dtype=torch.uint8)
    rgba[:, :3] = torch.arange(100, dtype=torch.uint8).view(100, 1, 1, 1)
    many = OracleGuidance(rgba, torch.zeros(100), torch.zeros(100), WORDS)
    condition = many.embed([""])
    z_t = torch.zeros(1, 48, 1, 1)
    grays = torch.arange(0, 100, 3) / 255
    t = torch.tensor([999])
    a = float(many.alphas_cumprod[999])
    z = many.encode(grays.view(-1, 1, 1, 1).expand(-1, 3, 4, 4))
    expected = posterior_mean(z_t[0], a, z)
    torch.testing.assert_close(many.predict(z_t, t, condition).x0[0], expected)


def test_rows_of_a_batch_do_not_touch_each_other(oracle) -> None:
    rng = torch.Generator().manual_seed(3)
    z_t, t = torch.randn(2, 48, 2, 2, generator=rng), torch.tensor([999, 20])
    texts = [WORDS.text("x", 0, 0), WORDS.text("x", 180, 45, background="blue")]
    both = oracle.predict(z_t, t, oracle.embed(texts))
    for k in range(2):
        one = oracle.predict(z_t[k : k + 1], t[k : k + 1], oracle.embed(texts[k : k + 1]))
        assert torch.equal(one.x0[0], both.x0[k])
    a = oracle.alphas_cumprod[t].view(2, 1, 1, 1)
    torch.testing.assert_close(a.sqrt() * both.x0 + (1 - a).sqrt() * both.eps, z_t)


def test_the_schedule_is_stable_diffusions() -> None:
    from diffusers import DDIMScheduler

    theirs = DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    ours = scaled_linear_alphas_cumprod()
    torch.testing.assert_close(ours, theirs.alphas_cumprod, rtol=1e-4, atol=1e-6)
    assert all(b < a for a, b in pairwise(ours.tolist()))


def test_saved_and_loaded_it_answers_the_same(oracle, tmp_path) -> None:
    again = load_any(oracle.save(tmp_path / "oracle"))
    assert isinstance(again, OracleGuidance) and again.view_words == WORDS
    z_t, t = torch.ones(1, 48, 2, 2), torch.tensor([400])
    condition = oracle.embed(["x, left view, overhead"])
    assert torch.equal(again.predict(z_t, t, condition).x0, oracle.predict(z_t, t, condition).x0)
    assert again.view_text("x", 90, 45) == "x, left view, overhead"


def test_a_cut_file_is_refused(oracle, tmp_path) -> None:
    folder = oracle.save(tmp_path / "oracle")
    path = folder / "oracle.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match=r"oracle\.safetensors"):
        load_any(folder)
    assert json.loads((folder / "oracle.json").read_text())["pictures"] == len(ANGLES)


def test_wrong_sizes_and_close_ups_are_refused() -> None:
    azimuths, elevations = torch.tensor(ANGLES).T
    with pytest.raises(ValueError, match="multiple"):
        OracleGuidance(pictures()[..., :6, :6], azimuths, elevations, WORDS)
    words = ViewWords(
        azimuth=WORDS.azimuth, elevation=WORDS.elevation, template=WORDS.template,
        close_up_template="near {prompt}",
    )  # fmt: skip
    with pytest.raises(ValueError, match="close-up"):
        OracleGuidance(pictures(), azimuths, elevations, words)
