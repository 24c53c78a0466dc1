"""How alike two sets of views are.

Color and normals are compared over the union of the two silhouettes, all views pooled, on a
background of middle gray (0.5): a pixel that one model covers and the other does not counts with
its color against that background. Normals (x, y, z) are compared as (n + 1) / 2, so that nothing
is middle gray as well.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numba
import numpy as np
from scipy.ndimage import gaussian_filter

from .views import View

CEILING_DB = 100.0
BACKGROUND = 0.5
FOREIGN = 0.25
"""Colors at least so far apart (largest difference of a channel, sRGB) are different colors."""
REACH = 0.01
"""Radius of the neighborhood in which a color may have moved, of the bounding box's diagonal."""
SIGMA_PX, C1, C2 = 1.5, 0.01**2, 0.03**2
"""Of SSIM (Wang et al. 2004)."""


@dataclass(frozen=True)
class Likeness:
    color_psnr_db: float
    color_ssim: float
    normal_psnr_db: float
    iou: float
    """Of the silhouettes, all views pooled."""
    bleeding: float
    """Share of the judged pixels, see `foreign`."""


def compare(original: Sequence[View], other: Sequence[View], diagonal: float) -> Likeness:
    color = normal = similar = 0.0
    either = both = judged = bled = 0
    for pair in zip(original, other, strict=True):
        a, b = _cropped(*pair)
        union = a.mask | b.mask
        either += int(union.sum())
        both += int((a.mask & b.mask).sum())
        over_a, over_b = _over(a), _over(b)
        color += float(((over_a - over_b)[union] ** 2).sum())
        normal += float((((a.normal - b.normal)[union] / 2) ** 2).sum())
        similar += float(_ssim(over_a.mean(axis=2), over_b.mean(axis=2))[union].sum())
        wrong, seen = foreign(a, b, diagonal)
        judged += int(seen.sum())
        bled += int(wrong.sum())
    return Likeness(
        color_psnr_db=_psnr_db(color / max(3 * either, 1)),
        color_ssim=similar / max(either, 1),
        normal_psnr_db=_psnr_db(normal / max(3 * either, 1)),
        iou=both / max(either, 1),
        bleeding=bled / max(judged, 1),
    )


def foreign(a: View, b: View, diagonal: float) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of `b` whose color has come from elsewhere, and those that were judged at all.

    Judged is a pixel where both models are seen at the same depth, to within `REACH` of the
    diagonal: the same spot of the surface. Its color is foreign if it is `FOREIGN` away from the
    color of every pixel of `a` around it, as far as `REACH` of the diagonal. So a shifted
    texture does not count, nor does a missing part; a color from another chart or the other side
    of a wall does, and so does the mixture of two very different colors that a blur leaves on
    their border.
    """
    judged = a.mask & b.mask
    near = np.zeros_like(judged)
    near[judged] = np.abs(a.depth[judged] - b.depth[judged]) <= REACH * diagonal
    radius = max(1, round(REACH * diagonal * a.pixels_per_m))
    return _foreign(a.rgb, a.mask, b.rgb, near, radius), near


@numba.njit(cache=True, nogil=True)
def _foreign(rgb, mask, other, judged, radius):
    height, width = mask.shape
    out = np.zeros((height, width), np.bool_)
    for y in range(height):
        for x in range(width):
            if not judged[y, x]:
                continue
            home = False
            for ring in range(radius + 1):  # the pixel itself first: most end there
                for dy in range(-ring, ring + 1):
                    step = 1 if abs(dy) == ring else max(2 * ring, 1)
                    for dx in range(-ring, ring + 1, step):
                        i, j = y + dy, x + dx
                        if i < 0 or j < 0 or i >= height or j >= width or not mask[i, j]:
                            continue
                        if dx * dx + dy * dy > radius * radius:
                            continue
                        apart = 0.0
                        for c in range(3):
                            apart = max(apart, abs(rgb[i, j, c] - other[y, x, c]))
                        if apart < FOREIGN:
                            home = True
                            break
                    if home:
                        break
                if home:
                    break
            out[y, x] = not home
    return out


def _cropped(a: View, b: View) -> tuple[View, View]:
    """To what either covers, and the margin that SSIM looks at."""
    union, margin = a.mask | b.mask, math.ceil(3 * SIGMA_PX)
    spans = []
    for axis in (1, 0):
        used = np.flatnonzero(union.any(axis=axis))
        first, last = (used[0], used[-1]) if len(used) else (0, 0)
        spans.append(slice(max(first - margin, 0), last + margin + 1))
    window = tuple(spans)
    return tuple(
        replace(
            view,
            rgb=view.rgb[window],
            mask=view.mask[window],
            normal=view.normal[window],
            depth=view.depth[window],
        )
        for view in (a, b)
    )  # type: ignore[return-value]


def _over(view: View) -> np.ndarray:
    return np.where(view.mask[..., None], view.rgb, np.float32(BACKGROUND))


def _ssim(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Per pixel, of gray pictures."""

    def mean(values: np.ndarray) -> np.ndarray:
        return gaussian_filter(values, SIGMA_PX, truncate=3.0)

    mean_a, mean_b = mean(a), mean(b)
    spread_a, spread_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    common = mean(a * b) - mean_a * mean_b
    top = (2 * mean_a * mean_b + C1) * (2 * common + C2)
    return top / ((mean_a**2 + mean_b**2 + C1) * (spread_a + spread_b + C2))


def _psnr_db(mean_square: float) -> float:
    return min(-10 * math.log10(mean_square), CEILING_DB) if mean_square > 0 else CEILING_DB
