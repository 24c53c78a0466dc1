"""The encoding on the CPU, compiled for each number of dimensions, lattice and feature count.

LANES points at a time are placed in registers (`placing.py`); the look-ups then go point by point,
since gathering instructions are slow on many processors and absent on others. One level is
finished before the next, so that its part of the table stays in the cache.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...renderers.cpu.compiled import LANES, kernel
from ...renderers.cpu.simd import load, store
from .emit import add_row, dot_rows, load_row, no_row, store_row
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


def _forward(dims, cubic, skewed, vertices, features):
    @kernel
    def forward(points, table, level, factors, start, hashed, first, last, column, out):
        """out[p, column : column + features] for p from first to last, a multiple of LANES on."""
        count, width = points.shape[1], out.shape[1]
        flat, result, level_table = points.reshape(-1), out.reshape(-1), table.reshape(-1)
        rows = np.empty(vertices * LANES, np.int32)
        weights = np.empty(vertices * LANES, np.float32)
        base = start * features
        for group in range(first, last, LANES):
            if hashed:
                place(
                    dims, cubic, skewed, True, features, flat, count, group, level, factors,
                    rows, weights,
                )  # fmt: skip
            else:
                place(
                    dims, cubic, skewed, False, features, flat, count, group, level, factors,
                    rows, weights,
                )  # fmt: skip
            for lane in range(min(LANES, last - group)):
                total = no_row(features)
                for vertex in range(vertices):
                    at = vertex * LANES + lane
                    row = load_row(features, level_table, base + load(rows, at))
                    total = add_row(total, load(weights, at), row)
                store_row(total, result, (group + lane) * width + column)

    return forward


def _to_table(dims, cubic, skewed, vertices, features):
    @kernel
    def to_table(points, gradient, level, factors, start, hashed, column, out):
        """out += what the points hand back to the rows of one level; out is the whole table."""
        count, (last, width) = points.shape[1], gradient.shape
        flat, given, level_table = points.reshape(-1), gradient.reshape(-1), out.reshape(-1)
        rows = np.empty(vertices * LANES, np.int32)
        weights = np.empty(vertices * LANES, np.float32)
        base = start * features
        for group in range(0, last, LANES):
            if hashed:
                place(
                    dims, cubic, skewed, True, features, flat, count, group, level, factors,
                    rows, weights,
                )  # fmt: skip
            else:
                place(
                    dims, cubic, skewed, False, features, flat, count, group, level, factors,
                    rows, weights,
                )  # fmt: skip
            for lane in range(min(LANES, last - group)):
                row = load_row(features, given, (group + lane) * width + column)
                for vertex in range(vertices):
                    at = vertex * LANES + lane
                    to = base + load(rows, at)
                    old = load_row(features, level_table, to)
                    store_row(add_row(old, load(weights, at), row), level_table, to)

    return to_table


def _to_points(dims, cubic, skewed, vertices, features):
    @kernel
    def to_points(points, table, gradient, level, factors, start, hashed, first, last, column, out):
        """out, laid out as points, += gradient * d features / d points, for one level."""
        count, width = points.shape[1], gradient.shape[1]
        flat, given, level_table = points.reshape(-1), gradient.reshape(-1), table.reshape(-1)
        result = out.reshape(-1)
        rows = np.empty(vertices * LANES, np.int32)
        weights = np.zeros(vertices * LANES, np.float32)
        base = start * features
        for group in range(first, last, LANES):
            if hashed:
                place(
                    dims, cubic, skewed, True, features, flat, count, group, level, factors,
                    rows, weights,
                )  # fmt: skip
            else:
                place(
                    dims, cubic, skewed, False, features, flat, count, group, level, factors,
                    rows, weights,
                )  # fmt: skip
            for lane in range(min(LANES, last - group)):
                row = load_row(features, given, (group + lane) * width + column)
                for vertex in range(vertices):
                    at = vertex * LANES + lane
                    found = load_row(features, level_table, base + load(rows, at))
                    store(weights, at, dot_rows(found, row))
            add_slopes(dims, cubic, skewed, flat, count, group, level, weights, result)

    return to_points
