"""Spherical harmonics of degree 0-3 and their derivatives, as pieces of a kernel.

The same polynomials as `renderers/sh.py`, where their signs are explained. The polynomials of
LANES directions are computed at once, one direction per lane; then each Gaussian takes its 16
weights as vectors, one coefficient per lane, and meets its row of coefficients in memory. All in
float32, which numba leaves as soon as a plain Python number takes part, hence the names for small
numbers.
"""

import numpy as np

from .compiled import inner
from .memory import load, load_lanes, load_triples, store, store_lanes, store_triples, turn_over
from .simd import LANES, broadcast, lane_sum, multiply_add

F = np.float32
ZERO, ONE, TWO, THREE, FOUR, SIX, EIGHT = F(0), F(1), F(2), F(3), F(4), F(6), F(8)
C0 = F(0.28209479177387814)
C1 = F(0.4886025119029199)
C2_0, C2_1, C2_2 = F(1.0925484305920792), F(0.31539156525252005), F(0.5462742152960396)
C3_0, C3_1 = F(0.5900435899266435), F(2.890611442640554)
C3_2, C3_3, C3_4 = F(0.4570457994644658), F(0.3731763325901154), F(1.445305721320277)
COEFFICIENTS = 16
"""Of degree 3. Fewer are filled up with zeros."""
ROW = 3 * COEFFICIENTS


@inner
def basis(count, x, y, z, by_coefficient, by_lane):
    """The first `count` basis functions in LANES directions.

    by_lane[COEFFICIENTS lane + k] is the k-th in direction `lane`; both arrays must hold zeros
    before. Nothing is written there for degree 0, which needs no direction.
    """
    xx, yy, zz = x * x, y * y, z * z
    put(by_coefficient, 0, broadcast(C0))
    if count > 1:
        put(by_coefficient, 1, -C1 * y)
        put(by_coefficient, 2, C1 * z)
        put(by_coefficient, 3, -C1 * x)
    if count > 4:
        put(by_coefficient, 4, C2_0 * x * y)
        put(by_coefficient, 5, -C2_0 * y * z)
        put(by_coefficient, 6, C2_1 * (TWO * zz - xx - yy))
        put(by_coefficient, 7, -C2_0 * x * z)
        put(by_coefficient, 8, C2_2 * (xx - yy))
    if count > 9:
        put(by_coefficient, 9, -C3_0 * y * (THREE * xx - yy))
        put(by_coefficient, 10, C3_1 * x * y * z)
        put(by_coefficient, 11, -C3_2 * y * (FOUR * zz - xx - yy))
        put(by_coefficient, 12, C3_3 * z * (TWO * zz - THREE * xx - THREE * yy))
        put(by_coefficient, 13, -C3_2 * x * (FOUR * zz - xx - yy))
        put(by_coefficient, 14, C3_4 * z * (xx - yy))
        put(by_coefficient, 15, -C3_0 * x * (xx - THREE * yy))
    if count > 1:
        for first in range(0, COEFFICIENTS, LANES):
            turn_over(by_coefficient, first * LANES, LANES, by_lane, first, COEFFICIENTS)


@inner
def put(rows, k, value):
    store_lanes(rows, k * LANES, value)


@inner
def fetch(sh, i, row):
    """Copy the coefficients of Gaussian i, fewer than COEFFICIENTS, to the start of `row`."""
    count = 3 * sh.shape[1]
    for j in range(count):
        store(row, j, load(sh, i * count + j))


@inner
def triples(sh, i, first, row):
    """Coefficients first..first+LANES-1 of Gaussian i, by color."""
    if sh.shape[1] < COEFFICIENTS:
        r, g, b = load_triples(row, 3 * first)
    else:
        r, g, b = load_triples(sh, i * ROW + 3 * first)
    return r, g, b


@inner
def radiance(sh, i, by_lane, lane, row):
    """Sum of SH + 0.5 for Gaussian i in direction `lane`, before cutting at zero."""
    count = sh.shape[1]
    if count == 1:
        red, green, blue = (
            C0 * load(sh, 3 * i),
            C0 * load(sh, 3 * i + 1),
            C0 * load(sh, 3 * i + 2),
        )
    else:
        if count < COEFFICIENTS:
            fetch(sh, i, row)
        reds = greens = blues = broadcast(ZERO)
        for first in range(0, COEFFICIENTS, LANES):
            weights = load_lanes(by_lane, lane * COEFFICIENTS + first)
            r, g, b = triples(sh, i, first, row)
            reds = multiply_add(weights, r, reds)
            greens = multiply_add(weights, g, greens)
            blues = multiply_add(weights, b, blues)
        red, green, blue = lane_sum(reds), lane_sum(greens), lane_sum(blues)
    return red + F(0.5), green + F(0.5), blue + F(0.5)


