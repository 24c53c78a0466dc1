"""Score distillation gradients, and what they do in a case with a closed form."""

import pytest
import torch
from splatworks.stages.distill.losses import (
    add_noise,
    sds_gradient,
    specified,
    weight_of,
    x0_gradient,
)
from splatworks.stages.guidance.apg import project
from splatworks.stages.guidance.cfg import combine
from splatworks.stages.guidance.oracle import scaled_linear_alphas_cumprod

F64 = torch.float64


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def test_weights_are_what_their_names_say() -> None:
    abar = torch.tensor([0.81, 0.36], dtype=F64)
    assert torch.equal(weight_of("one", abar), torch.ones(2, dtype=F64))
    torch.testing.assert_close(weight_of("sigma2", abar), torch.tensor([0.19, 0.64], dtype=F64))
    expected = torch.tensor([0.9 * 0.19, 0.6 * 0.64], dtype=F64)
    torch.testing.assert_close(weight_of("alpha_sigma2", abar), expected)


def test_noise_keeps_the_variance() -> None:
    abar = torch.tensor([0.81, 0.36], dtype=F64)
    z, noise = draw(0, 2, 4, 3, 3), draw(1, 2, 4, 3, 3)
    z_t = add_noise(z, noise, abar)
    torch.testing.assert_close(z_t[0], 0.9 * z[0] + 0.19**0.5 * noise[0])
    torch.testing.assert_close(z_t[1], 0.6 * z[1] + 0.8 * noise[1])


def test_x0_is_sds_times_sigma_over_alpha() -> None:
    """z - x0* = (sigma / alpha)(eps* - eps) where x0* and eps* belong to one z_t."""
    abar = torch.tensor([0.9, 0.2], dtype=F64)
    a, s = abar.sqrt().view(2, 1, 1, 1), (1 - abar).sqrt().view(2, 1, 1, 1)
    z, noise, eps = draw(0, 2, 4, 3, 3), draw(1, 2, 4, 3, 3), draw(2, 2, 4, 3, 3)
    x0 = (add_noise(z, noise, abar) - s * eps) / a
    weight = torch.tensor([2.0, 3.0], dtype=F64)
    by_x0 = x0_gradient(z, x0, weight)
    by_eps = sds_gradient(eps, noise, weight)
    torch.testing.assert_close(by_x0, (s / a) * by_eps)
    torch.testing.assert_close(by_eps[1], 3.0 * (eps[1] - noise[1]))


def test_the_x0_gradient_is_that_of_half_the_squared_distance() -> None:
    z = draw(0, 2, 4, 3, 3).requires_grad_()
    target, weight = draw(1, 2, 4, 3, 3), torch.tensor([1.0, 0.5], dtype=F64)
    (0.5 * weight.view(2, 1, 1, 1) * (z - target).square()).sum().backward()
    torch.testing.assert_close(x0_gradient(z.detach(), target, weight), z.grad)


def test_specified_hands_down_exactly_the_gradient() -> None:
    z, wanted = draw(0, 3, 2).requires_grad_(), draw(1, 3, 2)
    loss = specified(z, wanted)
    assert loss.item() == pytest.approx(0.5 * float(wanted.square().sum()))
    (1024 * loss).backward()
    assert torch.equal(z.grad, 1024 * wanted)


def distilled(kind: str, scale: float, steps: int = 300) -> tuple[float, float]:
    """Latents under Adam against exact predictions: text N(mu, 0.2^2), unconditional N(0, 1).

    eps* = sigma (z_t - alpha mu) / (alpha^2 s^2 + sigma^2); returns the relative error and the
    spread of the result relative to the spread of mu.
    """
    rng = torch.Generator().manual_seed(0)
    abar = scaled_linear_alphas_cumprod()
    mu = torch.randn(1, 4, 8, 8, generator=rng)
    z = torch.zeros_like(mu, requires_grad=True)
    adam = torch.optim.Adam([z], lr=0.05)
    for _ in range(steps):
        t = torch.randint(20, 981, (1,), generator=rng)
        a2 = abar[t]
        a, s = a2.sqrt(), (1 - a2).sqrt()
        noise = torch.randn(mu.shape, generator=rng)
        z_t = add_noise(z.detach(), noise, a2)
        text = s * (z_t - a * mu) / (a2 * 0.04 + s**2)
        nothing = s * z_t / (a2 + s**2)
        if kind == "apg":
            x0 = project((z_t - s * text) / a, (z_t - s * nothing) / a, scale)
            g = x0_gradient(z.detach(), x0, torch.ones(1))
        elif kind == "x0":
            x0 = (z_t - s * combine(text, nothing, scale)) / a
            g = x0_gradient(z.detach(), x0, torch.ones(1))
        else:
            g = sds_gradient(combine(text, nothing, scale), noise, weight_of("sigma2", a2))
        adam.zero_grad()
        specified(z, g).backward()
        adam.step()
    result = z.detach()
    return float((result - mu).norm() / mu.norm()), float(result.std() / mu.std())


@pytest.mark.parametrize("kind", ["sds", "x0"])
def test_without_guidance_the_mean_is_found(kind) -> None:
    error, _ = distilled(kind, 1.0)
    assert error <= 0.05


def test_strong_guidance_saturates_sds_but_not_apg() -> None:
    """SDS at least twice the spread, APG at most 1.05 (7.5) and 1.25 (100)."""
    assert distilled("sds", 7.5)[1] >= 2
    assert distilled("apg", 7.5)[1] <= 1.05
    assert distilled("apg", 100.0)[1] <= 1.25
