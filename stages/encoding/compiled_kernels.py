"""The encoding on the CPU, compiled for each number of dimensions, lattice and feature count.

Points, features and their gradients lie with one row per number, all points side by side: what a
level reads and writes is contiguous, and a matrix product takes it as well as the transpose.

LANES points at a time are placed in registers (`placing.py`); the look-ups then go point by point,
since gathering instructions are slow on many processors and absent on others. One level is
finished before the next, so that its part of the table stays in the cache. All counts and ranges
are multiples of LANES.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...renderers.cpu.compiled import LANES, kernel, part
from ...renderers.cpu.memory import load, store
from .emit import (
    add_row,
    dot_rows,
    gather_points,
    load_row,
    no_row,
    scatter_points,
    store_row,
)
from .placing import add_slopes, place


@dataclass(frozen=True, slots=True)
class Kernels:
    forward: Callable
    """(points, table, level, factors, start, hashed, first, last, column, out)"""
    to_table: Callable
    """(points, gradient, level, factors, start, hashed, column, table_gradient)"""
    to_points: Callable
    """(points, table, gradient, level, factors, start, hashed, first, last, column, out)"""


@functools.cache
def kernels(dims: int, lattice: str, features: int) -> Kernels:
    """Compiled on first use, and kept on disk."""
    cubic, skewed = lattice == "cubic", lattice == "simplex"
    vertices = 1 << dims if cubic else dims + 1
    return Kernels(
        _forward(dims, cubic, skewed, vertices, features),
        _to_table(dims, cubic, skewed, vertices, features),
        _to_points(dims, cubic, skewed, vertices, features),
    )


def _groups(vertices: int) -> int:
    """Groups that are placed before their look-ups begin: what has just been stored in parts
    cannot yet be loaded as a whole, or the other way round."""
    return max(1, 64 // vertices)


LINE = 16
"""Numbers in a cache line."""


@part
def _stream(table, start, rows, features, visits):
    """Read a level from end to end if most of it will be visited anyway: in order, memory is many
    times faster than line by line at random. Returns what must be used, lest it be left out."""
    total = np.float32(0)
    if visits * LINE >= rows * features:
        for at in range(start * features, (start + rows) * features, LINE):
            total += table[at]
    return total


def _forward(dims, cubic, skewed, vertices, features):
    many, slots = _groups(vertices), vertices * LANES

    @kernel
    def forward(points, table, level, factors, start, hashed, first, last, column, out):
        """out[column : column + features, first:last]."""
        count = points.shape[1]
        flat, result, level_table = points.reshape(-1), out.reshape(-1), table.reshape(-1)
        rows, weights = np.empty(many * slots, np.int32), np.empty(many * slots, np.float32)
        near = np.empty(many * LANES * features, np.float32)
        base = start * features
        near[0] = _stream(
            level_table, start, factors[dims] + 1, features, (last - first) * vertices
        )
        for block in range(first, last, many * LANES):
            groups = min(many, (last - block) // LANES)
            for group in range(groups):
                at = block + group * LANES
                place(
                    dims, cubic, skewed, features, flat, count, at, level, factors, hashed, rows,
                    weights, group * slots,
                )  # fmt: skip
            for group in range(groups):
                for lane in range(LANES):
                    total = no_row(features)
                    for vertex in range(vertices):
                        k = group * slots + vertex * LANES + lane
                        row = load_row(features, level_table, base + load(rows, k))
                        total = add_row(total, load(weights, k), row)
                    store_row(total, near, (group * LANES + lane) * features)
            for group in range(groups):
                at = column * count + block + group * LANES
                scatter_points(features, near, group * LANES * features, result, count, at)

    return forward


def _to_table(dims, cubic, skewed, vertices, features):
    many, slots = _groups(vertices), vertices * LANES

    @kernel
    def to_table(points, gradient, level, factors, start, hashed, column, out):
        """out += what the points hand back to the rows of one level; out is the whole table."""
        count = points.shape[1]
        flat, given, level_table = points.reshape(-1), gradient.reshape(-1), out.reshape(-1)
        rows, weights = np.empty(many * slots, np.int32), np.empty(many * slots, np.float32)
        near = np.empty(many * LANES * features, np.float32)
        base = start * features
        near[0] = _stream(level_table, start, factors[dims] + 1, features, count * vertices)
        for block in range(0, count, many * LANES):
            groups = min(many, (count - block) // LANES)
            for group in range(groups):
                at = block + group * LANES
                place(
                    dims, cubic, skewed, features, flat, count, at, level, factors, hashed, rows,
                    weights, group * slots,
                )  # fmt: skip
                at += column * count
                gather_points(features, near, group * LANES * features, given, count, at)
            for group in range(groups):
                for lane in range(LANES):
                    row = load_row(features, near, (group * LANES + lane) * features)
                    for vertex in range(vertices):
                        k = group * slots + vertex * LANES + lane
                        to = base + load(rows, k)
                        old = load_row(features, level_table, to)
                        store_row(add_row(old, load(weights, k), row), level_table, to)

    return to_table


def _to_points(dims, cubic, skewed, vertices, features):
    many, slots = _groups(vertices), vertices * LANES

    @kernel
    def to_points(points, table, gradient, level, factors, start, hashed, first, last, column, out):
        """out, laid out as points, += gradient * d features / d points, for one level."""
        count = points.shape[1]
        flat, given, level_table = points.reshape(-1), gradient.reshape(-1), table.reshape(-1)
        result = out.reshape(-1)
        rows, values = np.empty(many * slots, np.int32), np.empty(many * slots, np.float32)
        near = np.empty(many * LANES * features, np.float32)
        base = start * features
        near[0] = _stream(
            level_table, start, factors[dims] + 1, features, (last - first) * vertices
        )
        for block in range(first, last, many * LANES):
            groups = min(many, (last - block) // LANES)
            for group in range(groups):
                at = block + group * LANES
                place(
                    dims, cubic, skewed, features, flat, count, at, level, factors, hashed, rows,
                    values, group * slots,
                )  # fmt: skip
                at += column * count
                gather_points(features, near, group * LANES * features, given, count, at)
            for group in range(groups):
                for lane in range(LANES):
                    row = load_row(features, near, (group * LANES + lane) * features)
                    for vertex in range(vertices):
                        k = group * slots + vertex * LANES + lane
                        found = load_row(features, level_table, base + load(rows, k))
                        store(values, k, dot_rows(found, row))
            for group in range(groups):
                at = block + group * LANES
                add_slopes(
                    dims, cubic, skewed, flat, count, at, level, values, group * slots, result
                )

    return to_points
