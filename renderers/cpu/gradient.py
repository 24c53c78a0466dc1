"""The gradient of blending, front to back like blending itself.

Notation as in blend.py. With cotangents v of C and v_A of A, and
S_i = Σ_{j>i} w_j (c_j·v) - T_end v_A:
    alpha_i dL/dalpha_i = w_i (c_i·v) - S_i alpha_i / (1 - alpha_i)
so one scalar per pixel carried front to back is enough: S starts as C·v - (1 - A) v_A. It takes
the place of T_end in a tile's state, and RED, GREEN, BLUE hold v. A finished pixel has T <= T_MIN.

The loop runs over the splats of a tile, for each over its blocks: its sums stay in registers.
"""

import math

import numpy as np

from .bins import (
    AHEAD,
    BAND_PX,
    BLOCKS,
    FIELDS,
    OPACITY,
    PIXEL_X,
    PIXEL_Y,
    TABLE,
    TILE_PX,
    TOP,
    VALUES,
    F,
    P,
    Q,
    R,
    X,
    Y,
)
from .blend import (
    ALL_BLOCKS,
    ALPHA_MAX,
    BLUE,
    FREE_MASKS,
    GREEN,
    HALF,
    ONE,
    RED,
    STATE,
    T_END,
    T_MIN,
    TOP_MAX,
    ZERO,
    T,
    corner,
    exponent,
    is_inside,
)
from .compiled import inner, kernel
from .memory import (
    add_sums9,
    load,
    load_block,
    load_block3,
    load_lanes,
    prefetch,
    store,
    store_lanes,
)
from .simd import (
    LANES,
    above,
    at_most,
    bit_count,
    bits,
    broadcast,
    exp2_over_255,
    lowest_bit,
    multiply_add,
    smaller,
    subtract_product,
    unless_negative,
    where,
)

SUFFIX = T_END
SUMS = 12
"""Floats per splat and stripe in backward's sums; nine are used."""
LN2, TWO_LN2 = F(math.log(2)), F(2 * math.log(2))
NO_STRIPE = 1 << 16
"""A bit behind those of all stripes, for splats between pixel centres, which touch none."""


@kernel
def open_tiles_backward(
    first, last, columns, values, alpha, g_values, g_alpha, column, state, live
):  # fmt: skip
    """T = 1, v into RED, GREEN, BLUE and the first S; all 0 outside of the picture."""
    height, width, stride = values.shape
    for tile in range(first, last):
        store(live, tile - first, ALL_BLOCKS)
        for block in range(BLOCKS):
            left, top = corner(tile, block, columns)
            at = (tile - first) * STATE + block * LANES
            if stride == 3 and is_inside(left, top, width, height):
                pixel = top * width + left
                red, green, blue = load_block3(values, 3 * pixel, 3 * width)
                v_red, v_green, v_blue = load_block3(g_values, 3 * pixel, 3 * width)
                end = load_block(alpha, pixel, width) - ONE
                suffix = end * load_block(g_alpha, pixel, width) + v_red * red
                store_lanes(state, at + SUFFIX, suffix + v_green * green + v_blue * blue)
                store_lanes(state, at + RED, v_red)
                store_lanes(state, at + GREEN, v_green)
                store_lanes(state, at + BLUE, v_blue)
                store_lanes(state, at + T, broadcast(ONE))
                continue
            for plane in (T, SUFFIX, RED, GREEN, BLUE):
                store_lanes(state, at + plane, broadcast(ZERO))
            for j in range(min(BAND_PX, height - top)):
                for i in range(min(4, width - left)):
                    lane, pixel = at + j * 4 + i, (top + j) * width + left + i
                    suffix = (load(alpha, pixel) - ONE) * load(g_alpha, pixel)
                    for k in range(3):
                        v = load(g_values, pixel * stride + column + k)
                        store(state, lane + RED + 256 * k, v)
                        suffix += v * load(values, pixel * stride + column + k)
                    store(state, lane + SUFFIX, suffix)
                    store(state, lane + T, ONE)


