"""Which Gaussians touch which tile, in depth order.

A splat is 16 float32: centre (2), exponent coefficients (3), log2 opacity, three values to blend,
opacity, conic (3), half sizes of its box (2), depth. In tile coordinates
    log2 alpha = P dx² + Q dx dy + R dy² + log2 opacity,   (P, Q, R) = -log2(e) (A/2, B, C/2).
An entry of a tile's list is a splat and 16 bits, one for each 4x4 block of pixels where the
largest alpha over the block's pixel centres reaches 1/255: nothing is lost by skipping the rest.
"""

import math

import numpy as np

from .compiled import kernel, part
from .simd import (
    at_least,
    broadcast,
    float_bits,
    larger,
    load,
    load_lanes,
    multiply_add,
    smaller,
    store,
)

F = np.float32
TILE_PX = 16
FIELDS = 16
X, Y, P, Q, R, LOG2_OPACITY, VALUES, OPACITY, CONIC, BOX, DEPTH = 0, 1, 2, 3, 4, 5, 6, 9, 10, 13, 15
LOG2_E = F(math.log2(math.e))
LOG2_CUT = F(math.log2(1.0 / 255.0))
SLACK = F(1e-4)
"""In log2 alpha: what rounding may do to a block's bound; the pixels are tested again anyway."""
HALF, SIXTEENTH = F(0.5), F(0.0625)

