"""Each loss against the formula it is named after, where the model's answers are known."""

import math
from dataclasses import replace

import pytest
import torch
from splatworks.stages.distill.losses import add_noise, weight_of
from splatworks.stages.distill.opinion import OPINIONS, Latents, Manner, opinion
from splatworks.stages.distill.settings import Guide, Inversion
from splatworks.stages.guidance.inversion import invert, levels_between
from splatworks.stages.guidance.oracle import scaled_linear_alphas_cumprod
from splatworks.stages.guidance.sample import sample

from .closed_form import Exact, around

F64 = torch.float64
SHAPE = (3, 4, 4)


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def latents(z: torch.Tensor, mu: torch.Tensor, t: list[int], seed: int = 7) -> Latents:
    return Latents(
        z=z,
        text=around(mu, 0.2),
        unconditional=around(torch.zeros_like(mu), 1.0),
        timesteps=torch.tensor(t),
        noise=draw(seed, *z.shape),
    )


def manner(loss: str, guidance: float = 1.0, weight: str = "one", **inversion) -> Manner:
    return Manner(loss, weight, Guide(scale=guidance, method="cfg"), Inversion(**inversion))


def test_every_named_loss_has_a_function() -> None:
    from typing import get_args

    from splatworks.stages.distill.settings import Loss

    assert set(OPINIONS) == set(get_args(Loss))


def test_csd_is_the_difference_that_the_text_makes() -> None:
    """By hand: w (eps(text) - eps(nothing)); whatever the guidance scale."""
    model, z, mu = Exact(), draw(0, 2, *SHAPE), draw(1, 2, *SHAPE)
    given = latents(z, mu, [20, 70])
    a = model.alphas_cumprod[given.timesteps].view(2, 1, 1, 1)
    z_t = a.sqrt() * z + (1 - a).sqrt() * given.noise
    s = (1 - a).sqrt()
    expected = (1 - a) * (s * (z_t - a.sqrt() * mu) / (0.04 * a + s**2) - s * z_t / (a + s**2))
    for scale in (1.0, 30.0):
        got = opinion(given, manner("csd", scale, "sigma2"), model)
        torch.testing.assert_close(got.gradient, expected)


def test_inversion_is_undone_by_sampling() -> None:
    """In small steps: up with eps of the low end, down with eps of the high end."""
    model, z, mu = Exact(levels=400), 0.3 * draw(0, 1, *SHAPE), draw(1, 1, *SHAPE)
    text, nothing = around(mu, 0.2), around(torch.zeros_like(mu), 1.0)
    z = mu + 0.2 * z
    top = torch.tensor([399])
    levels = list(levels_between(torch.zeros_like(top), top, 399))
    up, _ = invert(model, z, levels, text, nothing, scale=1.0)
    down = sample(model, text, nothing, up, steps=400, scale=1.0)
    assert (down - z).abs().max() < 0.02
    # A straight answer: the exact path only scales the distance to the mean.
    a = model.alphas_cumprod[399]
    exact = a.sqrt() * mu + (z - mu) * ((0.04 * a + 1 - a) / (0.04 * 0.999 + 0.001)).sqrt()
    assert (up - exact).abs().max() < 0.05


def test_levels_are_even_and_end_where_asked() -> None:
    low, high = torch.tensor([0, 10]), torch.tensor([100, 30])
    assert levels_between(low, high, 4).tolist() == [
        [0, 10],
        [25, 15],
        [50, 20],
        [75, 25],
        [100, 30],
    ]
    with pytest.raises(ValueError, match="at least two"):
        invert(Exact(), draw(0, 2, *SHAPE), [low], around(low, 1.0), around(low, 1.0))


def test_inversion_of_one_step_by_hand() -> None:
    model, z = Exact(), draw(0, 1, *SHAPE)
    nothing = around(torch.zeros_like(z), 1.0)
    low, high = torch.tensor([10]), torch.tensor([60])
    a, b = model.alphas_cumprod[10], model.alphas_cumprod[60]
    got, guess = invert(model, z, [low, high], nothing, nothing)
    eps = (1 - a).sqrt() * z  # alpha^2 + sigma^2 = 1.
    x0 = (z - (1 - a).sqrt() * eps) / a.sqrt()
    torch.testing.assert_close(guess.eps, eps)
    torch.testing.assert_close(got, b.sqrt() * x0 + (1 - b).sqrt() * eps)


