"""Which Gaussians touch which tile, in depth order.

A splat is 16 float32: centre (2), exponent coefficients (3), TOP, three values to blend,
opacity, outline (3), half sizes of its box (2), depth. With (dx, dy) from the centre to a pixel,
    log2 (255 alpha) = P dx² + Q dx dy + R dy² + TOP,
    (P, Q, R) = -log2(e) (A/2, B, C/2),   TOP = log2 (255 opacity),
and at dy the ellipse alpha >= 1/255 reaches
    dx = LEAN dy ± REACH sqrt(1 - dy²/h²),   LEAN = -Q/2P,   REACH = sqrt(-TOP/P)
with h half its height. Its rightmost point is at dy = AT_RIGHT.
Splats lie in memory in depth order, so that everything after the sort reads them in a row.

A tile is 16x16 pixels, in blocks of one vector: 4 wide, and 4 high (16 lanes) or 2 high (8 lanes).
Block b stands in column b // BANDS and band b % BANDS. An entry of a tile's list is a splat and
one bit per block that its ellipse, alpha >= 1/255, reaches: nothing is lost by skipping the rest.
"""

import numpy as np

from .compiled import inner, kernel
from .memory import load, load_lanes, load_repeated, meeting, prefetch, store, store_lanes
from .simd import (
    LANES,
    at_least,
    at_most,
    bits,
    float_bits,
    floor,
    larger,
    lowest_bit,
    multiply_add,
    smaller,
    square_root,
    subtract_product,
    where,
)

F = np.float32
TILE_PX = 16
FIELDS = 16
X, Y, P, Q, R, TOP, VALUES, OPACITY, LEAN, AT_RIGHT, REACH, BOX, DEPTH = (
    0, 1, 2, 3, 4, 5, 6, 9, 10, 11, 12, 13, 15,
)  # fmt: skip
SLACK, SLACK_PX = F(2e-6), F(1e-4)
"""How much too wide ellipses are taken, against rounding; every pixel is tested again anyway."""
HALF, ONE, ZERO, SIXTEENTH = F(0.5), F(1.0), F(0.0), F(0.0625)
FAR = F(1e30)

BAND_PX = LANES // 4
BANDS = TILE_PX // BAND_PX
"""Blocks above each other in a tile."""
ROWS_AT_ONCE = LANES // BANDS
"""Rows of tiles that one vector of bands spans."""
BLOCKS = 4 * BANDS
AHEAD = 8
"""How many splats ahead memory is asked for."""
STRIPES_AT_ONCE = 64
"""Splats whose stripes are compared at once; `touched` has that many zeros at its end."""
DIGIT_BITS = 12
DIGITS = 1 << DIGIT_BITS

_pixel = np.arange(TILE_PX * TILE_PX)
_block, _lane = _pixel // LANES, _pixel % LANES
TABLE = np.concatenate(
    [
        _block // BANDS * 4 + _lane % 4 + 0.5,  # PIXEL_X: LANES pixel centres for each block
        _block % BANDS * BAND_PX + _lane // 4 + 0.5,  # PIXEL_Y
        np.arange(LANES) * BAND_PX + 0.5,  # BAND_Y: first pixel centre of each band
        np.arange(LANES) // BANDS * 4,  # BLOCK_X: left of each of the first LANES blocks
    ]
).astype(F)
PIXEL_X, PIXEL_Y, BAND_Y, BLOCK_X = 0, 256, 512, 512 + LANES


