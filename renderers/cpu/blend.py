"""Front-to-back blending of one tile after another.

Notation, one pixel:  alpha_i = min(0.999, opacity_i exp(-sigma_i)), skipped below 1/255;
    T_i = Π_{j<i} (1 - alpha_j);  blending ends before the Gaussian that would bring T to 1e-4;
    w_i = T_i alpha_i;  C = Σ w_i c_i (three values);  A = 1 - T_end.

The state of a tile is five planes of 256 floats, block after block. A finished pixel has T = 0, so
that nothing is added to it without any test; what its T was stands in another plane. `live` holds
one bit per unfinished block and tile.

The loop runs over the blocks of a tile, for each over the 64 next splats that reach it: the state
stays in registers.
"""

import math

import numpy as np

from .bins import (
    AHEAD,
    BAND_PX,
    BLOCKS,
    DEPTH,
    FIELDS,
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
from .compiled import inner, kernel
from .memory import (
    load,
    load_lanes,
    members,
    prefetch,
    store,
    store_block,
    store_block3,
    store_lanes,
)
from .simd import (
    LANES,
    above,
    at_least,
    at_most,
    below,
    bits,
    broadcast,
    exp2_over_255,
    lowest_bit,
    mask_of,
    multiply_add,
    smaller,
    subtract_product,
    unless_negative,
    where,
)

ALPHA_MAX, T_MIN = F(0.999), F(1e-4)
TOP_MAX = F(math.log2(255 * 0.999) - 1e-5)
"""Below it no alpha of a splat reaches ALPHA_MAX."""
ONE, HALF, ZERO = F(1.0), F(0.5), F(0.0)
FREE_MASKS = LANES == 16
"""AVX-512 leaves lanes out at no cost; elsewhere a branch is cheaper, as pixels finish once."""
ALL_LANES, ALL_BLOCKS = (1 << LANES) - 1, (1 << BLOCKS) - 1
AT_ONCE = 64

# Offsets of the planes of a tile's state.
T, T_END, RED, GREEN, BLUE, STATE = 0, 256, 512, 768, 1024, 1280


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
            lane, at = block * LANES, (tile - first) * STATE + block * LANES
            inside = below(load_lanes(TABLE, PIXEL_X + lane), F(width - left)) & below(
                load_lanes(TABLE, PIXEL_Y + lane), F(height - top)
            )
            store_lanes(state, at + T, where(inside, ONE, ZERO))
            store_lanes(state, at + T_END, where(inside, ZERO, ONE))
            for plane in (RED, GREEN, BLUE):
                store_lanes(state, at + plane, broadcast(ZERO))
            blocks |= int(bits(inside) != 0) << block
        store(live, tile - first, blocks)


@inner
def exponent(splats, g, dx, dy):
    """log2 (255 alpha) before the clamp, at (dx, dy) from the splat's centre."""
    across = multiply_add(dx, load(splats, g + P), dy * load(splats, g + Q))
    constant = multiply_add(dy * load(splats, g + R), dy, load(splats, g + TOP))
    return multiply_add(dx, across, constant)


@inner
def blend_block(splats, word, px, py, state, at, clamped):
    """Blend the splats whose bits are set in `word` into one block; whether it is finished now.

    `clamped` says whether any alpha may reach ALPHA_MAX.
    """
    t, zero = load_lanes(state, at + T), broadcast(ZERO)
    last = t + load_lanes(state, at + T_END)
    alive = above(t, zero)
    known = bits(alive)
    red, green = load_lanes(state, at + RED), load_lanes(state, at + GREEN)
    blue = load_lanes(state, at + BLUE)
    while word != 0:
        g = lowest_bit(word) * FIELDS
        word &= word - 1
        power = exponent(splats, g, px - load(splats, g + X), py - load(splats, g + Y))
        alpha = exp2_over_255(power)
        alpha = unless_negative(power, smaller(alpha, ALPHA_MAX) if clamped else alpha)
        after = subtract_product(t, alpha, t)
        if FREE_MASKS:  # T of finished pixels goes on falling, and hides what follows.
            alive = above(after, T_MIN)
            weight, last = where(alive, alpha * t, zero), where(alive, after, last)
            known = bits(alive)
        else:
            weight, unfinished = alpha * t, bits(above(after, T_MIN))
            if unfinished != known:
                alive, last = mask_of(unfinished), where(mask_of(known & ~unfinished), t, last)
                weight, after = where(alive, weight, zero), where(alive, after, zero)
                known = unfinished
        t = after
        red = multiply_add(weight, load(splats, g + VALUES), red)
        green = multiply_add(weight, load(splats, g + VALUES + 1), green)
        blue = multiply_add(weight, load(splats, g + VALUES + 2), blue)
        word = word if known != 0 else 0
    store_lanes(state, at + T, where(alive, t, zero))
    store_lanes(state, at + T_END, where(alive, zero, last))
    store_lanes(state, at + RED, red)
    store_lanes(state, at + GREEN, green)
    store_lanes(state, at + BLUE, blue)
    return known == 0


@inner
def gather(splats, entries, first, count, near):
    """Copy the splats of `count` entries side by side; one bit for each that may be clamped."""
    clamped = 0
    for k in range(count):
        prefetch(splats, np.int64(load(entries, first + k)) * FIELDS)
    for k in range(count):
        g = np.int64(load(entries, first + k)) * FIELDS
        for j in range(0, FIELDS, LANES):
            store_lanes(near, k * FIELDS + j, load_lanes(splats, g + j))
        clamped |= int(load(splats, g + TOP) >= TOP_MAX) << k
    return clamped


@kernel
def blend(first, last, columns, splats, entries, masks, starts, state, live):
    """Blend the lists of tiles first..last-1 into `state`, and clear finished blocks' bits."""
    near = np.empty(AT_ONCE * FIELDS, F)
    for tile in range(first, last):
        left, top = F(tile % columns * TILE_PX), F(tile // columns * TILE_PX)
        here = tile - first
        blocks = np.int64(load(live, here))
        for e in range(starts[here], starts[here + 1], AT_ONCE):
            if blocks == 0:
                break
            count = min(AT_ONCE, starts[here + 1] - e)
            clamped = gather(splats, entries, e, count, near)
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
                    at = here * STATE + lane
                    if word & clamped == 0:
                        finished = blend_block(near, word, px, py, state, at, False)
                    else:
                        finished = blend_block(near, word, px, py, state, at, True)
                    blocks &= ~(int(finished) << block)
        store(live, here, blocks)


@inner
def corner(tile, block, columns):
    """First pixel of a block in the picture."""
    bands = BLOCKS // 4
    x = tile % columns * TILE_PX + block // bands * 4
    return x, tile // columns * TILE_PX + block % bands * BAND_PX


@inner
def is_inside(left, top, width, height):
    """Whether all pixels of the block that begins there are in the picture."""
    return left + 4 <= width and top + BAND_PX <= height


@kernel
def picture(first, last, columns, state, values, column, alpha):
    """From the state of tiles first..last-1 to columns column..column+2 of `values`, and alpha."""
    height, width, stride = values.shape
    for tile in range(first, last):
        for block in range(BLOCKS):
            left, top = corner(tile, block, columns)
            at = (tile - first) * STATE + block * LANES
            if stride == 3 and is_inside(left, top, width, height):
                pixel = top * width + left
                t = load_lanes(state, at + T) + load_lanes(state, at + T_END)
                store_block(alpha, pixel, width, ONE - t)
                red, green = load_lanes(state, at + RED), load_lanes(state, at + GREEN)
                blue = load_lanes(state, at + BLUE)
                store_block3(values, 3 * pixel, 3 * width, red, green, blue)
                continue
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
            at = (tile - first) * STATE + block * LANES
            for j in range(min(BAND_PX, height - top)):
                for i in range(min(4, width - left)):
                    found = load(state, at + j * 4 + i + RED)
                    store(depth, (top + j) * width + left + i, found)


@inner
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
        here = tile - first
        blocks = np.int64(load(live, here))
        for e in range(starts[here], starts[here + 1], AT_ONCE):
            count = min(AT_ONCE, starts[here + 1] - e)
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
                if median_block(near, word, px, py, state, here * STATE + lane):
                    blocks &= ~(1 << block)
        store(live, here, blocks)
