"""Repainting: colors that make the picture, with the geometry as it is.

Where geometry and opacity are frozen, a view is linear in the colors: I = W c + (1 - alpha) b. So

    minimize over x   sum_u |(W x)_u - r_u|^2 + keep sum_i x_i^2,   r = I_ref - I,  u in the mask

with x the change of the colors (degree 0, so that it shows from all sides) is one sparse linear
problem, solved by conjugate gradients on its normal equations. What a view hardly sees keeps its
color: that is what `keep` does.

The paper's stage has no way to paint finer than the Gaussians are (its stated limit). Here those
whose pixels stay wrong are split in four across their two longer axes, and the problem is solved
again.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, cg

from ...renderers.cpu.contributions import contributions
from ...renderers.projection import rotation_matrices, view_directions
from ...renderers.scene import Cameras
from ...renderers.sh import C0, colors
from ..formats.splats import RawSplats
from ..geometry.activation import activate
from ..scene.affine import joined, take
from .settings import Texture

SHIFT, SHRINK = 0.6, 0.55
"""Of a Gaussian split in four: where the parts go and how wide they are, in standard deviations."""


@dataclass(frozen=True, slots=True)
class Wish:
    """One edited picture."""

    camera: Cameras
    target: Float[np.ndarray, "height width 3"]
    mask: Bool[np.ndarray, "height width"]
    background: Float[np.ndarray, "3"]


@dataclass(frozen=True, slots=True)
class Painted:
    """What came out."""

    splats: RawSplats
    origin: Int[np.ndarray, " m"]
    """Per Gaussian, which one of the scene before it is, or is a part of."""
    touched: Bool[np.ndarray, " m"]
    error_before: float
    """Root of the mean squared error inside the masks."""
    error_after: float


def painted(
    splats: RawSplats, wishes: list[Wish], settings: Texture, advance: Callable[[], None]
) -> Painted:
    """Repaint, splitting where it is needed. `advance` is called once a round."""
    origin, touched = np.arange(len(splats)), np.zeros(len(splats), bool)
    most = len(splats) * (1 + settings.most_share)
    before = after = None
    for number in range(settings.rounds + 1):
        matrix, residual = _system(splats, wishes)
        if before is None:
            before = _rms(residual)
        change = _solved(matrix, residual, settings)
        splats, changed = _recolored(splats, change)
        touched |= changed
        residual = residual - matrix @ change
        after = _rms(residual)
        advance()
        if number == settings.rounds:
            break
        wanted = _to_split(matrix, residual, splats, settings)
        room = int((most - len(splats)) / 3)
        wanted = wanted[:room]
        if not len(wanted):
            break
        splats, parents = split(splats, wanted)
        origin, touched = origin[parents], touched[parents]
        touched[-4 * len(wanted) :] = True
    return Painted(splats, origin, touched, before or 0.0, after or 0.0)


def _system(
    splats: RawSplats, wishes: list[Wish]
) -> tuple[sparse.csr_array, Float[np.ndarray, "pixel 3"]]:
    """W and r over the pixels of all masks."""
    scene = activate(splats)
    rows, residuals = [], []
    for wish in wishes:
        (whole,) = contributions(scene, wish.camera)
        inside = np.flatnonzero(wish.mask.ravel())
        matrix = whole.tocsr()[inside]
        colors = _colors_towards(splats, wish.camera)
        alpha = np.asarray(matrix.sum(axis=1)).reshape(-1, 1)
        own = matrix @ colors + (1 - alpha) * wish.background
        rows.append(matrix)
        residuals.append(wish.target.reshape(-1, 3)[inside] - own)
    return sparse.vstack(rows).tocsr(), np.concatenate(residuals)


def _colors_towards(splats: RawSplats, camera: Cameras) -> Float[np.ndarray, "n 3"]:
    scene = activate(splats)
    return colors(scene.sh, view_directions(scene.means, camera))[0].double().numpy()


def _solved(
    matrix: sparse.csr_array, residual: Float[np.ndarray, "pixel 3"], settings: Texture
) -> Float[np.ndarray, "n 3"]:
    """x, channel by channel."""
    transposed = matrix.T.tocsr()
    count = matrix.shape[1]

    def normal(x: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        return transposed @ (matrix @ x) + settings.keep * x

    system = LinearOperator((count, count), matvec=normal, dtype=np.float64)
    right = transposed @ residual
    each = [
        cg(system, right[:, channel], rtol=1e-4, maxiter=settings.iterations)[0]
        for channel in range(3)
    ]
    return np.stack(each, axis=1)


def _recolored(
    splats: RawSplats, change: Float[np.ndarray, "n 3"]
) -> tuple[RawSplats, Bool[np.ndarray, " n"]]:
    """Add to degree 0, where it is enough to be seen."""
    changed = np.abs(change).max(axis=1) > 0.5 / 255
    sh = splats.sh.copy()
    sh[changed, 0] += (change[changed] / C0).astype(np.float32)
    return replace(splats, sh=sh), changed


def _to_split(
    matrix: sparse.csr_array,
    residual: Float[np.ndarray, "pixel 3"],
    splats: RawSplats,
    settings: Texture,
) -> Int[np.ndarray, " k"]:
    """Gaussians whose pixels stay wrong, the worst first."""
    weight = np.asarray(matrix.sum(axis=0)).ravel()
    wrong = matrix.T @ np.abs(residual).mean(axis=1)
    error = wrong / np.maximum(weight, 1e-9)
    # One that fills less than a pixel can not be too coarse for the picture.
    chosen = np.flatnonzero((error > settings.split_above) & (weight > 1.0))
    return chosen[np.argsort(-wrong[chosen], kind="stable")]


def split(
    splats: RawSplats, chosen: Int[np.ndarray, " k"]
) -> tuple[RawSplats, Int[np.ndarray, " m"]]:
    """Replace each chosen Gaussian by four across its two longer axes, behind all others; and
    which Gaussian each one was.

    The parts have the same color and opacity; together they are about as wide as the one was.
    """
    parents = np.delete(np.arange(len(splats)), chosen)
    order = np.argsort(splats.log_scales[chosen], axis=1)
    turns = rotation_matrices(torch.from_numpy(splats.quaternions[chosen]).double()).numpy()
    scales = np.exp(splats.log_scales[chosen].astype(np.float64))
    rows = np.arange(len(chosen))
    parts = []
    for one, two in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        offset = np.zeros((len(chosen), 3))
        offset[rows, order[:, 2]] = one * SHIFT
        offset[rows, order[:, 1]] = two * SHIFT
        part = take(splats, chosen)
        logs = part.log_scales.copy()
        for axis in (order[:, 1], order[:, 2]):
            logs[rows, axis] += np.float32(np.log(SHRINK))
        means = part.means + np.einsum("nij,nj->ni", turns, offset * scales)
        parts.append(replace(part, means=means.astype(np.float32), log_scales=logs))
    whole = joined([take(splats, parents), *parts], splats)
    return whole, np.concatenate([parents, np.tile(chosen, 4)])


def _rms(residual: Float[np.ndarray, "pixel 3"]) -> float:
    return float(np.sqrt(np.square(residual).mean())) if residual.size else 0.0
