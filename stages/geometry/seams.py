"""Charts' borders that show the same from both sides, near and far.

Where a mesh is cut into charts, a viewer reads one place of the surface from two places of the
texture, mixed with different neighbors, and at coarser mip levels with what lies in the gutter. The
gutter first gets the colors that lie beyond the border (`unfolding.py`); then the texels x move
from x0 to the minimum of

    sum_s |r_s (L_s x - R_s x)|^2 + sum_t h_t |r_t (x_t - x0_t)|^2

over points s about a texel apart on both sides of all borders, read bilinearly at the levels 0 to
`LEVELS` - 1 (means of 2 x 2 texels of the level before, in linear light). r is how strongly sRGB
reacts at that brightness. Texels that the finest level does not touch are seen only through
filtering, so h is small there and they do most of the moving. Compare Iwanicki 2013, "Lighting
technology of The Last of Us", who stitches the finest level so.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Float32, Int
from scipy import sparse

from .components import Surface
from .unfolding import unfolded

LEVELS = 3
WORTH = (0.6, 1.0, 3.0)
"""Of a point at each level, as a factor of the difference."""
HOLD_KNOWN, HOLD_OUTSIDE = 0.005, 1e-4
"""h of texels on charts with their rim, and between them."""
SPACING = 0.5
"""Texels of its level between two points."""
ITERATIONS = 120
ENOUGH = 1e-4
"""Of a channel's first residual, at which the solver stops."""
ROUNDS = 3
"""Solutions outside of 0 to 1 are clipped, and the rest solved again."""
STEPS = 3 * ROUNDS * ITERATIONS
"""What `advance` counts: of all channels."""
DARKEST = 0.002
MOST_READINGS = 40_000_000
"""Of texels of any level, some 40 bytes each while they are gathered; with more (a picture full of
tiny charts) the gutter is unfolded and nothing else is done."""


class _System:
    """A + hold with A = sum_k M_k' M_k, where M_k = R_k D_k ... D_1 are the points of level k.

    D takes the texels of a level to the means of the next, R the texels of a level to differences
    between both sides; their product, which names every fine texel below a point, is never made.
    """

    def __init__(self, edges: Float[np.ndarray, "border side end 2"], size: int) -> None:
        levels = [_level(edges, size, level) for level in range(LEVELS)]
        used = [np.zeros((size >> level, size >> level), bool) for level in range(LEVELS)]
        for mask, (_, columns, _, _) in zip(used, levels, strict=True):
            mask.reshape(-1)[columns] = True
        for finer, coarser in zip(used[-2::-1], used[:0:-1], strict=True):
            finer |= coarser.repeat(2, axis=0).repeat(2, axis=1)
        numbers = [mask.cumsum().reshape(mask.shape) - 1 for mask in used]
        self.texels = np.flatnonzero(used[0])
        """row · size + column."""
        self.means = [_halving(used[k], numbers[k - 1]) for k in range(1, LEVELS)]
        self.reads = [
            sparse.csr_matrix((values, (rows, number.reshape(-1)[columns])), (count, mask.sum()))
            for mask, number, (rows, columns, values, count) in zip(
                used, numbers, levels, strict=True
            )
        ]
        self.hold = np.zeros(len(self.texels))
        self.diagonal = self.hold

    def weigh(self, light: Float[np.ndarray, " texel"], hold: Float[np.ndarray, " texel"]) -> None:
        """By how strongly sRGB reacts at the brightness of each texel, and so of each point."""
        at = light
        for level in range(LEVELS):
            if level:
                at = self.means[level - 1] @ at
            rows = np.abs(self.reads[level]) @ at / (2 * WORTH[level])
            self.reads[level] = (sparse.diags(_reaction(rows)) @ self.reads[level]).tocsr()
        self.hold = hold * _reaction(light) ** 2
        squares = [np.asarray(r.multiply(r).sum(axis=0)).reshape(-1) for r in self.reads]
        below = squares[-1]
        for level in range(LEVELS - 1, 0, -1):
            mean = self.means[level - 1]
            below = squares[level - 1] + mean.multiply(mean).T @ below
        self.diagonal = below + self.hold

    def applied(self, x: Float[np.ndarray, " texel"]) -> Float[np.ndarray, " texel"]:
        at = [x]
        for mean in self.means:
            at.append(mean @ at[-1])
        back = [read.T @ (read @ some) for read, some in zip(self.reads, at, strict=True)]
        below = back[-1]
        for level in range(LEVELS - 1, 0, -1):
            below = back[level - 1] + self.means[level - 1].T @ below
        return below + self.hold * x


def borders(
    surface: Surface, uvs: Float32[np.ndarray, "vertex 2"]
) -> Float[np.ndarray, "border side corner 2"]:
    """Uvs on both sides of every edge where they differ: of its ends, and of the third corner of
    the face there. Vertices at one place count as one."""
    _, place = np.unique(surface.positions, axis=0, return_inverse=True)
    faces = surface.faces
    corners = np.stack([np.roll(faces, -k, axis=1) for k in range(3)], axis=-1).reshape(-1, 3)
    place = place.reshape(-1)
    turned = place[corners[:, 0]] > place[corners[:, 1]]
    corners[turned] = corners[turned][:, [1, 0, 2]]
    ends = place[corners[:, :2]]
    order = np.lexsort((ends[:, 1], ends[:, 0]))
    ends, sides = ends[order], uvs[corners[order]].astype(np.float64)
    same = (ends[1:] == ends[:-1]).all(axis=1) & (ends[1:, 0] != ends[1:, 1])
    pairs = np.stack([sides[:-1][same], sides[1:][same]], axis=1)
    return pairs[(pairs[:, 0, :2] != pairs[:, 1, :2]).any(axis=(1, 2))]


