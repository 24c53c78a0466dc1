"""Adding and removing Gaussians while they are optimized (Kerbl et al. 2023, section 5).

Pure functions from one population to the next. A population carries the optimizer's moments: a
Gaussian that stays keeps its own, a new one starts at zero.

Unlike the reference: never more than a stated number, the highest scores first; the two halves of
a clone share the opacity of the original, so that an image does not brighten (Rota Bulò et al.
2024); a clone is drawn from the original's extent instead of lying exactly on it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .activation import Parameters, activate, deactivate

SPLIT_SHRINK = 1.6
"""Children of a split are this much smaller (reference 3DGS)."""


@dataclass(frozen=True, slots=True)
class Population:
    """Gaussians and Adam's moments of each of their numbers."""

    values: Parameters
    first: Parameters
    second: Parameters

    def __len__(self) -> int:
        return len(self.values.means)


def born(values: Parameters) -> Population:
    """A population whose optimizer has not started."""
    return Population(values, _map(torch.zeros_like, values), _map(torch.zeros_like, values))


def keep_rows(population: Population, keep: Bool[Tensor, " n"]) -> Population:
    """Those Gaussians only, in the same order."""
    index = keep.nonzero()[:, 0]
    return Population(
        *(
            _map(lambda column: column[index], part)
            for part in (population.values, population.first, population.second)
        )
    )


def worth_keeping(
    values: Parameters, *, min_opacity: float, max_scale_m: float, max_radius_m: float
) -> Bool[Tensor, " n"]:
    """Visible, not huge, and not far from the origin."""
    gaussians = activate(values)
    return (
        (gaussians.opacities >= min_opacity)
        & (gaussians.scales.amax(dim=1) <= max_scale_m)
        & (torch.linalg.vector_norm(gaussians.means, dim=1) <= max_radius_m)
    )


def chosen_to_grow(
    score: Float[Tensor, " n"], threshold: float, room: int
) -> Int[Tensor, " chosen"]:
    """Indices with a score above `threshold`, at most `room`: the highest, ties by index.

    Returned in ascending order. A score that is not finite is never chosen.
    """
    finite = torch.where(torch.isfinite(score), score, torch.full_like(score, -math.inf))
    order = torch.sort(finite, descending=True, stable=True).indices[: max(0, room)]
    return order[finite[order] > threshold].sort().values


def grow(
    population: Population,
    score: Float[Tensor, " n"],
    *,
    threshold: float,
    max_gaussians: int,
    split_above_m: float,
    random: torch.Generator,
) -> Population:
    """Split large and clone small Gaussians whose score is above the threshold.

    Each chosen one becomes two, one in its old place in the order, one at the end, so the size
    never exceeds `max_gaussians` (unless it did before; then nothing is added).

    Args:
        score: Such as the mean length of the gradient by the projected centre.
        split_above_m: Largest standard deviation from which on one is split, in metres.
    """
    room = max_gaussians - len(population)
    chosen = chosen_to_grow(score, threshold, room)
    if not len(chosen):
        return population
    parents = _map(lambda column: column[chosen], population.values)
    spread = activate(parents)
    is_split = spread.scales.amax(dim=1) > split_above_m
    shift = torch.randn(2, len(chosen), 3, generator=random, dtype=torch.float64)
    shift = shift.to(parents.means) * spread.scales
    # A clone's first half stays where it is; both halves of a split are drawn anew.
    offsets = [
        rotate(parents.quaternions, torch.where(is_split[:, None], shift[0], 0.0)),
        rotate(parents.quaternions, shift[1]),
    ]
    log_scales = parents.log_scales - is_split[:, None] * math.log(SPLIT_SHRINK)
    shared = 1 - (1 - spread.opacities).sqrt()
    opacities = torch.where(is_split, spread.opacities, shared)
    logits = deactivate(replace(spread, opacities=opacities)).logit_opacities
    halves = [
        replace(
            parents,
            means=parents.means + offset,
            log_scales=log_scales,
            logit_opacities=logits,
        )
        for offset in offsets
    ]
    grown = _join(_put(population.values, chosen, halves[0]), halves[1])
    zeros = _map(torch.zeros_like, parents)
    # Cloned originals go on as they were; the halves of a split are new Gaussians.
    fresh = chosen[is_split]
    nothing = _map(lambda column: torch.zeros_like(column[fresh]), population.values)
    moments = [
        _join(_put(part, fresh, nothing), zeros) for part in (population.first, population.second)
    ]
    return Population(grown, *moments)


def reset_opacity(population: Population, ceiling: float) -> Population:
    """No Gaussian more opaque than `ceiling`; the moments of the opacity start again."""
    gaussians = activate(population.values)
    ceilings = replace(gaussians, opacities=torch.full_like(gaussians.opacities, ceiling))
    lower = torch.where(
        gaussians.opacities > ceiling,
        deactivate(ceilings).logit_opacities,
        population.values.logit_opacities,
    )
    return Population(
        replace(population.values, logit_opacities=lower),
        replace(population.first, logit_opacities=torch.zeros_like(lower)),
        replace(population.second, logit_opacities=torch.zeros_like(lower)),
    )


def rotate(
    quaternions: Float[Tensor, "n 4"], vectors: Float[Tensor, "n 3"]
) -> Float[Tensor, "n 3"]:
    """Vectors turned by (w, x, y, z) quaternions of any length: v + 2w (u x v) + 2 u x (u x v)."""
    unit = quaternions / torch.linalg.vector_norm(quaternions, dim=1, keepdim=True)
    w, u = unit[:, :1], unit[:, 1:]
    once = torch.linalg.cross(u, vectors)
    return vectors + 2 * (w * once + torch.linalg.cross(u, once))


def _map(function: Callable[[Tensor], Tensor], part: Parameters) -> Parameters:
    return Parameters(*(function(getattr(part, field.name)) for field in fields(Parameters)))


def _put(part: Parameters, index: Int[Tensor, " m"], rows: Parameters) -> Parameters:
    """`part` with the rows at `index` replaced."""

    def one(name: str) -> Tensor:
        column = getattr(part, name).clone()
        column[index] = getattr(rows, name)
        return column

    return Parameters(*(one(field.name) for field in fields(Parameters)))


def _join(a: Parameters, b: Parameters) -> Parameters:
    return Parameters(
        *(torch.cat([getattr(a, f.name), getattr(b, f.name)]) for f in fields(Parameters))
    )
