"""Anchors: few points, spread evenly through many Gaussians, and who is whose neighbor.

Notation: N anchors a_i, directed edges (i, j) to each one's K nearest, d_ij their distance,

    khat_ij = exp(-gamma d_ij^2) / sum_j exp(-gamma d_ij^2),    gamma = 1 / (2 median d^2)

(Luo et al. 2024, 4.2 and eq. 11). gamma follows the spacing, so that no unit enters.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

CELLS_PER_ANCHOR = 8
"""Occupied voxels that one anchor is chosen from."""
LONGEST_EDGE = 3.0
"""In median edges; longer ones would tie separate surfaces together."""
KEPT_EDGES = 2
"""So many of an anchor's shortest edges stay, however long they are."""


@dataclass(frozen=True, slots=True)
class Graph:
    """Directed edges between points, those of one start one behind the other."""

    start: Int[Tensor, " edge"]
    end: Int[Tensor, " edge"]
    kernel: Float[Tensor, " edge"]
    """khat: positive, sums to 1 over the edges of one start."""
    count: int
    """Of points."""
    length: float
    """Median edge, in scene units: the graph's spacing."""


def spread(points: Float[np.ndarray, "n 3"], count: int) -> Float[np.ndarray, "m 3"]:
    """At most `count` places: mass centers of voxels, thinned by farthest-point sampling.

    The voxels are refined until there are enough of them to choose from, or one per point.
    """
    low = points.min(axis=0)
    extent = float((points.max(axis=0) - low).max()) or 1.0
    cells = max(2.0, count ** (1 / 3))
    centers = points.mean(axis=0, keepdims=True)
    while len(centers) < min(CELLS_PER_ANCHOR * count, len(points)) and cells < 4096:
        centers = _voxel_means(points - low, extent / cells) + low
        cells *= 1.4
    return centers[_farthest(centers, count)]


def _voxel_means(points: Float[np.ndarray, "n 3"], size: float) -> Float[np.ndarray, "m 3"]:
    cells = np.floor(points / size).astype(np.int64)
    _, owner, number = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    owner = owner.reshape(-1)
    sums = [np.bincount(owner, weights=points[:, axis]) for axis in range(3)]
    return np.stack(sums, axis=1) / number[:, None]


def _farthest(points: Float[np.ndarray, "n 3"], count: int) -> Int[np.ndarray, " m"]:
    """Starting at the point farthest from the middle, each time the one farthest from all taken."""
    distance = np.square(points - points.mean(axis=0)).sum(axis=1)
    taken = [int(distance.argmax())]
    distance = np.square(points - points[taken[0]]).sum(axis=1)
    while len(taken) < min(count, len(points)):
        taken.append(int(distance.argmax()))
        distance = np.minimum(distance, np.square(points - points[taken[-1]]).sum(axis=1))
    return np.array(taken)


def graph(
    points: Float[np.ndarray, "n 3"], neighbors: int, apart: Float[np.ndarray, "n n"] | None = None
) -> Graph:
    """Edges to the nearest `neighbors`. Points that coincide are neighbors at distance 0.

    Args:
        apart: How far points are from each other, infinite where no edge shall be; in space where
            it is not given. Even so, the `KEPT_EDGES` that are nearest in space stand in for
            missing ones.
    """
    distance, found = _nearest(points, neighbors)
    if apart is not None:
        distance, found = _nearest_of(apart, distance, found)
    finite = distance[np.isfinite(distance)]
    median = float(np.median(finite)) if finite.size else 1.0
    median = median or float(finite.max(initial=0.0)) or 1.0
    keep = distance <= LONGEST_EDGE * median
    keep[:, :KEPT_EDGES] = True
    # Relative to the shortest, so that the sum never underflows.
    relative = np.square(distance) - np.square(distance[:, :1])
    kernel = np.exp(-relative / (2 * median**2)) * keep
    kernel /= kernel.sum(axis=1, keepdims=True)
    start = np.repeat(np.arange(len(points)), keep.sum(axis=1))
    return Graph(
        start=torch.from_numpy(start),
        end=torch.from_numpy(found[keep].astype(np.int64)),
        kernel=torch.from_numpy(kernel[keep]).float(),
        count=len(points),
        length=median,
    )


def _nearest(
    points: Float[np.ndarray, "n 3"], neighbors: int
) -> tuple[Float[np.ndarray, "n k"], Int[np.ndarray, "n k"]]:
    """Distances to, and places of, each one's nearest in space."""
    count = min(neighbors + 1, len(points))
    distance, found = cKDTree(points).query(points, k=count)
    distance, found = distance.reshape(len(points), -1), found.reshape(len(points), -1)
    own = found == np.arange(len(points))[:, None]
    own[~own.any(axis=1), -1] = True  # Several coincide, and the point itself was not among them.
    shape = (len(points), count - 1)
    return distance[~own].reshape(shape), found[~own].reshape(shape)


def _nearest_of(
    apart: Float[np.ndarray, "n n"],
    distance: Float[np.ndarray, "n k"],
    found: Int[np.ndarray, "n k"],
) -> tuple[Float[np.ndarray, "n k"], Int[np.ndarray, "n k"]]:
    """The same by another measure; in space where that knows fewer than `KEPT_EDGES`."""
    others = np.where(np.eye(len(apart), dtype=bool), np.inf, apart)
    order = np.argsort(others, axis=1, kind="stable")[:, : found.shape[1]]
    measured = np.take_along_axis(others, order, axis=1)
    alone = ~np.isfinite(measured[:, :KEPT_EDGES]).all(axis=1)
    return np.where(alone[:, None], distance, measured), np.where(alone[:, None], found, order)


def smoothing(edges: Graph, strength: float) -> Float[Tensor, "anchor anchor"]:
    """(I + strength L)^-1, L the random-walk Laplacian of the graph taken both ways.

    A value spreads over about sqrt(strength) edges; rows sum to 1, parts that no edge joins do not
    mix. Well-conditioned whatever the graph: the matrix is diagonally dominant.
    """
    weights = np.zeros((edges.count, edges.count))
    start, end = edges.start.numpy(), edges.end.numpy()
    np.add.at(weights, (start, end), edges.kernel.double().numpy())
    weights = weights + weights.T
    degree = weights.sum(axis=1, keepdims=True)
    walk = weights / np.where(degree > 0, degree, 1.0)
    laplacian = np.diag((degree[:, 0] > 0).astype(float)) - walk
    out = np.linalg.inv(np.eye(edges.count) + strength * laplacian)
    return torch.from_numpy(out).float()