def close_seams(
    picture: Float32[np.ndarray, "row column 3"],
    known: Bool[np.ndarray, "row column"],
    edges: Float[np.ndarray, "border side corner 2"],
    advance: Callable[[int], None] = lambda steps: None,
) -> Float32[np.ndarray, "row column 3"]:
    """A copy of a square picture, in linear light, with both sides of all borders alike.

    Args:
        known: Texels on charts and the rim around them that the finest level touches.
        edges: As `borders` finds them.
        advance: Told how many of `STEPS` are done since the last time.
    """
    if len(edges):
        picture = unfolded(picture, known, edges)
    if not len(edges) or _readings(edges[:, :, :2], len(picture)) > MOST_READINGS:
        advance(STEPS)
        return picture.copy()
    system = _System(edges[:, :, :2], len(picture))
    start = picture.reshape(-1, 3)[system.texels].astype(np.float64)
    hold = np.where(known.reshape(-1)[system.texels], HOLD_KNOWN, HOLD_OUTSIDE)
    system.weigh(start.mean(axis=1), hold)
    out = picture.copy()
    flat = out.reshape(-1, 3)
    for channel in range(3):
        flat[system.texels, channel] = _bounded(system, start[:, channel], advance)
    return out


def _bounded(
    system: _System, start: Float[np.ndarray, " texel"], advance: Callable[[int], None]
) -> Float[np.ndarray, " texel"]:
    """The minimum between 0 and 1, nearly: what leaves the range is held at its end."""
    free, fixed, first = np.ones(len(start), bool), start.copy(), 0.0
    for left in reversed(range(ROUNDS)):
        residual = (system.hold * start - system.applied(fixed)) * free
        first = first or float(residual @ (residual / system.diagonal))
        found = np.where(free, fixed + _moved(system, residual, free, first, advance), fixed)
        beyond = free & ((found < 0) | (found > 1))
        fixed = found.clip(0, 1)
        if not beyond.any():
            advance(left * ITERATIONS)
            break
        free &= ~beyond
    return fixed


def _moved(
    system: _System,
    residual: Float[np.ndarray, " texel"],
    free: Bool[np.ndarray, " texel"],
    first: float,
    advance: Callable[[int], None],
) -> Float[np.ndarray, " texel"]:
    """How the free texels move to take a residual back, by conjugate gradients with a diagonal
    before, until it is small against the `first`."""
    x = np.zeros_like(residual)
    eased = residual / system.diagonal
    way, product = eased.copy(), float(residual @ eased)
    for done in range(ITERATIONS):
        if product <= ENOUGH**2 * first or product == 0:
            advance(ITERATIONS - done)
            break
        along = system.applied(way) * free
        step = product / float(way @ along)
        x += step * way
        residual -= step * along
        eased = residual / system.diagonal
        before, product = product, float(residual @ eased)
        way = eased + product / before * way
        advance(1)
    return x


def _halving(
    used: Bool[np.ndarray, "row column"], finer: Int[np.ndarray, "fine_row fine_column"]
) -> sparse.csr_matrix:
    """Used texels of a level as means of 2 x 2 of the one before, which `finer` numbers."""
    row, column = (2 * part[:, None] for part in np.nonzero(used))
    four = finer[row + np.array([0, 0, 1, 1]), column + np.array([0, 1, 0, 1])]
    count, width = len(four), int(finer.max(initial=-1)) + 1
    starts = np.arange(0, 4 * count + 1, 4)
    return sparse.csr_matrix((np.full(4 * count, 0.25), four.reshape(-1), starts), (count, width))


def _points(
    edges: Float[np.ndarray, "border side end 2"], coarse: int
) -> Int[np.ndarray, " border"]:
    """How many points each edge gets at a level of `coarse` x `coarse` texels."""
    length = np.linalg.norm(edges[:, :, 1] - edges[:, :, 0], axis=2).max(axis=1) * coarse
    return np.maximum(2, np.ceil(length / SPACING).astype(np.int64) + 1)


def _readings(edges: Float[np.ndarray, "border side end 2"], size: int) -> int:
    return sum(8 * int(_points(edges, size >> level).sum()) for level in range(LEVELS))


def _level(
    edges: Float[np.ndarray, "border side end 2"], size: int, level: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Entries (row, texel of the level, value) of the points of one level, and how many points."""
    coarse = size >> level
    counts = _points(edges, coarse)
    edge = np.repeat(np.arange(len(edges)), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    share = (within / np.repeat(counts - 1, counts))[:, None, None]
    points = edges[edge, :, 0] * (1 - share) + edges[edge, :, 1] * share
    place = points * coarse - 0.5
    low = np.floor(place).astype(np.int64)
    part = place - low
    columns, values = [], []
    for down in (0, 1):
        for right in (0, 1):
            weight = (part[..., 0] if right else 1 - part[..., 0]) * (
                part[..., 1] if down else 1 - part[..., 1]
            )
            column = np.clip(low[..., 0] + right, 0, coarse - 1)
            row = np.clip(low[..., 1] + down, 0, coarse - 1)
            columns.append(row * coarse + column)
            values.append(WORTH[level] * weight * [1, -1])
    rows = np.broadcast_to(np.arange(len(edge))[:, None], low.shape[:2])
    flat = [np.stack(some).reshape(-1) for some in ([rows] * 4, columns, values)]
    return flat[0], flat[1], flat[2], len(edge)


def _reaction(linear: Float[np.ndarray, " some"]) -> Float[np.ndarray, " some"]:
    """Derivative of sRGB by linear light."""
    return 1.055 / 2.4 * np.maximum(linear, DARKEST) ** (1 / 2.4 - 1)
