"""How much of a surface can be seen at all: what is hidden deserves fewer faces.

From points on every face, on both of its sides, rays leave in all directions as light would leave
a matt surface. The share of them that meets nothing, times two, is the face's openness: 1 on a
convex body, 0 in a closed one. A side that faces the open counts, whichever way the face is wound.
What is cut out stops no ray.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Int

from ..geometry.components import Surface, face_areas
from ..geometry.rays import any_hits, first_hits

RAYS = 1 << 20
"""For the whole surface, within the bounds of `FEWEST` and `MOST` for each face."""
FEWEST, MOST = 8, 64
BLOCK = 1 << 21
MARGIN = 1e-5
"""From where above the surface rays start, in diagonals."""
HIDDEN = 0.03
"""What a face counts at least: no hidden part is given up, only made coarser."""
LAYERS = 8
"""A ray that has gone through so many transparent places is stopped."""

SeenThrough = Callable[
    [Int[np.ndarray, " point"], Float[np.ndarray, "point 3"]], Bool[np.ndarray, " point"]
]
"""Whether points, by face and barycentrics, are transparent."""


def openness(surface: Surface, through: SeenThrough | None = None) -> Float[np.ndarray, " face"]:
    """Per face, between 0 and 1. Faces without area have 1."""
    count = len(surface.faces)
    rays = int(np.clip(RAYS // count, FEWEST, MOST))
    corners = surface.positions[surface.faces].astype(np.float64)
    diagonal = float(np.linalg.norm(np.ptp(corners.reshape(-1, 3), axis=0)))
    out = np.zeros(count)
    step = max(BLOCK // rays, 1)
    for first in range(0, count, step):
        block = slice(first, min(first + step, count))
        out[block] = _open_shares(surface, corners[block], first, rays, MARGIN * diagonal, through)
    return np.minimum(2 * out, 1)


def at_vertices(
    surface: Surface, of_faces: Float[np.ndarray, " face"]
) -> Float[np.ndarray, " vertex"]:
    """The mean over the faces around each vertex, by their area; 1 where there is none."""
    areas = np.repeat(face_areas(surface), 3)
    flat, count = surface.faces.reshape(-1), len(surface.positions)
    total = np.bincount(flat, areas, minlength=count)
    value = np.bincount(flat, areas * np.repeat(of_faces, 3), minlength=count)
    return np.where(total > 0, value / np.where(total > 0, total, 1), 1.0)


def _open_shares(
    surface: Surface,
    corners: Float[np.ndarray, "face 3 3"],
    first: int,
    rays: int,
    margin_m: float,
    through: SeenThrough | None,
) -> Float[np.ndarray, " face"]:
    """Half of the rays leave on either side; places and directions by sequences without chance."""
    count = len(corners)
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(cross, axis=1)
    index = (first + np.arange(count))[:, None] * rays + np.arange(rays)
    # R4 (Roberts 2018): four coordinates of an evenly spread sequence.
    a, b, c, d = ((index * share) % 1 for share in (0.8566749, 0.7338919, 0.6287068, 0.5385973))
    over = a + b > 1
    a, b = np.where(over, 1 - a, a), np.where(over, 1 - b, b)
    places = np.einsum("frk,fkc->frc", np.stack([1 - a - b, a, b], axis=-1), corners)
    z, turn = np.sqrt(1 - c), 2 * np.pi * d
    normal = cross / np.where(length > 0, length, 1)[:, None]
    across, along = _axes(normal)
    side = np.where(np.arange(rays) % 2 == 0, 1.0, -1.0)
    up = (side * z)[..., None] * normal[:, None]
    round_ = np.cos(turn)[..., None] * across[:, None] + np.sin(turn)[..., None] * along[:, None]
    directions = up + np.sqrt(c)[..., None] * round_
    starts = places + margin_m * side[:, None] * normal[:, None]
    free = _leaves(surface, starts.reshape(-1, 3), directions.reshape(-1, 3), margin_m, through)
    return np.where(length > 0, free.reshape(count, rays).mean(axis=1), 1.0)


def _leaves(
    surface: Surface,
    starts: Float[np.ndarray, "ray 3"],
    directions: Float[np.ndarray, "ray 3"],
    margin_m: float,
    through: SeenThrough | None,
) -> Bool[np.ndarray, " ray"]:
    """Which rays get away."""
    if through is None:
        return ~any_hits(surface, starts, directions)
    hits = first_hits(surface, starts, directions)
    free = np.isinf(hits.distance_m)
    faces, places, far = hits.faces, hits.barycentrics, hits.distance_m
    rays = np.arange(len(free))
    for _ in range(LAYERS):
        met = np.flatnonzero(~free[rays])
        on = met[through(faces[met].astype(np.int64), places[met].astype(np.float64))]
        if not len(on):
            break
        rays = rays[on]
        starts = starts[on] + (far[on, None] + margin_m) * directions[on]
        directions = directions[on]
        hits = first_hits(surface, starts, directions)
        faces, places, far = hits.faces, hits.barycentrics, hits.distance_m
        free[rays] = np.isinf(far)
    return free


def _axes(
    normal: Float[np.ndarray, "face 3"],
) -> tuple[Float[np.ndarray, "face 3"], Float[np.ndarray, "face 3"]]:
    """Two unit vectors across each unit vector and each other."""
    helper = np.where(np.abs(normal[:, :1]) < 0.5, [[1.0, 0, 0]], [[0, 1.0, 0]])
    across = np.cross(normal, helper)
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-300)
    return across, np.cross(normal, across)
