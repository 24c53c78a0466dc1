"""From Gaussians to ellipses on the image plane.

Notation, one Gaussian and one camera:
    R, t        world to camera;  m = R mean + t = (x, y, z)
    Q, s        the Gaussian's axes (columns, in the world) and standard deviations
    J           derivative of the pinhole projection at m, x/z and y/z clamped as in gsplat
    a, b        rows of J R (a for image x, b for image y)
    u, w        a Q and b Q: how far one unit along each axis moves the projection
    S           2D covariance  [[Σ s²u² + 0.3, Σ s²uw], [., Σ s²w² + 0.3]]
    K           its inverse    [[A, B], [B, C]]
One Gaussian per lane. Arithmetic is float64 on float32 data, so that gradients of thin splats keep
their digits and the depth order is the one of `reference`; colors need neither, are float32, and
are computed one Gaussian after the other (harmonics.py), for the drawn ones alone. Data goes
through a few rows of LANES floats (`gather`), one row for each coordinate.
"""

import math

import numpy as np

from .bins import (
    AT_RIGHT,
    BOX,
    DEPTH,
    FIELDS,
    LEAN,
    OPACITY,
    REACH,
    TOP,
    VALUES,
    P,
    Q,
    R,
    X,
    Y,
)
from .compiled import inner, kernel
from .harmonics import (
    COEFFICIENTS,
    ONE,
    ROW,
    ZERO,
    F,
    basis,
    radiance,
)
from .memory import load, load_lanes, store, store_lanes
from .rows import gather, nothing, put, wide
from .simd import (
    LANES,
    above,
    at_least,
    below,
    bits,
    larger,
    log2_of,
    lowest_bit,
    rounded,
    smaller,
    square_root,
)

LOG2_E = math.log2(math.e)
NEAR_M = 0.01
DILATION_PX2 = 0.3
SLACK, SLACK_PX = 2e-6, 1e-4
"""How much too large boxes are, for what float32 makes of them."""
SPREAD_MAX_PX2 = 1e30
"""Beyond, the inverse would leave float32's range."""

# Rows of what is read of a Gaussian, and of what is written besides its record.
MEAN, QUATERNION, SCALE, OPACITY_IN, INPUTS = 0, 3, 7, 10, 11
DIRECTION, RADIUS, CONIC, OUTPUTS = FIELDS, FIELDS + 3, FIELDS + 4, FIELDS + 7


@inner
def rotation(w, x, y, z):
    """Row-major matrix of a unit quaternion, local to world."""
    return (
        1.0 - 2.0 * (y * y + z * z),
        2.0 * (x * y - w * z),
        2.0 * (x * z + w * y),
        2.0 * (x * y + w * z),
        1.0 - 2.0 * (x * x + z * z),
        2.0 * (y * z - w * x),
        2.0 * (x * z - w * y),
        2.0 * (y * z + w * x),
        1.0 - 2.0 * (x * x + y * y),
    )


@inner
def view(camera, px, py, pz):
    """The point in camera coordinates."""
    x = camera[0] * px + camera[1] * py + camera[2] * pz + camera[9]
    y = camera[3] * px + camera[4] * py + camera[5] * pz + camera[10]
    z = camera[6] * px + camera[7] * py + camera[8] * pz + camera[11]
    return x, y, z


@inner
def clamped(camera, xz, yz):
    """x/z and y/z held within 1.3 times the field of view, for J only."""
    rx = smaller(larger(xz, -camera[17]), camera[16])
    return rx, smaller(larger(yz, -camera[19]), camera[18])


@inner
def image_rows(camera, z_inverse, rx, ry):
    """a and b, the rows of J R."""
    j00, j11 = camera[12] * z_inverse, camera[13] * z_inverse
    j02, j12 = -j00 * rx, -j11 * ry
    a0 = j00 * camera[0] + j02 * camera[6]
    a1 = j00 * camera[1] + j02 * camera[7]
    a2 = j00 * camera[2] + j02 * camera[8]
    b0 = j11 * camera[3] + j12 * camera[6]
    b1 = j11 * camera[4] + j12 * camera[7]
    b2 = j11 * camera[5] + j12 * camera[8]
    return a0, a1, a2, b0, b1, b2