@inner
def coefficient_gradient(sh, i, by_lane, lane, row, red, green, blue, g_sh, added, pulls):
    """Gradient by the coefficients of Gaussian i, set or added to g_sh.

    (red, green, blue) is the gradient by its color. pulls[COEFFICIENTS lane + k] becomes the
    gradient by the k-th basis function.
    """
    count = sh.shape[1]
    if count == 1:
        give(g_sh, 3 * i, C0 * red, added)
        give(g_sh, 3 * i + 1, C0 * green, added)
        give(g_sh, 3 * i + 2, C0 * blue, added)
    else:
        if count < COEFFICIENTS:
            fetch(sh, i, row)
        for first in range(0, COEFFICIENTS, LANES):
            weights = load_lanes(by_lane, lane * COEFFICIENTS + first)
            r, g, b = triples(sh, i, first, row)
            pull = multiply_add(r, red, multiply_add(g, green, b * blue))
            store_lanes(pulls, lane * COEFFICIENTS + first, pull)
            r, g, b = weights * red, weights * green, weights * blue
            if count < COEFFICIENTS:
                store_triples(row, ROW + 3 * first, r, g, b)
            else:
                at = i * ROW + 3 * first
                if added:
                    old_r, old_g, old_b = load_triples(g_sh, at)
                    r, g, b = r + old_r, g + old_g, b + old_b
                store_triples(g_sh, at, r, g, b)
        if count < COEFFICIENTS:
            for j in range(3 * count):
                give(g_sh, 3 * i * count + j, load(row, ROW + j), added)


@inner
def give(array, index, value, added):
    """Set array[index], or add to it."""
    store(array, index, value + load(array, index) if added else value)


@inner
def direction_gradient(count, pulls, rows, x, y, z):
    """Gradient by a free (x, y, z), one Gaussian per lane, from `coefficient_gradient`'s pulls."""
    gx = gy = gz = broadcast(ZERO)
    xx, yy, zz = x * x, y * y, z * z
    if count > 1:
        for first in range(0, COEFFICIENTS, LANES):
            turn_over(pulls, first, COEFFICIENTS, rows, first * LANES, LANES)
        gx = -C1 * load_lanes(rows, 3 * LANES)
        gy = -C1 * load_lanes(rows, LANES)
        gz = C1 * load_lanes(rows, 2 * LANES)
    if count > 4:
        f4, f5 = C2_0 * load_lanes(rows, 4 * LANES), -C2_0 * load_lanes(rows, 5 * LANES)
        f6, f7 = C2_1 * load_lanes(rows, 6 * LANES), -C2_0 * load_lanes(rows, 7 * LANES)
        f8 = C2_2 * load_lanes(rows, 8 * LANES)
        gx = gx + y * f4 - TWO * x * f6 + z * f7 + TWO * x * f8
        gy = gy + x * f4 + z * f5 - TWO * y * f6 - TWO * y * f8
        gz = gz + y * f5 + FOUR * z * f6 + x * f7
    if count > 9:
        f9, f10 = -C3_0 * load_lanes(rows, 9 * LANES), C3_1 * load_lanes(rows, 10 * LANES)
        f11, f12 = -C3_2 * load_lanes(rows, 11 * LANES), C3_3 * load_lanes(rows, 12 * LANES)
        f13, f14 = -C3_2 * load_lanes(rows, 13 * LANES), C3_4 * load_lanes(rows, 14 * LANES)
        f15 = -C3_0 * load_lanes(rows, 15 * LANES)
        gx = gx + SIX * x * y * f9 + y * z * f10 - TWO * x * y * f11 - SIX * x * z * f12
        gx = gx + (FOUR * zz - THREE * xx - yy) * f13 + TWO * x * z * f14
        gx = gx + THREE * (xx - yy) * f15
        gy = gy + THREE * (xx - yy) * f9 + x * z * f10 + (FOUR * zz - xx - THREE * yy) * f11
        gy = gy - SIX * y * z * f12 - TWO * x * y * f13 - TWO * y * z * f14 - SIX * x * y * f15
        gz = gz + x * y * f10 + EIGHT * y * z * f11 + (SIX * zz - THREE * xx - THREE * yy) * f12
        gz = gz + EIGHT * x * z * f13 + (xx - yy) * f14
    return gx, gy, gz
