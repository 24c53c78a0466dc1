"""How far it is from anchors to Gaussians along what the Gaussians make up, not through the air.

Two legs side by side are near in space and far apart along the body. Points are joined to their
nearest ones where each is among the other's; ways are shortest paths along these joints (Dijkstra
1959, as in Isomap, Tenenbaum et al. 2000), and end where they get too long to matter. Surfaces that
touch are joined as well: what hangs together there is left to the adaptive masks.
"""

import numpy as np
from jaxtyping import Bool, Float
from scipy import sparse
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

JOINED = 8
"""Points that a point may be joined to."""
LONGEST_JOINT = 2.5
"""In the median joint of the point itself."""
FARTHEST = 4.0
"""Ways longer than this, in spacings of the anchors, are left out."""
AT_ONCE = 16

Points = Float[np.ndarray, "n 3"]


def ways(
    points: Points,
    places: Float[np.ndarray, "anchor 3"],
    apart: Bool[np.ndarray, " n"] | None = None,
) -> sparse.csr_array:
    """Point by anchor: how far it is; what is not stored is farther than matters.

    Args:
        apart: Points of one part; no way leads from there to the others.
    """
    web, tree = joints(points), cKDTree(points)
    if apart is not None:
        web = _cut(web, apart)
    offsets, starts = tree.query(places)
    spacing = float(np.median(cKDTree(places).query(places, k=min(3, len(places)))[0][:, -1]))
    limit = FARTHEST * spacing
    parts = []
    for first in range(0, len(places), AT_ONCE):
        some = slice(first, first + AT_ONCE)
        found = dijkstra(web, directed=False, indices=starts[some], limit=limit)
        rows, columns = np.nonzero(np.isfinite(found))
        # Never 0, which a sparse matrix would not keep.
        values = np.maximum(found[rows, columns] + offsets[some][rows], 1e-9 * (spacing or 1.0))
        parts.append(np.stack([columns, rows + first, values]))
    point, anchor, value = np.concatenate(parts, axis=1)
    shape = (len(points), len(places))
    return sparse.coo_array((value, (point.astype(int), anchor.astype(int))), shape=shape).tocsr()


def joints(points: Points) -> sparse.csr_array:
    """Lengths between points that are among each other's nearest."""
    count = min(JOINED + 1, len(points))
    distance, found = cKDTree(points).query(points, k=count)
    distance, found = distance.reshape(len(points), -1), found.reshape(len(points), -1)
    short = distance <= LONGEST_JOINT * np.median(distance[:, 1:], axis=1, keepdims=True)
    short &= found != np.arange(len(points))[:, None]
    start = np.repeat(np.arange(len(points)), count)[short.ravel()]
    shape = (len(points), len(points))
    length = np.maximum(distance[short], 1e-12)
    one_way = sparse.coo_array((length, (start, found[short])), shape=shape).tocsr()
    return one_way.minimum(one_way.T).tocsr()


def _cut(web: sparse.csr_array, apart: Bool[np.ndarray, " n"]) -> sparse.csr_array:
    kept = web.tocoo()
    same = apart[kept.row] == apart[kept.col]
    return sparse.coo_array(
        (kept.data[same], (kept.row[same], kept.col[same])), shape=web.shape
    ).tocsr()


def between(
    ways: sparse.csr_array, points: Points, places: Float[np.ndarray, "anchor 3"]
) -> Float[np.ndarray, "anchor anchor"]:
    """From anchor to anchor, infinite where it is too far; the same in both directions."""
    offsets, at = cKDTree(points).query(places)
    out = dense(ways[at]) + offsets[:, None]
    out = np.minimum(out, out.T)
    np.fill_diagonal(out, 0.0)
    return out


def dense(ways: sparse.csr_array) -> Float[np.ndarray, "row anchor"]:
    """With infinity for what is not stored."""
    out = np.full(ways.shape, np.inf)
    kept = ways.tocoo()
    out[kept.row, kept.col] = kept.data
    return out