@inner
def along_axes(a0, a1, a2, axes):
    """(a0, a1, a2) times Q."""
    q0, q1, q2, q3, q4, q5, q6, q7, q8 = axes
    return a0 * q0 + a1 * q3 + a2 * q6, a0 * q1 + a1 * q4 + a2 * q7, a0 * q2 + a1 * q5 + a2 * q8


@inner
def unit_quaternion(rows):
    """Normalized (w, x, y, z) and 1/length; infinite for the zero quaternion."""
    w, x = wide(rows, QUATERNION), wide(rows, QUATERNION + 1)
    y, z = wide(rows, QUATERNION + 2), wide(rows, QUATERNION + 3)
    r = 1.0 / square_root(w * w + x * x + y * y + z * z)
    return w * r, x * r, y * r, z * r, r


@inner
def direction(camera, px, py, pz):
    """Unit vector from the camera's centre to the point, and 1/distance; in float32."""
    dx, dy, dz = rounded(px - camera[20]), rounded(py - camera[21]), rounded(pz - camera[22])
    r = ONE / square_root(dx * dx + dy * dy + dz * dz)
    return dx * r, dy * r, dz * r, r


@inner
def directions(rows, row):
    """Three rows of unit vectors."""
    first = row * LANES
    return (
        load_lanes(rows, first),
        load_lanes(rows, first + LANES),
        load_lanes(rows, first + 2 * LANES),
    )


@inner
def ellipses(rows, camera, size, out):
    """Records without colors, conics, directions and radii of LANES Gaussians.

    Returns one bit per drawn one.
    """
    px, py, pz = wide(rows, MEAN), wide(rows, MEAN + 1), wide(rows, MEAN + 2)
    opacity = wide(rows, OPACITY_IN)
    x, y, z = view(camera, px, py, pz)
    drawn = above(z, NEAR_M) & below(z, math.inf)
    drawn = drawn & at_least(opacity, 1.0 / 255.0) & below(opacity, math.inf)
    if bits(drawn) == 0:
        return 0
    w, qx, qy, qz, _ = unit_quaternion(rows)
    axes = rotation(w, qx, qy, qz)
    z_inverse = 1.0 / z
    xz, yz = x * z_inverse, y * z_inverse
    rx, ry = clamped(camera, xz, yz)
    a0, a1, a2, b0, b1, b2 = image_rows(camera, z_inverse, rx, ry)
    u0, u1, u2 = along_axes(a0, a1, a2, axes)
    w0, w1, w2 = along_axes(b0, b1, b2, axes)
    s0, s1, s2 = wide(rows, SCALE), wide(rows, SCALE + 1), wide(rows, SCALE + 2)
    u0, u1, u2 = u0 * s0, u1 * s1, u2 * s2
    w0, w1, w2 = w0 * s0, w1 * s1, w2 * s2
    sxx = u0 * u0 + u1 * u1 + u2 * u2 + DILATION_PX2
    sxy = u0 * w0 + u1 * w1 + u2 * w2
    syy = w0 * w0 + w1 * w1 + w2 * w2 + DILATION_PX2
    determinant = sxx * syy - sxy * sxy
    drawn = drawn & below(sxx, SPREAD_MAX_PX2) & below(syy, SPREAD_MAX_PX2)
    top = log2_of(255.0 * opacity)
    reach = top * (2.0 / LOG2_E)
    bx, by = square_root(reach * sxx), square_root(reach * syy)
    mx, my = camera[12] * xz + camera[14], camera[13] * yz + camera[15]
    drawn = drawn & above(determinant, 0.0) & above(mx + bx, 0.0) & above(my + by, 0.0)
    drawn = drawn & below(mx - bx, float(size[0])) & below(my - by, float(size[1]))
    inverse = 1.0 / determinant
    a, b, c = syy * inverse, -sxy * inverse, sxx * inverse
    put(out, X, mx)
    put(out, Y, my)
    put(out, P, (-0.5 * LOG2_E) * a)
    put(out, Q, -LOG2_E * b)
    put(out, R, (-0.5 * LOG2_E) * c)
    # Held below what exp2 can do; alpha is at its largest long before.
    top = smaller(top, 126.0)
    put(out, TOP, top)
    put(out, OPACITY, opacity)
    put(out, CONIC, a)
    put(out, CONIC + 1, b)
    put(out, CONIC + 2, c)
    width = bx * (1.0 + SLACK) + SLACK_PX
    put(out, LEAN, sxy / syy)
    put(out, AT_RIGHT, sxy / sxx * width)
    put(out, REACH, square_root((top + SLACK) / (0.5 * LOG2_E * a)))
    put(out, BOX, width)
    put(out, BOX + 1, by * (1.0 + SLACK) + SLACK_PX)
    put(out, DEPTH, z)
    middle, half = 0.5 * (sxx + syy), 0.5 * (sxx - syy)
    put(out, RADIUS, 3.0 * square_root(middle + square_root(half * half + sxy * sxy)))
    dx, dy, dz, _ = direction(camera, px, py, pz)
    store_lanes(out, DIRECTION * LANES, dx)
    store_lanes(out, (DIRECTION + 1) * LANES, dy)
    store_lanes(out, (DIRECTION + 2) * LANES, dz)
    return bits(drawn)


