"""Adaptive projected guidance: strong guidance without over-saturation.

Sadat et al., "Eliminating Oversaturation and Artifacts of High Guidance Scales in Diffusion
Models", ICLR 2025 (arXiv 2410.02416).

Notation: D_c, D_u *denoised* predictions (x0) with and without the text, w the guidance scale in
diffusers' convention, r the radius, eta the share of the parallel part that is kept.

    d     = D_c - D_u,     d <- d min(1, r / |d|)
    d_par = <d, D_c> D_c / |D_c|^2,    d_orth = d - d_par
    D     = D_c + (w - 1) (d_orth + eta d_par)

The paper's momentum over the steps of one sampling is left out: in distillation the noise level
is random in each step and the buffer has no meaning. Beware of other implementations: defaults
of eta = 1 (no projection), projection of raw model outputs, or on the unconditional prediction.
"""

import torch
from jaxtyping import Float
from torch import Tensor

RADIUS_PER_ROOT = 0.0586
"""The paper's r = 15 for SDXL's 4 x 128 x 128 latents, per square root of their number; gives
7.5 for 4 x 64 x 64, the paper's value for SD 2.1."""


def default_radius(latents: int) -> float:
    """r for a sample of so many latent values."""
    return RADIUS_PER_ROOT * latents**0.5


def project(
    text: Float[Tensor, "batch *shape"],
    unconditional: Float[Tensor, "batch *shape"],
    scale: float,
    *,
    eta: float = 0.0,
    radius: float | None = None,
) -> Float[Tensor, "batch *shape"]:
    """The guided denoised prediction D, computed in float64.

    Args:
        radius: r; None takes `default_radius`, 0 switches the bound off.
    """
    shape = text.shape
    d_c = text.double().flatten(1)
    d = d_c - unconditional.double().flatten(1)
    r = default_radius(d.shape[1]) if radius is None else radius
    if r > 0:
        length = torch.linalg.vector_norm(d, dim=1, keepdim=True)
        d = d * (r / length.clamp(min=r))
    square = d_c.square().sum(dim=1, keepdim=True)
    along = (d * d_c).sum(dim=1, keepdim=True) / torch.where(square > 0, square, 1.0)
    parallel = along * d_c
    guided = d_c + (scale - 1) * (d - parallel + eta * parallel)
    return guided.view(shape).to(text.dtype)
