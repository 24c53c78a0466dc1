"""The target's shape at the cut: spikes shortened, strays taken out, gaps filled.

Cuts through a capture leave Gaussians that lean over the edge, lonely ones before it, and gaps
where the parts were put together. Only Gaussians within β L of the source are looked at; all
others stay, bit for bit. With the spacing a of a part, the median over its Gaussians at the cut of
the mean distance to the nearest `NEAR` others of the part:

- stray: on average farther than `LONELY` a from the nearest `NEAR` of both parts. Taken out.
- spike: an end of its longest axis, at two standard deviations, is farther than `BARE` times as
  long as the median of its neighbors from all other centres. Shortened to that median.
- gap: a target and a source Gaussian, each among the other's `FACING` nearest across, where
  nothing across is nearer than `GAP` a. Copies of the target's one are put between them, a apart.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from ...renderers.projection import rotation_matrices
from ..formats.splats import RawSplats
from ..scene.affine import joined, take

NEAR = 8
LONELY = 3.0
BARE = 2.0
FACING = 3
GAP = 1.5
MOST_BETWEEN = 16
"""Copies for one pair."""


@dataclass(frozen=True, slots=True)
class Tidied:
    """The target afterwards: what is left in its order, then what was added."""

    splats: RawSplats
    pruned: int
    shrunk: int
    added: int


def tidied(target: RawSplats, source: RawSplats, reach: float) -> Tidied:
    """Mend the target within `reach` = β L of the source."""
    points, others = (part.means.astype(np.float64) for part in (target, source))
    cut = np.flatnonzero(cKDTree(others).query(points)[0] < reach)
    if len(cut) < 2 or len(points) <= NEAR or len(others) <= NEAR:
        return Tidied(target, 0, 0, 0)
    spacing = float(np.median(cKDTree(points).query(points[cut], k=NEAR + 1)[0][:, 1:].mean(1)))
    both = cKDTree(np.concatenate([points, others]))
    lonely = both.query(points[cut], k=NEAR + 1)[0][:, 1:].mean(axis=1) > LONELY * spacing
    shorter, scales = _shortened(target, cut, both)
    shorter &= ~lonely
    out = replace(target, log_scales=target.log_scales.copy())
    out.log_scales[cut[shorter]] = scales[shorter]
    kept = np.setdiff1d(np.arange(len(points)), cut[lonely])
    left = take(out, kept)
    added = _between(left, others, np.isin(kept, cut), spacing, reach)
    splats = left if added is None else joined([left, added], target)
    return Tidied(
        splats=splats,
        pruned=int(lonely.sum()),
        shrunk=int(shorter.sum()),
        added=0 if added is None else len(added),
    )


def _shortened(
    target: RawSplats, cut: Int[np.ndarray, " c"], both: cKDTree
) -> tuple[Bool[np.ndarray, " c"], Float[np.ndarray, "c 3"]]:
    """Which are spikes, and the log scales that they get."""
    scales = np.exp(target.log_scales.astype(np.float64))
    longest = scales.max(axis=1)
    axes = rotation_matrices(torch.from_numpy(target.quaternions[cut]).double()).numpy()
    which = scales[cut].argmax(axis=1)
    reach = axes[np.arange(len(cut)), :, which] * 2 * longest[cut, None]
    near = cKDTree(target.means).query(target.means[cut], k=NEAR + 1)[1][:, 1:]
    usual = np.median(longest[near], axis=1)
    bare = np.zeros(len(cut), bool)
    for side in (-1, 1):
        ends = target.means[cut] + side * reach
        distance, index = both.query(ends, k=2)
        own = index[:, 0] == cut
        bare |= np.where(own, distance[:, 1], distance[:, 0]) > BARE * usual
    held = np.minimum(target.log_scales[cut], np.log(usual)[:, None]).astype(np.float32)
    return bare & (longest[cut] > BARE * usual), held


def _between(
    target: RawSplats,
    others: Float[np.ndarray, "m 3"],
    at_cut: Bool[np.ndarray, " n"],
    spacing: float,
    reach: float,
) -> RawSplats | None:
    """Copies of target Gaussians across the gaps."""
    points, rows = target.means.astype(np.float64), np.flatnonzero(at_cut)
    if not len(rows):
        return None
    distance, facing = cKDTree(others).query(points[rows], k=FACING)
    tree = cKDTree(points[rows])
    gaps, back = tree.query(others[facing.ravel()], k=np.arange(1, 1 + min(FACING, len(rows))))
    gaps, back = (found.reshape(len(rows), FACING, -1) for found in (gaps, back))
    mutual = (back == np.arange(len(rows))[:, None, None]).any(axis=2)
    nearest = np.minimum(distance[:, :1], gaps[:, :, 0])
    wide = mutual & (nearest > GAP * spacing) & (distance < reach)
    one, place = np.nonzero(wide)
    if not len(one):
        return None
    steps = np.minimum((distance[one, place] / spacing).astype(int), MOST_BETWEEN)
    copies = np.repeat(np.arange(len(one)), steps)
    order = np.arange(len(copies)) - np.repeat(np.cumsum(steps) - steps, steps) + 1
    share = (order / (steps[copies] + 1))[:, None]
    start, end = points[rows[one[copies]]], others[facing[one, place][copies]]
    made = take(target, rows[one[copies]])
    return replace(made, means=((1 - share) * start + share * end).astype(np.float32))
