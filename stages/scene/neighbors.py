"""Selections by who is near whom: growing, shrinking, parts that hang together, floaters.

Notation: n points. All distances are between centres, Euclidean, in scene units.
"""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse
from scipy.sparse import csgraph
from scipy.spatial import cKDTree

from ...pipeline.errors import InputError
from .affine import Numbers

Points = Float[np.ndarray, "n 3"]
Mask = Bool[np.ndarray, " n"]
MOST_PAIRS = 40_000_000
"""Pairs of neighbors held at once, 640 MB."""


def grown(selected: Mask, points: Points, *, radius: float | None, neighbors: int | None) -> Mask:
    """With all within `radius` of a selected point, or with each one's nearest `neighbors`."""
    if not selected.any() or selected.all():
        return selected
    if radius is not None:
        others = np.flatnonzero(~selected)
        distance, _ = cKDTree(points[selected]).query(
            points[others], distance_upper_bound=np.nextafter(radius, np.inf)
        )
        reached = others[np.isfinite(distance)]
    else:
        count = min((neighbors or 0) + 1, len(points))
        _, reached = cKDTree(points).query(points[selected], k=count)
    out = selected.copy()
    out[reached] = True
    return out


def shrunk(selected: Mask, points: Points, *, radius: float | None, neighbors: int | None) -> Mask:
    """What `grown` does not reach from the points that are not selected."""
    return ~grown(~selected, points, radius=radius, neighbors=neighbors)


def parts(points: Points, radius: float) -> Int[np.ndarray, " n"]:
    """Per point, the number of its connected part; links are at most `radius` long."""
    tree = cKDTree(points)
    count = (int(tree.count_neighbors(tree, radius)) - len(points)) // 2
    if count > MOST_PAIRS:
        raise InputError(
            f"a radius of {radius} links {count:,} pairs of neighbors, at most {MOST_PAIRS:,} are"
            f" possible. Choose a smaller one: a few times the distance between Gaussians."
        )
    first, second = tree.query_pairs(radius, output_type="ndarray").reshape(-1, 2).T
    links = sparse.coo_array((np.ones(len(first), bool), (first, second)), shape=2 * (len(points),))
    return csgraph.connected_components(links, directed=False)[1]


def flooded(points: Points, allowed: Mask, start: int, radius: float) -> Mask:
    """The part of the allowed points that hangs together with the point number `start`."""
    inside = np.flatnonzero(allowed)
    labels = parts(points[inside], radius)
    out = np.zeros(len(points), bool)
    out[inside[labels == labels[np.searchsorted(inside, start)]]] = True
    return out


def islands(points: Points, radius: float, below: int) -> Mask:
    """Points in parts of fewer than `below`."""
    labels = parts(points, radius)
    return np.bincount(labels)[labels] < below


def lonely(points: Points, neighbors: int, sparsity: float) -> Mask:
    """Points whose mean distance to their nearest `neighbors` is above `sparsity` times the median
    of that over all points."""
    count = min(neighbors + 1, len(points))
    if count < 2:
        return np.zeros(len(points), bool)
    distance, _ = cKDTree(points).query(points, k=count)
    mean = distance[:, 1:].mean(axis=1)
    return mean > sparsity * np.median(mean)


def nearest(points: Points, place: Numbers) -> int:
    """The number of the point nearest to `place`; the first of several."""
    offset = points - np.asarray(place)
    return int(np.einsum("ij,ij->i", offset, offset).argmin())
