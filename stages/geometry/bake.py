"""The one baker: any function of surface points becomes a picture over an atlas.

A source sees points, never pixels: photographs, splats, fields and other meshes are baked alike.
After baking, `spread` completes what the source did not know from the nearest known surface, and
`fill` covers the rest of the picture, so that neither bilinear sampling nor mip levels pull in
foreign colors across the charts' borders.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from .atlas import Texels
from .nearest_texel import complete, nearest_valid

Points = Float32[np.ndarray, "point 3"]
Asked = Float32[np.ndarray, "asked 3"]
Values = Float32[np.ndarray, "point channel"]
Source = Callable[[Points, Points, Int[np.ndarray, " point"]], tuple[Values, np.ndarray]]
"""(positions, normals, faces) -> (values, valid); rows that are not valid may hold anything."""
CLEAN_MIPS = 4
"""Mip levels without colors from outside the charts: a picture of 1024 px stays clean at 64."""
NEIGHBORS = 8
"""`spread` blends this many known texels."""


@dataclass(frozen=True, slots=True)
class Maps:
    """Pictures over an atlas, row 0 at the top."""

    values: Float32[np.ndarray, "row column channel"]
    """0 where not valid."""
    valid: Bool[np.ndarray, "row column"]


def bake(texels: Texels, source: Source) -> Maps:
    """Ask `source` about every texel and lay its answers out as pictures."""
    values, valid = source(texels.positions, texels.normals, texels.faces)
    if len(values) != len(texels.rows) or valid.shape != texels.rows.shape:
        raise ValueError(
            f"the source answered {len(values)} values and {len(valid)} flags for "
            f"{len(texels.rows)} texels."
        )
    if not np.isfinite(values[valid]).all():
        raise ValueError("the source answered values that are not finite, and called them valid.")
    size = texels.size_px
    pictures = np.zeros((size, size, values.shape[1]), np.float32)
    mask = np.zeros((size, size), bool)
    pictures[texels.rows, texels.columns] = np.where(valid[:, None], values, 0)
    mask[texels.rows, texels.columns] = valid
    return Maps(pictures, mask)


def spread(texels: Texels, maps: Maps, normal_m: float) -> Maps:
    """Give every texel without a value the mean of the nearest texels that have one.

    Near means close in space *and* facing the same way, so that color does not creep through
    thin walls: the distance is |dp|^2 + (normal_m * |dn|)^2. Weights fall with its square.

    Args:
        normal_m: How many metres a right angle between two normals counts for, over sqrt(2).
    """
    known = maps.valid[texels.rows, texels.columns]
    if known.all() or not known.any():
        return maps
    found = continued(
        (texels.positions[known], texels.normals[known]),
        maps.values[texels.rows[known], texels.columns[known]],
        (texels.positions[~known], texels.normals[~known]),
        normal_m,
    )
    values, valid = maps.values.copy(), maps.valid.copy()
    rows, columns = texels.rows[~known], texels.columns[~known]
    values[rows, columns] = found
    valid[rows, columns] = True
    return Maps(values, valid)


def continued(
    known: tuple[Points, Points],
    values: Values,
    unknown: tuple[Asked, Asked],
    normal_m: float,
) -> Float32[np.ndarray, "asked channel"]:
    """The same for points: positions and normals of those with values, and of those without."""
    from scipy.spatial import cKDTree

    count = min(NEIGHBORS, len(values))
    tree = cKDTree(np.concatenate([known[0], normal_m * known[1]], axis=1))
    features = np.concatenate([unknown[0], normal_m * unknown[1]], axis=1)
    # Texels lie on a grid: exact search among many equal distances takes 20 times as long.
    distances, nearest = tree.query(features, k=range(1, count + 1), eps=0.5)
    weights = 1 / np.maximum(distances, 1e-9) ** 2
    weights /= weights.sum(axis=1, keepdims=True)
    return np.einsum("uk,ukc->uc", weights, values[nearest]).astype(np.float32)


def fill(maps: Maps, mips: int = CLEAN_MIPS) -> Float32[np.ndarray, "row column channel"]:
    """Cover every texel, so that `mips` mip levels stay free of foreign colors.

    Within `clean_px(mips)` texels of a valid one: the nearest valid value. Farther away: a smooth
    continuation by pull-push, which compresses well.
    """
    if not maps.valid.any():
        raise ValueError("nothing to fill from: no texel is valid.")
    if maps.valid.all():
        return maps.values.copy()
    nearest = nearest_valid(maps.valid, clean_px(mips))
    values = maps.values.copy()
    complete(values, nearest, np.zeros(values.shape[2], np.float32))
    near = nearest >= 0
    if near.all():
        return values
    whole = _pull_push(values, near.astype(np.float32))
    return np.where(near[..., None], values, whole).astype(np.float32)


def clean_px(mips: int = CLEAN_MIPS) -> float:
    """How far from a chart its color must reach: a mip texel of level k averages 2^k x 2^k."""
    return 2**mips * np.sqrt(2)


def _pull_push(
    values: Float[np.ndarray, "row column channel"], weights: Float[np.ndarray, "row column"]
) -> Float32[np.ndarray, "row column channel"]:
    """Complete a picture from its own weighted averages at ever coarser levels.

    Weights are 0 or 1. Where one is 0 the value must be 0, and comes from the coarser level,
    enlarged bilinearly.
    """
    rows, columns = weights.shape
    if max(rows, columns) == 1:
        return values.astype(np.float32)
    even = [(0, side % 2) for side in (rows, columns)]
    total = _block_sums(np.pad(weights, even)[..., None])[..., 0]
    sums = _block_sums(np.pad(values, [*even, (0, 0)]))
    coarse = np.where(total[..., None] > 0, sums / np.maximum(total, 1e-12)[..., None], 0)
    coarse = _pull_push(coarse, (total > 0).astype(np.float32))
    large = _enlarge(coarse)[:rows, :columns]
    return np.where(weights[..., None] > 0, values, large).astype(np.float32)


def _block_sums(picture: np.ndarray) -> np.ndarray:
    """Sums over blocks of 2 x 2."""
    rows, columns, channels = picture.shape
    return picture.reshape(rows // 2, 2, columns // 2, 2, channels).sum(axis=(1, 3))


def _enlarge(picture: np.ndarray) -> np.ndarray:
    """Twice the size, bilinear, pixel centres in the middle, edges repeated."""
    for axis in (0, 1):
        picture = np.moveaxis(picture, axis, 0)
        before = np.concatenate([picture[:1], picture[:-1]])
        after = np.concatenate([picture[1:], picture[-1:]])
        pair = np.stack([0.75 * picture + 0.25 * before, 0.75 * picture + 0.25 * after], axis=1)
        picture = np.moveaxis(pair.reshape(-1, *picture.shape[1:]), 0, axis)
    return picture
