"""Front-to-back blending of one tile after another, and its gradient.

Notation, one pixel:  alpha_i = min(0.999, opacity_i exp(-sigma_i)), skipped below 1/255;
    T_i = Π_{j<i} (1 - alpha_j);  blending ends before the Gaussian that would bring T to 1e-4;
    C = Σ T_i alpha_i c_i (three values);  A = 1 - T_end.
With cotangents v of C and v_A of A, and S_i = Σ_{j>i} T_j alpha_j (c_j·v) - T_end v_A:
    dL/dalpha_i = T_i (c_i·v) - S_i / (1 - alpha_i)
so one scalar per pixel carried front to back is enough: S starts as C·v - (1 - A) v_A.

A tile is 16 blocks of 4x4 pixels, a block is one vector. The state of a tile lives in `state`
(flat, 16 floats per block and quantity) and `active` (mask of unfinished pixels per block).
"""

import numpy as np

from .bins import (
    BLOCK_X,
    BLOCK_Y,
    DEPTH,
    FIELDS,
    LANE_X,
    LANE_Y,
    LOG2_CUT,
    LOG2_OPACITY,
    PIXEL_X,
    PIXEL_Y,
    TABLE,
    TILE_PX,
    VALUES,
    F,
    P,
    Q,
    R,
    X,
    Y,
)
from .compiled import kernel, part
from .simd import (
    add_sums9,
    at_least,
    at_most,
    below,
    broadcast,
    exp2,
    load,
    load_lanes,
    lowest_bit,
    multiply_add,
    smaller,
    store,
    store_lanes,
    subtract_product,
    where,
)

ALPHA_MAX, T_MIN = F(0.999), F(1e-4)
ONE, HALF, ZERO = F(1.0), F(0.5), F(0.0)

# Offsets into `state`; the first five hold 16 vectors each, the last three one each.
TRANSMITTANCE, RED, GREEN, BLUE, SUFFIX, BASE, SLOPE_X, SLOPE_Y, STATE_SIZE = (
    0, 256, 512, 768, 1024, 1280, 1296, 1312, 1328,
)  # fmt: skip
MEDIAN = RED


@kernel
def set_values(splats, ids, n, values, first):
    """Put columns first..first+2 of `values` into the splat records."""
    for k in range(n):
        for j in range(3):
            store(splats, k * FIELDS + VALUES + j, values[ids[k], first + j])


@part
def open_tile(state, active, left, top, width, height):
    """T = 1, sums = 0, pixels outside of the picture inactive; returns the mask of live blocks."""
    live = 0
    for block in range(16):
        at = block * 16
        store_lanes(state, TRANSMITTANCE + at, broadcast(ONE))
        for plane in (RED, GREEN, BLUE):
            store_lanes(state, plane + at, broadcast(ZERO))
        inside = below(load_lanes(TABLE, PIXEL_X + at), F(width - left)) & below(
            load_lanes(TABLE, PIXEL_Y + at), F(height - top)
        )
        store(active, block, inside)
        if inside != 0:
            live |= 1 << block
    return live


@part
def open_splat(state, splats, g, left, top):
    """Tabulate the exponent for all 16 blocks: BASE + SLOPE_X lx + SLOPE_Y ly + what is returned.

    (lx, ly) is the pixel within its block; the returned vector is the quadratic part in it.
    """
    p, q, r = load(splats, g + P), load(splats, g + Q), load(splats, g + R)
    dx = load_lanes(TABLE, BLOCK_X) + (F(left) - load(splats, g + X))
    dy = load_lanes(TABLE, BLOCK_Y) + (F(top) - load(splats, g + Y))
    px, ry = dx * p, dy * r
    base = multiply_add(dx, multiply_add(q, dy, px), load(splats, g + LOG2_OPACITY))
    store_lanes(state, BASE, multiply_add(ry, dy, base))
    store_lanes(state, SLOPE_X, multiply_add(q, dy, px + px))
    store_lanes(state, SLOPE_Y, multiply_add(q, dx, ry + ry))
    lx, ly = load_lanes(TABLE, LANE_X), load_lanes(TABLE, LANE_Y)
    return multiply_add(lx * lx, p, multiply_add(lx * ly, q, ly * ly * r))