@inner
def add_blocks(splats, g, x, y, wanted, known, state, first, clamped):
    """The sums of one splat over the `wanted` blocks of the tile whose state begins at `first`.

    (x, y) is its centre in the tile; `clamped` says whether alpha may reach ALPHA_MAX. `known` has
    the unfinished pixels of each block. Returns the sums, and which blocks are finished now.
    """
    red, green = load(splats, g + VALUES), load(splats, g + VALUES + 1)
    blue = load(splats, g + VALUES + 2)
    zero, over = broadcast(ZERO), 0
    g_red = g_green = g_blue = s00 = s10 = s01 = s20 = s11 = s02 = zero
    while wanted != 0:
        block = lowest_bit(wanted)
        wanted &= wanted - 1
        lane, at = block * LANES, first + block * LANES
        dx = load_lanes(TABLE, PIXEL_X + lane) - x
        dy = load_lanes(TABLE, PIXEL_Y + lane) - y
        power = exponent(splats, g, dx, dy)
        unclamped = exp2_over_255(power)
        alpha = smaller(unclamped, ALPHA_MAX) if clamped else unclamped
        alpha = unless_negative(power, alpha)
        t, suffix = load_lanes(state, at + T), load_lanes(state, at + SUFFIX)
        after = subtract_product(t, alpha, t)
        alive = above(after, T_MIN)
        if FREE_MASKS:
            weight = where(alive, alpha * t, zero)
            over |= int(bits(alive) == 0) << block
        else:
            weight, unfinished = alpha * t, bits(alive)
            if unfinished != load(known, block):
                weight, after = where(alive, weight, zero), where(alive, after, zero)
                suffix = where(alive, suffix, zero)
                store(known, block, unfinished)
                over |= int(unfinished == 0) << block
        v_red, v_green = load_lanes(state, at + RED), load_lanes(state, at + GREEN)
        v_blue = load_lanes(state, at + BLUE)
        gain = weight * multiply_add(v_red, red, multiply_add(v_green, green, v_blue * blue))
        suffix = suffix - gain
        store_lanes(state, at + T, after)
        store_lanes(state, at + SUFFIX, suffix)
        g_red = multiply_add(weight, v_red, g_red)
        g_green = multiply_add(weight, v_green, g_green)
        g_blue = multiply_add(weight, v_blue, g_blue)
        s = subtract_product(gain, suffix, alpha / (ONE - alpha))
        if FREE_MASKS:
            s = where(alive, s, zero)
        if clamped:
            s = where(at_most(unclamped, ALPHA_MAX), s, ZERO)
        sx, sy = s * dx, s * dy
        s00, s10, s01 = s00 + s, s10 + sx, s01 + sy
        s20 = multiply_add(sx, dx, s20)
        s11 = multiply_add(sx, dy, s11)
        s02 = multiply_add(sy, dy, s02)
    return (g_red, g_green, g_blue, s00, s10, s01, s20, s11, s02), over


@inner
def blend_tile_backward(
    first, last, left, top, splats, entries, masks, known, state, at, blocks, stripe, slots, sums
):
    """Add, per splat, the gradient by its three values and six moments of s = alpha dL/dalpha:

    Σs, Σs dx, Σs dy, Σs dx², Σs dx dy, Σs dy². Returns the unfinished blocks.
    """
    for e in range(first, last):
        soon = np.int64(load(entries, min(e + AHEAD, last - 1)))
        prefetch(splats, soon * FIELDS)
        prefetch(sums, (np.int64(load(slots, soon)) + stripe) * SUMS)
        wanted = np.int64(load(masks, e)) & blocks
        if wanted == 0:
            continue
        k = np.int64(load(entries, e))
        g, slot = k * FIELDS, (np.int64(load(slots, k)) + stripe) * SUMS
        x, y = load(splats, g + X) - left, load(splats, g + Y) - top
        if load(splats, g + TOP) < TOP_MAX:
            found, over = add_blocks(splats, g, x, y, wanted, known, state, at, False)
        else:
            found, over = add_blocks(splats, g, x, y, wanted, known, state, at, True)
        add_sums9(sums, slot, *found)
        blocks &= ~over
        if blocks == 0:
            break
    return blocks


