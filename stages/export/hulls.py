"""Convex hulls for collisions, with few corners."""

import numpy as np
from jaxtyping import Float

from ..formats.asset import Hull

DIRECTIONS = 48
"""The hull has at most so many corners; physics engines slow down with more."""


def convex_hull(places: Float[np.ndarray, "place 3"]) -> Hull | None:
    """The hull of the outermost points in evenly spread directions, wound outwards.

    It lies inside of the whole hull, and touches it in every one of the directions. `None` for
    what is flat.
    """
    from scipy.spatial import ConvexHull, QhullError

    outermost = np.unique((places @ _directions().T).argmax(axis=0))
    points = places[outermost]
    extent = np.ptp(places, axis=0)
    if not extent.min() > 1e-6 * extent.max():
        return None
    try:
        found = ConvexHull(points)
    except QhullError:
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
    count = DIRECTIONS - 6
    height = 1 - (2 * np.arange(count) + 1) / count
    angle = np.pi * (3 - np.sqrt(5)) * np.arange(count)
    radius = np.sqrt(1 - height * height)
    spiral = np.stack([radius * np.cos(angle), height, radius * np.sin(angle)], axis=1)
    return np.concatenate([np.eye(3), -np.eye(3), spiral])
