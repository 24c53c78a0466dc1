"""What speaks against a collapse: turned faces and slivers at a price, topology and locks always.

The price is an area times a squared length, like every cost. It delays a collapse until nothing
cheaper is left, so that the asked number of faces is always reached. Changes of normals short of
turning over cost as well: quadrics see distances only, eyes see shading.
"""

import numpy as np

from ....renderers.cpu.compiled import strict_kernel, strict_part
from .web import (
    FIRST_CORNER,
    HANGING,
    LAST_STAMP,
    MARK,
    PLANES,
    STAMP,
    Web,
    far_end,
    following_corner,
    gather_edges,
    gather_faces,
    has,
    others,
    shown,
)

FLIP_COSINE = 0.2
"""Faces that turn by more than this counts are said to turn over."""
SLIVER = 0.03
"""Quality 4 sqrt(3) area / sum of squared sides (1 if equilateral) below which a face is one."""


@strict_part
def area_of(reals: np.ndarray, faces: np.ndarray, face: int) -> float:
    """Of a face as it lies."""
    p, q, r = faces[face, 0], faces[face, 1], faces[face, 2]
    ux, uy, uz = reals[q, 0] - reals[p, 0], reals[q, 1] - reals[p, 1], reals[q, 2] - reals[p, 2]
    vx, vy, vz = reals[r, 0] - reals[p, 0], reals[r, 1] - reals[p, 1], reals[r, 2] - reals[p, 2]
    nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    return 0.5 * np.sqrt(nx * nx + ny * ny + nz * nz)


@strict_part
def turning(
    reals: np.ndarray, vertices: np.ndarray, faces: np.ndarray, vertex: int, other: int,
    x: float, y: float, z: float,
) -> tuple[float, float, float, float, int]:  # fmt: skip
    """Areas of the faces that turn over and of those that become slivers if `vertex` moves, the sum
    of new areas times 1 - cos of the angle that the normal turns by, the area that is lost, and how
    many faces stay.

    Faces that also have `other` vanish: half their area is lost here, half at the other end.
    """
    turned = 0.0
    thin = 0.0
    bent = 0.0
    lost = 0.0
    stay = 0
    px, py, pz = reals[vertex, 0], reals[vertex, 1], reals[vertex, 2]
    corner = vertices[vertex, FIRST_CORNER]
    while corner >= 0:
        face = corner // 3
        corner = following_corner(faces, corner)
        if faces[face, 0] < 0:
            continue
        if has(faces, face, other):
            lost += 0.5 * area_of(reals, faces, face)
            continue
        stay += 1
        r, s = others(faces, face, vertex)
        rx, ry, rz = reals[r, 0], reals[r, 1], reals[r, 2]
        ex, ey, ez = reals[s, 0] - rx, reals[s, 1] - ry, reals[s, 2] - rz
        ux, uy, uz = px - rx, py - ry, pz - rz
        vx, vy, vz = x - rx, y - ry, z - rz
        mx, my, mz = ey * uz - ez * uy, ez * ux - ex * uz, ex * uy - ey * ux
        nx, ny, nz = ey * vz - ez * vy, ez * vx - ex * vz, ex * vy - ey * vx
        old = mx * mx + my * my + mz * mz
        new = nx * nx + ny * ny + nz * nz
        lost += 0.5 * (np.sqrt(old) - np.sqrt(new))
        dot = mx * nx + my * ny + mz * nz
        if old > 1e-30:
            if dot <= 0 or dot * dot < FLIP_COSINE**2 * old * new:
                turned += 0.5 * np.sqrt(max(old, new))
            bent += 0.5 * (np.sqrt(new) - dot / np.sqrt(old))
        e = ex * ex + ey * ey + ez * ez
        wx, wy, wz = vx - ex, vy - ey, vz - ez
        sides = e + vx * vx + vy * vy + vz * vz + wx * wx + wy * wy + wz * wz
        if 12 * new < (SLIVER * sides) ** 2:
            ox, oy, oz = ux - ex, uy - ey, uz - ez
            before = e + ux * ux + uy * uy + uz * uz + ox * ox + oy * oy + oz * oz
            if new * before * before < old * sides * sides:
                thin += sides
    return turned, thin, bent, lost, stay


@strict_part
def loss(reals: np.ndarray, i: int, j: int, area: float) -> float:
    """Twice the squared area that a collapse leaves uncovered, as if it was swept at a border,
    times what it counts.

    Quadrics know of planes, and what is gone is at no distance from any: without a price a closed
    part would shrink, thin ones first, and one that has come down to a triangle would be the next
    to go, however large it was.
    """
    # Importance is in the planes, and not in their weight.
    counts = 0.0
    for k in (PLANES, PLANES + 3, PLANES + 5):
        counts += reals[i, k] + reals[j, k]
    counts /= max(reals[i, PLANES + 10] + reals[j, PLANES + 10], 1e-300)
    return 2 * area * area * counts * shown(reals, i, j)


@strict_kernel
def breaks_topology(web: Web, edge: int) -> bool:
    """The link condition (Dey et al. 1999) for surfaces with borders, and nothing non-manifold.

    A border is closed by an imagined vertex: it must not become common to both ends.
    """
    vertices, edges, scratch = web.vertices, web.edges, web.edge_scratch
    i, j = edges[edge, 0], edges[edge, 1]
    web.counts[LAST_STAMP] += 1
    stamp = web.counts[LAST_STAMP]
    i_on_border = j_on_border = False
    common = 0
    for side in range(2):
        end = gather_edges(vertices, edges, scratch, edges[edge, side], 0)
        for n in range(end):
            hanging = edges[scratch[n] // 2, HANGING]
            k = far_end(edges, scratch[n])
            if hanging > 2:
                return True
            if side == 0:
                i_on_border = i_on_border or hanging == 1
                vertices[k, STAMP], vertices[k, MARK] = stamp, scratch[n] // 2
                continue
            j_on_border = j_on_border or hanging == 1
            if k != i and vertices[k, STAMP] == stamp:
                common += 1
                if hanging == 1 and edges[vertices[k, MARK], HANGING] == 1:
                    return True
    hanging = edges[edge, HANGING]
    if common != hanging or (i_on_border and j_on_border and hanging != 1):
        return True
    return doubles(web, i, j) > 0


@strict_kernel
def doubles(web: Web, i: int, j: int) -> int:
    """How many faces would get the same corners as another, as in a tetrahedron."""
    faces, scratch, found = web.faces, web.face_scratch, 0
    middle = gather_faces(web.vertices, faces, scratch, i, 0)
    for n in range(middle, gather_faces(web.vertices, faces, scratch, j, middle)):
        if has(faces, scratch[n], i):
            continue
        a, b = others(faces, scratch[n], j)
        for m in range(middle):
            if has(faces, scratch[m], a) and has(faces, scratch[m], b):
                found += 1
                break
    return found
