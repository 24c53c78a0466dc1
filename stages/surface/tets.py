"""Marching tetrahedra between the Gaussians themselves.

Pivots are the centers of the Gaussians that are seen and the eight corners of their boxes (GOF, Yu
et al. 2024), so there are many where there is detail. Their Delaunay tetrahedra are filled with the
distance fused from depth maps (MILo, Guédon et al. 2025), and where the surface crosses an edge is
found by halving it. Edges much longer than the Gaussians at their ends span empty space.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import Delaunay, QhullError

from ...pipeline.errors import InputError
from ..geometry.components import Surface
from ..randomness import generator
from .depths import Fused
from .task import Task, hit_counts
from .tetrahedra import Crossings, crossings, wound

JITTER = 1e-6
"""Of the region's radius: keeps corners that agree from making flat tetrahedra."""
CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)


def marched(task: Task) -> Surface:
    """The whole way."""
    chosen = seen_most(task)
    pivots, reach = _pivots(task, chosen)
    tetrahedra = _delaunay(pivots)
    limit = task.config.tets.truncation * float(np.median(task.shapes.radii[chosen]))
    depths = Fused(task)

    def distances(places: Float[np.ndarray, "place 3"]) -> Float[np.ndarray, " place"]:
        value, count = depths.distances(places, np.full(len(places), limit))
        # Seen by none: inside, or behind everything.
        return np.where(count > 0, value, -1.0)

    solid = distances(pivots) < 0
    found = _short(crossings(tetrahedra, solid), pivots, reach)
    if not len(found.faces):
        raise InputError(
            "No surface: between the Gaussians' corners the fused depth changes sign nowhere. Are "
            "these the cameras of these splats?"
        )
    places = _halved(pivots, found, distances, task.config.tets.bisections)
    task.ctx.log.info(
        "%d pivots of %d Gaussians, %d tetrahedra, %d faces",
        len(pivots), len(chosen), len(tetrahedra), len(found.faces),
    )  # fmt: skip
    return wound(places, found, pivots)


def seen_most(task: Task) -> Int[np.ndarray, " chosen"]:
    """Gaussians that are the median of at least one pixel; of too many, those of most pixels."""
    counts = hit_counts(task)
    chosen = np.flatnonzero(counts)
    most = task.config.tets.max_gaussians
    if len(chosen) > most:
        chosen = np.sort(chosen[np.argsort(-counts[chosen], kind="stable")[:most]])
    return chosen


def _pivots(
    task: Task, chosen: Int[np.ndarray, " chosen"]
) -> tuple[Float[np.ndarray, "pivot 3"], Float[np.ndarray, " pivot"]]:
    """Centers and corners, and how far the Gaussian of each reaches."""
    shapes, reach = task.shapes, task.config.tets.reach
    boxes = CORNERS[None] * (reach * shapes.scales[chosen])[:, None]
    corners = np.einsum("nij,nkj->nki", shapes.axes[chosen], boxes) + shapes.means[chosen, None]
    pivots = np.concatenate([shapes.means[chosen], corners.reshape(-1, 3)])
    noise = torch.randn(pivots.shape, generator=generator(task.ctx.seed, "jitter"))
    pivots = pivots + JITTER * task.region.radius_m * noise.double().numpy()
    far = reach * shapes.scales[chosen].max(axis=1)
    return pivots, np.concatenate([far, np.repeat(far, len(CORNERS))])


def _delaunay(pivots: Float[np.ndarray, "pivot 3"]) -> Int[np.ndarray, "t 4"]:
    try:
        return Delaunay(pivots).simplices.astype(np.int64)
    except (QhullError, ValueError) as error:
        raise InputError(
            f"the Gaussians that are seen span no volume ({str(error).splitlines()[0]}); there is "
            f"nothing to mesh."
        ) from None


def _short(
    found: Crossings, pivots: Float[np.ndarray, "pivot 3"], reach: Float[np.ndarray, " pivot"]
) -> Crossings:
    """Without triangles on an edge that is longer than both its Gaussians reach together."""
    length = np.linalg.norm(pivots[found.solid] - pivots[found.free], axis=1)
    fine = length <= reach[found.solid] + reach[found.free]
    kept = fine[found.faces].all(axis=1)
    edges, index = np.unique(found.faces[kept], return_inverse=True)
    return Crossings(
        found.solid[edges], found.free[edges], index.reshape(-1, 3), found.tetrahedra[kept]
    )


def _halved(pivots, found: Crossings, distances, times: int) -> Float[np.ndarray, "e 3"]:
    """Between the last two places on either side of the surface, by their values."""
    low, high = pivots[found.solid], pivots[found.free]
    below, above = distances(low), distances(high)
    for _ in range(times):
        middle = (low + high) / 2
        value = distances(middle)
        solid = (value < 0)[:, None]
        low, high = np.where(solid, middle, low), np.where(solid, high, middle)
        below = np.where(solid[:, 0], value, below)
        above = np.where(solid[:, 0], above, value)
    share = below / np.minimum(below - above, -1e-12)
    return low + np.clip(share, 0, 1)[:, None] * (high - low)