@kernel
def blend_backward(
    first, last, columns, tiles_per_stripe, splats, entries, masks, starts, slots, sums, state, live
):  # fmt: skip
    """Gradient of the lists of tiles first..last-1 into `sums`."""
    known = np.empty(BLOCKS, np.int64)
    for tile in range(first, last):
        here, stripe = tile - first, tile // tiles_per_stripe
        blocks = np.int64(load(live, here))
        if blocks == 0 or starts[here] == starts[here + 1]:
            continue
        left, top = F(tile % columns * TILE_PX), F(tile // columns * TILE_PX)
        at = here * STATE
        for block in range(BLOCKS):
            store(known, block, bits(above(load_lanes(state, at + T + block * LANES), ZERO)))
        blocks = blend_tile_backward(
            starts[here], starts[here + 1], left, top, splats, entries, masks, known, state, at,
            blocks, stripe, slots, sums,
        )  # fmt: skip
        store(live, here, blocks)


@kernel
def assign_slots(touched, slots):
    """Rows of sums for the stripes each splat touches: that for stripe s is slots[k] + s.

    Returns how many rows there are.
    """
    at = 0
    for k in range(slots.shape[0]):
        stripes = np.int64(load(touched, k))
        store(slots, k, at - lowest_bit(stripes | NO_STRIPE))
        at += bit_count(stripes)
    return at


@inner
def rows_of(touched, slots, k):
    """Where in `sums` the rows of splat k begin and end."""
    stripes = np.int64(load(touched, k))
    begin = (np.int64(load(slots, k)) + lowest_bit(stripes | NO_STRIPE)) * SUMS
    return begin, begin + bit_count(stripes) * SUMS


@inner
def add(array, index, value):
    store(array, index, load(array, index) + value)


@kernel
def unpack(
    first, last, splats, ids, touched, sums, slots, column, g_xy, g_conics, g_opacities, g_values
):  # fmt: skip
    """Gradients by the ellipses from the sums of splats first..last-1.

    Those by opacities and geometry are added to, those by values set.
    """
    width = g_values.shape[1]
    for k in range(first, last):
        soon = np.int64(ids[min(k + AHEAD, last - 1)])
        prefetch(g_xy, 2 * soon)
        prefetch(g_conics, 3 * soon)
        prefetch(g_opacities, soon)
        prefetch(g_values, width * soon + column)
        i, g = np.int64(load(ids, k)), k * FIELDS
        red = green = blue = s = sx = sy = sxx = sxy = syy = ZERO
        begin, end = rows_of(touched, slots, k)
        for at in range(begin, end, SUMS):
            red += load(sums, at)
            green += load(sums, at + 1)
            blue += load(sums, at + 2)
            s += load(sums, at + 3)
            sx += load(sums, at + 4)
            sy += load(sums, at + 5)
            sxx += load(sums, at + 6)
            sxy += load(sums, at + 7)
            syy += load(sums, at + 8)
        store(g_values, width * i + column, red)
        store(g_values, width * i + column + 1, green)
        store(g_values, width * i + column + 2, blue)
        a, b, c = (
            TWO_LN2 * load(splats, g + P),
            LN2 * load(splats, g + Q),
            TWO_LN2 * load(splats, g + R),
        )
        # (dx, dy) runs from the centre to the pixel, and alpha falls with it.
        add(g_opacities, i, s / load(splats, g + OPACITY))
        add(g_xy, 2 * i, -(a * sx + b * sy))
        add(g_xy, 2 * i + 1, -(b * sx + c * sy))
        add(g_conics, 3 * i, -HALF * sxx)
        add(g_conics, 3 * i + 1, -sxy)
        add(g_conics, 3 * i + 2, -HALF * syy)


@kernel
def unpack_weights(first, last, ids, touched, sums, slots, out):
    """The first of the sums of splats first..last-1."""
    for k in range(first, last):
        total = 0.0
        begin, end = rows_of(touched, slots, k)
        for at in range(begin, end, SUMS):
            total += load(sums, at)
        out[ids[k]] = total
