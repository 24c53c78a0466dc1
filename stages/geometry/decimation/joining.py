"""Which face of a level each point belongs to, and where on it."""

import numpy as np

from ....renderers.cpu.compiled import inner, lean_kernel
from .triangles import closest_on_triangle

ALIGNED = 0.3
"""Cosine of the angle of a point's normal to that of a face from which on it may belong to it."""


@lean_kernel
def attach(
    positions: np.ndarray, faces: np.ndarray, ways: np.ndarray, starts: np.ndarray,
    around: np.ndarray, places: np.ndarray, normals: np.ndarray, owner: np.ndarray,
    fits: np.ndarray,
) -> None:  # fmt: skip
    """Move `owner` to the closest aligned face that shares a corner with it, three times at most;
    of equally close ones the first is that which it is. `fits` tells where there is one. `around`
    has the faces at each vertex from `starts` on."""
    for p in range(len(owner)):
        face = owner[p]
        for _ in range(3):
            least, best = np.inf, face
            if _aligned(ways, face, normals, p):
                least = _square(positions, faces, face, places, p)
            for k in range(3):
                vertex = faces[face, k]
                for n in range(starts[vertex], starts[vertex + 1]):
                    other = around[n]
                    if (
                        _seen_before(faces, face, other, k)
                        or not _aligned(ways, other, normals, p)
                        or _plane_square(positions, faces, ways, other, places, p) >= least
                    ):
                        continue
                    square = _square(positions, faces, other, places, p)
                    if square < least:
                        least, best = square, other
            fits[p] = least < np.inf
            if best == face:
                break
            face = best
        owner[p] = face


@inner
def _seen_before(faces: np.ndarray, face: int, other: int, k: int) -> bool:
    """Whether another face is the face itself or shares a corner with it before the `k`th."""
    if other == face:
        return True
    for before in range(k):
        vertex = faces[face, before]
        if faces[other, 0] == vertex or faces[other, 1] == vertex or faces[other, 2] == vertex:
            return True
    return False


@inner
def _aligned(ways: np.ndarray, face: int, normals: np.ndarray, p: int) -> bool:
    way, normal = ways[face], normals[p]
    return way[0] * normal[0] + way[1] * normal[1] + way[2] * normal[2] >= ALIGNED


@inner
def _plane_square(
    positions: np.ndarray, faces: np.ndarray, ways: np.ndarray, face: int, places: np.ndarray,
    p: int,
) -> float:  # fmt: skip
    """Squared distance to the plane of a face, of which that to the face is never less."""
    a = faces[face, 0]
    high = (
        ways[face, 0] * (places[p, 0] - positions[a, 0])
        + ways[face, 1] * (places[p, 1] - positions[a, 1])
        + ways[face, 2] * (places[p, 2] - positions[a, 2])
    )
    return high * high


@inner
def _square(
    positions: np.ndarray, faces: np.ndarray, face: int, places: np.ndarray, p: int
) -> float:
    a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
    return closest_on_triangle(positions[a], positions[b], positions[c], places[p])[0]


@lean_kernel
def weigh(
    positions: np.ndarray, faces: np.ndarray, owner: np.ndarray, places: np.ndarray,
    corners: np.ndarray,
) -> None:  # fmt: skip
    """The weights of the corners of its face at the place closest to each point."""
    for p in range(len(owner)):
        a, b, c = faces[owner[p], 0], faces[owner[p], 1], faces[owner[p], 2]
        _, v, w = closest_on_triangle(positions[a], positions[b], positions[c], places[p])
        corners[p, 0], corners[p, 1], corners[p, 2] = 1 - v - w, v, w
