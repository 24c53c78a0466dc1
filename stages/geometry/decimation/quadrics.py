"""Quadrics: squared distances summed over planes and lines, and where they are least.

A quadric is q(x) = xᵀA x + 2 bᵀx + c with A symmetric, kept as
(Axx, Axy, Axz, Ayy, Ayz, Azz, bx, by, bz, c, weight). Planes carry a third of their face's area
(Garland and Heckbert 1997, area-weighted), so that q has the unit length⁴ throughout. `weight`
is what makes sqrt(q / weight) a root-mean-square distance.
"""

import numpy as np

from ....renderers.cpu.compiled import kernel, part
from .web import Web, far_end, gather_edges, is_border


@part
def add_plane(q: np.ndarray, nx: float, ny: float, nz: float, d: float, w: float) -> None:
    """w (n·x + d)², n a unit vector."""
    q[0] += w * nx * nx
    q[1] += w * nx * ny
    q[2] += w * nx * nz
    q[3] += w * ny * ny
    q[4] += w * ny * nz
    q[5] += w * nz * nz
    q[6] += w * nx * d
    q[7] += w * ny * d
    q[8] += w * nz * d
    q[9] += w * d * d


@part
def add_line(
    q: np.ndarray, p: np.ndarray, nx: float, ny: float, nz: float, w: float
) -> None:
    """w |x - p - n (n·(x - p))|²: squared distance to the line through p along the unit n.

    As all planes through p across n (Liu et al. 2025, line quadrics): A = I - nnᵀ.
    """
    axx, axy, axz = w * (1 - nx * nx), -w * nx * ny, -w * nx * nz
    ayy, ayz, azz = w * (1 - ny * ny), -w * ny * nz, w * (1 - nz * nz)
    bx = -(axx * p[0] + axy * p[1] + axz * p[2])
    by = -(axy * p[0] + ayy * p[1] + ayz * p[2])
    bz = -(axz * p[0] + ayz * p[1] + azz * p[2])
    q[0] += axx
    q[1] += axy
    q[2] += axz
    q[3] += ayy
    q[4] += ayz
    q[5] += azz
    q[6] += bx
    q[7] += by
    q[8] += bz
    q[9] -= bx * p[0] + by * p[1] + bz * p[2]


@part
def add_area(q: np.ndarray, a: np.ndarray, b: np.ndarray, w: float) -> None:
    """w times twice the squared area of the triangle (x, a, b) (Lindstrom and Turk 1998).

    Its area vector is (s×x + t) / 2 with s = b - a, t = a×b, so that
    2 area² = |s×x + t|² / 2:  A = (|s|² I - ssᵀ) / 2,  b = t×s / 2,  c = |t|² / 2.
    """
    sx, sy, sz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    tx = a[1] * b[2] - a[2] * b[1]
    ty = a[2] * b[0] - a[0] * b[2]
    tz = a[0] * b[1] - a[1] * b[0]
    h = 0.5 * w
    square = sx * sx + sy * sy + sz * sz
    q[0] += h * (square - sx * sx)
    q[1] -= h * sx * sy
    q[2] -= h * sx * sz
    q[3] += h * (square - sy * sy)
    q[4] -= h * sy * sz
    q[5] += h * (square - sz * sz)
    q[6] += h * (ty * sz - tz * sy)
    q[7] += h * (tz * sx - tx * sz)
    q[8] += h * (tx * sy - ty * sx)
    q[9] += h * (tx * tx + ty * ty + tz * tz)
    # |s|²/2 times the squared distance to the line ab.
    q[10] += h * square


@part
def value(q: np.ndarray, x: float, y: float, z: float) -> float:
    """q(x)."""
    return (
        x * (q[0] * x + 2 * (q[1] * y + q[2] * z + q[6]))
        + y * (q[3] * y + 2 * (q[4] * z + q[7]))
        + z * (q[5] * z + 2 * q[8])
        + q[9]
    )


