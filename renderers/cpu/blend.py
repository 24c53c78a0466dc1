"""Front-to-back blending of one tile after another, and its gradient.

Notation, one pixel:  alpha_i = min(0.999, opacity_i exp(-sigma_i)), skipped below 1/255;
    T_i = Π_{j<i} (1 - alpha_j);  blending ends before the Gaussian that would bring T to 1e-4;
    w_i = T_i alpha_i;  C = Σ w_i c_i (three values);  A = 1 - T_end.
With cotangents v of C and v_A of A, and S_i = Σ_{j>i} w_j (c_j·v) - T_end v_A:
    alpha_i dL/dalpha_i = w_i (c_i·v) - S_i alpha_i / (1 - alpha_i)
so one scalar per pixel carried front to back is enough: S starts as C·v - (1 - A) v_A.

The state of a tile is PLANES times 256 floats, block after block. A finished pixel has T = 0, so
that nothing is added to it without any test; what its T was stands in another plane. Likewise
S = 0 ends its gradient. `live` holds one bit per unfinished block and tile.

Forward runs over the blocks of a tile, for each over the 64 next splats that reach it: the state
stays in registers. Backward runs over the splats, for each over its blocks: the gradients do.
"""

import numpy as np

from .bins import (
    AHEAD,
    BAND_PX,
    BLOCKS,
    BOX,
    CONIC,
    DEPTH,
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
    tile_range,
)
from .compiled import kernel, part
from .simd import (
    LANES,
    add_sums9,
    at_least,
    at_most,
    below,
    bits,
    broadcast,
    exp2_over_255,
    load,
    load_lanes,
    lowest_bit,
    mask_of,
    members,
    multiply_add,
    prefetch,
    smaller,
    store,
    store_lanes,
    subtract_product,
    where,
)

ALPHA_MAX, T_MIN = F(0.999), F(1e-4)
ONE, HALF, ZERO = F(1.0), F(0.5), F(0.0)
ALL_LANES, ALL_BLOCKS = (1 << LANES) - 1, (1 << BLOCKS) - 1
AT_ONCE = 64

# Offsets of the planes of a tile's state.
T, T_END, RED, GREEN, BLUE, STATE = 0, 256, 512, 768, 1024, 1280
SUFFIX = T_END
SUMS = 12
"""Floats per splat and stripe in backward's sums; nine are used."""


@kernel
def set_values(splats, ids, first, last, values, column):
    """Put columns column..column+2 of `values` into splats first..last-1."""
    width = values.shape[1]
    for k in range(first, last):
        prefetch(values, np.int64(ids[min(k + AHEAD, last - 1)]) * width + column)
        i = np.int64(load(ids, k)) * width + column
        for j in range(3):
            store(splats, k * FIELDS + VALUES + j, load(values, i + j))


@kernel
def open_tiles(first, last, columns, width, height, state, live):
    """T = 1 and sums 0; pixels outside of the picture are finished with T_end = 1."""
    for tile in range(first, last):
        left, top = tile % columns * TILE_PX, tile // columns * TILE_PX
        blocks = 0
        for block in range(BLOCKS):
            lane, at = block * LANES, tile * STATE + block * LANES
            inside = below(load_lanes(TABLE, PIXEL_X + lane), F(width - left)) & below(
                load_lanes(TABLE, PIXEL_Y + lane), F(height - top)
            )
            store_lanes(state, at + T, where(inside, ONE, ZERO))
            store_lanes(state, at + T_END, where(inside, ZERO, ONE))
            for plane in (RED, GREEN, BLUE):
                store_lanes(state, at + plane, broadcast(ZERO))
            blocks |= int(bits(inside) != 0) << block
        store(live, tile, blocks)


@part
def exponent(splats, g, dx, dy):
    """log2 (255 alpha) before the clamp, at (dx, dy) from the splat's centre."""
    across = multiply_add(dx, load(splats, g + P), dy * load(splats, g + Q))
    constant = multiply_add(dy * load(splats, g + R), dy, load(splats, g + TOP))
    return multiply_add(dx, across, constant)


