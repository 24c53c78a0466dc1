"""Score distillation as gradients by the latents.

Notation: z latents of the rendered views, z_t = alpha z + sigma eps the noised ones, eps the noise
that was added, eps* and x0* the guided predictions, w(t) the weight of a noise level.

    SDS (Poole et al. 2022, eq. 3)      g = w(t) (eps* - eps)
    x0  (Shi et al. 2023, MVDream)      g = w(t) (z - x0*)
    CSD (Yu et al. 2024)                g = w(t) (eps(text) - eps(nothing)), without the noise
    ISM (Liang et al. 2024, LucidDreamer)
                                        g = w(t) (eps*(z_t) - eps(z_s; nothing)); z_s and z_t are
                                        found from z by inversion without the text, s below t
    SDI (Lukoianov et al. 2024)         as x0, with noise found by inversion with negative guidance
    VSD (Wang et al. 2023)              g = w(t) (eps*(z_t) - eps_copy(z_t; pose)), where the copy
                                        learns to denoise the rendered views meanwhile

As x0* = (z_t - sigma eps*) / alpha, the second is the first times sigma / alpha. Neither is
divided by the batch or by the number of latents: each view's gradient is what it would be alone.

    w = one               1
        sigma2            1 - alphas_cumprod                          DreamFusion, PGC
        alpha_sigma2      sqrt(alphas_cumprod) (1 - alphas_cumprod)   Fantasia3D
        sigma_over_alpha  sqrt(1 / alphas_cumprod - 1)                LucidDreamer; makes SDS x0
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from .settings import Weight


def weight_of(kind: Weight, alphas_cumprod: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    """w(t) of each noise level, given alpha^2."""
    if kind == "one":
        return torch.ones_like(alphas_cumprod)
    if kind == "sigma2":
        return 1 - alphas_cumprod
    if kind == "sigma_over_alpha":
        return (1 / alphas_cumprod - 1).sqrt()
    return alphas_cumprod.sqrt() * (1 - alphas_cumprod)


def add_noise(
    z: Float[Tensor, "batch channel height width"],
    noise: Float[Tensor, "batch channel height width"],
    alphas_cumprod: Float[Tensor, " batch"],
) -> Float[Tensor, "batch channel height width"]:
    """z_t = alpha z + sigma eps."""
    a = alphas_cumprod.view(-1, 1, 1, 1)
    return a.sqrt() * z + (1 - a).sqrt() * noise


def sds_gradient(
    eps_guided: Float[Tensor, "batch channel height width"],
    noise: Float[Tensor, "batch channel height width"],
    weight: Float[Tensor, " batch"],
) -> Float[Tensor, "batch channel height width"]:
    """w(t) (eps* - eps)."""
    return weight.view(-1, 1, 1, 1) * (eps_guided - noise)


def x0_gradient(
    z: Float[Tensor, "batch channel height width"],
    x0_guided: Float[Tensor, "batch channel height width"],
    weight: Float[Tensor, " batch"],
) -> Float[Tensor, "batch channel height width"]:
    """w(t) (z - x0*): of 0.5 w(t) |z - x0*|^2 with x0* held fixed."""
    return weight.view(-1, 1, 1, 1) * (z - x0_guided)


def csd_gradient(
    eps_text: Float[Tensor, "batch channel height width"],
    eps_nothing: Float[Tensor, "batch channel height width"],
    weight: Float[Tensor, " batch"],
) -> Float[Tensor, "batch channel height width"]:
    """w(t) (eps(text) - eps(nothing))."""
    return weight.view(-1, 1, 1, 1) * (eps_text - eps_nothing)


class _Specified(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return 0.5 * gradient.square().sum()

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return upstream[0] * gradient, None


def specified(z: Float[Tensor, "*shape"], gradient: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """A scalar whose gradient by z is exactly `gradient`, times whatever multiplies the scalar.

    Its value, 0.5 |gradient|^2, is for the log: it is not the integral of the gradient. The
    usual 0.5 |z - stop(z - g)|^2 has the same gradient up to rounding.
    """
    return _Specified.apply(z, gradient.detach())
