"""Gaussians as samples of a distribution that the photographs describe.

Kheradmand et al., "3D Gaussian Splatting as Markov Chain Monte Carlo", NeurIPS 2024. Dead Gaussians
are moved to where living ones are, without changing the picture (their eq. 9); a little noise, more
for those that are nearly transparent, lets all of them explore (eq. 8).

Notation: o opacity and s scales of one that shall stand for N, o' and s' of each of the N.

    o' = 1 - (1 - o)^(1/N)
    s' = s o / sum_{i=1..N} sum_{k=0..i-1} binomial(i-1, k) (-1)^k o'^(k+1) / sqrt(k+1)
"""

import math
from dataclasses import fields, replace
from functools import cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...renderers.projection import covariances
from ..geometry.activation import Parameters, activate, deactivate
from ..geometry.densify import Population

MOST_SHARED = 51
"""One Gaussian stands for at most so many (authors' code); the binomials are exact until here."""
GATE_SLOPE, GATE_AT = 100.0, 0.005
"""Noise acts on opacities up to about this, and fades within 1 / slope around it."""


def shared_by(
    opacities: Float[Tensor, " n"], scales: Float[Tensor, "n 3"], count: Int[Tensor, " n"]
) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 3"]]:
    """o' and s' of each of `count` Gaussians in place of one."""
    n = count.clamp(1, MOST_SHARED)
    o = opacities.double()
    each = 1 - (1 - o) ** (1 / n)
    k = torch.arange(MOST_SHARED, dtype=torch.float64, device=o.device)
    powers = each[:, None] ** (k + 1) / (k + 1).sqrt()
    total = (_alternating().to(o.device)[n - 1] * powers).sum(dim=1)
    return each.to(opacities), scales * (o / total).to(scales)[:, None]


def relocate(
    population: Population, dead: Tensor, most: int, min_opacity: float, random: torch.Generator
) -> Population:
    """Put the `dead` rows where living ones stand, and add rows up to `most`.

    Which living ones is drawn by their opacity. Moments of all that changed start again.

    Args:
        dead: Mask of rows to be moved.
        most: Rows afterwards; at least as many as now.
    """
    values = population.values
    alive = (~dead).nonzero()[:, 0]
    moved = dead.nonzero()[:, 0]
    added = most - len(values.means)
    if not len(alive) or not len(moved) + added:
        return population
    weights = torch.sigmoid(values.logit_opacities[alive]).double().cpu()
    drawn = torch.multinomial(weights, len(moved) + added, replacement=True, generator=random)
    source = alive[drawn.to(alive.device)]
    count = torch.bincount(source, minlength=len(dead)) + 1
    used = (count > 1).nonzero()[:, 0]
    gaussians = activate(values)
    opacities, scales = shared_by(gaussians.opacities[used], gaussians.scales[used], count[used])
    shared = deactivate(
        replace(
            activate(_rows(values, used)),
            opacities=opacities.clamp(min=min_opacity),
            scales=scales,
        )
    )
    values = _put(values, used, shared)
    copies = _rows(values, source)
    values = _join(_put(values, moved, _rows(copies, slice(0, len(moved)))), copies, len(moved))
    stale = torch.cat([used, moved])
    return Population(
        values, *(_rested(part, stale, added) for part in (population.first, population.second))
    )


def noise(
    values: Parameters, rate: float, strength: float, random: torch.Generator
) -> Float[Tensor, "n 3"]:
    """What is added to the means after a step: rate strength gate(o) Sigma xi (eq. 8)."""
    gaussians = activate(values)
    gate = torch.sigmoid(-GATE_SLOPE * (gaussians.opacities - GATE_AT))
    xi = torch.randn(values.means.shape, generator=random).to(values.means)
    spread = covariances(gaussians.quaternions, gaussians.scales) @ xi[..., None]
    return rate * strength * gate[:, None] * spread[..., 0]


def with_wishes(gradients: Parameters, values: Parameters, weight: float) -> Parameters:
    """Gradients of the loss plus weight (mean opacity + mean scale), which keep the number of
    living Gaussians small where few are needed."""
    gaussians = activate(values)
    count = max(1, len(values.means))
    slope = gaussians.opacities * (1 - gaussians.opacities)
    return replace(
        gradients,
        logit_opacities=gradients.logit_opacities + weight * slope / count,
        log_scales=gradients.log_scales + weight * gaussians.scales / (3 * count),
    )


@cache
def _alternating() -> Float[Tensor, "n k"]:
    """Row N - 1: (-1)^k times the sum of binomial(i - 1, k) over i = 1..N, binomial(N, k + 1)."""
    rows = [
        [(-1) ** k * math.comb(n, k + 1) for k in range(MOST_SHARED)]
        for n in range(1, MOST_SHARED + 1)
    ]
    return torch.tensor(rows, dtype=torch.float64)


def _rows(part: Parameters, index: Tensor | slice) -> Parameters:
    return Parameters(*(getattr(part, f.name)[index] for f in fields(Parameters)))


def _put(part: Parameters, index: Tensor, rows: Parameters) -> Parameters:
    def one(name: str) -> Tensor:
        column = getattr(part, name).clone()
        column[index] = getattr(rows, name)
        return column

    return Parameters(*(one(f.name) for f in fields(Parameters)))


def _join(part: Parameters, copies: Parameters, first: int) -> Parameters:
    """`part` with the copies from `first` on at its end."""
    return Parameters(
        *(torch.cat([getattr(part, f.name), getattr(copies, f.name)[first:]]) for f in fields(part))
    )


def _rested(part: Parameters, stale: Tensor, added: int) -> Parameters:
    def one(name: str) -> Tensor:
        column = getattr(part, name).clone()
        column[stale] = 0
        return torch.cat([column, column.new_zeros(added, *column.shape[1:])])

    return Parameters(*(one(f.name) for f in fields(Parameters)))
