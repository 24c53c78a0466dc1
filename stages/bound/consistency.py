"""How smooth a mesh is: the angles at its edges."""

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor


def neighbors_across(faces: Int[np.ndarray, "face 3"]) -> Int[np.ndarray, "edge 2"]:
    """Pairs of faces with a common edge. Edges of one face, or of more than two, have none."""
    edges = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    owner = np.repeat(np.arange(len(faces)), 3)
    order = np.lexsort(edges.T)
    edges, owner = edges[order], owner[order]
    starts = np.flatnonzero(np.r_[True, (edges[1:] != edges[:-1]).any(axis=1)])
    counts = np.diff(np.r_[starts, len(edges)])
    first = starts[counts == 2]
    return np.stack([owner[first], owner[first + 1]], axis=1)


def normal_consistency(
    normals: Float[Tensor, "face 3"], pairs: Int[Tensor, "edge 2"]
) -> Float[Tensor, ""]:
    """Mean of 1 - <n_i, n_j> over the edges; 0 for a plane, and for a mesh without inner edges."""
    if not len(pairs):
        return normals.sum() * 0
    return (1 - (normals[pairs[:, 0]] * normals[pairs[:, 1]]).sum(dim=1)).mean()
