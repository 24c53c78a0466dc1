"""Affine maps of space, as 4x4 matrices in float64, and what they do to Gaussians.

x -> A x + t carries a Gaussian (μ, Σ) to (A μ + t, A Σ Aᵀ); opacity stays.

- Similarities (A = s Q, Q orthogonal): exact. Quaternion and log scale follow Q and s, and the
  spherical harmonics are turned by Q. A mirror Q has no quaternion, but -Q has, and gives the same
  covariance.
- Others (unequal scales, shear): the covariance is exact; the new axes and scales come from the
  singular values of A R diag(scale), whose square it is. What the harmonics should become has no
  exact answer, since directions are no longer turned alike: the orthogonal factor of the polar
  decomposition of A turns them, which is exact for A = s Q.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from ...renderers.projection import rotation_matrices
from ..formats.splats import RawSplats
from .harmonics import turned

Matrix = Float[np.ndarray, "4 4"]
Numbers = Sequence[float | int] | Float[np.ndarray, " _"]
SIMILAR = 1e-9
"""Singular values of a similarity differ by less, relative to the largest."""
_ROWS = 1 << 17
"""Gaussians carried at once, which bounds the memory in float64."""


def identity() -> Matrix:
    return np.eye(4)


def rotation_matrix(rotation: Numbers) -> Float[np.ndarray, "3 3"]:
    """Of (w, x, y, z), of any length but zero."""
    return rotation_matrices(torch.from_numpy(np.asarray(rotation, np.float64))).numpy()


def about(linear: Float[np.ndarray, "3 3"], pivot: Numbers, shift: Numbers = (0, 0, 0)) -> Matrix:
    """x -> linear (x - pivot) + pivot + shift."""
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = np.add(pivot, shift) - linear @ np.asarray(pivot)
    return matrix


def is_identity(matrix: Matrix) -> bool:
    """Exactly."""
    return bool((matrix == np.eye(4)).all())


def polar(linear: Float[np.ndarray, "3 3"]) -> tuple[Float[np.ndarray, "3 3"], float, bool]:
    """The nearest orthogonal matrix, the mean scale, and whether that is all there is."""
    u, values, vt = np.linalg.svd(linear)
    return u @ vt, float(values.mean()), bool(values[0] - values[-1] <= SIMILAR * values[0])


def carried_points(points: Float[np.ndarray, "n 3"], matrix: Matrix) -> Float[np.ndarray, "n 3"]:
    """A x + t in float64."""
    return np.einsum("ij,nj->ni", matrix[:3, :3], points.astype(np.float64)) + matrix[:3, 3]


def carried(splats: RawSplats, matrix: Matrix) -> RawSplats:
    """The Gaussians after the map; with the identity, bit for bit as they were."""
    if is_identity(matrix):
        return splats
    starts = range(0, len(splats), _ROWS)
    parts = [_carried(take(splats, slice(start, start + _ROWS)), matrix) for start in starts]
    return joined(parts, splats) if len(parts) > 1 else parts[0]


def take(splats: RawSplats, rows: slice | np.ndarray) -> RawSplats:
    """Some of the Gaussians."""
    return RawSplats(
        splats.means[rows], splats.log_scales[rows], splats.logit_opacities[rows],
        splats.quaternions[rows], splats.sh[rows], splats.sidecar,
    )  # fmt: skip


def joined(parts: list[RawSplats], like: RawSplats) -> RawSplats:
    """One behind the other, with the sidecar of `like`."""
    names = ("means", "log_scales", "logit_opacities", "quaternions", "sh")
    columns = [np.concatenate([getattr(part, name) for part in parts]) for name in names]
    return RawSplats(*columns, like.sidecar)


def _carried(splats: RawSplats, matrix: Matrix) -> RawSplats:
    linear = matrix[:3, :3]
    orthogonal, scale, similar = polar(linear)
    if similar:
        proper = orthogonal * np.sign(np.linalg.det(orthogonal))
        quaternions = _product(_quaternions(proper[None])[0], splats.quaternions)
        log_scales = splats.log_scales.astype(np.float64) + np.log(scale)
    else:
        quaternions, log_scales = _stretched(splats, linear)
    with np.errstate(over="ignore"):  # Infinite values are reported when they are written.
        return RawSplats(
            means=carried_points(splats.means, matrix).astype(np.float32),
            log_scales=log_scales.astype(np.float32),
            logit_opacities=splats.logit_opacities,
            quaternions=quaternions.astype(np.float32),
            sh=turned(splats.sh, orthogonal),
            sidecar=splats.sidecar,
        )


def _stretched(
    splats: RawSplats, linear: Float[np.ndarray, "3 3"]
) -> tuple[Float[np.ndarray, "n 4"], Float[np.ndarray, "n 3"]]:
    """Quaternions and log scales of A Σ Aᵀ.

    The common size of each Gaussian is kept apart, so that none overflows.
    """
    axes = rotation_matrices(torch.from_numpy(splats.quaternions).double()).numpy()
    logs = splats.log_scales.astype(np.float64)
    largest = logs.max(axis=1, keepdims=True)
    root = np.einsum("ij,njk->nik", linear, axes) * np.exp(logs - largest)[:, None]
    turns, values, _ = np.linalg.svd(root)
    turns[:, :, 2] *= np.sign(np.linalg.det(turns))[:, None]
    tiny = np.finfo(np.float64).tiny
    return _quaternions(turns), np.log(np.maximum(values, tiny)) + largest


def _quaternions(turns: Float[np.ndarray, "n 3 3"]) -> Float[np.ndarray, "n 4"]:
    """(w, x, y, z) of proper rotations."""
    return np.roll(Rotation.from_matrix(turns).as_quat(), 1, axis=1)


def _product(
    left: Float[np.ndarray, "4"], right: Float[np.ndarray, "n 4"]
) -> Float[np.ndarray, "n 4"]:
    """left * right; the lengths of `right` are kept, since `left` is of unit length."""
    a, u = left[0], left[1:]
    b, v = right[:, :1].astype(np.float64), right[:, 1:].astype(np.float64)
    vector = a * v + b * u + np.cross(u, v)
    return np.concatenate([a * b - np.einsum("i,ni->n", u, v)[:, None], vector], axis=1)
