"""The gradient of projection, from ellipses back to Gaussians. Notation as in project.py."""

import numpy as np

from .compiled import inner, kernel
from .harmonics import COEFFICIENTS, ROW, ZERO, F, basis, coefficient_gradient, direction_gradient
from .memory import load, load_lanes, store, store_lanes
from .project import (
    MEAN,
    QUATERNION,
    SCALE,
    along_axes,
    clamped,
    direction,
    directions,
    image_rows,
    rotation,
    unit_quaternion,
    view,
)
from .rows import gather, hand_out, nothing, put, wide
from .simd import LANES, equal, where

# Rows of what is read of a Gaussian after its scale, and of what is written.
G_XY, G_CONIC, CONIC_IN, TO_MEAN, TOWARD, BACKWARD_INPUTS = 10, 12, 15, 18, 21, 25
G_MEAN, G_QUATERNION, G_SCALE, GRADIENTS = 0, 3, 7, 10


@inner
def covariance_gradient(conic, given):
    """Gradient by S (xx, xy = yx, yy) from the one by (A, B, C):  -K G K."""
    a, b, c = conic
    ga, gb, gc = given[0], 0.5 * given[1], given[2]
    t00, t01 = a * ga + b * gb, a * gb + b * gc
    t10, t11 = b * ga + c * gb, b * gb + c * gc
    return -(t00 * a + t01 * b), -(t00 * b + t01 * c), -(t10 * b + t11 * c)


@inner
def point_gradient(camera, z_inverse, xz, yz, rx, ry, gx, gy, ga, gb):
    """Gradient by the point in camera coordinates: through its image, and through J.

    (gx, gy) by the image point; ga, gb by the rows a, b.
    """
    fx, fy = camera[12], camera[13]
    j00 = ga[0] * camera[0] + ga[1] * camera[1] + ga[2] * camera[2]
    j02 = ga[0] * camera[6] + ga[1] * camera[7] + ga[2] * camera[8]
    j11 = gb[0] * camera[3] + gb[1] * camera[4] + gb[2] * camera[5]
    j12 = gb[0] * camera[6] + gb[1] * camera[7] + gb[2] * camera[8]
    vx, vy = fx * z_inverse * gx, fy * z_inverse * gy
    zz = z_inverse * z_inverse
    vz = -(vx * xz + vy * yz) - zz * (fx * j00 + fy * j11 - fx * rx * j02 - fy * ry * j12)
    # Where the ratio is clamped it no longer depends on the point.
    free_x = where(equal(xz, rx), zz * (fx * j02), 0.0)
    free_y = where(equal(yz, ry), zz * (fy * j12), 0.0)
    return vx - free_x, vy - free_y, vz + rx * free_x + ry * free_y


@inner
def put_quaternion_gradient(out, unit, length_inverse, v):
    """Gradient by the unnormalized quaternion, from the one by Q (row-major v)."""
    w, x, y, z = unit
    gw = 2.0 * (x * (v[7] - v[5]) + y * (v[2] - v[6]) + z * (v[3] - v[1]))
    gx = 2.0 * (y * (v[1] + v[3]) + z * (v[2] + v[6]) - 2.0 * x * (v[4] + v[8]) + w * (v[7] - v[5]))
    gy = 2.0 * (x * (v[1] + v[3]) + z * (v[5] + v[7]) - 2.0 * y * (v[0] + v[8]) + w * (v[2] - v[6]))
    gz = 2.0 * (x * (v[2] + v[6]) + y * (v[5] + v[7]) - 2.0 * z * (v[0] + v[4]) + w * (v[3] - v[1]))
    along = gw * w + gx * x + gy * y + gz * z
    put(out, G_QUATERNION, (gw - w * along) * length_inverse)
    put(out, G_QUATERNION + 1, (gx - x * along) * length_inverse)
    put(out, G_QUATERNION + 2, (gy - y * along) * length_inverse)
    put(out, G_QUATERNION + 3, (gz - z * along) * length_inverse)


