"""From Gaussians to ellipses on the image plane, and back again for the gradients.

Notation, one Gaussian and one camera:
    R, t        world to camera;  m = R mean + t = (x, y, z)
    Q, s        the Gaussian's axes (columns, in the world) and standard deviations
    J           derivative of the pinhole projection at m, x/z and y/z clamped as in gsplat
    a, b        rows of J R (a for image x, b for image y)
    u, w        a Q and b Q: how far one unit along each axis moves the projection
    S           2D covariance  [[Σ s²u² + 0.3, Σ s²uw], [., Σ s²w² + 0.3]]
    K           its inverse    [[A, B], [B, C]]
Arithmetic is float64 on float32 data, so that gradients of thin splats keep their digits and the
depth order is the one of `reference`; colors need neither and are float32.
"""

import math

from .compiled import kernel, part
from .harmonics import ZERO, F, basis, direction_gradient
from .simd import store

LOG2_E = math.log2(math.e)
NEAR_M = 0.01
DILATION_PX2 = 0.3
SLACK, SLACK_PX = 2e-6, 1e-4
"""How much too large boxes are, for what float32 makes of them."""
SPREAD_MAX_PX2 = 1e30
"""Beyond, the inverse would leave float32's range."""


@part
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


@part
def view(camera, px, py, pz):
    """The point in camera coordinates."""
    x = camera[0] * px + camera[1] * py + camera[2] * pz + camera[9]
    y = camera[3] * px + camera[4] * py + camera[5] * pz + camera[10]
    z = camera[6] * px + camera[7] * py + camera[8] * pz + camera[11]
    return x, y, z


@part
def clamped(camera, xz, yz):
    """x/z and y/z held within 1.3 times the field of view, for J only."""
    return min(camera[16], max(-camera[17], xz)), min(camera[18], max(-camera[19], yz))


@part
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


@part
def along_axes(a0, a1, a2, axes):
    """(a0, a1, a2) times Q."""
    q0, q1, q2, q3, q4, q5, q6, q7, q8 = axes
    return a0 * q0 + a1 * q3 + a2 * q6, a0 * q1 + a1 * q4 + a2 * q7, a0 * q2 + a1 * q5 + a2 * q8


@part
def unit_quaternion(quaternions, i):
    """Normalized (w, x, y, z) and 1/length; infinite for the zero quaternion."""
    w, x = float(quaternions[i, 0]), float(quaternions[i, 1])
    y, z = float(quaternions[i, 2]), float(quaternions[i, 3])
    r = 1.0 / math.sqrt(w * w + x * x + y * y + z * z)
    return w * r, x * r, y * r, z * r, r


@part
def direction(camera, px, py, pz):
    """Unit vector from the camera's centre to the point, and 1/distance; in float32."""
    dx, dy, dz = F(px - camera[20]), F(py - camera[21]), F(pz - camera[22])
    r = F(1.0) / F(math.sqrt(dx * dx + dy * dy + dz * dz))
    return dx * r, dy * r, dz * r, r


@part
def radiance(sh, i, dx, dy, dz):
    """sum of SH + 0.5, before cutting at zero; in float32."""
    weights = basis(sh.shape[1], dx, dy, dz)
    red = green = blue = F(0.5)
    for k in range(sh.shape[1]):
        red += weights[k] * sh[i, k, 0]
        green += weights[k] * sh[i, k, 1]
        blue += weights[k] * sh[i, k, 2]
    return red, green, blue