@kernel
def draw_order(depths, radii):
    """Indices of the drawn Gaussians by depth; equal depths stay in order.

    A radix sort of depth and index in one word. The bits of positive floats sort like the floats,
    and counted from the nearest one few of them are in use.
    """
    n, least, most = 0, 1 << 32, 0
    words = np.empty(radii.shape[0], np.int64)
    for i in range(radii.shape[0]):
        depth = np.int64(float_bits(load(depths, i)))
        store(words, n, depth << 32 | i)
        if load(radii, i) != ZERO:
            n += 1
            least, most = min(least, depth), max(most, depth)
    digits = 0
    while (most - least) >> (digits * DIGIT_BITS) > 0:
        digits += 1
    places = np.zeros((digits + 1) * DIGITS, np.int64)
    for k in range(n):
        rest = (load(words, k) >> 32) - least
        for digit in range(digits):
            at = digit * DIGITS + (rest & (DIGITS - 1))
            store(places, at, load(places, at) + 1)
            rest >>= DIGIT_BITS
    others = np.empty(n, np.int64)
    for digit in range(digits):
        first, start = digit * DIGITS, 0
        for at in range(first, first + DIGITS):
            start, places[at] = start + places[at], start
        shift = 32 + digit * DIGIT_BITS
        for k in range(n):
            word = load(words, k)
            at = first + (((word - (least << 32)) >> shift) & (DIGITS - 1))
            place = load(places, at)
            store(places, at, place + 1)
            store(others, place, word)
        words, others = others, words
    ids = np.empty(n, np.int32)
    for k in range(n):
        store(ids, k, load(words, k) & 0xFFFFFFFF)
    return ids


@inner
def tile_range(center, half, tiles):
    """First and last tile with a pixel centre within `half` of `center`."""
    first = floor((center - half - HALF) * SIXTEENTH)
    last = floor((center + half - HALF) * SIXTEENTH)
    return max(0, first), min(tiles - 1, last)