@inner
def ellipses_backward(rows, camera, out):
    """Gradients by means, quaternions and scales of LANES Gaussians."""
    conic = wide(rows, CONIC_IN), wide(rows, CONIC_IN + 1), wide(rows, CONIC_IN + 2)
    given = wide(rows, G_CONIC), wide(rows, G_CONIC + 1), wide(rows, G_CONIC + 2)
    cxx, cxy, cyy = covariance_gradient(conic, given)
    x, y, z = view(camera, wide(rows, MEAN), wide(rows, MEAN + 1), wide(rows, MEAN + 2))
    z_inverse = 1.0 / z
    xz, yz = x * z_inverse, y * z_inverse
    rx, ry = clamped(camera, xz, yz)
    w, qx, qy, qz, length_inverse = unit_quaternion(rows)
    axes = rotation(w, qx, qy, qz)
    q0, q1, q2, q3, q4, q5, q6, q7, q8 = axes
    a0, a1, a2, b0, b1, b2 = image_rows(camera, z_inverse, rx, ry)
    u0, u1, u2 = along_axes(a0, a1, a2, axes)
    w0, w1, w2 = along_axes(b0, b1, b2, axes)
    s0, s1, s2 = wide(rows, SCALE), wide(rows, SCALE + 1), wide(rows, SCALE + 2)
    # Half the gradients by u and w, over s squared.
    m0, m1, m2 = cxx * u0 + cxy * w0, cxx * u1 + cxy * w1, cxx * u2 + cxy * w2
    n0, n1, n2 = cxy * u0 + cyy * w0, cxy * u1 + cyy * w1, cxy * u2 + cyy * w2
    put(out, G_SCALE, 2.0 * s0 * (m0 * u0 + n0 * w0))
    put(out, G_SCALE + 1, 2.0 * s1 * (m1 * u1 + n1 * w1))
    put(out, G_SCALE + 2, 2.0 * s2 * (m2 * u2 + n2 * w2))
    s0, s1, s2 = 2.0 * s0 * s0, 2.0 * s1 * s1, 2.0 * s2 * s2
    m0, m1, m2, n0, n1, n2 = s0 * m0, s1 * m1, s2 * m2, s0 * n0, s1 * n1, s2 * n2
    g_axes = (
        a0 * m0 + b0 * n0, a0 * m1 + b0 * n1, a0 * m2 + b0 * n2,
        a1 * m0 + b1 * n0, a1 * m1 + b1 * n1, a1 * m2 + b1 * n2,
        a2 * m0 + b2 * n0, a2 * m1 + b2 * n1, a2 * m2 + b2 * n2,
    )  # fmt: skip
    put_quaternion_gradient(out, (w, qx, qy, qz), length_inverse, g_axes)
    ga = (m0 * q0 + m1 * q1 + m2 * q2, m0 * q3 + m1 * q4 + m2 * q5, m0 * q6 + m1 * q7 + m2 * q8)
    gb = (n0 * q0 + n1 * q1 + n2 * q2, n0 * q3 + n1 * q4 + n2 * q5, n0 * q6 + n1 * q7 + n2 * q8)
    gx, gy = wide(rows, G_XY), wide(rows, G_XY + 1)
    vx, vy, vz = point_gradient(camera, z_inverse, xz, yz, rx, ry, gx, gy, ga, gb)
    for k in range(3):
        through = camera[k] * vx + camera[3 + k] * vy + camera[6 + k] * vz
        put(out, G_MEAN + k, through + wide(rows, TO_MEAN + k))


@inner
def look(rows, camera):
    """Fill the rows of directions."""
    toward = direction(camera, wide(rows, MEAN), wide(rows, MEAN + 1), wide(rows, MEAN + 2))
    for k in range(4):
        store_lanes(rows, (TOWARD + k) * LANES, toward[k])


