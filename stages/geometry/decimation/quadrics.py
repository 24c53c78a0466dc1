"""Quadrics: squared distances summed over planes and lines, and where they are least.

A quadric is q(x) = xᵀA x + 2 bᵀx + c with A symmetric, kept as
(Axx, Axy, Axz, Ayy, Ayz, Azz, bx, by, bz, c, weight). Planes carry a third of their face's area
(Garland and Heckbert 1997, area-weighted), so that q has the unit length⁴ throughout. `weight`
is what makes sqrt(q / weight) a root-mean-square distance.
"""

import numpy as np

from ....renderers.cpu.compiled import strict_kernel, strict_part
from .web import BORDERS, ON_BORDER, PLANES, Web, far_end, gather_edges, is_border, shown


@strict_part
def add_plane(
    row: np.ndarray, at: int, nx: float, ny: float, nz: float, d: float, w: float
) -> None:
    """w (n·x + d)², n a unit vector, onto the quadric that starts at row[at]."""
    row[at] += w * nx * nx
    row[at + 1] += w * nx * ny
    row[at + 2] += w * nx * nz
    row[at + 3] += w * ny * ny
    row[at + 4] += w * ny * nz
    row[at + 5] += w * nz * nz
    row[at + 6] += w * nx * d
    row[at + 7] += w * ny * d
    row[at + 8] += w * nz * d
    row[at + 9] += w * d * d
    row[at + 10] += w


@strict_part
def add_line(row: np.ndarray, at: int, nx: float, ny: float, nz: float, w: float) -> None:
    """w |x - p - n (n·(x - p))|²: squared distance to the line through p along the unit n.

    As all planes through p across n (Liu et al. 2025, line quadrics): A = I - nnᵀ. The row starts
    with p.
    """
    px, py, pz = row[0], row[1], row[2]
    axx, axy, axz = w * (1 - nx * nx), -w * nx * ny, -w * nx * nz
    ayy, ayz, azz = w * (1 - ny * ny), -w * ny * nz, w * (1 - nz * nz)
    bx = -(axx * px + axy * py + axz * pz)
    by = -(axy * px + ayy * py + ayz * pz)
    bz = -(axz * px + ayz * py + azz * pz)
    row[at] += axx
    row[at + 1] += axy
    row[at + 2] += axz
    row[at + 3] += ayy
    row[at + 4] += ayz
    row[at + 5] += azz
    row[at + 6] += bx
    row[at + 7] += by
    row[at + 8] += bz
    row[at + 9] -= bx * px + by * py + bz * pz


@strict_part
def add_area(
    q: np.ndarray, ax: float, ay: float, az: float, bx: float, by: float, bz: float, w: float
) -> None:
    """w times twice the squared area of the triangle (x, a, b) (Lindstrom and Turk 1998).

    Its area vector is (s×x + t) / 2 with s = b - a, t = a×b, so that
    2 area² = |s×x + t|² / 2:  A = (|s|² I - ssᵀ) / 2,  b = t×s / 2,  c = |t|² / 2.
    """
    sx, sy, sz = bx - ax, by - ay, bz - az
    tx = ay * bz - az * by
    ty = az * bx - ax * bz
    tz = ax * by - ay * bx
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


@strict_part
def value(q: np.ndarray, x: float, y: float, z: float) -> float:
    """q(x)."""
    return (
        x * (q[0] * x + 2 * (q[1] * y + q[2] * z + q[6]))
        + y * (q[3] * y + 2 * (q[4] * z + q[7]))
        + z * (q[5] * z + 2 * q[8])
        + q[9]
    )


@strict_part
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


