"""Linear blend skinning: Gaussians follow their nearest anchors.

Notation: anchor k with rest place a0_k, place a_k, unit quaternion r_k (rotation R_k); Gaussian i
with weights w_ik that sum to 1.

    mu_i = sum_k w_ik [R_k (mu0_i - a0_k) + a_k]         q_i = normalize(sum_k w_ik r_k) (x) q0_i

(Luo et al. 2024; embedded deformation, Sumner et al. 2007). The sum over anchors is taken first,
as one sparse product of the weights with the 16 numbers [R_k, a_k - R_k a0_k, r_k] of each anchor.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy import sparse
from scipy.spatial import cKDTree
from torch import Tensor

from ...renderers.projection import rotation_matrices
from .anchors import Graph
from .ways import dense

AT_ONCE = 4096
"""Points whose ways are sorted together."""


@dataclass(frozen=True, slots=True)
class Skin:
    """Fixed weights between points and anchors."""

    weights: sparse.csr_array
    """Point by anchor; rows sum to 1."""
    transposed: sparse.csr_array
    rest: Float[Tensor, "anchor 3"]
    """a0."""

    def blended(self, values: Float[Tensor, "anchor value"]) -> Float[Tensor, "n value"]:
        """Values of the anchors carried to the points; differentiable by them."""
        return _Sparse.apply(values, self.weights, self.transposed)


@dataclass(frozen=True, slots=True)
class Pose:
    """Where the anchors are."""

    places: Float[Tensor, "anchor 3"]
    turns: Float[Tensor, "anchor 4"]
    """(w, x, y, z), of any length but zero."""


@dataclass(frozen=True, slots=True)
class Deformed:
    """Points after skinning."""

    means: Float[Tensor, "n 3"]
    turns: Float[Tensor, "n 4"]
    """Unit quaternions of what was done to each point's frame."""


def bind(
    points: Float[np.ndarray, "n 3"],
    anchors: Float[np.ndarray, "anchor 3"],
    edges: Graph,
    neighbors: int,
    ways: sparse.csr_array | None = None,
) -> Skin:
    """Weights exp(-d^2 / 2 s^2) of the nearest anchors, s the anchors' spacing.

    Of the nearest, only the very nearest and those that share an edge with it count, so that a
    point hangs on one surface alone.

    Args:
        ways: How far it is from points to anchors (`ways.py`); in space where it is not given, and
            for points that no way leads to.
    """
    count = min(neighbors, len(anchors))
    distance, found = cKDTree(anchors).query(points, k=count)
    distance, found = distance.reshape(len(points), -1), found.reshape(len(points), -1)
    if ways is not None:
        distance, found = _nearest_along(ways, distance, found)
    linked = sparse.coo_array(
        (np.ones(len(edges.start), bool), (edges.start.numpy(), edges.end.numpy())),
        shape=(len(anchors), len(anchors)),
    ).tocsr()
    linked = linked + linked.T
    nearest = np.repeat(found[:, :1], count, axis=1)
    allowed = np.asarray(linked[nearest.ravel(), found.ravel()]).reshape(found.shape) > 0
    allowed[:, 0] = True
    relative = np.square(distance) - np.square(distance[:, :1])
    weights = np.exp(-relative / (2 * edges.length**2)) * allowed
    weights /= weights.sum(axis=1, keepdims=True)
    rows = np.repeat(np.arange(len(points)), count)
    matrix = sparse.coo_array(
        (weights.ravel().astype(np.float32), (rows, found.ravel())),
        shape=(len(points), len(anchors)),
    ).tocsr()
    matrix.eliminate_zeros()
    return Skin(matrix, matrix.T.tocsr(), torch.from_numpy(anchors).float())


def _nearest_along(
    ways: sparse.csr_array, distance: Float[np.ndarray, "n k"], found: np.ndarray
) -> tuple[Float[np.ndarray, "n k"], np.ndarray]:
    """The same by ways; what is not reached at all keeps its nearest in space."""
    distance, found = distance.copy(), found.copy()
    for first in range(0, len(found), AT_ONCE):
        some = slice(first, first + AT_ONCE)
        far = dense(ways[some])
        order = np.argsort(far, axis=1, kind="stable")[:, : found.shape[1]]
        way = np.take_along_axis(far, order, axis=1)
        reached = np.isfinite(way[:, :1])
        distance[some] = np.where(reached, way, distance[some])
        found[some] = np.where(reached, order, found[some])
    return distance, found


class _Sparse(torch.autograd.Function):
    """A fixed sparse matrix times a dense one."""

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, matrix: sparse.csr_array, transposed: sparse.csr_array
    ) -> Tensor:
        ctx.transposed = transposed
        return torch.from_numpy(matrix @ values.detach().numpy())

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None]:
        return torch.from_numpy(ctx.transposed @ upstream[0].contiguous().numpy()), None, None


def deform(skin: Skin, points: Float[Tensor, "n 3"], pose: Pose) -> Deformed:
    """Carry the points along; differentiable by the pose."""
    turns = pose.turns / pose.turns.norm(dim=1, keepdim=True)
    matrices = rotation_matrices(turns)
    shifts = pose.places - torch.einsum("kij,kj->ki", matrices, skin.rest.to(matrices))
    each = torch.cat([matrices.flatten(1), shifts, turns], dim=1)
    linear, shift, turn = skin.blended(each).split([9, 3, 4], dim=1)
    means = torch.einsum("nij,nj->ni", linear.unflatten(1, (3, 3)), points) + shift
    return Deformed(means, turn / turn.norm(dim=1, keepdim=True))


def product(left: Float[Tensor, "n 4"], right: Float[Tensor, "n 4"]) -> Float[Tensor, "n 4"]:
    """Quaternions left (x) right, (w, x, y, z): first `right`, then `left`."""
    a, u = left[:, :1], left[:, 1:]
    b, v = right[:, :1], right[:, 1:]
    vector = a * v + b * u + torch.linalg.cross(u, v)
    return torch.cat([a * b - (u * v).sum(dim=1, keepdim=True), vector], dim=1)
