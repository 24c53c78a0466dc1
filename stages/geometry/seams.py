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

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int
from scipy import sparse

from .components import Surface
from .unfolding import unfolded

LEVELS = 3
WORTH = (0.6, 1.0, 3.0)
"""Of a point at each level, as a factor of the difference."""
HOLD_KNOWN, HOLD_OUTSIDE = 0.05, 1e-4
"""h of texels on charts with their rim, and between them."""
SPACING = 0.5
"""Texels of its level between two points."""
ITERATIONS = 120
ENOUGH = 1e-4
"""Of the first residual, at which the solver stops."""
ROUNDS = 3
"""Solutions outside of 0 to 1 are clipped, and the rest solved again."""
DARKEST = 0.002
MOST_ENTRIES = 40_000_000
"""Of the matrix, some 40 bytes each while it is built; with more (thousands of charts in a large
picture) the gutter is unfolded and nothing else is done."""


@dataclass(frozen=True, slots=True)
class _Reads:
    """Differences between both sides, as rows over the texels of the whole picture."""

    matrix: sparse.csr_matrix
    """(point, texel in `texels`)."""
    texels: Int[np.ndarray, " texel"]
    """row · size + column."""
    counts: list[int]
    """Points of each level."""


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
) -> Float32[np.ndarray, "row column 3"]:
    """A copy of a square picture, in linear light, with both sides of all borders alike.

    Args:
        known: Texels on charts and the rim around them that the finest level touches.
        edges: As `borders` finds them.
    """
    if not len(edges):
        return picture.copy()
    picture = unfolded(picture, known, edges)
    if _entries(edges[:, :, :2], len(picture)) > MOST_ENTRIES:
        return picture
    reads = _reads(edges[:, :, :2], len(picture))
    start = picture.reshape(-1, 3)[reads.texels].astype(np.float64)
    worth = np.repeat(WORTH, reads.counts)
    rows = np.abs(reads.matrix) @ start.mean(axis=1) / (2 * worth)
    matrix = sparse.diags(_reaction(rows)) @ reads.matrix
    hold = np.where(known.reshape(-1)[reads.texels], HOLD_KNOWN, HOLD_OUTSIDE)
    hold = hold * _reaction(start.mean(axis=1)) ** 2
    out = picture.copy()
    flat = out.reshape(-1, 3)
    for channel in range(3):
        flat[reads.texels, channel] = _bounded(matrix.tocsr(), hold, start[:, channel])
    return out


def _bounded(
    matrix: sparse.csr_matrix, hold: Float[np.ndarray, " texel"], start: Float[np.ndarray, " texel"]
) -> Float[np.ndarray, " texel"]:
    """The minimum between 0 and 1, nearly: what leaves the range is held at its end."""
    free, fixed = np.ones(len(start), bool), start.copy()
    for _ in range(ROUNDS):
        found = np.where(free, fixed + _moved(matrix, hold, start, fixed, free), fixed)
        beyond = free & ((found < 0) | (found > 1))
        fixed = found.clip(0, 1)
        if not beyond.any():
            break
        free &= ~beyond
    return fixed


def _moved(
    matrix: sparse.csr_matrix,
    hold: Float[np.ndarray, " texel"],
    start: Float[np.ndarray, " texel"],
    now: Float[np.ndarray, " texel"],
    free: Bool[np.ndarray, " texel"],
) -> Float[np.ndarray, " texel"]:
    """How the free texels move from `now`, by conjugate gradients with a diagonal before."""
    transposed = matrix.T.tocsr()
    diagonal = np.asarray(matrix.multiply(matrix).sum(axis=0)).reshape(-1) + hold

    def image(x: np.ndarray) -> np.ndarray:
        return (transposed @ (matrix @ x) + hold * x) * free

    residual = -(transposed @ (matrix @ now) + hold * (now - start)) * free
    x = np.zeros_like(now)
    eased = residual / diagonal
    way, product = eased.copy(), float(residual @ eased)
    first = product
    for _ in range(ITERATIONS):
        if product <= ENOUGH**2 * first or product == 0:
            break
        along = image(way)
        step = product / float(way @ along)
        x += step * way
        residual -= step * along
        eased = residual / diagonal
        before, product = product, float(residual @ eased)
        way = eased + product / before * way
    return x


def _reads(edges: Float[np.ndarray, "border side end 2"], size: int) -> _Reads:
    parts = [_level(edges, size, level) for level in range(LEVELS)]
    used = np.zeros(size * size, bool)
    for _, columns, _, _ in parts:
        used[columns] = True
    number = np.cumsum(used, dtype=np.int64) - 1
    matrices = [
        sparse.csr_matrix((values, (rows, number[columns])), (count, int(used.sum())))
        for rows, columns, values, count in parts
    ]
    counts = [count for *_, count in parts]
    return _Reads(sparse.vstack(matrices).tocsr(), np.flatnonzero(used), counts)


def _points(
    edges: Float[np.ndarray, "border side end 2"], coarse: int
) -> Int[np.ndarray, " border"]:
    """How many points each edge gets at a level of `coarse` x `coarse` texels."""
    length = np.linalg.norm(edges[:, :, 1] - edges[:, :, 0], axis=2).max(axis=1) * coarse
    return np.maximum(2, np.ceil(length / SPACING).astype(np.int64) + 1)


def _entries(edges: Float[np.ndarray, "border side end 2"], size: int) -> int:
    return sum(8 * 4**level * int(_points(edges, size >> level).sum()) for level in range(LEVELS))


def _level(
    edges: Float[np.ndarray, "border side end 2"], size: int, level: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Entries (row, texel, value) of the points of one level, and how many points."""
    block = 1 << level
    coarse = size // block
    counts = _points(edges, coarse)
    edge = np.repeat(np.arange(len(edges)), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    share = (within / np.repeat(counts - 1, counts))[:, None, None]
    points = edges[edge, :, 0] * (1 - share) + edges[edge, :, 1] * share
    place = points * coarse - 0.5
    low = np.floor(place).astype(np.int64)
    part = place - low
    fine = np.arange(block)
    rows, columns, values = [], [], []
    for down in (0, 1):
        for right in (0, 1):
            weight = (part[..., 0] if right else 1 - part[..., 0]) * (
                part[..., 1] if down else 1 - part[..., 1]
            )
            column = np.clip(low[..., 0] + right, 0, coarse - 1) * block
            row = np.clip(low[..., 1] + down, 0, coarse - 1) * block
            texels = (row[..., None, None] + fine[:, None]) * size + column[..., None, None] + fine
            signed = WORTH[level] * weight * [1, -1] / block**2
            rows.append(np.broadcast_to(np.arange(len(edge))[:, None, None, None], texels.shape))
            columns.append(texels)
            values.append(np.broadcast_to(signed[..., None, None], texels.shape))
    flat = [np.stack(some).reshape(-1) for some in (rows, columns, values)]
    return flat[0].astype(np.int32), flat[1].astype(np.int32), flat[2], len(edge)


def _reaction(linear: Float[np.ndarray, " some"]) -> Float[np.ndarray, " some"]:
    """Derivative of sRGB by linear light."""
    return 1.055 / 2.4 * np.maximum(linear, DARKEST) ** (1 / 2.4 - 1)