@strict_kernel
def sum_planes(web: Web, line_weight: float, importance: np.ndarray, normals: np.ndarray) -> None:
    """Fill the planes: a third of each face to each corner, and the line along the normal.

    `normals` (v 3) is room, all 0.
    """
    reals, faces = web.reals, web.faces
    for face in range(len(faces)):
        p, q, r = faces[face, 0], faces[face, 1], faces[face, 2]
        ux, uy, uz = reals[q, 0] - reals[p, 0], reals[q, 1] - reals[p, 1], reals[q, 2] - reals[p, 2]
        vx, vy, vz = reals[r, 0] - reals[p, 0], reals[r, 1] - reals[p, 1], reals[r, 2] - reals[p, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        double = np.sqrt(nx * nx + ny * ny + nz * nz)
        if not double > 0:
            continue
        nx, ny, nz = nx / double, ny / double, nz / double
        d = -(nx * reals[p, 0] + ny * reals[p, 1] + nz * reals[p, 2])
        w = double / 6
        for corner in range(3):
            vertex = faces[face, corner]
            add_plane(reals[vertex], PLANES, nx, ny, nz, d, w)
            normals[vertex, 0] += w * nx
            normals[vertex, 1] += w * ny
            normals[vertex, 2] += w * nz
    for vertex in range(len(reals)):
        nx, ny, nz = normals[vertex, 0], normals[vertex, 1], normals[vertex, 2]
        length = np.sqrt(nx * nx + ny * ny + nz * nz)
        if length > 0 and line_weight > 0:
            w = line_weight * reals[vertex, PLANES + 10]
            add_line(reals[vertex], PLANES, nx / length, ny / length, nz / length, w)
        # Not the weight: errors are those of what matters.
        for k in range(10):
            reals[vertex, PLANES + k] *= importance[vertex]


@strict_kernel
def sum_seams(web: Web, sides: np.ndarray, weight: float) -> None:
    """Keep lines that are drawn on the surface where they are (Garland and Heckbert 1998).

    Through each of `sides` (face, corner where it starts) a plane across the face is added at both
    ends, of `weight` times the squared length.
    """
    reals, faces = web.reals, web.faces
    for n in range(len(sides)):
        face, k = sides[n, 0], sides[n, 1]
        p, q, r = faces[face, k], faces[face, (k + 1) % 3], faces[face, (k + 2) % 3]
        ex, ey, ez = reals[q, 0] - reals[p, 0], reals[q, 1] - reals[p, 1], reals[q, 2] - reals[p, 2]
        hx, hy, hz = reals[r, 0] - reals[p, 0], reals[r, 1] - reals[p, 1], reals[r, 2] - reals[p, 2]
        square = ex * ex + ey * ey + ez * ez
        along = (ex * hx + ey * hy + ez * hz) / square
        nx, ny, nz = hx - along * ex, hy - along * ey, hz - along * ez
        height = np.sqrt(nx * nx + ny * ny + nz * nz)
        if not height > 0:
            continue
        nx, ny, nz = nx / height, ny / height, nz / height
        d = -(nx * reals[p, 0] + ny * reals[p, 1] + nz * reals[p, 2])
        for vertex in (p, q):
            total = reals[vertex, PLANES + 10]
            add_plane(reals[vertex], PLANES, nx, ny, nz, d, weight * square)
            reals[vertex, PLANES + 10] = total


@strict_kernel
def sum_borders(web: Web, vertex: int, weight: float, start: int) -> None:
    """Sum up anew the area quadrics of the border edges that are at a vertex now.

    Only the area that is not transparent is swept, so that its share is squared.

    Uses `edge_scratch` from `start` on.
    """
    reals, edges, scratch = web.reals, web.edges, web.edge_scratch
    for k in range(BORDERS, BORDERS + 11):
        reals[vertex, k] = 0.0
    found = 0
    for n in range(start, gather_edges(web.vertices, edges, scratch, vertex, start)):
        if is_border(edges, scratch[n] // 2):
            found = 1
            b = far_end(edges, scratch[n])
            add_area(
                reals[vertex, BORDERS:], reals[vertex, 0], reals[vertex, 1], reals[vertex, 2],
                reals[b, 0], reals[b, 1], reals[b, 2], weight * shown(reals, vertex, b) ** 2,
            )  # fmt: skip
    web.vertices[vertex, ON_BORDER] = found


@strict_kernel
def sum_all_borders(web: Web, weight: float) -> None:
    """The same everywhere."""
    for vertex in range(len(web.reals)):
        sum_borders(web, vertex, weight, 0)
