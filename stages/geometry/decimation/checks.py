"""What speaks against a collapse: turned faces and slivers at a price, topology and locks always.

The price is an area times a squared length, like every cost. It delays a collapse until nothing
cheaper is left, so that the asked number of faces is always reached.
"""

import numpy as np

from ....renderers.cpu.compiled import part
from .web import STAMP, Web, far_end, gather_edges, gather_faces, has, others

FLIP_COSINE = 0.2
"""Faces that turn by more than this counts are said to turn over."""
SLIVER = 0.03
"""Quality 4 sqrt(3) area / sum of squared sides (1 if equilateral) below which a face is one."""


@part
def turning(web: Web, vertex: int, other: int, x: float, y: float, z: float) -> tuple[float, float]:
    """Areas of the faces that turn over and of those that become slivers if `vertex` moves.

    Faces that also have `other` vanish and are left out.
    """
    turned = 0.0
    thin = 0.0
    p = web.positions[vertex]
    corner = web.first_corner[vertex]
    while corner >= 0:
        face = corner // 3
        corner = web.next_corner[corner]
        if web.faces[face, 0] < 0 or has(web, face, other):
            continue
        b, c = others(web, face, vertex)
        r, s = web.positions[b], web.positions[c]
        ex, ey, ez = s[0] - r[0], s[1] - r[1], s[2] - r[2]
        ux, uy, uz = p[0] - r[0], p[1] - r[1], p[2] - r[2]
        vx, vy, vz = x - r[0], y - r[1], z - r[2]
        mx, my, mz = ey * uz - ez * uy, ez * ux - ex * uz, ex * uy - ey * ux
        nx, ny, nz = ey * vz - ez * vy, ez * vx - ex * vz, ex * vy - ey * vx
        old = mx * mx + my * my + mz * mz
        new = nx * nx + ny * ny + nz * nz
        dot = mx * nx + my * ny + mz * nz
        e = ex * ex + ey * ey + ez * ez
        if old > 1e-30 and dot < FLIP_COSINE * np.sqrt(old * new):
            turned += 0.5 * np.sqrt(max(old, new))
        wx, wy, wz = vx - ex, vy - ey, vz - ez
        sides = e + vx * vx + vy * vy + vz * vz + wx * wx + wy * wy + wz * wz
        if 12 * new < (SLIVER * sides) ** 2:
            ox, oy, oz = ux - ex, uy - ey, uz - ez
            before = e + ux * ux + uy * uy + uz * uz + ox * ox + oy * oy + oz * oz
            if new * before * before < old * sides * sides:
                thin += sides
    return turned, thin


@part
def breaks_topology(web: Web, edge: int) -> bool:
    """The link condition (Dey et al. 1999) for surfaces with borders, and nothing non-manifold.

    A border is closed by an imagined vertex: it must not become common to both ends.
    """
    i, j = web.edges[edge, 0], web.edges[edge, 1]
    web.counts[STAMP] += 1
    stamp = web.counts[STAMP]
    border = web.edge_faces[edge] == 1
    end = gather_edges(web, i, 0)
    i_border = False
    for n in range(end):
        half = web.edge_scratch[n]
        count = web.edge_faces[half // 2]
        if count > 2:
            return True
        i_border = i_border or count == 1
        k = far_end(web, half)
        web.stamps[k] = stamp
        web.marks[k] = half // 2
    common = 0
    j_border = False
    end = gather_edges(web, j, 0)
    for n in range(end):
        half = web.edge_scratch[n]
        count = web.edge_faces[half // 2]
        if count > 2:
            return True
        j_border = j_border or count == 1
        k = far_end(web, half)
        if k != i and web.stamps[k] == stamp:
            common += 1
            if count == 1 and web.edge_faces[web.marks[k]] == 1:
                return True
    if common != web.edge_faces[edge] or (i_border and j_border and not border):
        return True
    return _would_fold(web, i, j, stamp)


@part
def _would_fold(web: Web, i: int, j: int, stamp: int) -> bool:
    """Whether two faces would get the same corners, as in a tetrahedron."""
    middle = gather_faces(web, i, 0)
    end = gather_faces(web, j, middle)
    for n in range(middle, end):
        face = web.face_scratch[n]
        if has(web, face, i):
            continue
        a, b = others(web, face, j)
        if web.stamps[a] != stamp or web.stamps[b] != stamp:
            continue
        for m in range(middle):
            rival = web.face_scratch[m]
            if has(web, rival, a) and has(web, rival, b):
                return True
    return False
