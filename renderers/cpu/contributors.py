"""Who makes a pixel: the Gaussians with the largest blending weights, and these weights."""

import numpy as np

from .bins import BLOCKS, FIELDS, LANES, PIXEL_X, PIXEL_Y, TABLE, TILE_PX, F, X, Y
from .blend import ALPHA_MAX, AT_ONCE, STATE, T_MIN, ZERO, T, corner, exponent, gather
from .compiled import inner, kernel
from .memory import load, load_lanes, members, store, store_lanes
from .simd import at_least, at_most, bits, exp2_over_255, lowest_bit, smaller, where


@inner
def insert(ids, weights, pixel, count, found, weight):
    """Put one Gaussian into a pixel's list, largest weight first; the nearer first of equals."""
    at = count - 1
    if weight <= load(weights, pixel * count + at):
        return
    while at > 0 and weight > load(weights, pixel * count + at - 1):
        store(weights, pixel * count + at, load(weights, pixel * count + at - 1))
        store(ids, pixel * count + at, load(ids, pixel * count + at - 1))
        at -= 1
    store(weights, pixel * count + at, weight)
    store(ids, pixel * count + at, found)


@kernel
def contributors(
    first, last, columns, splats, entries, masks, starts, originals, ids, weights, state, live
):  # fmt: skip
    """The lists of tiles first..last-1 into `ids` and `weights`, (height, width, count) each."""
    width, count = ids.shape[1], ids.shape[2]
    near, lanes = np.empty(AT_ONCE * FIELDS, F), np.empty(LANES, F)
    for tile in range(first, last):
        begin, end = starts[tile - first], starts[tile - first + 1]
        for e in range(begin, end, AT_ONCE):
            here = min(AT_ONCE, end - e)
            gather(splats, entries, e, here, near)
            present = -1 if here == AT_ONCE else (1 << here) - 1
            for block in range(BLOCKS):
                left, top = corner(tile, block, columns)
                at = (tile - first) * STATE + block * LANES
                px = load_lanes(TABLE, PIXEL_X + block * LANES) + F(tile % columns * TILE_PX)
                py = load_lanes(TABLE, PIXEL_Y + block * LANES) + F(tile // columns * TILE_PX)
                word = members(masks, e, block) & present
                t = load_lanes(state, at + T)
                while word != 0:
                    k = lowest_bit(word)
                    word &= word - 1
                    g = k * FIELDS
                    power = exponent(near, g, px - load(near, g + X), py - load(near, g + Y))
                    alpha = smaller(exp2_over_255(power), ALPHA_MAX)
                    weight = where(at_least(power, ZERO), alpha * t, ZERO)
                    finished = at_most(t - weight, T_MIN)
                    weight = where(finished, ZERO, weight)
                    t = where(finished, ZERO, t - weight)
                    store_lanes(lanes, 0, weight)
                    # No smaller weight exists: T > T_MIN and alpha >= 1/255.
                    shown = bits(at_least(weight, T_MIN / F(256.0)))
                    while shown != 0:
                        lane = lowest_bit(shown)
                        shown &= shown - 1
                        pixel = (top + lane // 4) * width + left + lane % 4
                        original = originals[load(entries, e + k)]
                        insert(ids, weights, pixel, count, original, load(lanes, lane))
                store_lanes(state, at + T, t)
