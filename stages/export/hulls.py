"""Convex hulls for collisions, with few corners."""

import numpy as np
from jaxtyping import Float

from ..formats.asset import Hull

MOST_CORNERS = 64
"""Physics engines slow down with more."""


def convex_hull(places: Float[np.ndarray, "place 3"]) -> Hull | None:
    """The convex hull, wound outwards; `None` for what is flat.

    Where it has too many corners, that of the outermost points in evenly spread directions: it
    lies inside of the whole hull and touches it in each of the directions.
    """
    extent = np.ptp(places, axis=0)
    if not extent.min() > 1e-6 * extent.max():
        return None
    hull = _hull(places)
    if hull is not None and len(hull.places) > MOST_CORNERS:
        outermost = np.unique((hull.places @ _directions().T).argmax(axis=0))
        hull = _hull(hull.places[outermost])
    return hull


def _hull(points: Float[np.ndarray, "point 3"]) -> Hull | None:
    from scipy.spatial import ConvexHull, QhullError

    try:
        found = ConvexHull(points)
    except QhullError:  # Flat, though not along an axis.
        return None
    used, faces = np.unique(found.simplices, return_inverse=True)
    faces = faces.reshape(-1, 3)
    corners = points[used][faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    inwards = (normals * found.equations[:, :3]).sum(axis=1) < 0
    faces[inwards] = faces[inwards, ::-1]
    return Hull(points[used], faces.astype(np.int64))


def _directions() -> Float[np.ndarray, "direction 3"]:
    """The six axes, and a spiral over the sphere."""
    count = MOST_CORNERS - 6
    height = 1 - (2 * np.arange(count) + 1) / count
    angle = np.pi * (3 - np.sqrt(5)) * np.arange(count)
    radius = np.sqrt(1 - height * height)
    spiral = np.stack([radius * np.cos(angle), height, radius * np.sin(angle)], axis=1)
    return np.concatenate([np.eye(3), -np.eye(3), spiral])
