"""Repainting: colors that make the picture, with the geometry as it is.

Where geometry and opacity are frozen, a view is linear in the colors: I = W c + (1 - alpha) b. So

    minimize over x   sum_u |(W x)_u - r_u|^2 + keep sum_i x_i^2

with r = I_ref - I inside of the mask and 0 around it, x the change of the colors (degree 0, so that
it shows from all sides), is one sparse linear problem, solved by conjugate gradients on its normal
equations. What a view hardly sees keeps its color: that is what `keep` does. Only those are free
that show mostly inside of the mask: a wide one that reaches into it would have to take a wild color
to help there, and be wrong everywhere else. For the same reason colors stay within 0 and 1.

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

from ...pipeline.errors import InputError
from ...renderers.cpu.contributions import contributions
from ...renderers.projection import rotation_matrices, view_directions
from ...renderers.scene import Cameras
from ...renderers.sh import C0, colors
from ..formats.splats import RawSplats
from ..geometry.activation import activate
from ..scene.affine import joined, take
from .settings import Texture
from .views import box_around, cut, weights_inside

SEEN_PX = 0.05
"""Blending weight from which on a Gaussian may change its color."""
MOSTLY = 0.5
"""Share of its blending weight that has to lie inside of the masks."""
ENOUGH = 0.2
"""The same, to be split."""
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
    error_before: float
    """Root of the mean squared error inside the masks."""
    error_after: float


def painted(
    splats: RawSplats, wishes: list[Wish], settings: Texture, told: Callable[[RawSplats], None]
) -> Painted:
    """Repaint, splitting where it is needed. `told` is given the scene after every round."""
    origin = np.arange(len(splats))
    most = len(splats) * (1 + settings.most_share)
    before = after = None
    for number in range(settings.rounds + 1):
        problem = system(splats, wishes)
        if before is None:
            before = _rms(problem)
            if not problem.free.any():
                raise InputError("nothing of the scene lies under the edit to be repainted.")
        change = solved(problem, settings)
        splats = _recolored(splats, change)
        problem = replace(problem, residual=problem.residual - problem.matrix @ change)
        after = _rms(problem)
        told(splats)
        if number == settings.rounds:
            break
        wanted = _to_split(problem, settings)
        room = int((most - len(splats)) / 3)
        wanted = wanted[:room]
        if not len(wanted):
            break
        splats, parents = split(splats, wanted)
        origin = origin[parents]
    return Painted(splats, origin, before or 0.0, after or 0.0)


@dataclass(frozen=True, slots=True)
class System:
    """The least-squares problem, over the pixels of all boxes."""

    matrix: sparse.csr_array
    """W; pixel by Gaussian."""
    residual: Float[np.ndarray, "pixel 3"]
    """r."""
    inside: Bool[np.ndarray, " pixel"]
    """Of a mask."""
    free: Bool[np.ndarray, " n"]
    """Gaussians that may change."""
    near: Bool[np.ndarray, " n"]
    """Gaussians that may be split: of which enough shows inside."""
    low: Float[np.ndarray, "n 3"]
    """Bounds of the change."""
    high: Float[np.ndarray, "n 3"]


def system(splats: RawSplats, wishes: list[Wish]) -> System:
    """W and r, and who may change."""
    scene = activate(splats)
    rows, residuals, insides = [], [], []
    shown, shown_inside = np.zeros(len(splats)), np.zeros(len(splats))
    low, high = np.full((len(splats), 3), -np.inf), np.full((len(splats), 3), np.inf)
    for wish in wishes:
        box = box_around(wish.mask)
        part = slice(box.top, box.bottom), slice(box.left, box.right)
        (matrix,) = (one.tocsr() for one in contributions(scene, cut(wish.camera, box)))
        towards = colors(scene.sh, view_directions(scene.means, wish.camera))[0].double().numpy()
        own = matrix @ towards + (1 - _row_sums(matrix)[:, None]) * wish.background
        inside = wish.mask[part].ravel()
        rows.append(matrix)
        residuals.append(np.where(inside[:, None], wish.target[part].reshape(-1, 3) - own, 0.0))
        insides.append(inside)
        everything = torch.ones(wish.mask.shape, dtype=torch.bool)
        shown += weights_inside(scene, [wish.camera], [everything]).numpy()
        shown_inside += matrix.T @ inside.astype(np.float64)
        low, high = np.maximum(low, -towards), np.minimum(high, 1 - towards)
    free = (shown_inside > SEEN_PX) & (shown_inside > MOSTLY * shown)
    return System(
        matrix=sparse.csr_array(sparse.vstack(rows)),
        residual=np.concatenate(residuals),
        inside=np.concatenate(insides),
        free=free,
        near=shown_inside > ENOUGH * shown,
        low=np.minimum(low, 0.0),
        high=np.maximum(high, 0.0),
    )


def _row_sums(matrix: sparse.csr_array) -> Float[np.ndarray, " pixel"]:
    return np.asarray(matrix.sum(axis=1)).ravel()


def solved(problem: System, settings: Texture) -> Float[np.ndarray, "n 3"]:
    """x, channel by channel."""
    matrix = problem.matrix[:, np.flatnonzero(problem.free)]
    transposed = matrix.T.tocsr()
    count = matrix.shape[1]

    def normal(x: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        return transposed @ (matrix @ x) + settings.keep * x

    equations = LinearOperator((count, count), matvec=normal, dtype=np.float64)  # type: ignore[call-arg]
    right = transposed @ problem.residual
    out = np.zeros((len(problem.free), 3))
    for channel in range(3 if count else 0):
        out[problem.free, channel] = cg(
            equations, right[:, channel], rtol=1e-4, maxiter=settings.iterations
        )[0]
    return out.clip(problem.low, problem.high)


def _recolored(splats: RawSplats, change: Float[np.ndarray, "n 3"]) -> RawSplats:
    """Add to degree 0, where it is enough to be seen."""
    changed = np.abs(change).max(axis=1) > 0.5 / 255
    sh = splats.sh.copy()
    sh[changed, 0] += (change[changed] / C0).astype(np.float32)
    return replace(splats, sh=sh)


def _to_split(problem: System, settings: Texture) -> Int[np.ndarray, " k"]:
    """Gaussians whose pixels stay wrong, the worst first."""
    inside = problem.matrix[np.flatnonzero(problem.inside)]
    weight = np.asarray(inside.sum(axis=0)).ravel()
    wrong = inside.T @ np.abs(problem.residual[problem.inside]).mean(axis=1)
    error = wrong / np.maximum(weight, 1e-9)
    # One that fills less than a pixel can not be too coarse for the picture; one that is wide
    # and reaches into it is no part of what is painted.
    chosen = np.flatnonzero((error > settings.split_above) & (weight > 1.0) & problem.near)
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


def _rms(problem: System) -> float:
    """Of the residual inside of the masks."""
    return float(np.sqrt(np.square(problem.residual[problem.inside]).mean()))