@part
def least(
    q: np.ndarray, x: float, y: float, z: float, pull: float
) -> tuple[bool, float, float, float]:
    """Where q(x') + pull * trace(A) |x' - x|² is least, by Cholesky; whether that worked.

    The pull decides along directions that q leaves open (flat regions, straight creases).
    """
    stiff = pull * (q[0] + q[3] + q[5])
    gx = q[0] * x + q[1] * y + q[2] * z + q[6]
    gy = q[1] * x + q[3] * y + q[4] * z + q[7]
    gz = q[2] * x + q[4] * y + q[5] * z + q[8]
    d0 = q[0] + stiff
    if not d0 > 0:
        return False, x, y, z
    l10, l20 = q[1] / d0, q[2] / d0
    d1 = q[3] + stiff - l10 * q[1]
    if not d1 > 1e-14 * d0:
        return False, x, y, z
    e21 = q[4] - l20 * q[1]
    l21 = e21 / d1
    d2 = q[5] + stiff - l20 * q[2] - l21 * e21
    if not d2 > 1e-14 * (d0 + d1):
        return False, x, y, z
    y0 = -gx
    y1 = -gy - l10 * y0
    y2 = -gz - l20 * y0 - l21 * y1
    z2 = y2 / d2
    z1 = y1 / d1 - l21 * z2
    z0 = y0 / d0 - l10 * z1 - l20 * z2
    return True, x + z0, y + z1, z + z2


@kernel
def sum_planes(web: Web, line_weight: float, importance: np.ndarray) -> None:
    """Fill `planes`: a third of each face to each corner, and the line along the normal."""
    normals = np.zeros((len(web.positions), 3))
    for face in range(len(web.faces)):
        p = web.positions[web.faces[face, 0]]
        q = web.positions[web.faces[face, 1]]
        r = web.positions[web.faces[face, 2]]
        ux, uy, uz = q[0] - p[0], q[1] - p[1], q[2] - p[2]
        vx, vy, vz = r[0] - p[0], r[1] - p[1], r[2] - p[2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        double = np.sqrt(nx * nx + ny * ny + nz * nz)
        if not double > 0:
            continue
        nx, ny, nz = nx / double, ny / double, nz / double
        d = -(nx * p[0] + ny * p[1] + nz * p[2])
        w = double / 6
        for corner in range(3):
            vertex = web.faces[face, corner]
            add_plane(web.planes[vertex], nx, ny, nz, d, w)
            web.planes[vertex, 10] += w
            normals[vertex, 0] += w * nx
            normals[vertex, 1] += w * ny
            normals[vertex, 2] += w * nz
    for vertex in range(len(web.positions)):
        n = normals[vertex]
        length = np.sqrt(n[0] * n[0] + n[1] * n[1] + n[2] * n[2])
        if length > 0 and line_weight > 0:
            w = line_weight * web.planes[vertex, 10]
            add_line(
                web.planes[vertex], web.positions[vertex],
                n[0] / length, n[1] / length, n[2] / length, w,
            )  # fmt: skip
        for k in range(11):
            web.planes[vertex, k] *= importance[vertex]


@kernel
def sum_borders(web: Web, vertex: int, weight: float, start: int) -> None:
    """Fill `borders` of one vertex from the border edges that are there now.

    Uses `edge_scratch` from `start` on.
    """
    total = web.borders[vertex]
    for k in range(11):
        total[k] = 0.0
    found = False
    for n in range(start, gather_edges(web, vertex, start)):
        half = web.edge_scratch[n]
        if is_border(web, half // 2):
            found = True
            add_area(total, web.positions[vertex], web.positions[far_end(web, half)], weight)
    web.on_border[vertex] = found


@kernel
def sum_all_borders(web: Web, weight: float) -> None:
    """Fill `borders` everywhere."""
    for vertex in range(len(web.positions)):
        sum_borders(web, vertex, weight, 0)
