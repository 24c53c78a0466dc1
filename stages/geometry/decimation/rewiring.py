"""What a collapse does to the faces and edges around it."""

import numpy as np

from ....renderers.cpu.compiled import strict_kernel, strict_part
from .web import (
    FACES,
    FIRST_CORNER,
    FIRST_HALF,
    HANGING,
    LAST_CORNER,
    MARK,
    NEXT_CORNER,
    NEXT_HALF,
    STAMP,
    TOUCHED,
    Web,
    far_end,
    following_corner,
    following_half,
    has,
    is_border,
    others,
)


@strict_kernel
def move_faces(web: Web, i: int, j: int, middle: int, end: int, stamp: int, closing: bool) -> int:
    """Give j's faces to i; those with both ends, and doubles of i's faces, vanish.

    When a gap closes, its two walls vanish both: faces that looked at each other are inside now.

    Returns how many vanished.
    """
    vertices, faces, scratch = web.vertices, web.faces, web.face_scratch
    vanished = 0
    for n in range(middle, end):
        face = scratch[n]
        if has(faces, face, i):
            faces[face, 0] = -1
            vanished += 1
            continue
        a, b = others(faces, face, j)
        ringed = vertices[a, STAMP] == stamp and vertices[b, STAMP] == stamp
        double = double_of(faces, scratch, a, b, middle) if ringed else -1
        if double >= 0:
            loosen(vertices, web.edges, a, b, stamp)
            faces[face, 0] = -1
            vanished += 1
            wall = closing and web.counts[FACES] - vanished > 1
            if wall and looks_at(web.reals, faces, double, i, j, a, b):
                loosen(vertices, web.edges, a, b, stamp)
                faces[double, 0] = -1
                vanished += 1
            continue
        for corner in range(3):
            if faces[face, corner] == j:
                faces[face, corner] = i
    last = vertices[i, LAST_CORNER]
    if last >= 0:
        faces[last // 3, NEXT_CORNER + last % 3] = vertices[j, FIRST_CORNER]
    else:
        vertices[i, FIRST_CORNER] = vertices[j, FIRST_CORNER]
    if vertices[j, LAST_CORNER] >= 0:
        vertices[i, LAST_CORNER] = vertices[j, LAST_CORNER]
    vertices[j, FIRST_CORNER] = -1
    return vanished


@strict_part
def double_of(faces: np.ndarray, scratch: np.ndarray, a: int, b: int, middle: int) -> int:
    """The living face of i, they are first in the scratch, that has the corners a and b too."""
    for n in range(middle):
        face = scratch[n]
        if faces[face, 0] >= 0 and has(faces, face, a) and has(faces, face, b):
            return face
    return -1


@strict_part
def looks_at(
    reals: np.ndarray, faces: np.ndarray, face: int, i: int, j: int, a: int, b: int
) -> bool:
    """Whether a face of i, wound against (j, a, b), has j, where it still is, before it."""
    c, d = others(faces, face, i)
    if c != b or d != a:
        return False
    ux, uy, uz = reals[c, 0] - reals[i, 0], reals[c, 1] - reals[i, 1], reals[c, 2] - reals[i, 2]
    vx, vy, vz = reals[d, 0] - reals[i, 0], reals[d, 1] - reals[i, 1], reals[d, 2] - reals[i, 2]
    wx, wy, wz = reals[j, 0] - reals[i, 0], reals[j, 1] - reals[i, 1], reals[j, 2] - reals[i, 2]
    nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    return nx * wx + ny * wy + nz * wz > 0


@strict_part
def loosen(vertices: np.ndarray, edges: np.ndarray, a: int, b: int, stamp: int) -> None:
    """One face fewer at the edge ab, which goes with the last."""
    half = vertices[a, FIRST_HALF]
    while half >= 0:
        if edges[half // 2, 0] >= 0 and far_end(edges, half) == b:
            edges[half // 2, HANGING] -= 1
            if edges[half // 2, HANGING] == 0:
                edges[half // 2, 0] = -1
            vertices[a, TOUCHED] = stamp
            vertices[b, TOUCHED] = stamp
            return
        half = following_half(edges, half)


@strict_part
def move_edges(
    vertices: np.ndarray, edges: np.ndarray, scratch: np.ndarray, i: int, j: int, middle: int,
    stamp: int,
) -> int:  # fmt: skip
    """Give j's edges to i, one for each neighbor. Returns the end of i's in the scratch."""
    kept = 0
    for n in range(middle):
        if far_end(edges, scratch[n]) == j:
            edges[scratch[n] // 2, 0] = -1
        else:
            scratch[kept] = scratch[n]
            kept += 1
    half = vertices[j, FIRST_HALF]
    while half >= 0:
        edge = half // 2
        if edges[edge, 0] >= 0:
            k = far_end(edges, half)
            if vertices[k, STAMP] == stamp:
                edges[vertices[k, MARK], HANGING] += edges[edge, HANGING]
                edges[edge, 0] = -1
            else:
                edges[edge, half % 2] = i
                vertices[k, STAMP] = stamp
                vertices[k, MARK] = edge
                scratch[kept] = half
                kept += 1
        half = following_half(edges, half)
    vertices[j, FIRST_HALF] = -1
    vertices[i, FIRST_HALF] = -1
    for n in range(kept - 1, -1, -1):
        half = scratch[n]
        edges[half // 2, NEXT_HALF + half % 2] = vertices[i, FIRST_HALF]
        vertices[i, FIRST_HALF] = half
    return kept


@strict_part
def count_faces(
    vertices: np.ndarray, faces: np.ndarray, edges: np.ndarray, scratch: np.ndarray, i: int,
    end: int, stamp: int,
) -> tuple[int, int, int]:  # fmt: skip
    """Count the faces of i's edges anew; edges that lost theirs all go.

    Returns the new end of i's halves in the scratch, and where the vertices begin and end there
    that are no neighbors of i any more.
    """
    for n in range(end):
        edge = scratch[n] // 2
        # Virtual edges stay 0; -1 stands for edges that had faces.
        edges[edge, HANGING] = -1 if edges[edge, HANGING] > 0 else 0
    found = False
    corner = vertices[i, FIRST_CORNER]
    while corner >= 0:
        face = corner // 3
        corner = following_corner(faces, corner)
        if faces[face, 0] < 0:
            continue
        found = True
        a, b = others(faces, face, i)
        for k in (a, b):
            edge = vertices[k, MARK]
            edges[edge, HANGING] = max(edges[edge, HANGING], 0) + 1
    kept = 0
    lost = end
    for n in range(end):
        edge = scratch[n] // 2
        k = far_end(edges, scratch[n])
        if edges[edge, HANGING] < 0 or not found:
            edges[edge, 0] = -1
            drop_if_bare(vertices, faces, edges, k)
            scratch[lost] = k
            lost += 1
            continue
        if is_border(edges, edge):
            vertices[k, TOUCHED] = stamp
        scratch[kept] = scratch[n]
        kept += 1
    return kept, end, lost


@strict_part
def drop_if_bare(vertices: np.ndarray, faces: np.ndarray, edges: np.ndarray, vertex: int) -> None:
    """A vertex without faces leaves, with its virtual edges."""
    corner = vertices[vertex, FIRST_CORNER]
    while corner >= 0:
        if faces[corner // 3, 0] >= 0:
            return
        corner = following_corner(faces, corner)
    half = vertices[vertex, FIRST_HALF]
    while half >= 0:
        edges[half // 2, 0] = -1
        half = following_half(edges, half)
    vertices[vertex, FIRST_HALF] = -1
