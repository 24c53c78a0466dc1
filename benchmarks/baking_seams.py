"""How far the two sides of charts' borders differ, where a viewer reads the texture."""

from dataclasses import dataclass

import numpy as np
from simplify.judge.model import Model
from simplify.judge.shading import linear, srgb


@dataclass(frozen=True)
class Seams:
    """Differences of sRGB, largest channel, in 255ths."""

    largest: float
    permille: float
    """Exceeded by one in a thousand points."""
    mean: float


def borders(model: Model) -> np.ndarray:
    """(border, side, end, 2): uvs of both sides of every edge where they differ."""
    _, place = np.unique(model.positions.astype(np.float32), axis=0, return_inverse=True)
    welded = place.reshape(-1)[model.faces]
    ends = np.stack([welded, np.roll(welded, -1, axis=1)], axis=-1).reshape(-1, 2)
    uvs = np.stack([model.uvs, np.roll(model.uvs, -1, axis=1)], axis=2).reshape(-1, 2, 2)
    turned = ends[:, 0] > ends[:, 1]
    ends[turned], uvs[turned] = ends[turned][:, ::-1], uvs[turned][:, ::-1]
    order = np.lexsort((ends[:, 1], ends[:, 0]))
    ends, uvs = ends[order], uvs[order]
    same = (ends[1:] == ends[:-1]).all(axis=1)
    first, second = uvs[:-1][same], uvs[1:][same]
    apart = np.abs(first - second).max(axis=(1, 2)) > 1e-6
    return np.stack([first[apart], second[apart]], axis=1)


def seams(model: Model, level: int) -> Seams:
    """Points about a texel of the finest level apart, read bilinearly at a mip level."""
    texture = linear(model.materials[0].pixels[..., :3] / 255.0)
    size = texture.shape[0]
    for _ in range(level):
        rows, columns = (side // 2 for side in texture.shape[:2])
        texture = texture.reshape(rows, 2, columns, 2, 3).mean(axis=(1, 3))
    found = borders(model)
    if not len(found):
        return Seams(0.0, 0.0, 0.0)
    length = np.linalg.norm(found[:, :, 1] - found[:, :, 0], axis=2).max(axis=1) * size
    counts = np.maximum(2, np.ceil(length).astype(int) + 1)
    edge = np.repeat(np.arange(len(found)), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    share = (within / np.repeat(counts - 1, counts))[:, None, None]
    points = found[edge, :, 0] * (1 - share) + found[edge, :, 1] * share
    colors = srgb(_read(texture, points))
    apart = np.abs(colors[:, 0] - colors[:, 1]).max(axis=1) * 255
    return Seams(float(apart.max()), float(np.quantile(apart, 0.999)), float(apart.mean()))


def _read(texture: np.ndarray, uvs: np.ndarray) -> np.ndarray:
    """Bilinear, clamped."""
    height, width = texture.shape[:2]
    x, y = uvs[..., 0] * width - 0.5, uvs[..., 1] * height - 0.5
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right, down = (x - left)[..., None], (y - top)[..., None]
    columns = [np.clip(left + k, 0, width - 1) for k in (0, 1)]
    rows = [np.clip(top + k, 0, height - 1) for k in (0, 1)]
    upper = texture[rows[0], columns[0]] * (1 - right) + texture[rows[0], columns[1]] * right
    lower = texture[rows[1], columns[0]] * (1 - right) + texture[rows[1], columns[1]] * right
    return upper * (1 - down) + lower * down
