"""An encoding written down from the definition alone: matrices, all permutations, whole numbers.

Slow on purpose. The simplex around a point is found by solving for barycentric coordinates in
every one of the n! candidates, not by sorting.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np

PRIMES = (1, 2654435761, 805459861, 3674653429, 2097192037, 1434869437, 2165219737)


def skew_matrix(dims: int) -> np.ndarray:
    """Maps the regular simplices onto sorted corners of unit cubes; its determinant is
    sqrt(n + 1)."""
    return np.eye(dims) + (math.sqrt(dims + 1) - 1) / dims


def paths(dims: int) -> list[np.ndarray]:
    """The n! simplices of the unit cube, each as its vertices along a monotone path."""
    found = []
    for order in itertools.permutations(range(dims)):
        steps = [np.zeros(dims, int)]
        for axis in order:
            steps.append(steps[-1] + np.eye(dims, dtype=int)[axis])
        found.append(np.array(steps))
    return found


def simplex_around(position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (whole numbers) and barycentric coordinates in skewed space."""
    corner = np.floor(position).astype(int)
    for path in paths(len(position)):
        system = np.vstack([path.T, np.ones(len(path))])
        weights = np.linalg.solve(system, np.append(position - corner, 1.0))
        if (weights >= -1e-12).all():
            return corner + path, weights
    raise AssertionError("no simplex holds the point")


def cube_around(position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    corner = np.floor(position).astype(int)
    steps = np.array(list(itertools.product((0, 1), repeat=len(position))))
    fraction = position - corner
    return corner + steps, np.prod(np.where(steps, fraction, 1 - fraction), axis=1)


def row(vertex: Sequence[int], level) -> int:
    """Of the whole table."""
    if level.dense:
        return level.start + sum(int(v) * f for v, f in zip(vertex, level.factors, strict=True))
    mixed = 0
    for v, prime in zip(vertex, PRIMES, strict=False):
        mixed ^= int(v) * prime % 2**32
    return level.start + mixed % level.rows


def encode(point: np.ndarray, table: np.ndarray, lattice: str, levels) -> np.ndarray:
    """The features of one point."""
    parts = []
    for level in levels:
        position = level.resolution * point + np.array(level.offset)
        if lattice == "simplex":
            position = skew_matrix(len(point)) @ position
        around = cube_around if lattice == "cubic" else simplex_around
        vertices, weights = around(position)
        parts.append(sum(w * table[row(v, level)] for v, w in zip(vertices, weights, strict=True)))
    return np.concatenate(parts)
