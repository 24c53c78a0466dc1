"""Spherical harmonics of degree 0-3 and their derivatives, as pieces of a kernel.

The same polynomials as `renderers/sh.py`, where their signs are explained. All in float32, which
numba leaves as soon as a plain Python number takes part, hence the names for small numbers.
"""

import numpy as np

from .compiled import part

F = np.float32
ZERO, ONE, TWO, THREE, FOUR, SIX, EIGHT = F(0), F(1), F(2), F(3), F(4), F(6), F(8)
C0 = F(0.28209479177387814)
C1 = F(0.4886025119029199)
C2_0, C2_1, C2_2 = F(1.0925484305920792), F(0.31539156525252005), F(0.5462742152960396)
C3_0, C3_1 = F(0.5900435899266435), F(2.890611442640554)
C3_2, C3_3, C3_4 = F(0.4570457994644658), F(0.3731763325901154), F(1.445305721320277)


@part
def basis(count, x, y, z):
    """The 16 basis functions in direction (x, y, z); zero from `count` on."""
    b1 = b2 = b3 = b4 = b5 = b6 = b7 = b8 = ZERO
    b9 = b10 = b11 = b12 = b13 = b14 = b15 = ZERO
    xx, yy, zz = x * x, y * y, z * z
    if count > 1:
        b1, b2, b3 = -C1 * y, C1 * z, -C1 * x
    if count > 4:
        b4, b5, b7 = C2_0 * x * y, -C2_0 * y * z, -C2_0 * x * z
        b6 = C2_1 * (TWO * zz - xx - yy)
        b8 = C2_2 * (xx - yy)
    if count > 9:
        b9 = -C3_0 * y * (THREE * xx - yy)
        b10 = C3_1 * x * y * z
        b11 = -C3_2 * y * (FOUR * zz - xx - yy)
        b12 = C3_3 * z * (TWO * zz - THREE * xx - THREE * yy)
        b13 = -C3_2 * x * (FOUR * zz - xx - yy)
        b14 = C3_4 * z * (xx - yy)
        b15 = -C3_0 * x * (xx - THREE * yy)
    return C0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13, b14, b15


@part
def _along(sh, i, k, red, green, blue):
    return sh[i, k, 0] * red + sh[i, k, 1] * green + sh[i, k, 2] * blue


@part
def direction_gradient(sh, i, x, y, z, red, green, blue):
    """Gradient by a free (x, y, z) of Gaussian i's color weighted by (red, green, blue)."""
    count = sh.shape[1]
    gx = gy = gz = ZERO
    xx, yy, zz = x * x, y * y, z * z
    if count > 1:
        gx -= C1 * _along(sh, i, 3, red, green, blue)
        gy -= C1 * _along(sh, i, 1, red, green, blue)
        gz += C1 * _along(sh, i, 2, red, green, blue)
    if count > 4:
        f4 = C2_0 * _along(sh, i, 4, red, green, blue)
        f5 = -C2_0 * _along(sh, i, 5, red, green, blue)
        f6 = C2_1 * _along(sh, i, 6, red, green, blue)
        f7 = -C2_0 * _along(sh, i, 7, red, green, blue)
        f8 = C2_2 * _along(sh, i, 8, red, green, blue)
        gx += y * f4 - TWO * x * f6 + z * f7 + TWO * x * f8
        gy += x * f4 + z * f5 - TWO * y * f6 - TWO * y * f8
        gz += y * f5 + FOUR * z * f6 + x * f7
    if count > 9:
        f9 = -C3_0 * _along(sh, i, 9, red, green, blue)
        f10 = C3_1 * _along(sh, i, 10, red, green, blue)
        f11 = -C3_2 * _along(sh, i, 11, red, green, blue)
        f12 = C3_3 * _along(sh, i, 12, red, green, blue)
        f13 = -C3_2 * _along(sh, i, 13, red, green, blue)
        f14 = C3_4 * _along(sh, i, 14, red, green, blue)
        f15 = -C3_0 * _along(sh, i, 15, red, green, blue)
        gx += SIX * x * y * f9 + y * z * f10 - TWO * x * y * f11 - SIX * x * z * f12
        gx += (FOUR * zz - THREE * xx - yy) * f13 + TWO * x * z * f14 + THREE * (xx - yy) * f15
        gy += THREE * (xx - yy) * f9 + x * z * f10 + (FOUR * zz - xx - THREE * yy) * f11
        gy += -SIX * y * z * f12 - TWO * x * y * f13 - TWO * y * z * f14 - SIX * x * y * f15
        gz += x * y * f10 + EIGHT * y * z * f11 + (SIX * zz - THREE * xx - THREE * yy) * f12
        gz += EIGHT * x * z * f13 + (xx - yy) * f14
    return gx, gy, gz
