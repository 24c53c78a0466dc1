"""Where the vertices around LANES points lie in the table, and what they weigh, in registers.

Notation as in `settings.py`. A cell's vertices differ from its corner by steps of one along axes;
in the table that is adding a stride (dense) or an exclusive or with `h ^ (h + prime)` (hashed).
Sorting the axes by falling fraction carries these steps along, and walking them gives the rows.
"""

import functools
import itertools

from llvmlite import ir
from numba.core import types

from ...renderers.cpu.compiled import LANES
from .emit import FLOATS, I64, INTEGERS, Code, literal_intrinsic, real, whole

NETWORKS = {
    2: ((0, 1),),
    3: ((0, 2), (0, 1), (1, 2)),
    4: ((0, 2), (1, 3), (0, 1), (2, 3), (1, 2)),
    5: ((0, 3), (1, 4), (0, 2), (1, 3), (0, 1), (2, 4), (1, 2), (3, 4), (2, 3)),
    6: ((0, 5), (1, 3), (2, 4), (1, 2), (3, 4), (0, 3), (2, 5), (0, 1), (2, 3), (4, 5), (1, 2),
        (3, 4)),
    7: ((0, 6), (2, 3), (4, 5), (0, 2), (1, 4), (3, 6), (0, 1), (2, 5), (3, 4), (1, 2), (4, 6),
        (2, 3), (4, 5), (1, 2), (3, 4), (5, 6)),
}  # fmt: skip
"""Fewest comparisons that sort so many numbers: pairs to be compared and perhaps exchanged."""

RESOLUTION, SKEW, OFFSETS = 0, 1, 2
"""Where the tuple `level` holds N, F and the offset of each axis."""


def _cell(code, dims, skewed, points, count, first, level):
    """Corner (whole numbers) and fraction of each lattice coordinate."""
    builder = code.builder
    rows = [builder.add(builder.mul(count, ir.Constant(I64, k)), first) for k in range(dims)]
    resolution = code.number(level, RESOLUTION)
    p = [
        code.plus(code.times(code.load(points, at), resolution), code.number(level, OFFSETS + k))
        for k, at in enumerate(rows)
    ]
    if skewed:
        shift = code.times(functools.reduce(code.plus, p), code.number(level, SKEW))
        p = [code.plus(value, shift) for value in p]
    # Coordinates are not negative, so cutting off the fraction is rounding down.
    corner = [builder.fptosi(value, INTEGERS) for value in p]
    floor = [builder.sitofp(value, FLOATS) for value in corner]
    return corner, [code.minus(value, low) for value, low in zip(p, floor, strict=True)]


def _walk(code, hashed, corner, factors):
    """The corner's row (not yet masked), the step along each axis, and how steps are taken."""
    builder = code.builder
    factor = [code.number(factors, axis) for axis in range(len(corner))]
    parts = [builder.mul(c, f) for c, f in zip(corner, factor, strict=True)]
    if not hashed:
        return functools.reduce(builder.add, parts), factor, builder.add
    steps = [builder.xor(p, builder.add(p, f)) for p, f in zip(parts, factor, strict=True)]
    return functools.reduce(builder.xor, parts), steps, builder.xor


def _sorted(code, fraction, carried):
    """Fractions from large to small, and what goes with each."""
    builder = code.builder
    fraction, carried = list(fraction), list(carried)
    for low, high in NETWORKS[len(fraction)]:
        swap = builder.fcmp_ordered("<", fraction[low], fraction[high])
        for column in (fraction, carried):
            a, b = column[low], column[high]
            column[low], column[high] = builder.select(swap, b, a), builder.select(swap, a, b)
    return fraction, carried


def _simplex(code, start, steps, step, fraction):
    """Rows and weights of the n + 1 vertices."""
    falling, steps = _sorted(code, fraction, steps)
    rows = [start]
    for one in steps:
        rows.append(step(rows[-1], one))
    weights = [code.minus(a, b) for a, b in itertools.pairwise([real(1.0), *falling])]
    return rows, [*weights, falling[-1]]


def _cube(code, start, steps, step, fraction):
    """Rows and weights of the 2^n vertices, the first axis changing fastest."""
    rows, weights = [start], [real(1.0)]
    for one, far in zip(steps, fraction, strict=True):
        rows = rows + [step(row, one) for row in rows]
        upper = [code.times(weight, far) for weight in weights]
        lower = [code.minus(weight, up) for weight, up in zip(weights, upper, strict=True)]
        weights = lower + upper
    return rows, weights