_block = np.arange(16)
TABLE = np.concatenate(
    [
        _block % 4 * 4 + 0.5,  # BLOCK_X: first pixel centre of each block
        _block // 4 * 4 + 0.5,  # BLOCK_Y
        _block % 4,  # LANE_X: pixel within a block
        _block // 4,  # LANE_Y
        (_block[:, None] % 4 * 4 + 0.5 + _block % 4).ravel(),  # PIXEL_X: 16 lanes for each block
        (_block[:, None] // 4 * 4 + 0.5 + _block // 4).ravel(),  # PIXEL_Y
    ]
).astype(F)
BLOCK_X, BLOCK_Y, LANE_X, LANE_Y, PIXEL_X, PIXEL_Y = 0, 16, 32, 48, 64, 320


@kernel
def pack(xy, conics, opacities, depths, boxes, radii, splats, ids, keys):
    """Write the drawn Gaussians one after another; returns how many."""
    n = 0
    for i in range(radii.shape[0]):
        if radii[i] == F(0.0):
            continue
        g = n * FIELDS
        store(splats, g + X, xy[i, 0])
        store(splats, g + Y, xy[i, 1])
        store(splats, g + P, -HALF * LOG2_E * conics[i, 0])
        store(splats, g + Q, -LOG2_E * conics[i, 1])
        store(splats, g + R, -HALF * LOG2_E * conics[i, 2])
        store(splats, g + LOG2_OPACITY, math.log2(float(opacities[i])))
        store(splats, g + OPACITY, opacities[i])
        for k in range(3):
            store(splats, g + CONIC + k, conics[i, k])
        store(splats, g + BOX, boxes[i, 0])
        store(splats, g + BOX + 1, boxes[i, 1])
        store(splats, g + DEPTH, depths[i])
        ids[n] = i
        keys[n] = float_bits(depths[i])
        n += 1
    return n


@kernel
def depth_order(keys, n):
    """Indices that sort the first n keys; equal keys stay in order (radix sort, 11 bits a pass)."""
    counts = np.zeros((3, 2048), np.int64)
    for i in range(n):
        for digit in range(3):
            counts[digit, (np.int64(keys[i]) >> (11 * digit)) & 2047] += 1
    order = np.arange(n).astype(np.int32)
    other = np.empty(n, np.int32)
    for digit in range(3):
        places = counts[digit]
        if places.max() == n:
            continue
        start = 0
        for k in range(2048):
            start, places[k] = start + places[k], start
        for j in range(n):
            i = load(order, j)
            k = (np.int64(load(keys, i)) >> (11 * digit)) & 2047
            store(other, places[k], i)
            places[k] += 1
        order, other = other, order
    return order


@part
def tile_range(center, half, tiles):
    """First and last tile with a pixel centre within `half` of `center`."""
    first = math.floor((center - half - HALF) * SIXTEENTH)
    last = math.floor((center + half - HALF) * SIXTEENTH)
    return max(0, first), min(tiles - 1, last)


@kernel
def count_entries(splats, order, columns, rows):
    """Upper bound on the number of tile entries."""
    total = 0
    for j in range(order.shape[0]):
        g = order[j] * FIELDS
        x0, x1 = tile_range(load(splats, g + X), load(splats, g + BOX), columns)
        y0, y1 = tile_range(load(splats, g + Y), load(splats, g + BOX + 1), rows)
        total += max(0, x1 - x0 + 1) * max(0, y1 - y0 + 1)
    return total


@part
def block_masks(splats, g, x, y):
    """Bits of the 4x4 blocks of tile (x, y) that the splat reaches.

    The exponent is concave, so its largest value over a block's rectangle of pixel centres lies at
    the point nearest the centre along one of the axes: try both.
    """
    p, q, r = load(splats, g + P), load(splats, g + Q), load(splats, g + R)
    zero = broadcast(F(0.0))
    above = broadcast(load(splats, g + LOG2_OPACITY) - LOG2_CUT + SLACK)
    left = load_lanes(TABLE, BLOCK_X) + (F(x * TILE_PX) - load(splats, g + X))
    top = load_lanes(TABLE, BLOCK_Y) + (F(y * TILE_PX) - load(splats, g + Y))
    right, bottom = left + F(3.0), top + F(3.0)
    near_x = smaller(larger(zero, left), right)
    near_y = smaller(larger(zero, top), bottom)
    best_y = smaller(larger(near_x * (-HALF * q / r), top), bottom)
    best_x = smaller(larger(near_y * (-HALF * q / p), left), right)
    fixed_x = multiply_add(
        near_x, multiply_add(near_x, p, best_y * q), multiply_add(best_y * r, best_y, above)
    )
    fixed_y = multiply_add(
        best_x, multiply_add(best_x, p, near_y * q), multiply_add(near_y * r, near_y, above)
    )
    return at_least(larger(fixed_x, fixed_y), zero)


@kernel
def fill_entries(splats, order, columns, rows, room):
    """All entries in depth order: splat, block mask, tile; and the entries per tile."""
    splat, mask = np.empty(room, np.int32), np.empty(room, np.uint16)
    tile, counts = np.empty(room, np.int32), np.zeros(columns * rows, np.int64)
    n = 0
    for j in range(order.shape[0]):
        g = order[j] * FIELDS
        x0, x1 = tile_range(load(splats, g + X), load(splats, g + BOX), columns)
        y0, y1 = tile_range(load(splats, g + Y), load(splats, g + BOX + 1), rows)
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                bits = block_masks(splats, g, x, y)
                store(splat, n, order[j])
                store(mask, n, bits)
                store(tile, n, y * columns + x)
                reached = int(bits != 0)
                counts[y * columns + x] += reached
                n += reached
    return splat[:n], mask[:n], tile[:n], counts


@kernel
def sort_by_tile(splat, mask, tile, counts):
    """Lists per tile, still in depth order: tile t holds entries starts[t] to starts[t + 1]."""
    starts = np.zeros(counts.shape[0] + 1, np.int64)
    starts[1:] = np.cumsum(counts)
    place = starts[:-1].copy()
    splats, masks = np.empty_like(splat), np.empty_like(mask)
    for k in range(splat.shape[0]):
        t = load(tile, k)
        at = place[t]
        place[t] = at + 1
        store(splats, at, load(splat, k))
        store(masks, at, load(mask, k))
    return splats, masks, starts
