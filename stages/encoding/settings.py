"""What an encoding is: its lattice, its levels, and where each level's features lie in the table.

Notation: n dimensions, N the resolution of a level, F = (sqrt(n + 1) - 1) / n. The simplex lattice
(Wen and Yang, arXiv 2311.15439) skews p = N x + offset into y = p + F (sum of p), so that the
pieces of unit cubes in y with sorted coordinates are nearly regular simplices in x. `kuhn` takes
the same pieces without the skew; `cubic` interpolates over whole cubes (Mueller et al. 2022).
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from ..randomness import generator

Lattice = Literal["simplex", "cubic", "kuhn"]
Offset = Literal["half", "random"]

PRIMES = (1, 2654435761, 805459861, 3674653429, 2097192037, 1434869437, 2165219737)
"""Of the spatial hash, one per dimension (tiny-cuda-nn's "coherent prime" hash)."""
MAX_DIMS = len(PRIMES)
LARGEST_INDEX = 1 << 24
"""Lattice coordinates stay below: the whole numbers that float32 tells apart."""
LARGEST_TABLE = 1 << 26
FEATURES = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    dims: int = 3
    """Coordinates of a point, 2 to 7."""
    lattice: Lattice = "simplex"
    """`simplex`: n + 1 look-ups per level; `cubic`: 2^n; `kuhn`: n + 1, without the skew."""
    levels: int = 16
    features: int = 2
    """Numbers per vertex and level: 1, 2, 4 or 8."""
    table_size: int = 1 << 19
    """Most vertices that a level keeps, a power of two; finer levels share them by hashing."""
    n_min: float = 16.0
    """Resolution of the coarsest level: cells along the side of the unit cube."""
    n_max: float = 2048.0
    """Resolution of the finest; those between grow geometrically."""
    density_matched: bool = False
    """Coarsen the simplex lattice until it has as many vertices as the cubic one; at equal
    resolution it has sqrt(n + 1) times more."""
    offset: Offset = "half"
    """Shift of the levels against each other: half a cell, or random by `offset_seed`."""
    offset_seed: int = 0

    def __post_init__(self) -> None:
        if not 2 <= self.dims <= MAX_DIMS:
            raise ValueError(f"dims must lie between 2 and {MAX_DIMS}, got {self.dims}.")
        if self.lattice not in get_args(Lattice):
            raise ValueError(f"lattice must be simplex, cubic or kuhn, got {self.lattice!r}.")
        if self.offset not in get_args(Offset):
            raise ValueError(f"offset must be half or random, got {self.offset!r}.")
        if not 1 <= self.levels <= 64:
            raise ValueError(f"levels must lie between 1 and 64, got {self.levels}.")
        if self.features not in FEATURES:
            raise ValueError(f"features must be 1, 2, 4 or 8, got {self.features}.")
        size = self.table_size
        if size < 2 or size & (size - 1):
            near = 1 << max(1, round(math.log2(max(size, 2))))
            raise ValueError(f"table_size must be a power of two, got {size}; {near} is near.")
        if size > LARGEST_TABLE:
            raise ValueError(f"table_size must be at most {LARGEST_TABLE}, got {size}.")
        if not 1 <= self.n_min <= self.n_max < math.inf:
            raise ValueError(
                f"resolutions must fulfil 1 <= n_min <= n_max, got {self.n_min} and {self.n_max}."
            )
        if self.density_matched and self.lattice != "simplex":
            raise ValueError("density_matched coarsens the simplex lattice and no other.")
        largest = _largest_coordinate(self, self.n_max, 1.0)
        if largest >= LARGEST_INDEX:
            raise ValueError(
                f"n_max {self.n_max:g} gives lattice coordinates up to {largest:.0f}; from "
                f"{LARGEST_INDEX} on float32 no longer tells them apart. Lower n_max to "
                f"{math.floor(self.n_max * (LARGEST_INDEX - 8 * self.dims) / largest)}."
            )

    @property
    def skew(self) -> float:
        """F of the notation; 0 where the lattice is not skewed."""
        return (math.sqrt(self.dims + 1) - 1) / self.dims if self.lattice == "simplex" else 0.0

    @property
    def vertices(self) -> int:
        """Look-ups per point and level."""
        return 1 << self.dims if self.lattice == "cubic" else self.dims + 1

    @property
    def width(self) -> int:
        """Numbers that a point is encoded into."""
        return self.levels * self.features


@dataclass(frozen=True, slots=True)
class Level:
    resolution: float
    offset: tuple[float, ...]
    """Added to N x, per dimension, before the skew; 0 to 1."""
    dense: bool
    """Every vertex has a row of its own; else they share rows by the hash."""
    factors: tuple[int, ...]
    """Per dimension: the stride of a dense level, the prime of a hashed one."""
    start: int
    """First row in the table."""
    rows: int


def levels(settings: Settings) -> tuple[Level, ...]:
    """All levels, coarse to fine."""
    found: list[Level] = []
    start = 0
    for number in range(settings.levels):
        resolution = _resolution(settings, number)
        offset = _offset(settings, number)
        sides = [_side(settings, resolution, offset, axis) for axis in range(settings.dims)]
        count = math.prod(sides)
        dense = count <= settings.table_size
        rows = count if dense else settings.table_size
        strides = tuple(math.prod(sides[:axis]) for axis in range(settings.dims))
        factors = strides if dense else PRIMES[: settings.dims]
        found.append(Level(resolution, offset, dense, factors, start, rows))
        start += rows
    return tuple(found)


def _resolution(settings: Settings, number: int) -> float:
    share = number / max(settings.levels - 1, 1)
    resolution = settings.n_min * (settings.n_max / settings.n_min) ** share
    if settings.density_matched:
        resolution /= (settings.dims + 1) ** (1 / (2 * settings.dims))
    return resolution


def _offset(settings: Settings, number: int) -> tuple[float, ...]:
    if settings.offset == "half":
        return (0.5,) * settings.dims
    random = generator(settings.offset_seed, number, "offset")
    return tuple(torch.rand(settings.dims, generator=random).tolist())


def _largest_coordinate(settings: Settings, resolution: float, offset: float) -> float:
    """Of the lattice, over the unit cube."""
    return (resolution + offset) * (1 + settings.dims * settings.skew)


def _side(settings: Settings, resolution: float, offset: tuple[float, ...], axis: int) -> int:
    """Vertices of a level along one axis of the lattice; the skew makes them sqrt(n + 1) more."""
    p = resolution + offset[axis]
    total = settings.dims * resolution + sum(offset)
    largest = p + settings.skew * total
    # float32 may round up to the next whole number, whose cell needs one more vertex.
    return math.floor(largest * (1 + 1e-6)) + 2