@part
def blend_block(splats, word, px, py, state, at):
    """Blend the splats whose bits are set in `word` into one block; whether it is finished now."""
    t = load_lanes(state, at + T)
    red, green = load_lanes(state, at + RED), load_lanes(state, at + GREEN)
    blue = load_lanes(state, at + BLUE)
    known = bits(at_most(t, T_MIN))
    while word != 0:
        g = lowest_bit(word) * FIELDS
        word &= word - 1
        power = exponent(splats, g, px - load(splats, g + X), py - load(splats, g + Y))
        alpha = where(at_least(power, ZERO), smaller(exp2_over_255(power), ALPHA_MAX), ZERO)
        weight = alpha * t
        after = t - weight
        finished = bits(at_most(after, T_MIN))
        if finished != known:
            now = mask_of(finished & ~known)
            store_lanes(state, at + T_END, where(now, t, load_lanes(state, at + T_END)))
            weight, after = where(now, ZERO, weight), where(now, ZERO, after)
            known = finished
            word = word if known != ALL_LANES else 0
        t = after
        red = multiply_add(weight, load(splats, g + VALUES), red)
        green = multiply_add(weight, load(splats, g + VALUES + 1), green)
        blue = multiply_add(weight, load(splats, g + VALUES + 2), blue)
    store_lanes(state, at + T, t)
    store_lanes(state, at + RED, red)
    store_lanes(state, at + GREEN, green)
    store_lanes(state, at + BLUE, blue)
    return known == ALL_LANES


@part
def gather(splats, entries, first, count, near):
    """Copy the splats of `count` entries side by side."""
    for k in range(count):
        prefetch(splats, np.int64(load(entries, first + k)) * FIELDS)
    for k in range(count):
        g = np.int64(load(entries, first + k)) * FIELDS
        for j in range(0, FIELDS, LANES):
            store_lanes(near, k * FIELDS + j, load_lanes(splats, g + j))