@kernel
def project(
    first,
    last,
    means,
    quaternions,
    scales,
    opacities,
    sh,
    camera,
    size,
    xy,
    conics,
    colors,
    depths,
    radii,
    records,
):
    """Fill the last six arrays for those of Gaussians first..last-1 that are drawn.

    The others keep radius 0.

    Not drawn: not finite, zero quaternion, behind the near plane, fainter than 1/255, or with no
    point of the picture where alpha reaches 1/255. `records` are the splats of bins.py.
    """
    width, height = float(size[0]), float(size[1])
    for i in range(first, last):
        opacity = 1.0 * opacities[i]
        px, py, pz = float(means[i, 0]), float(means[i, 1]), float(means[i, 2])
        x, y, z = view(camera, px, py, pz)
        if not (z > NEAR_M and z < math.inf and opacity >= 1.0 / 255.0 and opacity < math.inf):
            continue
        w, qx, qy, qz, _ = unit_quaternion(quaternions, i)
        axes = rotation(w, qx, qy, qz)
        z_inverse = 1.0 / z
        xz, yz = x * z_inverse, y * z_inverse
        rx, ry = clamped(camera, xz, yz)
        a0, a1, a2, b0, b1, b2 = image_rows(camera, z_inverse, rx, ry)
        u0, u1, u2 = along_axes(a0, a1, a2, axes)
        w0, w1, w2 = along_axes(b0, b1, b2, axes)
        u0, u1, u2 = u0 * scales[i, 0], u1 * scales[i, 1], u2 * scales[i, 2]
        w0, w1, w2 = w0 * scales[i, 0], w1 * scales[i, 1], w2 * scales[i, 2]
        sxx = u0 * u0 + u1 * u1 + u2 * u2 + DILATION_PX2
        sxy = u0 * w0 + u1 * w1 + u2 * w2
        syy = w0 * w0 + w1 * w1 + w2 * w2 + DILATION_PX2
        determinant = sxx * syy - sxy * sxy
        if not (sxx < SPREAD_MAX_PX2 and syy < SPREAD_MAX_PX2 and determinant > 0.0):
            continue
        top = math.log2(255.0 * opacity)
        reach = 2.0 * top / LOG2_E
        bx, by = math.sqrt(reach * sxx), math.sqrt(reach * syy)
        mx, my = camera[12] * xz + camera[14], camera[13] * yz + camera[15]
        if not (mx + bx > 0.0 and mx - bx < width and my + by > 0.0 and my - by < height):
            continue
        dx, dy, dz, _ = direction(camera, px, py, pz)
        red, green, blue = radiance(sh, i, dx, dy, dz)
        if not (abs(red) + abs(green) + abs(blue) < math.inf):
            continue
        middle, half = 0.5 * (sxx + syy), 0.5 * (sxx - syy)
        radii[i] = F(3.0) * math.sqrt(F(middle + math.sqrt(half * half + sxy * sxy)))
        xy[i, 0], xy[i, 1], depths[i] = mx, my, z
        inverse = 1.0 / determinant
        a, b, c = syy * inverse, -sxy * inverse, sxx * inverse
        conics[i, 0], conics[i, 1], conics[i, 2] = a, b, c
        red, green, blue = max(red, ZERO), max(green, ZERO), max(blue, ZERO)
        colors[i, 0], colors[i, 1], colors[i, 2] = red, green, blue
        bx, by = bx * (1.0 + SLACK) + SLACK_PX, by * (1.0 + SLACK) + SLACK_PX
        # Held below what exp2 can do; alpha is at its largest long before.
        top = min(126.0, top)
        record = (
            mx, my, -0.5 * LOG2_E * a, -LOG2_E * b, -0.5 * LOG2_E * c, top,
            1.0 * red, 1.0 * green, 1.0 * blue, opacity, a, b, c, bx, by, z,
        )  # fmt: skip
        for k in range(16):
            store(records, i * 16 + k, record[k])


@part
def covariance_gradient(conic, given):
    """Gradient by S (xx, xy = yx, yy) from the one by (A, B, C):  -K G K."""
    a, b, c = conic
    ga, gb, gc = given[0], 0.5 * given[1], given[2]
    t00, t01 = a * ga + b * gb, a * gb + b * gc
    t10, t11 = b * ga + c * gb, b * gb + c * gc
    return -(t00 * a + t01 * b), -(t00 * b + t01 * c), -(t10 * b + t11 * c)


@part
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
    if xz == rx:
        vx -= zz * fx * j02
        vz += zz * fx * rx * j02
    if yz == ry:
        vy -= zz * fy * j12
        vz += zz * fy * ry * j12
    return vx, vy, vz


@part
def add_quaternion_gradient(out, i, w, x, y, z, length_inverse, v):
    """out[i] += gradient by the unnormalized quaternion, from the one by Q (row-major v)."""
    gw = 2.0 * (x * (v[7] - v[5]) + y * (v[2] - v[6]) + z * (v[3] - v[1]))
    gx = 2.0 * (y * (v[1] + v[3]) + z * (v[2] + v[6]) - 2.0 * x * (v[4] + v[8]) + w * (v[7] - v[5]))
    gy = 2.0 * (x * (v[1] + v[3]) + z * (v[5] + v[7]) - 2.0 * y * (v[0] + v[8]) + w * (v[2] - v[6]))
    gz = 2.0 * (x * (v[2] + v[6]) + y * (v[5] + v[7]) - 2.0 * z * (v[0] + v[4]) + w * (v[3] - v[1]))
    along = gw * w + gx * x + gy * y + gz * z
    out[i, 0] += (gw - w * along) * length_inverse
    out[i, 1] += (gx - x * along) * length_inverse
    out[i, 2] += (gy - y * along) * length_inverse
    out[i, 3] += (gz - z * along) * length_inverse


@part
def add_color_gradient(sh, i, camera, px, py, pz, red, green, blue, out):
    """out[i] += gradient by the SH coefficients; returns the one by the mean."""
    dx, dy, dz, r = direction(camera, px, py, pz)
    weights = basis(sh.shape[1], dx, dy, dz)
    for k in range(sh.shape[1]):
        out[i, k, 0] += weights[k] * red
        out[i, k, 1] += weights[k] * green
        out[i, k, 2] += weights[k] * blue
    ex, ey, ez = direction_gradient(sh, i, dx, dy, dz, red, green, blue)
    along = ex * dx + ey * dy + ez * dz
    return (ex - dx * along) * r, (ey - dy * along) * r, (ez - dz * along) * r


