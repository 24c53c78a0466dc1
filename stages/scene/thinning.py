"""Fewer Gaussians by merging neighbors that look alike.

A Gaussian with standard deviations a, b, c and opacity o has the mass m = o (ab + bc + ca): up to a
constant, its opacity times the area it shows, averaged over directions. Two become one with the
first two moments of the pair (a mixture reduced to its mean and covariance):

    m = m1 + m2        μ = Σ m_k μ_k / m        S = Σ m_k (S_k + (μ_k - μ)(μ_k - μ)ᵀ) / m

harmonics averaged by mass, and the opacity that keeps the mass, but never more than both have one
behind the other, 1 - (1 - o1)(1 - o2). Pairs are merged in the order of what that costs,

    m1 m2 / (m1 + m2) (|μ1 - μ2|² / ℓ² + |color1 - color2|² / 0.1²)

(Ward's criterion on places, in typical distances ℓ to the nearest neighbor, and colors in Oklab):
in every round, each Gaussian's cheapest pair among its nearest neighbors, where both agree.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from ...renderers.projection import covariances
from ...renderers.scene import Gaussians
from ..formats.splats import RawSplats
from ..geometry.activation import activate, deactivate
from .affine import take
from .recolor import base_colors, oklab

NEIGHBORS = 8
COLOR_STEP = 0.1
FLATTEST = 1e-8
"""Thinnest axis of a merged Gaussian, relative to its longest: what float64 squares can tell."""


@dataclass(frozen=True, slots=True)
class _Moments:
    """n Gaussians as they are merged, in float64."""

    means: Float[np.ndarray, "n 3"]
    spreads: Float[np.ndarray, "n 3 3"]
    opacities: Float[np.ndarray, " n"]
    sh: Float[np.ndarray, "n coefficient 3"]
    rows: Int[np.ndarray, " n"]
    """Where the first of those that were merged stood."""
    merged: Bool[np.ndarray, " n"]


def thinned(splats: RawSplats, keep: int) -> tuple[RawSplats, Int[np.ndarray, " keep"]]:
    """At most `keep` Gaussians (at least 1), and which old one each stands for, in order.

    Gaussians that were merged with none are unchanged, bit for bit.
    """
    moments = _moments(splats)
    spacing = _spacing(moments.means)
    while len(moments.means) > max(keep, 1):
        pairs = _pairs(moments, spacing, len(moments.means) - max(keep, 1))
        moments = _merge(moments, *pairs)
    order = np.argsort(moments.rows)
    rows, merged = moments.rows[order], moments.merged[order]
    out = take(splats, rows)
    if merged.any():
        out = _with_merged(out, moments, order[merged], merged)
    return out, rows


def _moments(splats: RawSplats) -> _Moments:
    scene = activate(splats)
    count = len(splats)
    return _Moments(
        means=splats.means.astype(np.float64),
        spreads=covariances(scene.quaternions.double(), scene.scales.double()).numpy(),
        opacities=scene.opacities.double().numpy(),
        sh=splats.sh.astype(np.float64),
        rows=np.arange(count),
        merged=np.zeros(count, bool),
    )


def _spacing(points: Float[np.ndarray, "n 3"]) -> float:
    """The median distance to the nearest neighbor, or 1 where most have one at the same place."""
    if len(points) < 2:
        return 1.0
    distance = cKDTree(points).query(points, k=2)[0][:, 1]
    return float(np.median(distance)) or 1.0


def _areas(spreads: Float[np.ndarray, "n 3 3"]) -> Float[np.ndarray, " n"]:
    """ab + bc + ca of the standard deviations."""
    a, b, c = np.sqrt(np.linalg.eigvalsh(spreads).clip(min=0)).T
    return a * b + b * c + c * a


def _pairs(
    moments: _Moments, spacing: float, most: int
) -> tuple[Int[np.ndarray, " pair"], Int[np.ndarray, " pair"]]:
    """Disjoint pairs to be merged, the cheapest first: at least one, at most `most`."""
    count = len(moments.means)
    _, near = cKDTree(moments.means).query(moments.means, k=min(NEIGHBORS + 1, count))
    first = np.repeat(np.arange(count), near.shape[1])
    both = np.stack([first, near.ravel()], axis=1)
    both = np.unique(np.sort(both[both[:, 0] != both[:, 1]], axis=1), axis=0)
    a, b = both.T
    mass = moments.opacities * _areas(moments.spreads)
    colors = oklab(base_colors(moments.sh)) / COLOR_STEP
    gap = (moments.means[a] - moments.means[b]) / spacing
    tint = colors[a] - colors[b]
    apart = np.einsum("ij,ij->i", gap, gap) + np.einsum("ij,ij->i", tint, tint)
    total = mass[a] + mass[b]
    cost = mass[a] * mass[b] / np.where(total > 0, total, 1.0) * apart
    # All pairs in one order without ties, so that the first of all is everybody's first choice.
    order = np.argsort(cost, kind="stable")
    a, b = a[order], b[order]
    rank = np.arange(len(order))
    choice = np.full(count, len(order))
    np.minimum.at(choice, a, rank)
    np.minimum.at(choice, b, rank)
    chosen = np.flatnonzero((choice[a] == rank) & (choice[b] == rank))[:most]
    return a[chosen], b[chosen]


def _merge(moments: _Moments, a: Int[np.ndarray, " pair"], b: Int[np.ndarray, " pair"]) -> _Moments:
    """Each a and its b become one, in the place of a."""
    mass = moments.opacities * _areas(moments.spreads)
    total = mass[a] + mass[b]
    share = np.where(total > 0, mass[a] / np.where(total > 0, total, 1.0), 0.5)

    def mean(values: np.ndarray) -> np.ndarray:
        weight = share.reshape(-1, *(1,) * (values.ndim - 1))
        return weight * values[a] + (1 - weight) * values[b]

    gap = moments.means[a] - moments.means[b]
    between = (share * (1 - share))[:, None, None] * gap[:, :, None] * gap[:, None]
    spreads = mean(moments.spreads) + between
    ceiling = 1 - (1 - moments.opacities[a]) * (1 - moments.opacities[b])
    area = _areas(spreads)
    opacity = np.where(area > 0, total / np.where(area > 0, area, 1.0), ceiling)
    left = np.ones(len(moments.means), bool)
    left[b] = False
    out = replace(moments, **{n: getattr(moments, n).copy() for n in _Moments.__slots__})
    out.means[a], out.spreads[a], out.sh[a] = mean(moments.means), spreads, mean(moments.sh)
    out.opacities[a] = np.minimum(opacity, ceiling)
    out.rows[a] = np.minimum(moments.rows[a], moments.rows[b])
    out.merged[a] = True
    return _Moments(**{name: getattr(out, name)[left] for name in _Moments.__slots__})


def _with_merged(
    splats: RawSplats,
    moments: _Moments,
    chosen: Int[np.ndarray, " m"],
    rows: Bool[np.ndarray, " n"],
) -> RawSplats:
    """`splats` with the `chosen` moments, as raw values, in `rows`."""
    values, axes = np.linalg.eigh(moments.spreads[chosen])
    axes[:, :, 0] *= np.sign(np.linalg.det(axes))[:, None]
    scales = np.sqrt(values.clip(min=FLATTEST**2 * values[:, -1:]))
    raw = deactivate(
        Gaussians(
            means=torch.from_numpy(moments.means[chosen]),
            quaternions=torch.from_numpy(np.roll(Rotation.from_matrix(axes).as_quat(), 1, axis=1)),
            scales=torch.from_numpy(scales),
            opacities=torch.from_numpy(moments.opacities[chosen]),
            sh=torch.from_numpy(moments.sh[chosen]),
        )
    )
    columns = {}
    for name in ("means", "log_scales", "logit_opacities", "quaternions", "sh"):
        column = getattr(splats, name).copy()
        column[rows] = getattr(raw, name).numpy().astype(np.float32)
        columns[name] = column
    return replace(splats, **columns)
