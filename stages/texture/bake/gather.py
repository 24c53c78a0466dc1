"""What the views show of some texels, and how much each is worth.

View i counts for a texel at position p with normal n, whose side is s metres long, by

    w_i = cos_i^sharpness * min(1, (f_i s / z_i)^2) * fade_i      if it sees the texel, else 0

with cos_i between n and the way to the camera, z_i the depth and f_i the focal length in pixels:
the second factor is how many of the picture's pixels a texel would fill seen straight on, so that a
nearer camera counts for more until its pixels are as fine as the texels. The third is the picture's
worth (`album.py`). Views with cos_i < min_cosine count for `SLANTED` of that: as good as nothing
where there is another, yet better than guessing. Seeing means that a ray from the texel to the
camera meets nothing after the first `tolerance_m`. How the views become one color: `robust.py`,
with votes sqrt(w_i).
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float32, Int16

from ....renderers.cpu.compiled import kernel, part
from ..robust import agreed
from .album import View
from .caster import Caster
from .layout import Points

SLANTED = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """See the top of this file."""

    sharpness: float
    min_cosine: float
    slanted_cosine: float
    tolerance_m: float
    outlier: float
    best: int


@dataclass(frozen=True, slots=True)
class Gathered:
    """The best views of each texel, in no order."""

    colors: Float32[np.ndarray, "texel best 3"]
    """sRGB."""
    weights: Float32[np.ndarray, "texel best"]
    """0 where there are fewer."""
    views: Int16[np.ndarray, "texel best"]


def glance(
    points: Points,
    view: View,
    tones: Float32[np.ndarray, "3 256"],
    caster: Caster,
    rules: Rules,
    threads: int,
) -> tuple[Float32[np.ndarray, "texel 3"], Float32[np.ndarray, " texel"]]:
    """What one view shows of texels: colors and weights; weight 0 where it does not see them.

    Args:
        tones: Of its bytes, see `tones.py`.
    """
    eye = view.eye
    lens = np.array([*eye.focal_px, *eye.center_px])
    numbers = np.array([rules.sharpness, rules.min_cosine, rules.slanted_cosine, SLANTED])
    colors = np.zeros((len(points.positions), 3), np.float32)
    weights = np.zeros(len(points.positions), np.float32)

    def work(piece: slice) -> None:
        _glance(
            points.positions[piece], points.normals[piece], points.texel_m[piece],
            eye.world_to_camera, lens, view.pixels, view.worth, tones, numbers,
            colors[piece], weights[piece],
        )  # fmt: skip

    _in_pieces(work, len(weights), threads)
    some = np.flatnonzero(weights)
    free = caster.free(points.positions[some], eye.position, rules.tolerance_m)
    weights[some[~free]] = 0
    return colors, weights


def gather(
    points: Points,
    views: Iterable[tuple[int, View]],
    tones: Float32[np.ndarray, "view 3 256"],
    caster: Caster,
    rules: Rules,
    threads: int,
) -> Gathered:
    """Look at texels through all views and keep the best of each."""
    count = len(points.positions)
    colors = np.zeros((count, rules.best, 3), np.float32)
    weights = np.zeros((count, rules.best), np.float32)
    names = np.full((count, rules.best), -1, np.int16)
    for number, view in views:
        found, worth = glance(points, view, tones[number], caster, rules, threads)
        _keep(found, worth, number, colors, weights, names)
    return Gathered(colors, weights, names)


def settled(
    gathered: Gathered, outlier: float, threads: int
) -> tuple[Float32[np.ndarray, "texel 3"], Bool[np.ndarray, " texel"]]:
    """The color that the views of each texel agree on, and whether there is any view."""
    colors = np.zeros((len(gathered.weights), 3), np.float32)
    seen = np.zeros(len(colors), bool)

    def work(piece: slice) -> None:
        given = gathered.colors[piece], gathered.weights[piece]
        _settle(*given, outlier, colors[piece], seen[piece])

    _in_pieces(work, len(colors), threads)
    return colors, seen


def _in_pieces(work, count: int, threads: int) -> None:
    bounds = np.linspace(0, count, 2 * threads + 1).astype(int)
    pieces = [slice(a, b) for a, b in pairwise(bounds) if b > a]
    if threads == 1:
        for piece in pieces:
            work(piece)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, pieces))


@kernel
def _glance(
    positions, normals, texel_m, pose, lens, pixels, worth, table, numbers, colors, weights
):
    """Fill `colors` and `weights`; the formula stands at the top of this file."""
    height, width = worth.shape
    for point in range(len(positions)):
        px, py, pz = positions[point]
        x = pose[0, 0] * px + pose[0, 1] * py + pose[0, 2] * pz + pose[0, 3]
        y = pose[1, 0] * px + pose[1, 1] * py + pose[1, 2] * pz + pose[1, 3]
        z = pose[2, 0] * px + pose[2, 1] * py + pose[2, 2] * pz + pose[2, 3]
        if z <= 0:
            continue
        column = lens[0] * x / z + lens[2] - 0.5
        row = lens[1] * y / z + lens[3] - 0.5
        if not (0 <= column < width - 1 and 0 <= row < height - 1):
            continue
        facing = 0.0  # Against the ray, in camera space.
        for axis in range(3):
            along = pose[0, axis] * x + pose[1, axis] * y + pose[2, axis] * z
            facing -= normals[point, axis] * along
        cosine = facing / np.sqrt(x * x + y * y + z * z)
        if cosine < numbers[2]:
            continue
        left, top = int(column), int(row)
        right, down = column - left, row - top
        least = min(
            worth[top, left], worth[top, left + 1], worth[top + 1, left], worth[top + 1, left + 1]
        )
        if least == 0:
            continue
        fade = _mix(worth, top, left, down, right) / 255
        filled = lens[0] * lens[1] * (texel_m[point] / z) ** 2
        weight = cosine ** numbers[0] * min(1.0, filled) * fade
        weights[point] = weight if cosine >= numbers[1] else weight * numbers[3]
        for channel in range(3):
            upper = (
                table[channel, pixels[top, left, channel]] * (1 - right)
                + table[channel, pixels[top, left + 1, channel]] * right
            )
            lower = (
                table[channel, pixels[top + 1, left, channel]] * (1 - right)
                + table[channel, pixels[top + 1, left + 1, channel]] * right
            )
            colors[point, channel] = upper * (1 - down) + lower * down


@part
def _mix(picture, top, left, down, right):
    """Bilinear."""
    upper = picture[top, left] * (1 - right) + picture[top, left + 1] * right
    lower = picture[top + 1, left] * (1 - right) + picture[top + 1, left + 1] * right
    return upper * (1 - down) + lower * down


@kernel
def _keep(found, worth, number, colors, weights, names):
    """Put a view in the place of the least of those kept, where it weighs more."""
    best = weights.shape[1]
    for point in range(len(worth)):
        if worth[point] <= 0:
            continue
        least = 0
        for place in range(1, best):
            if weights[point, place] < weights[point, least]:
                least = place
        if worth[point] > weights[point, least]:
            weights[point, least] = worth[point]
            names[point, least] = number
            for channel in range(3):
                colors[point, least, channel] = found[point, channel]


@kernel
def _settle(kept, weights, outlier, colors, seen):
    best = weights.shape[1]
    found, shares, votes = np.empty((best, 3)), np.empty(best), np.empty(best)
    median, sums = np.empty(3), np.empty(3)
    order = np.empty(best, np.int64)
    for point in range(len(weights)):
        most = 0.0
        for place in range(best):
            most = max(most, weights[point, place])
        if most == 0:
            continue
        count = 0
        for place in range(best):
            if weights[point, place] > 0:
                shares[count] = weights[point, place] / most
                votes[count] = np.sqrt(shares[count])
                for channel in range(3):
                    found[count, channel] = kept[point, place, channel]
                count += 1
        seen[point] = True
        agreed(found, shares, votes, count, outlier, median, sums, order)
        for channel in range(3):
            colors[point, channel] = sums[channel]
