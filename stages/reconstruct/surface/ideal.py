"""Density and distance that a flat, opaque Gaussian stands for (SuGaR, eqs. 3-5)."""

import torch
from jaxtyping import Float
from torch import Tensor

LEAST_DENSITY = 1e-16
"""Below it the distance is taken as that of this density (authors' code)."""
LEAST_SQUARE = 1e-12
"""Of a distance in units of beta; nearer, the root has no usable slope and gets none."""


def flat_density(offset: Float[Tensor, " m"], beta: Float[Tensor, " m"]) -> Float[Tensor, " m"]:
    """exp(-t² / 2 beta²) at the offset t along the normal."""
    return torch.exp(-0.5 * (offset / beta).square())


def bounded(density: Float[Tensor, " m"]) -> Float[Tensor, " m"]:
    """1 where Gaussians overlap to more than 1, with the slope of ln d there."""
    return torch.where(density >= 1, density / density.detach().clamp(min=1), density)


def distance(density: Float[Tensor, " m"], beta: Float[Tensor, " m"]) -> Float[Tensor, " m"]:
    """beta sqrt(-2 ln d), without a sign; 0 at and above a density of 1."""
    square = -2 * density.clamp(min=LEAST_DENSITY).log()
    safe = torch.where(square > LEAST_SQUARE, square, 1.0)
    return beta * torch.where(square > LEAST_SQUARE, safe.sqrt(), 0.0)
