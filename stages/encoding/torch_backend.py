"""The encoding by the book, in any floating type and on any device: the judge of the others.

Differentiable twice, to the table and to the points. Where a coordinate crosses a face of the
lattice the gradient jumps, and either side's is returned. Inside a simplex the encoding is linear,
so its second derivatives by the points are zero; inside a cube the mixed ones are not.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .settings import Level, Settings


def encode(
    points: Float[Tensor, "point dim"],
    table: Float[Tensor, "row feature"],
    settings: Settings,
    levels: Sequence[Level],
    *,
    threads: int = 1,
) -> Float[Tensor, "point width"]:
    """Features of points in the unit cube, level after level; `threads` is torch's own affair."""
    parts = []
    for level in levels:
        vertices, weights = surround(points, settings, level)
        rows = table[level.start + row(vertices, level)]
        parts.append((weights[..., None] * rows).sum(dim=1))
    return torch.cat(parts, dim=1)


def surround(
    points: Float[Tensor, "point dim"], settings: Settings, level: Level
) -> tuple[Int[Tensor, "point vertex dim"], Float[Tensor, "point vertex"]]:
    """The vertices around each point and their weights, which sum to 1."""
    position = points * level.resolution + points.new_tensor(level.offset)
    position = position + settings.skew * position.sum(dim=1, keepdim=True)
    corner = position.detach().floor()
    fraction = position - corner
    split = _cube if settings.lattice == "cubic" else _simplex
    steps, weights = split(fraction)
    return corner.long()[:, None] + steps, weights


def _simplex(
    fraction: Float[Tensor, "point dim"],
) -> tuple[Int[Tensor, "point vertex dim"], Float[Tensor, "point vertex"]]:
    """Walk from the cell's corner along the axes, largest fraction first."""
    order = fraction.detach().argsort(dim=1, descending=True, stable=True)
    falling = fraction.gather(1, order)
    ones, zeros = torch.ones_like(falling[:, :1]), torch.zeros_like(falling[:, :1])
    weights = torch.cat([ones, falling], dim=1) - torch.cat([falling, zeros], dim=1)
    walk = torch.nn.functional.one_hot(order, fraction.shape[1]).cumsum(dim=1)
    return torch.cat([torch.zeros_like(walk[:, :1]), walk], dim=1), weights


def _cube(
    fraction: Float[Tensor, "point dim"],
) -> tuple[Int[Tensor, "vertex dim"], Float[Tensor, "point vertex"]]:
    """All corners of the cell, the first axis changing fastest."""
    dims = fraction.shape[1]
    number = torch.arange(1 << dims, device=fraction.device)
    steps = number[:, None] >> torch.arange(dims, device=fraction.device) & 1
    near = fraction[:, None]
    weights = torch.where(steps.bool(), near, 1 - near).prod(dim=2)
    return steps, weights


def row(vertices: Int[Tensor, "point vertex dim"], level: Level) -> Int[Tensor, "point vertex"]:
    """Where a level keeps a vertex, counted from the level's first row."""
    factors = torch.tensor(level.factors, device=vertices.device)
    parts = vertices * factors
    if level.dense:
        return parts.sum(dim=2)
    # Primes are below 2^32 and coordinates below 2^24: the products fit int64, and their low
    # bits are those of 32-bit arithmetic.
    mixed = parts[..., 0]
    for axis in range(1, parts.shape[2]):
        mixed = mixed ^ parts[..., axis]
    return mixed & (level.rows - 1)


def gradients(
    points: Float[Tensor, "point dim"],
    table: Float[Tensor, "row feature"],
    gradient: Float[Tensor, "point width"],
    settings: Settings,
    levels: Sequence[Level],
    wanted: tuple[bool, bool],
) -> tuple[Tensor | None, Tensor | None]:
    """What `gradient` hands back to points and table, differentiable itself."""
    sources = [source for source, want in zip((points, table), wanted, strict=True) if want]
    found = iter(
        torch.autograd.grad(
            encode(points, table, settings, levels), sources, gradient, create_graph=True
        )
    )
    return next(found) if wanted[0] else None, next(found) if wanted[1] else None
