"""The colors of the source as a few centres, gathered from a stream of pixels.

It begins with three centres, far apart in the first batch. Every pixel goes to the nearest centre;
one farther than `NEW_BIN` from all opens a new one, up to `MOST_BINS`. A centre is the running mean
of all it got; two that come close to each other become one. One that gets less than `FEWEST` of a
batch for `PATIENCE` batches in a row expires.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

START_BINS, MOST_BINS = 3, 16
NEW_BIN = 0.15
"""Euclidean, sRGB."""
FEWEST = 0.005
PATIENCE = 20

Colors = Float[np.ndarray, "n 3"]


@dataclass(frozen=True, slots=True)
class Palette:
    """b centres."""

    centers: Float[np.ndarray, "b 3"]
    """sRGB."""
    votes: Float[np.ndarray, " b"]
    """Pixels so far."""
    idle: Int[np.ndarray, " b"]
    """Batches in a row with too few."""

    @property
    def shares(self) -> Float[np.ndarray, " b"]:
        return self.votes / self.votes.sum()


def started(batch: Colors) -> Palette:
    """Three of the batch's colors: the first, and each time the farthest from those before."""
    chosen = [batch[0]]
    while len(chosen) < START_BINS:
        chosen.append(batch[_distances(batch, np.array(chosen)).min(axis=1).argmax()])
    return Palette(np.array(chosen), np.zeros(START_BINS), np.zeros(START_BINS, np.int64))


def updated(palette: Palette, batch: Colors) -> Palette:
    """After one more batch of pixels."""
    centers, votes, idle = palette.centers, palette.votes, palette.idle
    distances = _distances(batch, centers)
    while len(centers) < MOST_BINS and distances.min(axis=1).max() > NEW_BIN:
        far = batch[distances.min(axis=1).argmax()]
        centers, votes = np.concatenate([centers, far[None]]), np.append(votes, 0.0)
        idle = np.append(idle, 0)
        distances = _distances(batch, centers)
    nearest = distances.argmin(axis=1)
    got = np.bincount(nearest, minlength=len(centers)).astype(np.float64)
    sums = np.stack([np.bincount(nearest, c, len(centers)) for c in batch.T], axis=1)
    total = (votes + got)[:, None]
    moved = (centers * votes[:, None] + sums) / np.where(total > 0, total, 1.0)
    centers = np.where(total > 0, moved, centers)
    idle = np.where(got < FEWEST * len(batch), idle + 1, 0)
    kept = idle < PATIENCE
    return _fused(Palette(centers[kept], (votes + got)[kept], idle[kept]))


def _fused(palette: Palette) -> Palette:
    """Without pairs of centres nearer than a third of `NEW_BIN`: the earlier one takes all."""
    centers, votes, idle = (part.copy() for part in (palette.centers, palette.votes, palette.idle))
    left = np.ones(len(centers), bool)
    for later in range(1, len(centers)):
        gaps = np.linalg.norm(centers[:later] - centers[later], axis=1)
        near = np.flatnonzero(left[:later] & (gaps < NEW_BIN / 3))
        if len(near):
            first, both = near[0], votes[near[0]] + votes[later]
            if both > 0:
                share = votes[later] / both
                centers[first] = (1 - share) * centers[first] + share * centers[later]
            votes[first], idle[first] = both, min(idle[first], idle[later])
            left[later] = False
    return Palette(centers[left], votes[left], idle[left])


def _distances(colors: Colors, centers: Float[np.ndarray, "b 3"]) -> Float[np.ndarray, "n b"]:
    return np.linalg.norm(colors[:, None] - centers[None], axis=-1)
