"""Where the Gaussians of a triangle lie, and how large they begin (SuGaR, section 4.3 and code)."""

import math
from collections.abc import Mapping
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor

CENTER = ((1 / 3, 1 / 3, 1 / 3),)


def _turns(a: float, b: float) -> tuple[tuple[float, float, float], ...]:
    return ((a, b, b), (b, a, b), (b, b, a))


BARYCENTRICS: Mapping[int, tuple[tuple[float, float, float], ...]] = MappingProxyType(
    {
        1: CENTER,
        3: _turns(1 / 2, 1 / 4),
        4: (*CENTER, *_turns(2 / 3, 1 / 6)),
        6: (*_turns(2 / 3, 1 / 6), *_turns(1 / 6, 5 / 12)),
    }
)
"""By the number of Gaussians on a triangle."""
SIZES: Mapping[int, float] = MappingProxyType(
    {
        1: 1 / (2 * math.sqrt(3)),
        3: 1 / (2 * (math.sqrt(3) + 1)),
        4: 1 / (4 * math.sqrt(3)),
        6: 1 / (4 + 2 * math.sqrt(3)),
    }
)
"""Radii of equal circles that fill an equilateral triangle of side 1: standard deviations at the
start, relative to the shortest edge."""
THICKNESS = 1e-6
"""Standard deviation across the triangle, relative to the mesh's radius."""


def barycentrics(count: int) -> Float[Tensor, "count 3"]:
    """In float64."""
    return torch.tensor(BARYCENTRICS[count], dtype=torch.float64)


def first_deviations(corners: Float[Tensor, "face 3 3"], count: int) -> Float[Tensor, " face"]:
    """In-plane, the same both ways."""
    edges = corners.roll(-1, dims=1) - corners
    return SIZES[count] * edges.norm(dim=-1).amin(dim=1)