def test_ism_compares_two_levels_of_one_path() -> None:
    """By hand, for a level that the first stride reaches from the clean picture."""
    model, z, mu = Exact(), draw(0, 1, *SHAPE), draw(1, 1, *SHAPE)
    given = latents(z, mu, [22])
    got = opinion(given, manner("ism", 7.5, "one", interval=0.08, stride=0.2, steps=5), model)
    step = around(torch.zeros_like(mu), 1.0)
    s = 22 - 8
    at_s, _ = invert(model, z, [torch.tensor([0]), torch.tensor([s])], step, step)
    below = model.predict(at_s, torch.tensor([s]), step)
    a = model.alphas_cumprod[22]
    z_t = a.sqrt() * below.x0 + (1 - a).sqrt() * below.eps
    text = model.predict(z_t, torch.tensor([22]), given.text).eps
    nothing = model.predict(z_t, torch.tensor([22]), step).eps
    expected = nothing + 7.5 * (text - nothing) - below.eps
    torch.testing.assert_close(got.gradient, expected)
    # No noise is drawn where the path begins at the picture itself.
    again = opinion(replace(given, noise=draw(99, *z.shape)), manner("ism", 7.5, steps=5), model)
    torch.testing.assert_close(again.gradient, expected)


def test_ism_starts_from_noise_where_the_path_is_too_long() -> None:
    model, z, mu = Exact(), draw(0, 2, *SHAPE), draw(1, 2, *SHAPE)
    how = manner("ism", 3.0, steps=1, stride=0.1, interval=0.05)
    both = opinion(latents(z, mu, [90, 12]), how, model)
    other = opinion(latents(z, mu, [90, 12], seed=8), how, model)
    assert not torch.allclose(both.gradient[0], other.gradient[0])
    torch.testing.assert_close(both.gradient[1], other.gradient[1])
    # A view's gradient does not depend on which other view was asked about with it.
    given = latents(z, mu, [90, 12])
    for k in (0, 1):
        alone = Latents(
            z[k : k + 1], around(mu[k : k + 1], 0.2), around(0 * mu[k : k + 1], 1.0),
            given.timesteps[k : k + 1], given.noise[k : k + 1],
        )  # fmt: skip
        got = opinion(alone, how, model).gradient[0]
        torch.testing.assert_close(got, both.gradient[k])


def test_sdi_takes_its_noise_from_the_picture() -> None:
    model, z, mu = Exact(), draw(0, 2, *SHAPE), draw(1, 2, *SHAPE)
    given = latents(z, mu, [40, 80])
    how = manner("sdi", 2.0, "sigma2", steps=4, scale=-1.5, fresh=0.6)
    got = opinion(given, how, model)
    levels = list(levels_between(torch.tensor([0, 0]), given.timesteps, 4))
    _, guess = invert(model, z, levels, given.text, given.unconditional, scale=-1.5)
    noise = 0.8 * guess.eps + 0.6 * given.noise
    abar = model.alphas_cumprod[given.timesteps]
    z_t = add_noise(z, noise, abar)
    text = model.predict(z_t, given.timesteps, given.text).x0
    nothing = model.predict(z_t, given.timesteps, given.unconditional).x0
    x0 = nothing + 2.0 * (text - nothing)
    expected = weight_of("sigma2", abar).view(2, 1, 1, 1) * (z - x0)
    torch.testing.assert_close(got.gradient, expected)
    torch.testing.assert_close(got.x0, x0)
    calm = opinion(given, replace(how, inversion=replace(how.inversion, fresh=0.0)), model)
    calm_too = opinion(
        replace(given, noise=draw(5, *z.shape)),
        replace(how, inversion=replace(how.inversion, fresh=0.0)),
        model,
    )
    torch.testing.assert_close(calm.gradient, calm_too.gradient)


def distilled(
    loss: str, scale: float, method: str = "cfg", steps: int = 300
) -> tuple[float, float]:
    """Relative error, and spread relative to that of the mean, of latents moved by one loss."""
    model = Exact()
    model.alphas_cumprod = scaled_linear_alphas_cumprod()
    rng = torch.Generator().manual_seed(0)
    mu = torch.randn(1, *SHAPE, generator=rng)
    z = torch.zeros_like(mu, requires_grad=True)
    adam = torch.optim.Adam([z], lr=0.05)
    how = Manner(loss, "sigma2", Guide(scale=scale, method=method), Inversion(steps=4))
    for _ in range(steps):
        t = torch.randint(20, 981, (1,), generator=rng)
        noise = torch.randn(mu.shape, generator=rng)
        given = Latents(z.detach(), around(mu, 0.2), around(torch.zeros_like(mu), 1.0), t, noise)
        z.grad = opinion(given, how, model).gradient
        adam.step()
    found = z.detach()
    return float((found - mu).norm() / mu.norm()), float(found.std() / mu.std())


def test_without_guidance_inverted_noise_finds_the_mean_too() -> None:
    assert distilled("sdi", 1.0)[0] <= 0.06


def test_csd_alone_runs_away_from_nothing() -> None:
    """At strong guidance SDS and CSD end with more than twice the spread."""
    assert distilled("csd", 7.5)[1] >= 2
    assert distilled("sds", 7.5)[1] >= 2


def test_rescaled_guidance_saturates_less_than_plain() -> None:
    plain, rescaled = distilled("x0", 7.5)[1], distilled("x0", 7.5, "rescale")[1]
    assert rescaled < plain and math.isfinite(rescaled)
