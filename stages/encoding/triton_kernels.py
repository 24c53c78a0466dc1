"""The encoding on CUDA, in Triton: no compiler is needed at install.

One program takes `BLOCK` points (and, except for `to_points`, one level). The n coordinates lie
along a second axis, padded to a power of two; instead of sorting them, each is ranked among the
others: rank r means that the walk through the simplex takes this axis as its r-th step.
"""

import triton
import triton.language as tl


@triton.jit
def _product(a, b):
    return a * b


@triton.jit
def _cell(points, scalars, row, inside, axis, level, dims: tl.constexpr):
    """Corner and fraction, `point axis`; padded axes have fraction -1."""
    real = axis < dims
    x = tl.load(
        points + row[:, None] * dims + axis[None, :],
        mask=inside[:, None] & real[None, :],
        other=0.0,
    )
    base = scalars + level * (dims + 2)
    offset = tl.load(base + 2 + axis, mask=real, other=0.0)
    p = x * tl.load(base) + offset[None, :]
    y = p + tl.load(base + 1) * tl.sum(p, axis=1)[:, None]
    corner = y.to(tl.int32)
    fraction = tl.where(real[None, :], y - corner.to(tl.float32), -1.0)
    return corner, fraction


@triton.jit
def _ranks(fraction, axis):
    """How many axes come before each: those with a larger fraction, ties by number."""
    mine, other = fraction[:, :, None], fraction[:, None, :]
    earlier = axis[None, None, :] < axis[None, :, None]
    before = (other > mine) | ((other == mine) & earlier)
    return tl.sum(before.to(tl.int32), axis=2)


@triton.jit
def _rows(corner, step, factors, axis, level, dims: tl.constexpr):
    """Where a vertex lies in the table of its level."""
    base = factors + level * (dims + 3)
    factor = tl.load(base + axis, mask=axis < dims, other=0).to(tl.uint32, bitcast=True)
    parts = (corner + step).to(tl.uint32, bitcast=True) * factor[None, :]
    start, rows, dense = tl.load(base + dims), tl.load(base + dims + 1), tl.load(base + dims + 2)
    summed = tl.sum(parts.to(tl.int32, bitcast=True), axis=1)
    mixed = tl.xor_sum(parts.to(tl.int32, bitcast=True), axis=1) & (rows - 1)
    return start + tl.where(dense != 0, summed, mixed)


@triton.jit
def _simplex_step(fraction, rank, k):
    """Of the k-th vertex: which axes have been walked, and its weight."""
    reached = tl.sum(tl.where(rank == k - 1, fraction, 0.0), axis=1)
    following = tl.sum(tl.where((rank == k) & (fraction >= 0), fraction, 0.0), axis=1)
    return (rank < k).to(tl.int32), tl.where(k == 0, 1.0, reached) - following


@triton.jit
def _cube_step(fraction, axis, k, dims: tl.constexpr):
    """Of the k-th corner, the first axis changing fastest: its place and its weight."""
    bit = ((k >> axis) & 1)[None, :] + tl.zeros_like(fraction).to(tl.int32)
    share = tl.where(bit == 1, fraction, 1.0 - fraction)
    share = tl.where(axis[None, :] < dims, share, 1.0)
    return bit, tl.reduce(share, 1, _product)


@triton.jit
def forward(
    points, table, scalars, factors, out, count,
    dims: tl.constexpr, padded: tl.constexpr, cubic: tl.constexpr, vertices: tl.constexpr,
    features: tl.constexpr, width: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    level = tl.program_id(1)
    inside, axis, column = row < count, tl.arange(0, padded), tl.arange(0, features)
    corner, fraction = _cell(points, scalars, row, inside, axis, level, dims)  # pyright: ignore
    rank = _ranks(fraction, axis)
    total = tl.zeros((BLOCK, features), tl.float32)
    for k in range(vertices):
        if cubic:
            step, weight = _cube_step(fraction, axis, k, dims)  # type: ignore[misc]
        else:
            step, weight = _simplex_step(fraction, rank, k)
        at = _rows(corner, step, factors, axis, level, dims).to(tl.int64)
        found = tl.load(
            table + at[:, None] * features + column[None, :], mask=inside[:, None], other=0.0
        )
        total += weight[:, None] * found
    to = out + row[:, None].to(tl.int64) * width + level * features + column[None, :]
    tl.store(to, total, mask=inside[:, None])


@triton.jit
def to_table(
    points, gradient, scalars, factors, out, count,
    dims: tl.constexpr, padded: tl.constexpr, cubic: tl.constexpr, vertices: tl.constexpr,
    features: tl.constexpr, width: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    level = tl.program_id(1)
    inside, axis, column = row < count, tl.arange(0, padded), tl.arange(0, features)
    corner, fraction = _cell(points, scalars, row, inside, axis, level, dims)  # pyright: ignore
    rank = _ranks(fraction, axis)
    source = gradient + row[:, None].to(tl.int64) * width + level * features + column[None, :]
    given = tl.load(source, mask=inside[:, None], other=0.0)
    for k in range(vertices):
        if cubic:
            step, weight = _cube_step(fraction, axis, k, dims)  # type: ignore[misc]
        else:
            step, weight = _simplex_step(fraction, rank, k)
        at = _rows(corner, step, factors, axis, level, dims).to(tl.int64)
        tl.atomic_add(
            out + at[:, None] * features + column[None, :],
            weight[:, None] * given,
            mask=inside[:, None],
        )


@triton.jit
def to_points(
    points, table, gradient, scalars, factors, out, count, levels: tl.constexpr,
    dims: tl.constexpr, padded: tl.constexpr, cubic: tl.constexpr, vertices: tl.constexpr,
    features: tl.constexpr, width: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside, axis, column = row < count, tl.arange(0, padded), tl.arange(0, features)
    real = axis < dims
    total = tl.zeros((BLOCK, padded), tl.float32)
    for level in range(levels):
        corner, fraction = _cell(points, scalars, row, inside, axis, level, dims)
        rank = _ranks(fraction, axis)
        source = gradient + row[:, None].to(tl.int64) * width + level * features + column[None, :]
        given = tl.load(source, mask=inside[:, None], other=0.0)
        slope = tl.zeros((BLOCK, padded), tl.float32)
        before = tl.zeros((BLOCK,), tl.float32)
        for k in range(vertices):
            if cubic:
                step, _ = _cube_step(fraction, axis, k, dims)
            else:
                step, _ = _simplex_step(fraction, rank, k)
            at = _rows(corner, step, factors, axis, level, dims).to(tl.int64)
            found = tl.load(
                table + at[:, None] * features + column[None, :], mask=inside[:, None], other=0.0
            )
            value = tl.sum(found * given, axis=1)
            if cubic:
                share = tl.where(step == 1, fraction, 1.0 - fraction)
                share = tl.where(real[None, :], share, 1.0)
                own = axis[None, :, None] == axis[None, None, :]
                others = tl.reduce(tl.where(own, 1.0, share[:, None, :]), 2, _product)
                slope += tl.where(step == 1, 1.0, -1.0) * others * value[:, None]
            else:
                slope += tl.where(rank == k - 1, (value - before)[:, None], 0.0)
                before = value
        slope = tl.where(real[None, :], slope, 0.0)
        base = scalars + level * (dims + 2)
        shifted = slope + tl.load(base + 1) * tl.sum(slope, axis=1)[:, None]
        total += tl.load(base) * shifted
    to = out + row[:, None] * dims + axis[None, :]
    tl.store(to, total, mask=inside[:, None] & real[None, :])
