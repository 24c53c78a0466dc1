"""Which pixels of the scene's own picture show something that was shifted, and which what stayed.

Notation: I the scene's own picture, E the edited one, m the shift.

    stays(u) = |I(u) - E(u)|        goes(u) = min over s of |I(u) - E(u + s m)|

averaged over a few pixels; s allows for what is nearer to the camera, or farther. A pixel went if
`goes` is low and `stays` is not. It stayed if it is the other way round, or if neither is low: then
something has come before it.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Shaped
from scipy import ndimage

from .difference import boxed

AVERAGED_PX = 5
ALIKE = 0.05
"""Averaged difference below which two places show the same, in 0 to 1."""
CLEARLY = 0.02
"""So much more alike is the place that something went to, or stayed at."""
SHORTER, LONGER, MOST_STEPS = 0.75, 1.35, 40
"""How far something goes in the picture that is behind or before the rest; how many ways between
are tried."""

Picture = Float[np.ndarray, "height width 3"]


@dataclass(frozen=True, slots=True)
class Told:
    """What the pictures say of each pixel of the own one; of many they say nothing."""

    gone: Bool[np.ndarray, "height width"]
    stayed: Bool[np.ndarray, "height width"]


def told(own: Picture, edited: Picture, by_px: tuple[int, int]) -> Told:
    """Compare both places of each pixel. What looks like its goal, which has not changed, says
    nothing: a plain wall looks alike everywhere."""
    stays = averaged(own, edited)
    goes, changed = np.full(stays.shape, np.inf), np.zeros(stays.shape, bool)
    for step in steps(by_px):
        there, seen, stays_there = _there(own, edited, stays, step)
        better = seen & (there < goes)
        goes = np.where(better, there, goes)
        changed = np.where(better, stays_there > CLEARLY, changed)
    gone = (goes < ALIKE) & (goes < stays - CLEARLY) & changed
    # Where averages reach across an outline, both places look wrong.
    outline = ndimage.binary_dilation(gone, np.ones((AVERAGED_PX + 2, AVERAGED_PX + 2)))
    covered = (np.minimum(stays, goes) > ALIKE) & ~outline
    stayed = (stays < goes - CLEARLY) | covered
    return Told(gone, np.where(np.isfinite(goes), stayed, stays < ALIKE))


def steps(by_px: tuple[int, int]) -> list[tuple[int, int]]:
    """The shift, and shorter and longer ones: what is nearer to the camera goes farther."""
    length = float(np.hypot(*by_px))
    count = min(MOST_STEPS, int(np.ceil((LONGER - SHORTER) * length)) + 1)
    factors = np.append(np.linspace(SHORTER, LONGER, count), 1.0)
    columns, rows = np.rint(np.outer(by_px, factors)).astype(int)
    return list(dict.fromkeys(zip(columns.tolist(), rows.tolist(), strict=True)))


def _there(
    own: Picture, edited: Picture, stays: Float[np.ndarray, "height width"], by_px: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What each pixel's goal differs from it by, whether it is in the picture, and by how much it
    has changed."""
    inside = np.ones((*stays.shape, 1))
    goal, seen, stays_there = (moved(one, by_px) for one in (edited, inside, stays[..., None]))
    known = boxed(seen, AVERAGED_PX)[..., 0] > 0.99
    return averaged(own, goal), known, stays_there[..., 0]


def moved(picture: Shaped[np.ndarray, "h w c"], by_px: tuple[int, int]) -> np.ndarray:
    """What is `by_px` farther on, zero where nothing is."""
    height, width = picture.shape[:2]
    out = np.zeros_like(picture)
    column, row = by_px
    rows = np.arange(height) + row
    columns = np.arange(width) + column
    good = np.ix_((rows >= 0) & (rows < height), (columns >= 0) & (columns < width))
    out[good] = picture[np.ix_(rows[(rows >= 0) & (rows < height)],
                               columns[(columns >= 0) & (columns < width)])]  # fmt: skip
    return out


def averaged(one: Picture, other: Picture) -> Float[np.ndarray, "height width"]:
    change = np.abs(one.astype(np.float64) - other).max(axis=-1, keepdims=True)
    return boxed(change, AVERAGED_PX)[..., 0]
