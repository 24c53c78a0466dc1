"""What pulls at the picture itself, and what it is worth."""

import pytest
import torch
from splatworks.stages.distill.clip import clip_pixels
from splatworks.stages.distill.image_terms import alpha_gradient, repaired, toward_decoded

F64 = torch.float64


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


@pytest.mark.parametrize("sparse, opaque", [(0.7, 0.0), (0.0, 0.3), (0.5, 2.0)])
def test_the_slope_of_alpha_agrees_with_finite_differences(sparse, opaque) -> None:
    alpha = torch.tensor([0.004, 0.2, 0.5, 0.83, 0.99], dtype=F64)

    def loss(a: torch.Tensor) -> torch.Tensor:
        entropy = -(a * a.log() + (1 - a) * (1 - a).log())
        return sparse * (a**2 + 0.01).sqrt() + opaque * entropy

    h = 1e-6
    expected = (loss(alpha + h) - loss(alpha - h)) / (2 * h)
    torch.testing.assert_close(
        alpha_gradient(alpha, sparse, opaque), expected, rtol=1e-6, atol=1e-8
    )


def test_alpha_at_its_ends_is_finite_and_stays_there() -> None:
    ends = alpha_gradient(torch.tensor([0.0, 1.0], dtype=F64), 0.0, 1.0)
    assert torch.isfinite(ends).all() and ends[0] > 0 > ends[1]
    assert alpha_gradient(torch.zeros(1, dtype=F64), 5.0, 0.0).item() == 0


def test_repair_keeps_each_pixels_strength() -> None:
    g, image, ahead = draw(0, 2, 3, 4, 4), draw(1, 2, 3, 4, 4), draw(2, 2, 3, 4, 4)
    ahead[0, :, 1, 1] = image[0, :, 1, 1]  # Nothing to repair in one pixel.
    g[1, :, 2, 2] = 0
    out = repaired(g, image, ahead)
    torch.testing.assert_close(out[0, :, 1, 1], g[0, :, 1, 1])
    assert not out[1, :, 2, 2].any()
    for v, y, x in ((0, 0, 0), (1, 3, 1)):
        d = ahead[v, :, y, x] - image[v, :, y, x]
        expected = g[v, :, y, x] - d / d.norm() * g[v, :, y, x].norm()
        torch.testing.assert_close(out[v, :, y, x], expected)
    lengths = [torch.linalg.vector_norm(each, dim=1) for each in (g, out)]
    assert (lengths[1] <= 2 * lengths[0] + 1e-12).all()


def test_toward_decoded_is_a_gradient() -> None:
    image, goal = draw(0, 1, 3, 4, 4).requires_grad_(), draw(1, 1, 3, 4, 4)
    (0.5 * 0.3 * (image - goal).square()).sum().backward()
    torch.testing.assert_close(toward_decoded(image.detach(), goal, 0.3), image.grad)


def roughness(mode: str, steps: int = 600) -> float:
    """Noise is moved until its latents are those of a smooth picture.

    The encoder takes the mean of each color over 8 x 8 pixels, and one odd thing; the decoder
    paints the means smoothly. Returns the sum of squared differences of neighbors.
    """
    rng = torch.Generator().manual_seed(1)
    kernel = torch.zeros(4, 3, 8, 8, dtype=F64)
    for color in range(3):
        kernel[color, color] = 1 / 64
    kernel[3] = draw(2, 3, 8, 8) / 64

    def encode(x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv2d(x, kernel, stride=8)

    def decode(z: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.interpolate(z[:, :3], scale_factor=8, mode="bilinear")

    ramp = torch.linspace(0, 1, 64, dtype=F64)
    rows, columns = ramp[:, None].expand(64, 64), ramp[None].expand(64, 64)
    clean = 0.5 + 0.3 * torch.stack([torch.sin(5 * columns), torch.cos(4 * rows), rows * columns])
    goal = encode(clean[None])
    x = torch.rand(1, 3, 64, 64, generator=rng, dtype=F64)
    for _ in range(steps):
        x.requires_grad_()
        z = encode(x)
        g_z = 2 * (z - goal).detach()
        (g,) = torch.autograd.grad(z, x, g_z)
        x = x.detach()
        if mode == "repair":
            g = repaired(g, x, decode(z.detach() - 0.1 * g_z))
        elif mode == "clip":
            g = clip_pixels(g, 2e-3).gradient
        x = (x - 12 * g).clamp(0, 1)
    return float(x.diff(dim=2).square().sum() + x.diff(dim=3).square().sum())


def test_repair_removes_noise_that_clipping_cannot_see() -> None:
    plain, clipped, mended = roughness("plain"), roughness("clip"), roughness("repair")
    assert clipped == pytest.approx(plain, rel=0.05)
    assert mended < plain / 3
