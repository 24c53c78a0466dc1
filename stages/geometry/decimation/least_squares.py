"""Vertices from many linear equations on points of faces, by conjugate gradients.

The vertices x minimize

    sum over s of  w (n·(b1 x1 + b2 x2 + b3 x3) - d)²
    + sum over v of  q(xv) + ridge m |xv - x0v|²,

x1, x2, x3 the corners of the face of equation s, q a quadric of the vertex (`quadrics`), m what all
that weighs at the vertex (the trace of its block). The preconditioner is the 3 by 3 block of each
vertex; the matrix is never built.
"""

import numpy as np

from ....renderers.cpu.compiled import inner, lean_kernel

STEPS = 30
ENOUGH = 1e-10
"""Share of the first residual's square at which it is good enough."""


def solve(
    positions: np.ndarray, corners: np.ndarray, b: np.ndarray, n: np.ndarray, d: np.ndarray,
    w: np.ndarray, ridges: np.ndarray, quadrics: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """The vertices (v 3), from x0 = `positions`. Those with an infinite ridge, or with nothing that
    pulls, stay.

    Args:
        corners: s 3, vertices of each equation.
        b: s 3, their weights in it.
        n: s 3.
        d: s.
        w: s.
        ridges: v.
        quadrics: v 10.
    """
    out, count = positions.copy(), len(positions)
    room = (np.zeros((count, 6)), np.zeros(count), np.zeros((4, count, 3)))
    _solve(out, corners, b, n, d, w, ridges, quadrics, room)
    return out


@lean_kernel
def _solve(
    x: np.ndarray, corners: np.ndarray, b: np.ndarray, n: np.ndarray, d: np.ndarray,
    w: np.ndarray, ridges: np.ndarray, quadrics: np.ndarray, room: tuple,
) -> None:  # fmt: skip
    """`room` is of zeros: v 6, v, and 4 v 3."""
    count = len(x)
    blocks, held, rows = room
    residual, z, way, product = rows[0], rows[1], rows[2], rows[3]
    _sum(x, corners, b, n, d, w, quadrics, blocks, residual)
    for v in range(count):
        held[v] = ridges[v] * (blocks[v, 0] + blocks[v, 3] + blocks[v, 5])
        if not (held[v] > 0 and held[v] < np.inf):
            held[v] = -1.0
            residual[v, 0] = residual[v, 1] = residual[v, 2] = 0.0
    _precondition(blocks, held, residual, z)
    now = 0.0
    for v in range(count):
        for k in range(3):
            way[v, k] = z[v, k]
            now += residual[v, k] * z[v, k]
    first = now
    for _ in range(STEPS):
        if not now > ENOUGH * first:
            break
        _multiply(corners, b, n, w, quadrics, held, way, product)
        bottom = 0.0
        for v in range(count):
            for k in range(3):
                bottom += way[v, k] * product[v, k]
        step = now / bottom
        for v in range(count):
            for k in range(3):
                x[v, k] += step * way[v, k]
                residual[v, k] -= step * product[v, k]
        _precondition(blocks, held, residual, z)
        before, now = now, 0.0
        for v in range(count):
            for k in range(3):
                now += residual[v, k] * z[v, k]
        for v in range(count):
            for k in range(3):
                way[v, k] = z[v, k] + now / before * way[v, k]


@inner
def _sum(
    x: np.ndarray, corners: np.ndarray, b: np.ndarray, n: np.ndarray, d: np.ndarray,
    w: np.ndarray, quadrics: np.ndarray, blocks: np.ndarray, residual: np.ndarray,
) -> None:  # fmt: skip
    """The diagonal blocks (xx xy xz yy yz zz) and the negative gradient, halved."""
    for v in range(len(x)):
        q, px, py, pz = quadrics[v], x[v, 0], x[v, 1], x[v, 2]
        for k in range(6):
            blocks[v, k] = q[k]
        residual[v, 0] = -(q[0] * px + q[1] * py + q[2] * pz + q[6])
        residual[v, 1] = -(q[1] * px + q[3] * py + q[4] * pz + q[7])
        residual[v, 2] = -(q[2] * px + q[4] * py + q[5] * pz + q[8])
    for s in range(len(w)):
        missing = d[s]
        for k in range(3):
            v = corners[s, k]
            missing -= b[s, k] * (n[s, 0] * x[v, 0] + n[s, 1] * x[v, 1] + n[s, 2] * x[v, 2])
        for k in range(3):
            v = corners[s, k]
            h = w[s] * b[s, k]
            for axis in range(3):
                residual[v, axis] += h * missing * n[s, axis]
            h *= b[s, k]
            blocks[v, 0] += h * n[s, 0] * n[s, 0]
            blocks[v, 1] += h * n[s, 0] * n[s, 1]
            blocks[v, 2] += h * n[s, 0] * n[s, 2]
            blocks[v, 3] += h * n[s, 1] * n[s, 1]
            blocks[v, 4] += h * n[s, 1] * n[s, 2]
            blocks[v, 5] += h * n[s, 2] * n[s, 2]


@inner
def _multiply(
    corners: np.ndarray, b: np.ndarray, n: np.ndarray, w: np.ndarray, quadrics: np.ndarray,
    held: np.ndarray, way: np.ndarray, product: np.ndarray,
) -> None:  # fmt: skip
    """The matrix times `way`; rows of vertices that stay are 0."""
    for v in range(len(way)):
        if held[v] < 0:
            product[v, 0] = product[v, 1] = product[v, 2] = 0.0
            continue
        q, x, y, z = quadrics[v], way[v, 0], way[v, 1], way[v, 2]
        product[v, 0] = (q[0] + held[v]) * x + q[1] * y + q[2] * z
        product[v, 1] = q[1] * x + (q[3] + held[v]) * y + q[4] * z
        product[v, 2] = q[2] * x + q[4] * y + (q[5] + held[v]) * z
    for s in range(len(w)):
        total = 0.0
        for k in range(3):
            v = corners[s, k]
            total += b[s, k] * (n[s, 0] * way[v, 0] + n[s, 1] * way[v, 1] + n[s, 2] * way[v, 2])
        for k in range(3):
            v = corners[s, k]
            if held[v] < 0:
                continue
            h = w[s] * b[s, k] * total
            for axis in range(3):
                product[v, axis] += h * n[s, axis]


@inner
def _precondition(
    blocks: np.ndarray, held: np.ndarray, residual: np.ndarray, z: np.ndarray
) -> None:
    """Each vertex by its own block (Cholesky)."""
    for v in range(len(z)):
        if held[v] < 0:
            z[v, 0] = z[v, 1] = z[v, 2] = 0.0
            continue
        d0 = blocks[v, 0] + held[v]
        l10, l20 = blocks[v, 1] / d0, blocks[v, 2] / d0
        d1 = blocks[v, 3] + held[v] - l10 * blocks[v, 1]
        e21 = blocks[v, 4] - l20 * blocks[v, 1]
        l21 = e21 / d1
        d2 = blocks[v, 5] + held[v] - l20 * blocks[v, 2] - l21 * e21
        y0 = residual[v, 0]
        y1 = residual[v, 1] - l10 * y0
        y2 = residual[v, 2] - l20 * y0 - l21 * y1
        z[v, 2] = y2 / d2
        z[v, 1] = y1 / d1 - l21 * z[v, 2]
        z[v, 0] = y0 / d0 - l10 * z[v, 1] - l20 * z[v, 2]
