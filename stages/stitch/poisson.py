"""The seam's change of color carried inwards so that differences between neighbors stay.

Poisson image editing (Perez et al. 2003) on scattered points, as SeamlessNeRF (Gong et al. 2023)
does it for fields. With the change u of each color, the links ij of the graph of nearest neighbors
and the boundary B,

    minimize  Σ_ij |u_i - u_j|² + ε Σ_i |u_i|²    with  u given on B

which is linear and solved at once, by conjugate gradients on all columns together. What no links
join to B keeps its colors: that is what ε is for.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse
from scipy.spatial import cKDTree

EPSILON = 1e-6
TOLERANCE = 1e-5
"""Of the residual, relative to the right side."""
MOST_ITERATIONS = 2000


def propagated(
    points: Float[np.ndarray, "n 3"],
    members: Int[np.ndarray, " b"],
    change: Float[np.ndarray, "b column"],
    k: int,
) -> Float[np.ndarray, "n column"]:
    """The change everywhere for the `change` of the `members`; links go to the `k` nearest."""
    out = np.zeros((len(points), change.shape[1]))
    out[members] = change
    free = np.setdiff1d(np.arange(len(points)), members)
    if not len(free):
        return out
    links = _links(points, k)
    degree = np.asarray(links.sum(axis=1)).ravel() + EPSILON
    inner = sparse.csr_array(sparse.diags_array(degree[free]) - links[free][:, free])
    out[free] = _solved(inner, links[free][:, members] @ change)
    return out


def _links(points: Float[np.ndarray, "n 3"], k: int) -> sparse.csr_array:
    """1 where one is among the nearest of the other."""
    count, k = len(points), min(k, len(points) - 1)
    near = cKDTree(points).query(points, k=k + 1)[1]
    rows = np.repeat(np.arange(count), k + 1)
    links = sparse.coo_array((np.ones(near.size), (rows, near.ravel())), shape=(count, count))
    links = sparse.csr_array(links + links.T)
    links.setdiag(0)
    links.eliminate_zeros()
    links.data[:] = 1
    return links


def _solved(
    matrix: sparse.csr_array, right: Float[np.ndarray, "n column"]
) -> Float[np.ndarray, "n column"]:
    """Conjugate gradients with the diagonal as preconditioner, each column by itself."""
    scale = 1 / matrix.diagonal()[:, None]
    wanted = TOLERANCE * np.linalg.norm(right, axis=0)
    out, rest = np.zeros_like(right), right.copy()
    ahead = scale * rest
    product = np.einsum("nc,nc->c", rest, ahead)
    for _ in range(MOST_ITERATIONS):
        if (np.linalg.norm(rest, axis=0) <= wanted).all():
            break
        moved = matrix @ ahead
        curve = np.einsum("nc,nc->c", ahead, moved)
        step = np.where(curve > 0, product / np.where(curve > 0, curve, 1), 0)
        out += step * ahead
        rest -= step * moved
        scaled = scale * rest
        before, product = product, np.einsum("nc,nc->c", rest, scaled)
        ahead = scaled + np.where(before > 0, product / np.where(before > 0, before, 1), 0) * ahead
    return out
