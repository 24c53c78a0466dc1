"""Closest points and exact distances of triangles."""

import numpy as np

from ....renderers.cpu.compiled import inner, kernel, part


@inner
def closest_on_triangle(
    a: np.ndarray, b: np.ndarray, c: np.ndarray, p: np.ndarray
) -> tuple[float, float, float]:
    """Squared distance from p to the triangle, and the weights of b and c at the closest point.

    By the regions of the plane around it (Ericson 2005, Sec. 5.1.5).
    """
    abx, aby, abz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    acx, acy, acz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
    apx, apy, apz = p[0] - a[0], p[1] - a[1], p[2] - a[2]
    d1 = abx * apx + aby * apy + abz * apz
    d2 = acx * apx + acy * apy + acz * apz
    bpx, bpy, bpz = p[0] - b[0], p[1] - b[1], p[2] - b[2]
    d3 = abx * bpx + aby * bpy + abz * bpz
    d4 = acx * bpx + acy * bpy + acz * bpz
    cpx, cpy, cpz = p[0] - c[0], p[1] - c[1], p[2] - c[2]
    d5 = abx * cpx + aby * cpy + abz * cpz
    d6 = acx * cpx + acy * cpy + acz * cpz
    va, vb, vc = d3 * d6 - d5 * d4, d5 * d2 - d1 * d6, d1 * d4 - d3 * d2
    v = 0.0
    w = 0.0
    if d1 <= 0 and d2 <= 0:
        pass
    elif d3 >= 0 and d4 <= d3:
        v = 1.0
    elif d6 >= 0 and d5 <= d6:
        w = 1.0
    elif vc <= 0 and d1 >= 0 and d3 <= 0:
        v = d1 / (d1 - d3)
    elif vb <= 0 and d2 >= 0 and d6 <= 0:
        w = d2 / (d2 - d6)
    elif va <= 0 and d4 - d3 >= 0 and d5 - d6 >= 0:
        w = (d4 - d3) / ((d4 - d3) + (d5 - d6))
        v = 1 - w
    else:
        total = va + vb + vc
        if total > 0:
            v = vb / total
            w = vc / total
    x, y, z = v * abx + w * acx - apx, v * aby + w * acy - apy, v * abz + w * acz - apz
    return x * x + y * y + z * z, v, w


@inner
def segments_apart(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> float:
    """Squared distance of the segments ab and cd (Ericson 2005, Sec. 5.1.9)."""
    ux, uy, uz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    vx, vy, vz = d[0] - c[0], d[1] - c[1], d[2] - c[2]
    rx, ry, rz = a[0] - c[0], a[1] - c[1], a[2] - c[2]
    uu = ux * ux + uy * uy + uz * uz
    vv = vx * vx + vy * vy + vz * vz
    uv = ux * vx + uy * vy + uz * vz
    ur = ux * rx + uy * ry + uz * rz
    vr = vx * rx + vy * ry + vz * rz
    flat = uu * vv - uv * uv
    s = 0.0
    if flat > 1e-14 * uu * vv:
        s = min(max((uv * vr - ur * vv) / flat, 0.0), 1.0)
    t = (uv * s + vr) / vv if vv > 0 else 0.0
    if t < 0 or t > 1 or not vv > 0:
        t = min(max(t, 0.0), 1.0)
        s = min(max((uv * t - ur) / uu, 0.0), 1.0) if uu > 0 else 0.0
    x, y, z = rx + s * ux - t * vx, ry + s * uy - t * vy, rz + s * uz - t * vz
    return x * x + y * y + z * z


@part
def pierces(p: np.ndarray, q: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> bool:
    """Whether the segment pq crosses the plane of abc inside the triangle."""
    sides = np.zeros(3)
    for k in range(3):
        # Signed volume of (p, q) with each side: all of one sign means inside.
        e = a if k == 0 else (b if k == 1 else c)
        f = b if k == 0 else (c if k == 1 else a)
        sides[k] = _volume(p, q, e, f)
    inside = (sides[0] >= 0 and sides[1] >= 0 and sides[2] >= 0) or (
        sides[0] <= 0 and sides[1] <= 0 and sides[2] <= 0
    )
    below, above = _volume(a, b, c, p), _volume(a, b, c, q)
    return inside and ((below < 0 and above > 0) or (below > 0 and above < 0))


@part
def _volume(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> float:
    ux, uy, uz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    vx, vy, vz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
    wx, wy, wz = d[0] - a[0], d[1] - a[1], d[2] - a[2]
    return (uy * vz - uz * vy) * wx + (uz * vx - ux * vz) * wy + (ux * vy - uy * vx) * wz


@kernel
def triangles_apart(one: np.ndarray, two: np.ndarray) -> float:
    """Squared distance of two triangles (3 3 each), 0 where they meet.

    The least of 6 corner-triangle and 9 side-side distances; those miss a side that pierces the
    other's interior, which is asked first.
    """
    for k in range(3):
        if pierces(one[k], one[(k + 1) % 3], two[0], two[1], two[2]):
            return 0.0
        if pierces(two[k], two[(k + 1) % 3], one[0], one[1], one[2]):
            return 0.0
    least = np.inf
    for k in range(3):
        least = min(least, closest_on_triangle(two[0], two[1], two[2], one[k])[0])
        least = min(least, closest_on_triangle(one[0], one[1], one[2], two[k])[0])
        for m in range(3):
            least = min(least, segments_apart(one[k], one[(k + 1) % 3], two[m], two[(m + 1) % 3]))
    return least