@inner
def color_gradient(i, colors, g_colors):
    """Gradient of Gaussian i's color before it was cut at zero."""
    red = load(g_colors, 3 * i) if load(colors, 3 * i) > ZERO else ZERO
    green = load(g_colors, 3 * i + 1) if load(colors, 3 * i + 1) > ZERO else ZERO
    blue = load(g_colors, 3 * i + 2) if load(colors, 3 * i + 2) > ZERO else ZERO
    return red, green, blue


@inner
def put_toward_mean(rows, gradient):
    """From the gradient by the direction to that by the mean, into the rows TO_MEAN."""
    dx, dy, dz = directions(rows, TOWARD)
    ex, ey, ez = gradient
    along, r = ex * dx + ey * dy + ez * dz, load_lanes(rows, (TOWARD + 3) * LANES)
    store_lanes(rows, TO_MEAN * LANES, (ex - dx * along) * r)
    store_lanes(rows, (TO_MEAN + 1) * LANES, (ey - dy * along) * r)
    store_lanes(rows, (TO_MEAN + 2) * LANES, (ez - dz * along) * r)


@inner
def has_gradient(i, radii, g_xy, g_conics, g_colors):
    """Whether Gaussian i is drawn and anything depends on it; one sum, as branches cost more."""
    total = abs(load(g_xy, 2 * i)) + abs(load(g_xy, 2 * i + 1))
    for k in range(3):
        total += abs(load(g_conics, 3 * i + k))
        total += abs(load(g_colors, 3 * i + k))
    return (total != ZERO) & (load(radii, i) != ZERO)


@kernel
def project_backward(
    first, last, added, means, quaternions, scales, sh, camera, radii, conics, colors,
    g_xy, g_conics, g_colors, g_means, g_quaternions, g_scales, g_sh,
):  # fmt: skip
    """Gradients of Gaussians first..last-1 by this camera, set or added to the last four arrays.

    Only those that anything depends on take a lane: often few are seen.
    """
    rows, out = np.zeros(BACKWARD_INPUTS * LANES, F), np.zeros(GRADIENTS * LANES, F)
    ids, count, coefficients = np.empty(LANES, np.int64), 0, 3 * sh.shape[1]
    by_coefficient = np.zeros(COEFFICIENTS * LANES, F)
    by_lane, pulls = np.zeros(COEFFICIENTS * LANES, F), np.zeros(COEFFICIENTS * LANES, F)
    turned = np.zeros(COEFFICIENTS * LANES, F)
    row = np.zeros(2 * ROW, F)
    for i in range(first, last):
        if has_gradient(i, radii, g_xy, g_conics, g_colors):
            store(ids, count, i)
            count += 1
        else:
            nothing(g_means, 3 * i, 3, added)
            nothing(g_quaternions, 4 * i, 4, added)
            nothing(g_scales, 3 * i, 3, added)
            nothing(g_sh, coefficients * i, coefficients, added)
        if count == 0 or (count < LANES and i < last - 1):
            continue
        gather(rows, MEAN, ids, count, means, 3)
        gather(rows, QUATERNION, ids, count, quaternions, 4)
        gather(rows, SCALE, ids, count, scales, 3)
        gather(rows, G_XY, ids, count, g_xy, 2)
        gather(rows, G_CONIC, ids, count, g_conics, 3)
        gather(rows, CONIC_IN, ids, count, conics, 3)
        look(rows, camera)
        toward = directions(rows, TOWARD)
        basis(sh.shape[1], *toward, by_coefficient, by_lane)
        for lane in range(count):
            k = load(ids, lane)
            coefficient_gradient(
                sh, k, by_lane, lane, row, *color_gradient(k, colors, g_colors), g_sh, added, pulls
            )
        put_toward_mean(rows, direction_gradient(sh.shape[1], pulls, turned, *toward))
        ellipses_backward(rows, camera, out)
        hand_out(out, G_MEAN, ids, count, g_means, 3, added)
        hand_out(out, G_QUATERNION, ids, count, g_quaternions, 4, added)
        hand_out(out, G_SCALE, ids, count, g_scales, 3, added)
        count = 0
