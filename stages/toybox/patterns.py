"""Surface patterns as functions of a point on the kind's nominal shape.

A toy's own vertices carry their place on the nominal shape, so the layout is the same for
every toy of a kind and stretches with its proportions.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from . import catalog
from .casting import Caster
from .shapes import RECIPES, nominal

Places = NDArray[np.float32]

DOT_SPACING_M = 0.175
"""Distance of neighboring dots' centers on the nominal shape."""
DOT_RADIUS_M = 0.058

BAND_M = 0.085
"""Width of a stripe or of a check."""


def mask(kind: str, pattern: str, places: Places) -> NDArray[np.bool_]:
    """Which points of the main part carry the pattern's color."""
    if pattern == "dots":
        return _dots(kind, places)
    if pattern == "stripes":
        return _stripes(kind, places)
    if pattern == "checks":
        return _checks(kind, places)
    return np.zeros(len(places), dtype=bool)


def _dots(kind: str, places: Places) -> NDArray[np.bool_]:
    """Within `DOT_RADIUS_M` of a center: a product of matrices, since |p-c|^2 splits up."""
    centers = dot_centers(kind)
    score = places @ centers.T - 0.5 * (centers**2).sum(axis=1)
    nearest = (places**2).sum(axis=1) - 2 * score.max(axis=1)
    return nearest < DOT_RADIUS_M**2


@lru_cache(maxsize=len(catalog.KINDS))
def dot_centers(kind: str) -> Places:
    """Points of the main part's outside, far from one another (farthest-point sampling)."""
    points = _outer_points(kind)
    start = int(np.argmax(points @ np.array([0.05, 0.6, 0.8], dtype=np.float32)))
    chosen = [start]
    distance = ((points - points[start]) ** 2).sum(axis=1)
    while distance.max() > DOT_SPACING_M**2:
        chosen.append(int(np.argmax(distance)))
        distance = np.minimum(distance, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
    return _spread(points, points[chosen])


def _spread(points: Places, centers: Places) -> Places:
    """Eight of Lloyd's steps, each back onto the surface: away from the edges, more even."""
    for _ in range(8):
        owner = _nearest(centers, points)
        count = np.bincount(owner, minlength=len(centers))[:, None]
        mean = [np.bincount(owner, axis, minlength=len(centers)) for axis in points.T]
        centers = points[_nearest(points, (np.stack(mean, axis=1) / count).astype(np.float32))]
    return centers


def _nearest(centers: Places, places: Places) -> NDArray[np.intp]:
    """For each place, the index of the nearest center."""
    return np.argmax(places @ centers.T - 0.5 * (centers**2).sum(axis=1), axis=1)


def _outer_points(kind: str) -> Places:
    """20000 points on the main part, evenly by area, that face open air."""
    vertices, faces, roles, _, names = nominal(kind)
    corners = vertices[faces[roles == names.index("main")]]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.cumsum(np.linalg.norm(cross, axis=1))
    draws = np.random.default_rng(catalog.digest("dots", kind))
    pick = np.searchsorted(area, draws.uniform(0, area[-1], 20000))
    u, v = draws.uniform(size=(2, 20000, 1))
    fold = u + v > 1
    u, v = np.where(fold, 1 - u, u), np.where(fold, 1 - v, v)
    a, b, c = (corners[pick, k] for k in range(3))
    points = (a + u * (b - a) + v * (c - a)).astype(np.float32)
    normal = cross[pick] / np.linalg.norm(cross[pick], axis=1, keepdims=True)
    # A dot behind another part, or deep between two, would be lost.
    normal = normal.astype(np.float32)
    _, _, distance = Caster(vertices, faces).first(points + 2e-3 * normal, normal)
    return points[distance > 0.1]


def _stripes(kind: str, places: Places) -> NDArray[np.bool_]:
    x, y, z = places.T
    recipe = RECIPES[kind]
    if recipe.stripes == "around":
        return np.floor(np.arctan2(x, z) / (2 * np.pi) * recipe.sectors) % 2 == 0
    along = {"x": x, "y": y, "z": z}[recipe.stripes]
    return np.floor((along + 10.25 * BAND_M) / BAND_M) % 2 == 0


def _checks(kind: str, places: Places) -> NDArray[np.bool_]:
    x, y, z = places.T
    sectors = RECIPES[kind].sectors
    if sectors:
        around = np.floor(np.arctan2(x, z) / (2 * np.pi) * sectors + 0.5)
        up = np.floor(y / (1.25 * BAND_M) + 10.25)
        if kind == "donut":  # From above: rings instead of layers.
            up = np.floor((np.hypot(x, z) - 0.348) / (1.25 * BAND_M) + 10.5)
        return (around + up) % 2 == 0
    cell = 1.25 * BAND_M
    return sum(np.floor(axis / cell + 10.5) for axis in (x, y, z)) % 2 == 0