@inner
def show(out, lane, i, red, green, blue, xy, conics, colors, depths, radii, records):
    """Write what Gaussian i of that lane looks like."""
    red, green, blue = max(red, ZERO), max(green, ZERO), max(blue, ZERO)
    store(out, VALUES * LANES + lane, red)
    store(out, (VALUES + 1) * LANES + lane, green)
    store(out, (VALUES + 2) * LANES + lane, blue)
    for k in range(FIELDS):
        store(records, i * FIELDS + k, load(out, k * LANES + lane))
    for k in range(3):
        store(colors, 3 * i + k, load(out, (VALUES + k) * LANES + lane))
        store(conics, 3 * i + k, load(out, (CONIC + k) * LANES + lane))
    store(xy, 2 * i, load(out, X * LANES + lane))
    store(xy, 2 * i + 1, load(out, Y * LANES + lane))
    store(depths, i, load(out, DEPTH * LANES + lane))
    store(radii, i, load(out, RADIUS * LANES + lane))


@inner
def hide(first, count, xy, conics, colors, depths, radii):
    """Write that Gaussians first..first+count-1 are not drawn."""
    nothing(xy, 2 * first, 2 * count, False)
    nothing(conics, 3 * first, 3 * count, False)
    nothing(colors, 3 * first, 3 * count, False)
    nothing(depths, first, count, False)
    nothing(radii, first, count, False)


@kernel
def project(
    first, last, means, quaternions, scales, opacities, sh, camera, size,
    xy, conics, colors, depths, radii, records,
):  # fmt: skip
    """Fill the last six arrays for Gaussians first..last-1; those not drawn get zeros, no record.

    Not drawn: not finite, zero quaternion, behind the near plane, fainter than 1/255, or with no
    point of the picture where alpha reaches 1/255. `records` are the splats of bins.py.
    """
    rows, out = np.zeros(INPUTS * LANES, F), np.zeros(OUTPUTS * LANES, F)
    ids = np.empty(LANES, np.int64)
    by_coefficient = np.zeros(COEFFICIENTS * LANES, F)
    by_lane = np.zeros(COEFFICIENTS * LANES, F)
    coefficients = np.zeros(ROW, F)
    for start in range(first, last, LANES):
        count = min(LANES, last - start)
        for lane in range(count):
            store(ids, lane, start + lane)
        gather(rows, MEAN, ids, count, means, 3)
        gather(rows, QUATERNION, ids, count, quaternions, 4)
        gather(rows, SCALE, ids, count, scales, 3)
        gather(rows, OPACITY_IN, ids, count, opacities, 1)
        everyone = (1 << count) - 1
        drawn = ellipses(rows, camera, size, out) & everyone
        if drawn != everyone:
            hide(start, count, xy, conics, colors, depths, radii)
        if drawn != 0:
            basis(sh.shape[1], *directions(out, DIRECTION), by_coefficient, by_lane)
        while drawn != 0:
            lane = lowest_bit(drawn)
            drawn &= drawn - 1
            red, green, blue = radiance(sh, start + lane, by_lane, lane, coefficients)
            if abs(red) + abs(green) + abs(blue) < math.inf:
                show(
                    out, lane, start + lane, red, green, blue,
                    xy, conics, colors, depths, radii, records,
                )  # fmt: skip
            else:
                hide(start + lane, 1, xy, conics, colors, depths, radii)