@kernel
def project_backward(
    first, last, means, quaternions, scales, sh, camera, radii, conics, colors,
    g_xy, g_conics, g_colors, g_means, g_quaternions, g_scales, g_sh,
):  # fmt: skip
    """Add to the last four arrays what this camera contributes to Gaussians first..last-1."""
    for i in range(first, last):
        if radii[i] == 0.0:
            continue
        gx, gy = float(g_xy[i, 0]), float(g_xy[i, 1])
        given = (float(g_conics[i, 0]), float(g_conics[i, 1]), float(g_conics[i, 2]))
        red = g_colors[i, 0] if colors[i, 0] > ZERO else ZERO
        green = g_colors[i, 1] if colors[i, 1] > ZERO else ZERO
        blue = g_colors[i, 2] if colors[i, 2] > ZERO else ZERO
        if (
            gx == 0.0 and gy == 0.0 and red == 0.0 and green == 0.0 and blue == 0.0
            and given[0] == 0.0 and given[1] == 0.0 and given[2] == 0.0
        ):  # fmt: skip
            continue
        conic = (float(conics[i, 0]), float(conics[i, 1]), float(conics[i, 2]))
        cxx, cxy, cyy = covariance_gradient(conic, given)
        px, py, pz = float(means[i, 0]), float(means[i, 1]), float(means[i, 2])
        x, y, z = view(camera, px, py, pz)
        z_inverse = 1.0 / z
        xz, yz = x * z_inverse, y * z_inverse
        rx, ry = clamped(camera, xz, yz)
        w, qx, qy, qz, length_inverse = unit_quaternion(quaternions, i)
        axes = rotation(w, qx, qy, qz)
        q0, q1, q2, q3, q4, q5, q6, q7, q8 = axes
        a0, a1, a2, b0, b1, b2 = image_rows(camera, z_inverse, rx, ry)
        u0, u1, u2 = along_axes(a0, a1, a2, axes)
        w0, w1, w2 = along_axes(b0, b1, b2, axes)
        s0, s1, s2 = float(scales[i, 0]), float(scales[i, 1]), float(scales[i, 2])
        # Half the gradients by u and w, over s squared.
        m0, m1, m2 = cxx * u0 + cxy * w0, cxx * u1 + cxy * w1, cxx * u2 + cxy * w2
        n0, n1, n2 = cxy * u0 + cyy * w0, cxy * u1 + cyy * w1, cxy * u2 + cyy * w2
        g_scales[i, 0] += 2.0 * s0 * (m0 * u0 + n0 * w0)
        g_scales[i, 1] += 2.0 * s1 * (m1 * u1 + n1 * w1)
        g_scales[i, 2] += 2.0 * s2 * (m2 * u2 + n2 * w2)
        m0, m1, m2 = 2.0 * s0 * s0 * m0, 2.0 * s1 * s1 * m1, 2.0 * s2 * s2 * m2
        n0, n1, n2 = 2.0 * s0 * s0 * n0, 2.0 * s1 * s1 * n1, 2.0 * s2 * s2 * n2
        g_axes = (
            a0 * m0 + b0 * n0, a0 * m1 + b0 * n1, a0 * m2 + b0 * n2,
            a1 * m0 + b1 * n0, a1 * m1 + b1 * n1, a1 * m2 + b1 * n2,
            a2 * m0 + b2 * n0, a2 * m1 + b2 * n1, a2 * m2 + b2 * n2,
        )  # fmt: skip
        add_quaternion_gradient(g_quaternions, i, w, qx, qy, qz, length_inverse, g_axes)
        ga = (m0 * q0 + m1 * q1 + m2 * q2, m0 * q3 + m1 * q4 + m2 * q5, m0 * q6 + m1 * q7 + m2 * q8)
        gb = (n0 * q0 + n1 * q1 + n2 * q2, n0 * q3 + n1 * q4 + n2 * q5, n0 * q6 + n1 * q7 + n2 * q8)
        vx, vy, vz = point_gradient(camera, z_inverse, xz, yz, rx, ry, gx, gy, ga, gb)
        ex, ey, ez = add_color_gradient(sh, i, camera, px, py, pz, red, green, blue, g_sh)
        g_means[i, 0] += camera[0] * vx + camera[3] * vy + camera[6] * vz + ex
        g_means[i, 1] += camera[1] * vx + camera[4] * vy + camera[7] * vz + ey
        g_means[i, 2] += camera[2] * vx + camera[5] * vy + camera[8] * vz + ez