@part
def exponent(state, block, quadratic):
    """log2 alpha before the clamp, for the 16 pixels of a block."""
    lx, ly = load_lanes(TABLE, LANE_X), load_lanes(TABLE, LANE_Y)
    constant = quadratic + load(state, BASE + block)
    linear = multiply_add(ly, load(state, SLOPE_Y + block), constant)
    return multiply_add(lx, load(state, SLOPE_X + block), linear)


@part
def blend_tile(left, top, width, height, first, last, splats, entries, masks, state, active):
    """Blend one tile's list into `state`; returns one past the last entry that was looked at.

    Masks are narrowed to the blocks where a pixel was blended or finished: later passes over the
    same list (more values, gradients) then do the same arithmetic on fewer blocks.
    """
    live = open_tile(state, active, left, top, width, height)
    for e in range(first, last):
        bits = np.int64(load(masks, e)) & live
        if bits == 0:
            store(masks, e, 0)
            continue
        g = np.int64(load(entries, e)) * FIELDS
        quadratic = open_splat(state, splats, g, left, top)
        red = broadcast(load(splats, g + VALUES))
        green = broadcast(load(splats, g + VALUES + 1))
        blue = broadcast(load(splats, g + VALUES + 2))
        used = 0
        while bits != 0:
            block = lowest_bit(bits)
            bits &= bits - 1
            at = block * 16
            power = exponent(state, block, quadratic)
            hit = at_least(power, LOG2_CUT) & np.int64(load(active, block))
            alpha = smaller(exp2(power), ALPHA_MAX)
            t = load_lanes(state, TRANSMITTANCE + at)
            weight = where(hit, alpha * t, ZERO)
            after = t - weight
            if hit != 0:
                used |= 1 << block
            done = at_most(after, T_MIN) & hit
            if done != 0:
                still = np.int64(load(active, block)) & ~done
                store(active, block, still)
                if still == 0:
                    live &= ~(1 << block)
                weight = where(hit & ~done, weight, ZERO)
                after = t - weight
            store_lanes(state, TRANSMITTANCE + at, after)
            store_lanes(state, RED + at, multiply_add(weight, red, load_lanes(state, RED + at)))
            store_lanes(
                state, GREEN + at, multiply_add(weight, green, load_lanes(state, GREEN + at))
            )
            store_lanes(state, BLUE + at, multiply_add(weight, blue, load_lanes(state, BLUE + at)))
        store(masks, e, used)
        if live == 0:
            return e + 1
    return last


