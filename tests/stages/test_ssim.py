"""SSIM against its definition, pixel by pixel, and by finite differences."""

import math

import pytest
import torch
from splatworks.stages.geometry.ssim import ssim

F64 = torch.float64


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def at(a: torch.Tensor, b: torch.Tensor, row: int, column: int) -> float:
    """One pixel of one channel, by loops; zero beyond the borders."""
    weights = [math.exp(-((k - 5) ** 2) / (2 * 1.5**2)) for k in range(11)]
    total = sum(weights)
    sums = [0.0] * 5
    for i in range(11):
        for j in range(11):
            y, x = row + i - 5, column + j - 5
            if not (0 <= y < a.shape[0] and 0 <= x < a.shape[1]):
                continue
            w = weights[i] * weights[j] / total**2
            p, q = float(a[y, x]), float(b[y, x])
            for k, value in enumerate((p, q, p * p, q * q, p * q)):
                sums[k] += w * value
    ma, mb, aa, bb, ab = sums
    upper = (2 * ma * mb + 1e-4) * (2 * (ab - ma * mb) + 9e-4)
    return upper / ((ma**2 + mb**2 + 1e-4) * (aa - ma**2 + bb - mb**2 + 9e-4))


def test_every_kind_of_pixel_by_the_definition() -> None:
    a, b = draw(0, 2, 17, 14), draw(1, 2, 17, 14)
    found = ssim(a, b)
    for channel, row, column in ((0, 0, 0), (1, 8, 7), (0, 16, 13), (1, 3, 12)):
        expected = at(a[channel], b[channel], row, column)
        assert float(found[channel, row, column]) == pytest.approx(expected, rel=1e-10)


def test_alike_is_one_and_it_is_symmetric() -> None:
    a, b = draw(0, 3, 20, 20), draw(1, 3, 20, 20)
    torch.testing.assert_close(ssim(a, a), torch.ones_like(a))
    torch.testing.assert_close(ssim(a, b), ssim(b, a))
    assert ssim(a, b).mean() < 0.5 and (ssim(a, b) <= 1 + 1e-12).all()


def test_its_gradient_agrees_with_finite_differences() -> None:
    a, b = draw(0, 2, 9, 8).requires_grad_(), draw(1, 2, 9, 8)
    assert torch.autograd.gradcheck(lambda x: ssim(x, b), a)