@literal_intrinsic
def place(
    typing_context, dims, cubic, skewed, features, points, count, first, level, factors, hashed,
    rows, weights, at,
):  # fmt: skip
    """Fill `rows` (as positions in the flat table of the level) and `weights`, LANES per vertex,
    from `at` on.

    Args:
        dims, cubic, skewed, features: Literal.
        points: One row of `count` per coordinate; those from `first` on are placed.
        level: N, F, offsets: float64.
        factors: Those of the level, then the mask of the hash: int64.
        hashed: Whether they are primes; else strides.
    """
    n, cube, skew, width = (int(kind.literal_value) for kind in (dims, cubic, skewed, features))
    split = _cube if cube else _simplex

    def emit(context, builder, signature, values):
        code = Code(context, builder)
        data = {k: code.data(signature.args[k], values[k]) for k in (4, 10, 11)}
        corner, fraction = _cell(code, n, skew, data[4], *values[5:8])

        def fill(mixed):
            found, shares = split(code, *_walk(code, mixed, corner, values[8]), fraction)
            for k, (row, share) in enumerate(zip(found, shares, strict=True)):
                if mixed:
                    row = builder.and_(row, code.number(values[8], n))
                place = builder.add(values[12], ir.Constant(I64, k * LANES))
                code.store(builder.mul(row, whole(width)), data[10], place)
                code.store(share, data[11], place)

        with builder.if_else(values[9]) as (then, otherwise):
            with then:
                fill(True)
            with otherwise:
                fill(False)
        return context.get_dummy_value()

    numbers = (types.int64, types.int64, level, factors, types.boolean)
    arguments = (dims, cubic, skewed, features, points, *numbers, rows, weights, types.int64)
    return types.void(*arguments), emit


def _simplex_slopes(code, fraction, values):
    """Derivative of sum(weight * value) by each coordinate; constant inside a simplex."""
    builder = code.builder
    _, order = _sorted(code, fraction, [whole(axis) for axis in range(len(fraction))])
    rises = [code.minus(b, a) for a, b in itertools.pairwise(values)]
    slopes = []
    for axis in range(len(fraction)):
        slope = real(0.0)
        for along, rise in zip(order, rises, strict=True):
            slope = builder.select(builder.icmp_signed("==", along, whole(axis)), rise, slope)
        slopes.append(slope)
    return slopes


def _cube_slopes(code, fraction, values):
    """The same for all corners of a cube: fold the last axis, again and again."""
    slopes = []
    for axis in reversed(range(len(fraction))):
        half = len(values) // 2
        rises = [code.minus(b, a) for a, b in zip(values[:half], values[half:], strict=True)]
        values = [
            code.plus(value, code.times(fraction[axis], rise))
            for value, rise in zip(values[:half], rises, strict=True)
        ]
        slopes.append(_folded(code, fraction[:axis], rises))
    return slopes[::-1]


def _folded(code, fraction, values):
    for far in reversed(fraction):
        half = len(values) // 2
        values = [
            code.plus(a, code.times(far, code.minus(b, a)))
            for a, b in zip(values[:half], values[half:], strict=True)
        ]
    return values[0]


@literal_intrinsic
def add_slopes(
    typing_context, dims, cubic, skewed, points, count, first, level, values, at, gradient
):
    """gradient += d(sum of weight * value) / d points, for LANES points of one level.

    Args:
        dims, cubic, skewed: Literal.
        values: From `at` on, one number per vertex and lane, vertices as `place` orders them.
        gradient: Laid out as `points`.
    """
    n, cube, skew = (int(kind.literal_value) for kind in (dims, cubic, skewed))
    vertices = 1 << n if cube else n + 1

    def emit(context, builder, signature, given):
        code = Code(context, builder)
        data = {k: code.data(signature.args[k], given[k]) for k in (3, 7, 9)}
        _, fraction = _cell(code, n, skew, data[3], *given[4:7])
        places = [builder.add(given[8], ir.Constant(I64, k * LANES)) for k in range(vertices)]
        found = [code.load(data[7], place) for place in places]
        slopes = (_cube_slopes if cube else _simplex_slopes)(code, fraction, found)
        if skew:
            shift = code.times(functools.reduce(code.plus, slopes), code.number(given[6], SKEW))
            slopes = [code.plus(slope, shift) for slope in slopes]
        resolution = code.number(given[6], RESOLUTION)
        for axis, slope in enumerate(slopes):
            at = builder.add(builder.mul(given[4], ir.Constant(I64, axis)), given[5])
            before = code.load(data[9], at)
            code.store(code.plus(before, code.times(resolution, slope)), data[9], at)
        return context.get_dummy_value()

    arguments = (dims, cubic, skewed, points, types.int64, types.int64)
    return types.void(*arguments, level, values, types.int64, gradient), emit
