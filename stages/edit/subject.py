"""What an edit was about: the Gaussians that it changed, and the body that these are part of."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from ..formats.splats import RawSplats
from .ways import joints

STRONG, MOST = 0.3, 0.95
"""Changed is what changed by this share of what it takes to be among the most changed, those above
this quantile. A large edit draws a little of its surroundings along, which it is not about."""
SOLID = 0.3
"""Opacity from which on Gaussians hold together. Haze lies between bodies, too."""
SHARE_OF_THING = 0.1
"""A connected part belongs to the body if it has this share of what was changed."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some Gaussians of a scene, as it was and as it is now."""

    before: Bool[np.ndarray, " n"]
    after: Bool[np.ndarray, " m"]

    @property
    def empty(self) -> bool:
        return not (self.before.any() or self.after.any())


def everything(before: RawSplats, after: RawSplats) -> Part:
    """The whole scene."""
    return Part(np.ones(len(before), bool), np.ones(len(after), bool))


def changed(before: RawSplats, after: RawSplats, origin: Int[np.ndarray, " m"]) -> Part:
    """What was moved, painted, split or taken out, to speak of.

    Args:
        origin: Per Gaussian of `after`, which one of `before` it was or is a part of.
    """
    parts = np.bincount(origin, minlength=len(before))
    way = np.linalg.norm(after.means.astype(np.float64) - before.means[origin], axis=1)
    paint = np.linalg.norm(after.sh[:, 0].astype(np.float64) - before.sh[origin, 0], axis=1)
    way[parts[origin] > 1] = 0
    now = _strong(way) | _strong(paint)
    was = parts == 0
    was[origin[now]] = True
    return Part(was, now)


def _strong(change: Float[np.ndarray, " m"]) -> Bool[np.ndarray, " m"]:
    if not change.any():
        return np.zeros(len(change), bool)
    return change > STRONG * np.quantile(change[change > 0], MOST)


def body_of(before: RawSplats, origin: Int[np.ndarray, " m"], thing: Part) -> Part:
    """All that hangs together with `thing` along neighboring solid Gaussians. The others belong
    where their nearest solid one does."""
    points = before.means.astype(np.float64)
    solid = before.logit_opacities > np.log(SOLID / (1 - SOLID))
    if not (solid & thing.before).any():
        return thing
    labels = connected_components(joints(points[solid]), directed=False)[1]
    count = np.bincount(labels[thing.before[solid]], minlength=labels.max() + 1)
    inside = np.zeros(len(points), bool)
    inside[solid] = count[labels] >= SHARE_OF_THING * count.sum()
    nearest = cKDTree(points[solid]).query(points[~solid])[1]
    inside[~solid] = inside[solid][nearest]
    inside |= thing.before
    return Part(inside, inside[origin])
