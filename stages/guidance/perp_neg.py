"""Perp-Neg: away from the words of the neighboring sides, but only across the wanted direction.

Armandpour et al., "Re-imagine the Negative Prompt Algorithm", 2023; weights as in threestudio.

Notation: e(y) = eps(z_t; y) - eps(z_t; nothing), s the guidance scale, p the wanted text, n_i the
texts to be avoided, w_i <= 0 their weights.

    eps = eps(nothing) + s (e(p) + sum_i w_i (e(n_i) - <e(n_i), e(p)> e(p) / |e(p)|^2))

The weights depend on where the camera stands between two of the words front, side and back; r is 1
at the first of the two and 0 at the second, and f(r; a, b, c) = a exp(-b r) + c.

    front to side   avoid front with -f(r; 4, .5, -2.426), side with -f(1 - r; 4, .5, -2.426)
    side to back    avoid side with -f(r; 1, .5, -.606), front with -f(r; 1, .5, .967)

At each of the three words its own weight is (but for 5e-4) zero, and both rows agree at the side. A
model with more than four words for the sides has closer ones; its own word stays the wanted one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from .protocol import Condition
from .view_words import ViewWords

AVOIDED = 2
"""Texts to be avoided per view."""


@dataclass(frozen=True, slots=True)
class Side:
    """What to ask for and what to avoid from one azimuth."""

    wanted_deg: tuple[float, float]
    """Middles of the two words between which the wanted text lies."""
    share: float
    """Of the first of the two, 0-1."""
    avoided_deg: tuple[float, float]
    weights: tuple[float, float]
    """Of the avoided ones; never positive."""


@dataclass(frozen=True, slots=True)
class Negatives:
    """Texts to be avoided, for a batch of views."""

    conditions: Sequence[Condition]
    """`AVOIDED` of them, each with one row per view."""
    weights: Float[Tensor, "avoided view"]


def side_of(words: ViewWords, azimuth_deg: float) -> Side:
    """The words to interpolate and to avoid. Azimuth 0 looks at the front."""
    turned = (azimuth_deg + 180) % 360 - 180
    flank = 90.0 if turned >= 0 else -90.0
    share = abs(turned) / 90
    if share <= 1:
        r = 1 - share
        wanted, avoided = (0.0, flank), (0.0, flank)
        weights = (-_fall(r, 4.0, 0.5, -2.426), -_fall(1 - r, 4.0, 0.5, -2.426))
    else:
        r = 2 - share
        wanted, avoided = (flank, 180.0), (flank, 0.0)
        weights = (-_fall(r, 1.0, 0.5, -0.606), -_fall(r, 1.0, 0.5, 0.967))
    if len(words.azimuth) > 4:
        wanted, r = (azimuth_deg, azimuth_deg), 1.0
    return Side(wanted, r, avoided, weights)


def combine_perpendicular(
    text: Float[Tensor, "batch *shape"],
    unconditional: Float[Tensor, "batch *shape"],
    avoided: Float[Tensor, "avoided batch *shape"],
    weights: Float[Tensor, "avoided batch"],
    scale: float,
) -> Float[Tensor, "batch *shape"]:
    """The guided prediction of the noise; see the module."""
    wanted = (text - unconditional).flatten(1).double()
    square = wanted.square().sum(dim=1, keepdim=True)
    square = torch.where(square > 0, square, 1.0)
    total = wanted
    for each, weight in zip(avoided, weights, strict=True):
        e = (each - unconditional).flatten(1).double()
        across = e - (e * wanted).sum(dim=1, keepdim=True) / square * wanted
        total = total + weight.double()[:, None] * across
    return unconditional + scale * total.view(text.shape).to(text.dtype)


def mixed(first: Condition, second: Condition, share: float) -> Condition:
    """A text between two: their embeddings, interpolated."""
    if share == 1 or first is second:
        return first
    return Condition(
        {
            name: share * value + (1 - share) * second.tensors[name]
            if value.is_floating_point()
            else value
            for name, value in first.tensors.items()
        }
    )


def _fall(r: float, a: float, b: float, c: float) -> float:
    return a * math.exp(-b * r) + c
