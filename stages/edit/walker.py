"""Which Gaussians belong to what went, where pictures tell of some: the random walker (Grady 2006).

Notation: Gaussian i is believed to have gone by y_i, the share of the pixels that show it, as
firmly as it shows, k_i. Joints between neighbors (`ways.py`) hold by w_ij, the better the more
these are alike in color and the more they touch.

    minimize over x   sum_i k_i (x_i - y_i)^2 + sum_ij w_ij (x_i - x_j)^2

and what has x > 1/2 has gone: one sparse linear system, by conjugate gradients.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import sparse
from scipy.sparse.linalg import cg
from scipy.spatial import cKDTree

from ...renderers.projection import covariances, image_covariances
from ...renderers.scene import Cameras, Gaussians
from ...renderers.sh import C0
from . import ways

COLOR = 0.15
"""Difference of colors at which a joint holds e times less."""
WORD = 0.3
"""What a pixel's word counts, against a joint of average length."""
FARTHEST = 6.0
"""Distance between Gaussians from which on they hold together no less than that."""
STRAY = 4.0
"""What is farther away than this from all that is known, in joints, is no part of it."""


def body(
    scene: Gaussians,
    gone: Float[np.ndarray, " n"],
    stayed: Float[np.ndarray, " n"],
    footprint: Float[np.ndarray, " n"],
    near: Bool[np.ndarray, " n"],
) -> Bool[np.ndarray, " n"]:
    """Which of the Gaussians `near` have gone, from how much each shows of either, and would show
    if nothing were before it."""
    firmness = np.minimum((gone + stayed) / footprint, 1.0)
    belief = gone / np.maximum(gone + stayed, 1e-9)
    points, colors = scene.means.double().numpy(), 0.5 + C0 * scene.sh[:, 0].double().numpy()
    some = (part[near] for part in (points, colors, belief, firmness))
    out = np.zeros(len(near), bool)
    out[near] = walked(*some, partial(distance, subset(scene, np.flatnonzero(near)))) > 0.5
    return out


def footprints(scene: Gaussians, camera: Cameras) -> Float[np.ndarray, " n"]:
    """What each Gaussian would show by itself, in pixels: 2 pi o sqrt(det of its image)."""
    area = image_covariances(scene, camera)[0].double().det().clamp(min=0).sqrt()
    alone = 2 * np.pi * scene.opacities.double() * area
    return alone.nan_to_num(1.0).clamp(min=1.0).numpy()


def distance(
    scene: Gaussians, one: Int[np.ndarray, " joint"], other: Int[np.ndarray, " joint"]
) -> Float[np.ndarray, " joint"]:
    """Between Gaussians, as Bhattacharyya's of their places: d' (S_1 + S_2)^-1 d / 4. What is
    flat is near along its surface, and far across it."""
    spread = covariances(scene.quaternions, scene.scales).double()
    both = spread[one] + spread[other]
    offset = (scene.means[one] - scene.means[other]).double()
    floor = 1e-6 * both.diagonal(dim1=1, dim2=2).amax(dim=1)[:, None, None] * torch.eye(3)
    return (offset * torch.linalg.solve(both + floor, offset)).sum(dim=1).numpy() / 4


def subset(scene: Gaussians, rows: Int[np.ndarray, " k"]) -> Gaussians:
    """Some of the Gaussians."""
    some = torch.from_numpy(rows)
    return Gaussians(
        scene.means[some], scene.quaternions[some], scene.scales[some], scene.opacities[some],
        scene.sh[some], color_space=scene.color_space,
    )  # fmt: skip


def walked(
    points: Float[np.ndarray, "n 3"],
    colors: Float[np.ndarray, "n 3"],
    belief: Float[np.ndarray, " n"],
    firmness: Float[np.ndarray, " n"],
    touch: Callable[[Int[np.ndarray, " joint"], Int[np.ndarray, " joint"]], np.ndarray],
) -> Float[np.ndarray, " n"]:
    """x. What hangs on nothing that a picture shows goes as its nearest neighbor does; what is far
    from all stays."""
    web = ways.joints(points).tocoo()
    length = float(np.median(web.data)) if web.nnz else 1.0
    apart = np.linalg.norm(colors[web.row] - colors[web.col], axis=1)
    hold = np.exp(-apart / COLOR - np.minimum(touch(web.row, web.col), FARTHEST))
    weights = sparse.coo_array((hold, (web.row, web.col)), shape=web.shape).tocsr()
    degree = np.asarray(weights.sum(axis=1)).ravel()
    trust = WORD * firmness
    system = sparse.diags_array(degree + trust + 1e-9) - weights
    scale = sparse.diags_array(1 / (degree + trust + 1e-9))
    out = cg(system, trust * belief, rtol=1e-6, maxiter=2000, M=scale)[0]
    known = cg(system, trust, rtol=1e-6, maxiter=2000, M=scale)[0] > 0.5
    if not known.any():
        return out
    lost = np.flatnonzero(~known)
    apart, nearest = cKDTree(points[known]).query(points[lost])
    out[lost] = np.where(apart < STRAY * length, out[known][nearest], 0.0)
    return out