@kernel
def pack(records, ids, columns, rows, rows_per_stripe, first, last, splats, touched):
    """Copy records in depth order to splats first..last-1.

    Bit s of touched[k] says whether the box of splat k has a pixel centre in stripe s.
    """
    for k in range(first, last):
        prefetch(records, np.int64(ids[min(k + AHEAD, last - 1)]) * FIELDS)
        i, g = np.int64(load(ids, k)) * FIELDS, k * FIELDS
        for j in range(0, FIELDS, LANES):
            store_lanes(splats, g + j, load_lanes(records, i + j))
        x0, x1 = tile_range(load(splats, g + X), load(splats, g + BOX), columns)
        y0, y1 = tile_range(load(splats, g + Y), load(splats, g + BOX + 1), rows)
        stripes = (2 << (y1 // rows_per_stripe)) - (1 << (y0 // rows_per_stripe))
        store(touched, k, stripes if x0 <= x1 and y0 <= y1 else 0)


@inner
def spans(splats, g, high):
    """Left and right ends of an ellipse over LANES bands of pixels, from its centre.

    `high` is dy at the first row of each band. Over a band the right end is farthest at the dy
    nearest to that of the ellipse's rightmost point, and the left end likewise.
    """
    lean, at_right, half = (
        load(splats, g + LEAN),
        load(splats, g + AT_RIGHT),
        load(splats, g + REACH),
    )
    width, height = load(splats, g + BOX), load(splats, g + BOX + 1)
    over_height = ONE / height
    low = high + F(BAND_PX - 1)
    right_y = smaller(larger(at_right, high), low)
    left_y = smaller(larger(-at_right, high), low)
    right_u, left_u = right_y * over_height, left_y * over_height
    right_w = square_root(larger(subtract_product(ONE, right_u, right_u), ZERO))
    left_w = square_root(larger(subtract_product(ONE, left_u, left_u), ZERO))
    rounding = SLACK_PX + SLACK * width
    right = multiply_add(right_y, lean, multiply_add(right_w, half, rounding))
    left = multiply_add(left_y, lean, subtract_product(-rounding, left_w, half))
    crossed = at_least(low, -height) & at_most(high, height)
    return where(crossed, left, FAR), where(crossed, right, -FAR)


@inner
def reached(left, right, start):
    """Bits of the blocks whose band's span meets their four pixel centres from `start` on."""
    return bits(at_least(right, start) & at_most(left, start + F(3.0)))


@inner
def open_columns(live, columns, found):
    """One bit per unfinished column of tiles, for each row of them; log2 of the columns per bit."""
    coarse = 0
    while columns >> coarse >= 63:
        coarse += 1
    for t in range(live.shape[0]):
        row, bit = t // columns, int(load(live, t) != 0) << (t % columns >> coarse)
        store(found, row, load(found, row) | bit)
    return coarse


@kernel
def fill_entries(
    splats, touched, stripes, first, columns, top, bottom, live, splat, mask, tile, counts
):  # fmt: skip
    """Entries of splats first, first + 1, ... in rows top..bottom-1 of tiles, on unfinished blocks.

    Writes splat, block mask and tile of each, one splat after another, until the next might not
    find room; adds to the entries per tile. Only splats that touch one of `stripes` (bits) are
    looked at. Returns how many entries, and the splat to go on with.
    """
    end, room, n = touched.shape[0] - STRIPES_AT_ONCE, splat.shape[0], 0
    ends, offsets = np.empty(2 * LANES, F), load_lanes(TABLE, BLOCK_X)
    unfinished_columns = np.zeros(bottom - top, np.int64)
    coarse = open_columns(live, columns, unfinished_columns)
    base = first // STRIPES_AT_ONCE * STRIPES_AT_ONCE
    word = meeting(touched, base, stripes) & (-1 << (first - base))
    while base < end:
        if word == 0:
            base += STRIPES_AT_ONCE
            word = meeting(touched, min(base, end), stripes)
            soon = word
            while soon != 0:
                prefetch(splats, (base + lowest_bit(soon)) * FIELDS)
                soon &= soon - 1
            continue
        k = base + lowest_bit(word)
        word &= word - 1
        g = k * FIELDS
        x, y = load(splats, g + X), load(splats, g + Y)
        x0, x1 = tile_range(x, load(splats, g + BOX), columns)
        y0, y1 = tile_range(y, load(splats, g + BOX + 1), bottom)
        y0 = max(top, y0)
        if n + (x1 - x0 + 1) * (y1 - y0 + 1) >= room:
            return n, k
        unfinished, across = 0, (2 << (x1 >> coarse)) - (1 << (x0 >> coarse))
        for row in range(y0 - top, y1 - top + 1):
            unfinished |= load(unfinished_columns, row) & across
        if unfinished == 0:
            continue
        bands, to_first = load_lanes(TABLE, BAND_Y) - y, x - HALF
        for row in range(y0, y1 + 1, ROWS_AT_ONCE):
            left, right = spans(splats, g, bands + F(row * TILE_PX))
            store_lanes(ends, 0, left)
            store_lanes(ends, LANES, right)
            for j in range(min(ROWS_AT_ONCE, y1 + 1 - row)):
                left = load_repeated(ends, j * BANDS, BANDS)
                right = load_repeated(ends, LANES + j * BANDS, BANDS)
                for column in range(x0, x1 + 1):
                    here = (row + j - top) * columns + column
                    open_blocks = np.int64(load(live, here))
                    if open_blocks == 0:
                        continue
                    start, found = offsets + (F(column * TILE_PX) - to_first), 0
                    for v in range(BLOCKS // LANES):
                        found |= reached(left, right, start) << (v * LANES)
                        start = start + F(LANES // BANDS * 4)
                    found &= open_blocks
                    store(splat, n, k)
                    store(mask, n, found)
                    store(tile, n, here)
                    listed = int(found != 0)
                    store(counts, here, load(counts, here) + listed)
                    n += listed
    return n, end


@kernel
def sort_by_tile(splat, mask, tile, n, counts, starts, entries, masks):
    """Move n entries to their tiles' lists, still in depth order; `starts` says where these are."""
    at = 0
    for t in range(counts.shape[0]):
        starts[t] = at
        at, counts[t] = at + counts[t], at
    starts[counts.shape[0]] = at
    for k in range(n):
        t = load(tile, k)
        at = load(counts, t)
        store(counts, t, at + 1)
        store(entries, at, load(splat, k))
        store(masks, at, load(mask, k))
