"""Edges flipped where the two faces come nearer to the points that they stand for.

An edge ab of the faces abc and bad becomes cd. What counts for each point is

    w (1 - n·m + d² / A),

m the normal of the face it is joined to, d the distance to it, A the mean area of all faces. Only
edges of just two faces that run along it in opposite directions are flipped, and only if cd is no
edge yet: the topology stays.
"""

import numpy as np

from ....renderers.cpu.compiled import inner, lean_kernel
from .triangles import closest_on_triangle

LEAST_GAIN = 0.05
"""In mean weights of a point: less is not worth a flip."""
SLIVER = 0.05
"""Quality below which the worse of the two new faces must not be if it was better before."""


def flip_edges(
    positions: np.ndarray, faces: np.ndarray, places: np.ndarray, normals: np.ndarray,
    weights: np.ndarray, owner: np.ndarray, locked: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """The pairs of faces (flip 2) with the largest gains, no face in two of them, and new `faces`.

    Args:
        places: p 3, and their `normals` and `weights`.
        owner: p, the face that each is joined to.
        locked: v, edges between two of these stay.
    """
    pairs, corners = _candidates(faces, len(positions))
    free = ~(locked[corners[:, 0]] & locked[corners[:, 1]])
    pairs, corners = pairs[free], corners[free]
    order = np.argsort(owner, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=len(faces)))])
    gains = np.zeros(len(pairs))
    mean = float(weights.sum()) / max(len(weights), 1)
    corner = positions[faces]
    cross = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    area = float(np.linalg.norm(cross, axis=1).mean()) / 2
    _gain(positions, pairs, corners, starts, order, places, normals, weights, area, gains)
    chosen, flipped = [], faces.copy()
    taken, made = np.zeros(len(faces), bool), set()
    ranked = np.argsort(-gains, kind="stable")
    for k in ranked[: int((gains > LEAST_GAIN * mean).sum())]:
        one, two = pairs[k]
        a, b, c, d = corners[k]
        new = (min(c, d), max(c, d))
        if taken[one] or taken[two] or new in made:
            continue
        taken[one] = taken[two] = True
        made.add(new)
        flipped[one], flipped[two] = (c, d, b), (d, c, a)
        chosen.append(pairs[k])
    return np.array(chosen, np.int64).reshape(-1, 2), flipped


def _candidates(faces: np.ndarray, vertices: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of faces (e 2) that share an edge ab as abc and bad, and (a, b, c, d)."""
    start, end, tip = (np.roll(faces, -k, axis=1).reshape(-1) for k in range(3))
    code = np.minimum(start, end) * vertices + np.maximum(start, end)
    edges, index, hanging = np.unique(code, return_inverse=True, return_counts=True)
    index = index.reshape(-1)
    forward = np.full(len(edges), -1)
    backward = np.full(len(edges), -1)
    rises = start < end
    forward[index[rises]] = np.flatnonzero(rises)
    backward[index[~rises]] = np.flatnonzero(~rises)
    proper = np.flatnonzero((hanging == 2) & (forward >= 0) & (backward >= 0))
    one, two = forward[proper], backward[proper]
    c, d = tip[one], tip[two]
    new = np.minimum(c, d) * vertices + np.maximum(c, d)
    free = (c != d) & ~np.isin(new, edges)
    one, two = one[free], two[free]
    corners = np.stack([start[one], end[one], tip[one], tip[two]], axis=1)
    return np.stack([one // 3, two // 3], axis=1), corners


@lean_kernel
def _gain(
    x: np.ndarray, pairs: np.ndarray, corners: np.ndarray, starts: np.ndarray, order: np.ndarray,
    places: np.ndarray, normals: np.ndarray, weights: np.ndarray, area: float, gains: np.ndarray,
) -> None:  # fmt: skip
    for edge in range(len(pairs)):
        a, b, c, d = corners[edge, 0], corners[edge, 1], corners[edge, 2], corners[edge, 3]
        old_one, old_two = _normal(x, a, b, c), _normal(x, b, a, d)
        new_one, new_two = _normal(x, c, d, b), _normal(x, d, c, a)
        ux, uy, uz = old_one[0] + old_two[0], old_one[1] + old_two[1], old_one[2] + old_two[2]
        if (
            _dot(new_one, ux, uy, uz) <= 0
            or _dot(new_two, ux, uy, uz) <= 0
            or _dot(new_one, new_two[0], new_two[1], new_two[2]) < 0
        ):
            continue
        worst = min(_quality(x, c, d, b), _quality(x, d, c, a))
        if worst < SLIVER and worst < min(_quality(x, a, b, c), _quality(x, b, a, d)):
            continue
        gain = 0.0
        for side in range(2):
            face = pairs[edge, side]
            for n in range(starts[face], starts[face + 1]):
                p = order[n]
                if side == 0:
                    before = _miss(x, a, b, c, old_one, places[p], normals[p], area)
                else:
                    before = _miss(x, b, a, d, old_two, places[p], normals[p], area)
                near, _, _ = closest_on_triangle(x[c], x[d], x[b], places[p])
                far, _, _ = closest_on_triangle(x[d], x[c], x[a], places[p])
                if near < far:
                    after = _miss(x, c, d, b, new_one, places[p], normals[p], area)
                else:
                    after = _miss(x, d, c, a, new_two, places[p], normals[p], area)
                gain += weights[p] * (before - after)
        gains[edge] = gain


@inner
def _normal(x: np.ndarray, a: int, b: int, c: int) -> tuple[float, float, float]:
    """Twice the area as a vector."""
    ux, uy, uz = x[b, 0] - x[a, 0], x[b, 1] - x[a, 1], x[b, 2] - x[a, 2]
    vx, vy, vz = x[c, 0] - x[a, 0], x[c, 1] - x[a, 1], x[c, 2] - x[a, 2]
    return uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx


@inner
def _dot(one: tuple, x: float, y: float, z: float) -> float:
    return one[0] * x + one[1] * y + one[2] * z


@inner
def _quality(x: np.ndarray, a: int, b: int, c: int) -> float:
    n = _normal(x, a, b, c)
    sides = 0.0
    for k in range(3):
        sides += (x[a, k] - x[b, k]) ** 2 + (x[b, k] - x[c, k]) ** 2 + (x[c, k] - x[a, k]) ** 2
    return 2 * np.sqrt(3.0) * np.sqrt(_dot(n, n[0], n[1], n[2])) / max(sides, 1e-300)


@inner
def _miss(
    x: np.ndarray, a: int, b: int, c: int, way: tuple, place: np.ndarray, normal: np.ndarray,
    area: float,
) -> float:  # fmt: skip
    square, _, _ = closest_on_triangle(x[a], x[b], x[c], place)
    length = np.sqrt(_dot(way, way[0], way[1], way[2]))
    cosine = _dot(way, normal[0], normal[1], normal[2]) / max(length, 1e-300)
    return 1 - cosine + square / area
