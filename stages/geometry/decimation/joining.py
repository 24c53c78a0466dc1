"""Which face of a level each point belongs to, and where on it."""

import numpy as np

from ....renderers.cpu.compiled import kernel
from .triangles import closest_on_triangle

ALIGNED = 0.3
"""Cosine of the angle of a point's normal to that of a face from which on it may belong to it."""


@kernel
def attach(
    positions: np.ndarray, faces: np.ndarray, ways: np.ndarray, starts: np.ndarray,
    around: np.ndarray, places: np.ndarray, normals: np.ndarray, owner: np.ndarray,
    fits: np.ndarray,
) -> None:  # fmt: skip
    """Move `owner` to the closest aligned face that shares a corner with it, three times at most;
    `fits` tells where there is one. `around` has the faces at each vertex from `starts` on."""
    for p in range(len(owner)):
        face = owner[p]
        for _ in range(3):
            least, best = np.inf, face
            for k in range(3):
                vertex = faces[face, k]
                for n in range(starts[vertex], starts[vertex + 1]):
                    other = around[n]
                    cosine = (
                        ways[other, 0] * normals[p, 0]
                        + ways[other, 1] * normals[p, 1]
                        + ways[other, 2] * normals[p, 2]
                    )
                    if cosine < ALIGNED:
                        continue
                    square, _, _ = closest_on_triangle(
                        positions[faces[other, 0]], positions[faces[other, 1]],
                        positions[faces[other, 2]], places[p],
                    )  # fmt: skip
                    if square < least:
                        least, best = square, other
            fits[p] = least < np.inf
            if best == face:
                break
            face = best
        owner[p] = face


@kernel
def weigh(
    positions: np.ndarray, faces: np.ndarray, owner: np.ndarray, places: np.ndarray,
    corners: np.ndarray,
) -> None:  # fmt: skip
    """The weights of the corners of its face at the place closest to each point."""
    for p in range(len(owner)):
        a, b, c = faces[owner[p], 0], faces[owner[p], 1], faces[owner[p], 2]
        _, v, w = closest_on_triangle(positions[a], positions[b], positions[c], places[p])
        corners[p, 0], corners[p, 1], corners[p, 2] = 1 - v - w, v, w