@kernel
def blend(first, last, columns, splats, entries, masks, starts, state, live):
    """Blend the lists of tiles first..last-1 into `state`, and clear finished blocks' bits."""
    near = np.empty(AT_ONCE * FIELDS, F)
    for tile in range(first, last):
        left, top = F(tile % columns * TILE_PX), F(tile // columns * TILE_PX)
        blocks = np.int64(load(live, tile))
        for e in range(starts[tile], starts[tile + 1], AT_ONCE):
            if blocks == 0:
                break
            count = min(AT_ONCE, starts[tile + 1] - e)
            gather(splats, entries, e, count, near)
            present = -1 if count == AT_ONCE else (1 << count) - 1
            waiting = blocks
            while waiting != 0:
                block = lowest_bit(waiting)
                waiting &= waiting - 1
                word = members(masks, e, block) & present
                if word != 0:
                    lane = block * LANES
                    px = load_lanes(TABLE, PIXEL_X + lane) + left
                    py = load_lanes(TABLE, PIXEL_Y + lane) + top
                    if blend_block(near, word, px, py, state, tile * STATE + lane):
                        blocks &= ~(1 << block)
        store(live, tile, blocks)


@part
def corner(tile, block, columns):
    """First pixel of a block in the picture."""
    bands = BLOCKS // 4
    x = tile % columns * TILE_PX + block // bands * 4
    return x, tile // columns * TILE_PX + block % bands * BAND_PX


@kernel
def picture(first, last, columns, state, values, column, alpha):
    """From the state of tiles first..last-1 to columns column..column+2 of `values`, and alpha."""
    height, width, stride = values.shape
    for tile in range(first, last):
        for block in range(BLOCKS):
            left, top = corner(tile, block, columns)
            at = tile * STATE + block * LANES
            for j in range(min(BAND_PX, height - top)):
                for i in range(min(4, width - left)):
                    lane, pixel = at + j * 4 + i, (top + j) * width + left + i
                    store(alpha, pixel, ONE - (load(state, lane + T) + load(state, lane + T_END)))
                    for k in range(3):
                        value = load(state, lane + RED + 256 * k)
                        store(values, pixel * stride + column + k, value)


@kernel
def median_picture(first, last, columns, state, depth):
    """From the RED plane of tiles first..last-1 to a picture of one value."""
    height, width = depth.shape
    for tile in range(first, last):
        for block in range(BLOCKS):
            left, top = corner(tile, block, columns)
            at = tile * STATE + block * LANES
            for j in range(min(BAND_PX, height - top)):
                for i in range(min(4, width - left)):
                    found = load(state, at + j * 4 + i + RED)
                    store(depth, (top + j) * width + left + i, found)


@part
def median_block(splats, word, px, py, state, at):
    """Depth of the splat that brings T to one half or below; such pixels are finished."""
    t, found = load_lanes(state, at + T), load_lanes(state, at + RED)
    known = bits(at_most(t, HALF))
    while word != 0:
        g = lowest_bit(word) * FIELDS
        word &= word - 1
        power = exponent(splats, g, px - load(splats, g + X), py - load(splats, g + Y))
        alpha = where(at_least(power, ZERO), smaller(exp2_over_255(power), ALPHA_MAX), ZERO)
        t = t - alpha * t
        finished = bits(at_most(t, HALF))
        if finished != known:
            now = mask_of(finished & ~known)
            found = where(now, load(splats, g + DEPTH), found)
            known = finished
            word = word if known != ALL_LANES else 0
    store_lanes(state, at + T, t)
    store_lanes(state, at + RED, found)
    return known == ALL_LANES


@kernel
def median(first, last, columns, splats, entries, masks, starts, state, live):
    """Median depth of tiles first..last-1 into the RED plane of `state`."""
    near = np.empty(AT_ONCE * FIELDS, F)
    for tile in range(first, last):
        left, top = F(tile % columns * TILE_PX), F(tile // columns * TILE_PX)
        blocks = np.int64(load(live, tile))
        for e in range(starts[tile], starts[tile + 1], AT_ONCE):
            count = min(AT_ONCE, starts[tile + 1] - e)
            gather(splats, entries, e, count, near)
            present = -1 if count == AT_ONCE else (1 << count) - 1
            waiting = blocks
            while waiting != 0:
                block = lowest_bit(waiting)
                waiting &= waiting - 1
                word = members(masks, e, block) & present
                lane = block * LANES
                px = load_lanes(TABLE, PIXEL_X + lane) + left
                py = load_lanes(TABLE, PIXEL_Y + lane) + top
                if median_block(near, word, px, py, state, tile * STATE + lane):
                    blocks &= ~(1 << block)
        store(live, tile, blocks)


@kernel
def open_tiles_backward(
    first, last, columns, values, alpha, g_values, g_alpha, column, state, live
):  # fmt: skip
    """T = 1, v into RED, GREEN, BLUE and the first S; all 0 outside of the picture."""
    height, width, stride = values.shape
    for tile in range(first, last):
        store(live, tile, ALL_BLOCKS)
        for block in range(BLOCKS):
            left, top = corner(tile, block, columns)
            at = tile * STATE + block * LANES
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


@part
def blend_tile_backward(
    first, last, left, top, splats, entries, masks, state, tile, blocks, stripe, slots, sums
):
    """Add, per splat, the gradient by its three values and six moments of s = alpha dL/dalpha:

    Σs, Σs dx, Σs dy, Σs dx², Σs dx dy, Σs dy². Returns the unfinished blocks.
    """
    for e in range(first, last):
        soon = np.int64(load(entries, min(e + AHEAD, last - 1)))
        prefetch(splats, soon * FIELDS)
        prefetch(sums, (load(slots, soon) + stripe) * SUMS)
        bits_left = np.int64(load(masks, e)) & blocks
        if bits_left == 0:
            continue
        k = np.int64(load(entries, e))
        g = k * FIELDS
        x, y = load(splats, g + X) - left, load(splats, g + Y) - top
        zero = broadcast(ZERO)
        g_red = g_green = g_blue = s00 = s10 = s01 = s20 = s11 = s02 = zero
        while bits_left != 0:
            block = lowest_bit(bits_left)
            bits_left &= bits_left - 1
            lane, at = block * LANES, tile * STATE + block * LANES
            dx = load_lanes(TABLE, PIXEL_X + lane) - x
            dy = load_lanes(TABLE, PIXEL_Y + lane) - y
            power = exponent(splats, g, dx, dy)
            unclamped = exp2_over_255(power)
            alpha = where(at_least(power, ZERO), smaller(unclamped, ALPHA_MAX), ZERO)
            t, suffix = load_lanes(state, at + T), load_lanes(state, at + SUFFIX)
            weight = alpha * t
            after = t - weight
            finished = bits(at_most(after, T_MIN))
            if finished != bits(at_most(t, T_MIN)):
                done = mask_of(finished)
                weight, after = where(done, ZERO, weight), where(done, ZERO, after)
                suffix = where(done, ZERO, suffix)
                if finished == ALL_LANES:
                    blocks &= ~(1 << block)
            store_lanes(state, at + T, after)
            v_red, v_green = load_lanes(state, at + RED), load_lanes(state, at + GREEN)
            v_blue = load_lanes(state, at + BLUE)
            red, green = load(splats, g + VALUES), load(splats, g + VALUES + 1)
            blue = load(splats, g + VALUES + 2)
            cv = multiply_add(v_red, red, multiply_add(v_green, green, v_blue * blue))
            gain = weight * cv
            suffix = suffix - gain
            store_lanes(state, at + SUFFIX, suffix)
            g_red = multiply_add(weight, v_red, g_red)
            g_green = multiply_add(weight, v_green, g_green)
            g_blue = multiply_add(weight, v_blue, g_blue)
            s = subtract_product(gain, suffix, alpha / (ONE - alpha))
            s = where(at_most(unclamped, ALPHA_MAX), s, ZERO)
            sx, sy = s * dx, s * dy
            s00, s10, s01 = s00 + s, s10 + sx, s01 + sy
            s20 = multiply_add(sx, dx, s20)
            s11 = multiply_add(sx, dy, s11)
            s02 = multiply_add(sy, dy, s02)
        slot = (np.int64(load(slots, k)) + stripe) * SUMS
        add_sums9(sums, slot, g_red, g_green, g_blue, s00, s10, s01, s20, s11, s02)
        if blocks == 0:
            break
    return blocks


@kernel
def blend_backward(
    first, last, step, tiles, columns, splats, entries, masks, starts, slots, sums, state, live
):  # fmt: skip
    """Gradient of the lists of stripes first..last-1, each `step` tiles, into `sums`."""
    for stripe in range(first, last):
        for tile in range(stripe * step, min((stripe + 1) * step, tiles)):
            blocks = np.int64(load(live, tile))
            if blocks == 0 or starts[tile] == starts[tile + 1]:
                continue
            left, top = F(tile % columns * TILE_PX), F(tile // columns * TILE_PX)
            blocks = blend_tile_backward(
                starts[tile], starts[tile + 1], left, top, splats, entries, masks, state, tile,
                blocks, stripe, slots, sums,
            )  # fmt: skip
            store(live, tile, blocks)


@kernel
def assign_slots(splats, rows, rows_per_stripe, ranges, slots):
    """Rows of sums for the stripes each splat's box touches: ranges[k] to ranges[k + 1].

    The row for stripe s is slots[k] + s.
    """
    at = 0
    for k in range(slots.shape[0]):
        y, half = load(splats, k * FIELDS + Y), load(splats, k * FIELDS + BOX + 1)
        first, last = tile_range(y, half, rows)
        first, last = first // rows_per_stripe, last // rows_per_stripe
        ranges[k] = at
        slots[k] = at - first
        at += max(0, last - first + 1)
    ranges[slots.shape[0]] = at


@part
def add(array, index, value):
    store(array, index, load(array, index) + value)


@kernel
def unpack(
    first, last, splats, ids, sums, ranges, column, g_xy, g_conics, g_opacities, g_values
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
        for row in range(load(ranges, k), load(ranges, k + 1)):
            at = row * SUMS
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
        a, b, c = load(splats, g + CONIC), load(splats, g + CONIC + 1), load(splats, g + CONIC + 2)
        # (dx, dy) runs from the centre to the pixel, and alpha falls with it.
        add(g_opacities, i, s / load(splats, g + OPACITY))
        add(g_xy, 2 * i, a * sx + b * sy)
        add(g_xy, 2 * i + 1, b * sx + c * sy)
        add(g_conics, 3 * i, -HALF * sxx)
        add(g_conics, 3 * i + 1, -sxy)
        add(g_conics, 3 * i + 2, -HALF * syy)


@kernel
def unpack_weights(ids, sums, ranges, out):
    """The first of the sums of every splat."""
    for k in range(ids.shape[0]):
        total = 0.0
        for row in range(ranges[k], ranges[k + 1]):
            total += load(sums, row * SUMS)
        out[ids[k]] = total
