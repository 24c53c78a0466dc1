"""What each photograph must be multiplied by so that all agree where they overlap.

Notation: l_tv the log of the linear color that view v shows of texel t, w_tv its weight, g_v the
log of the gain. Minimized is

    sum_tv w_tv rho(l_tv + g_v - m_t) + lambda sum_v g_v^2,      m_t = the weighted mean over v

(Brown and Lowe 2007, section 6, in logarithms, so that no gain has to be kept from vanishing),
where rho is Huber's, by reweighting: occluders and highlights must not pull. Eliminating m_t leaves
one linear system of the size of the number of views. lambda keeps the mean brightness, and the gain
of a photograph without overlap at 1.
"""

from collections.abc import Iterable
from typing import Literal

import numpy as np
from jaxtyping import Float, Float32

from ...formats.srgb import decode
from .album import View
from .caster import Caster
from .gather import Rules, glance
from .layout import Layout, Points
from .tones import plain

SAMPLES = 20_000
"""Texels that are compared, evenly spread over the texture."""
ROUNDS = 10
HUBER = 0.1
"""Differences of log colors beyond this count linearly."""
HOLD = 1e-3
"""lambda, in shares of the mean weight of a view."""
DARKEST, BRIGHTEST = 8 / 255, 247 / 255
"""sRGB: what is nearly black or white says nothing about exposure."""
LARGEST = 2.0
"""No gain exceeds this factor, nor falls below its inverse."""


def even_out(
    layout: Layout,
    views: Iterable[tuple[int, View]],
    count: int,
    caster: Caster,
    rules: Rules,
    kind: Literal["exposure", "color"],
    threads: int,
) -> Float[np.ndarray, "view 3"]:
    """Gains per view and channel of linear light; 1 for views that are not given."""
    step = max(1, len(layout) // SAMPLES)
    points: Points = layout.points(slice(step // 2, None, step))
    colors = np.zeros((count, len(points.positions), 3), np.float32)
    weights = np.zeros((count, len(points.positions)), np.float32)
    for number, view in views:
        colors[number], weights[number] = glance(points, view, plain(), caster, rules, threads)
    return solve(colors, weights, kind)


def solve(
    colors: Float32[np.ndarray, "view texel 3"],
    weights: Float32[np.ndarray, "view texel"],
    kind: Literal["exposure", "color"],
) -> Float[np.ndarray, "view 3"]:
    """Gains that make sRGB colors of the same texels agree."""
    usable = ((colors > DARKEST) & (colors < BRIGHTEST)).all(axis=2)
    weights = np.where(usable, weights, 0).astype(np.float64)
    weights[:, (weights > 0).sum(axis=0) < 2] = 0  # Nothing to compare with.
    logs = np.log(decode(np.clip(colors, DARKEST, BRIGHTEST)).astype(np.float64))
    if kind == "exposure":
        gains = _solved(logs, weights)
    else:
        gains = np.stack([_solved(logs[..., c : c + 1], weights)[:, 0] for c in range(3)], axis=1)
    limit = np.log(LARGEST)
    return np.exp(np.broadcast_to(np.clip(gains, -limit, limit), (len(colors), 3)))


def _solved(
    logs: Float[np.ndarray, "view texel channel"], weights: Float[np.ndarray, "view texel"]
) -> Float[np.ndarray, "view 1"]:
    """One log gain per view for all channels given."""
    views, channels = len(logs), logs.shape[2]
    gains = np.zeros(views)
    hold = HOLD * max(float(weights.sum()) / views, 1e-30) * channels
    for _ in range(ROUNDS):
        matrix, right = hold * np.eye(views), np.zeros(views)
        for channel in range(channels):
            values = logs[..., channel]
            mean = _mean(values + gains[:, None], weights)
            error = np.abs(values + gains[:, None] - mean)
            w = weights * np.minimum(1, HUBER / np.maximum(error, 1e-12))
            total = np.maximum(w.sum(axis=0), 1e-30)
            matrix += np.diag(w.sum(axis=1)) - (w / total) @ w.T
            right -= (w * (values - _mean(values, w))).sum(axis=1)
        gains = np.linalg.solve(matrix, right)
    return gains[:, None]


def _mean(
    values: Float[np.ndarray, "view texel"], weights: Float[np.ndarray, "view texel"]
) -> Float[np.ndarray, " texel"]:
    return (weights * values).sum(axis=0) / np.maximum(weights.sum(axis=0), 1e-30)
