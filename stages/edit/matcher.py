"""Pixel pairs found by the edit itself: patches of the scene's own picture, seen again in the edit.

Transport weighs colors of whole tiles and goes astray where everything has about the same color. A
patch of detail, though, is found wherever it went: each patch of the own picture inside of the mask
is turned by several angles and compared, by normalized cross-correlation over all channels, with
every place of the edited picture inside of the mask. A pair is kept if it correlates well, clearly
better than any other place does, and moves as most of its neighbors do.
"""

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage
from scipy.spatial import cKDTree

from .difference import boxed

HALF_PX = 6
"""Patches are 13 px wide."""
MOST_PATCHES, MOST_PLACES = 160, 24_000
ANGLES_DEG = (-60.0, -40.0, -20.0, 0.0, 20.0, 40.0, 60.0)
DETAIL = 0.02
"""Standard deviation from which on a patch is worth looking for, in 0 to 1."""
CORRELATION = 0.9
CLEARLY = 0.03
"""By so much a place has to be better than all that are not next to it."""
NEIGHBORS, AGREEMENT_PX = 6, 5.0
"""A pair is kept if at least half of its neighbors move alike to this."""
FEWEST = 4

Picture = Float[np.ndarray, "height width 3"]


def found_pairs(
    own: Picture, edited: Picture, mask: Bool[np.ndarray, "height width"]
) -> Float[np.ndarray, "pair 4"]:
    """x0, y0, x1, y1 of each pair, in pixels; perhaps none."""
    none = np.zeros((0, 4))
    starts = _inner(mask, HALF_PX)
    places = _thinned(starts, MOST_PLACES)
    starts = _thinned(starts[_detailed(own, starts)], MOST_PATCHES)
    if len(starts) < FEWEST or len(places) < FEWEST:
        return none
    windows = _normalized(_patches(edited, places, 0.0))
    best = np.full(len(starts), -1.0)
    second, where = best.copy(), np.zeros(len(starts), int)
    for angle_deg in ANGLES_DEG:
        scores = _normalized(_patches(own, starts, angle_deg)) @ windows.T
        top = scores.argmax(axis=1)
        value = scores[np.arange(len(starts)), top]
        other = _elsewhere(scores, places, places[top])
        better = value > best
        apart = np.abs(places[top] - places[where]).max(axis=1) > HALF_PX
        loser = np.where(better, best, value)
        second = np.maximum(second, np.where(better, other, -1.0))
        second = np.where(apart, np.maximum(second, loser), second)
        best, where = np.where(better, value, best), np.where(better, top, where)
    good = (best > CORRELATION) & (best > second + CLEARLY)
    pairs = np.hstack([starts[good], places[where[good]]])[:, [1, 0, 3, 2]] + 0.5
    moved = np.abs(pairs[:, 2:] - pairs[:, :2]).max(axis=1, initial=0) > 1
    return _agreeing(pairs) if moved.any() else none


def _inner(mask: Bool[np.ndarray, "height width"], margin: int) -> np.ndarray:
    """Rows and columns inside of the mask that are not at the picture's border."""
    inside = mask.copy()
    inside[:margin], inside[-margin:], inside[:, :margin], inside[:, -margin:] = (False,) * 4
    return np.argwhere(inside)


def _detailed(picture: Picture, places: np.ndarray) -> np.ndarray:
    """Whether there is anything to recognize."""
    size = 2 * HALF_PX + 1
    mean = boxed(picture.astype(np.float64), size)
    square = boxed(np.square(picture, dtype=np.float64), size)
    spread = np.sqrt(np.maximum(square - mean**2, 0)).mean(axis=-1)
    return spread[places[:, 0], places[:, 1]] > DETAIL


def _thinned(places: np.ndarray, most: int) -> np.ndarray:
    """Evenly over the picture: every k-th row and column."""
    stride, kept = 1, places
    while len(kept) > most:
        stride += 1
        kept = places[(places % stride == 0).all(axis=1)]
    return kept


def _patches(picture: Picture, places: np.ndarray, angle_deg: float) -> Float[np.ndarray, "n d"]:
    """What lies around each place, turned counter-clockwise in the picture by the angle."""
    rows, columns = np.mgrid[-HALF_PX : HALF_PX + 1, -HALF_PX : HALF_PX + 1]
    angle = np.deg2rad(angle_deg)
    # Where the turned patch shows (row, column), the picture has it turned back.
    back_rows = np.cos(angle) * rows + np.sin(angle) * columns
    back_columns = -np.sin(angle) * rows + np.cos(angle) * columns
    where = [
        places[:, 0, None, None] + back_rows,
        places[:, 1, None, None] + back_columns,
    ]
    order = 1 if angle_deg else 0
    channels = [
        ndimage.map_coordinates(picture[..., k], where, order=order, mode="nearest")
        for k in range(3)
    ]
    return np.stack(channels, axis=-1).reshape(len(places), -1).astype(np.float32)


def _normalized(patches: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Zero mean per channel, unit length."""
    by_channel = patches.reshape(len(patches), -1, 3)
    centered = (by_channel - by_channel.mean(axis=1, keepdims=True)).reshape(len(patches), -1)
    return centered / np.maximum(np.linalg.norm(centered, axis=1, keepdims=True), 1e-6)


def _elsewhere(
    scores: Float[np.ndarray, "n m"], places: np.ndarray, best: np.ndarray
) -> Float[np.ndarray, " n"]:
    """The best score that is not next to the best place."""
    out = np.empty(len(scores))
    for k, (row, center) in enumerate(zip(scores, best, strict=True)):
        far = np.abs(places - center).max(axis=1) > HALF_PX
        out[k] = row[far].max(initial=-1.0)
    return out


def _agreeing(pairs: Float[np.ndarray, "pair 4"]) -> Float[np.ndarray, "kept 4"]:
    """Those that move as most of their neighbors do."""
    if len(pairs) < FEWEST:
        return pairs[:0]
    count = min(NEIGHBORS + 1, len(pairs))
    _, near = cKDTree(pairs[:, :2]).query(pairs[:, :2], k=count)
    way = pairs[:, 2:] - pairs[:, :2]
    alike = np.linalg.norm(way[near[:, 1:]] - way[:, None], axis=2)
    gaps = np.linalg.norm(pairs[near[:, 1:], :2] - pairs[:, None, :2], axis=2)
    # What turns moves its far parts otherwise than its near ones.
    kept = (alike < AGREEMENT_PX + 0.5 * gaps).mean(axis=1) >= 0.5
    return pairs[kept] if kept.sum() >= FEWEST else pairs[:0]