@kernel
def blend(splats, entries, masks, starts, ends, values, first, alpha):
    """Blend all tiles into columns first..first+2 of `values`, and `alpha`; may shorten `ends`."""
    height, width = alpha.shape
    columns = (width + TILE_PX - 1) // TILE_PX
    state, active = np.empty(STATE_SIZE, F), np.empty(16, np.uint16)
    for tile in range(starts.shape[0] - 1):
        left, top = tile % columns * TILE_PX, tile // columns * TILE_PX
        ends[tile] = blend_tile(
            left,
            top,
            width,
            height,
            starts[tile],
            ends[tile],
            splats,
            entries,
            masks,
            state,
            active,
        )
        for y in range(top, min(top + TILE_PX, height)):
            for x in range(left, min(left + TILE_PX, width)):
                j, i = y - top, x - left
                at = (j // 4 * 4 + i // 4) * 16 + j % 4 * 4 + i % 4
                alpha[y, x] = ONE - load(state, TRANSMITTANCE + at)
                values[y, x, first] = load(state, RED + at)
                values[y, x, first + 1] = load(state, GREEN + at)
                values[y, x, first + 2] = load(state, BLUE + at)


@part
def median_tile(left, top, width, height, first, last, splats, entries, masks, state, active):
    """Depth of the splat that brings T to one half or below; 0 where none does."""
    live = open_tile(state, active, left, top, width, height)
    for e in range(first, last):
        bits = np.int64(load(masks, e)) & live
        if bits == 0:
            continue
        g = np.int64(load(entries, e)) * FIELDS
        quadratic = open_splat(state, splats, g, left, top)
        while bits != 0:
            block = lowest_bit(bits)
            bits &= bits - 1
            at = block * 16
            power = exponent(state, block, quadratic)
            hit = at_least(power, LOG2_CUT) & np.int64(load(active, block))
            t = load_lanes(state, TRANSMITTANCE + at)
            after = t - where(hit, smaller(exp2(power), ALPHA_MAX) * t, ZERO)
            store_lanes(state, TRANSMITTANCE + at, after)
            crossed = at_most(after, HALF) & hit
            if crossed != 0:
                still = np.int64(load(active, block)) & ~crossed
                store(active, block, still)
                if still == 0:
                    live &= ~(1 << block)
                found = where(crossed, load(splats, g + DEPTH), load_lanes(state, MEDIAN + at))
                store_lanes(state, MEDIAN + at, found)
        if live == 0:
            return


@kernel
def median(splats, entries, masks, starts, ends, depth):
    """Median depth of all tiles."""
    height, width = depth.shape
    columns = (width + TILE_PX - 1) // TILE_PX
    state, active = np.empty(STATE_SIZE, F), np.empty(16, np.uint16)
    for tile in range(starts.shape[0] - 1):
        left, top = tile % columns * TILE_PX, tile // columns * TILE_PX
        median_tile(
            left,
            top,
            width,
            height,
            starts[tile],
            ends[tile],
            splats,
            entries,
            masks,
            state,
            active,
        )
        for y in range(top, min(top + TILE_PX, height)):
            for x in range(left, min(left + TILE_PX, width)):
                j, i = y - top, x - left
                at = (j // 4 * 4 + i // 4) * 16 + j % 4 * 4 + i % 4
                depth[y, x] = load(state, MEDIAN + at)


@part
def load_cotangents(state, left, top, values, alpha, g_values, g_alpha, first):
    """v into RED, GREEN, BLUE and the first S into SUFFIX, zero outside of the picture."""
    height, width = alpha.shape
    for plane in (RED, GREEN, BLUE, SUFFIX):
        for block in range(16):
            store_lanes(state, plane + block * 16, broadcast(ZERO))
    for y in range(top, min(top + TILE_PX, height)):
        for x in range(left, min(left + TILE_PX, width)):
            j, i = y - top, x - left
            at = (j // 4 * 4 + i // 4) * 16 + j % 4 * 4 + i % 4
            suffix = (alpha[y, x] - ONE) * g_alpha[y, x]
            for k in range(3):
                v = g_values[y, x, first + k]
                store(state, RED + 256 * k + at, v)
                suffix += v * values[y, x, first + k]
            store(state, SUFFIX + at, suffix)


@part
def blend_tile_backward(left, top, first, last, splats, entries, masks, state, active, sums):
    """Add, per splat, the gradient by its three values and six moments of s = alpha dL/dalpha:

    Σs, Σs dx, Σs dy, Σs dx², Σs dx dy, Σs dy², with (dx, dy) from the centre to the pixel.
    """
    for e in range(first, last):
        bits = np.int64(load(masks, e))
        if bits == 0:
            continue
        g = np.int64(load(entries, e)) * FIELDS
        quadratic = open_splat(state, splats, g, left, top)
        ox, oy = F(left) - load(splats, g + X), F(top) - load(splats, g + Y)
        red = broadcast(load(splats, g + VALUES))
        green = broadcast(load(splats, g + VALUES + 1))
        blue = broadcast(load(splats, g + VALUES + 2))
        zero = broadcast(ZERO)
        g_red = g_green = g_blue = s00 = s10 = s01 = s20 = s11 = s02 = zero
        while bits != 0:
            block = lowest_bit(bits)
            bits &= bits - 1
            at = block * 16
            power = exponent(state, block, quadratic)
            hit = at_least(power, LOG2_CUT) & np.int64(load(active, block))
            unclamped = exp2(power)
            alpha = smaller(unclamped, ALPHA_MAX)
            t = load_lanes(state, TRANSMITTANCE + at)
            weight = where(hit, alpha * t, ZERO)
            after = t - weight
            done = at_most(after, T_MIN) & hit
            if done != 0:
                store(active, block, np.int64(load(active, block)) & ~done)
                hit &= ~done
                weight = where(hit, weight, ZERO)
                after = t - weight
            store_lanes(state, TRANSMITTANCE + at, after)
            v_red = load_lanes(state, RED + at)
            v_green = load_lanes(state, GREEN + at)
            v_blue = load_lanes(state, BLUE + at)
            cv = multiply_add(red, v_red, multiply_add(green, v_green, blue * v_blue))
            suffix = subtract_product(load_lanes(state, SUFFIX + at), weight, cv)
            store_lanes(state, SUFFIX + at, suffix)
            g_alpha = subtract_product(t * cv, suffix, ONE / (ONE - alpha))
            g_red = multiply_add(weight, v_red, g_red)
            g_green = multiply_add(weight, v_green, g_green)
            g_blue = multiply_add(weight, v_blue, g_blue)
            s = where(hit & at_most(unclamped, ALPHA_MAX), g_alpha * unclamped, ZERO)
            dx = load_lanes(TABLE, PIXEL_X + at) + ox
            dy = load_lanes(TABLE, PIXEL_Y + at) + oy
            sx, sy = s * dx, s * dy
            s00, s10, s01 = s00 + s, s10 + sx, s01 + sy
            s20 = multiply_add(sx, dx, s20)
            s11 = multiply_add(sx, dy, s11)
            s02 = multiply_add(sy, dy, s02)
        add_sums9(sums, g, g_red, g_green, g_blue, s00, s10, s01, s20, s11, s02)


@kernel
def blend_backward(
    splats, entries, masks, starts, ends, values, alpha, g_values, g_alpha, first, sums
):
    """Gradient of all tiles into `sums`, 16 floats per splat (nine used)."""
    height, width = alpha.shape
    columns = (width + TILE_PX - 1) // TILE_PX
    state, active = np.empty(STATE_SIZE, F), np.empty(16, np.uint16)
    for tile in range(starts.shape[0] - 1):
        if starts[tile] == ends[tile]:
            continue
        left, top = tile % columns * TILE_PX, tile // columns * TILE_PX
        open_tile(state, active, left, top, width, height)
        load_cotangents(state, left, top, values, alpha, g_values, g_alpha, first)
        blend_tile_backward(
            left, top, starts[tile], ends[tile], splats, entries, masks, state, active, sums
        )


@kernel
def unpack(splats, ids, n, sums, first, g_xy, g_conics, g_opacities, g_values):
    """Gradients by the ellipses from the sums; opacities and geometry are added to, values set."""
    for k in range(n):
        i, g = ids[k], k * FIELDS
        a, b, c = load(splats, g + 10), load(splats, g + 11), load(splats, g + 12)
        for j in range(3):
            g_values[i, first + j] = load(sums, g + j)
        sx, sy = load(sums, g + 4), load(sums, g + 5)
        g_opacities[i] += load(sums, g + 3) / load(splats, g + 9)
        g_xy[i, 0] += a * sx + b * sy
        g_xy[i, 1] += b * sx + c * sy
        g_conics[i, 0] -= HALF * load(sums, g + 6)
        g_conics[i, 1] -= load(sums, g + 7)
        g_conics[i, 2] -= HALF * load(sums, g + 8)
