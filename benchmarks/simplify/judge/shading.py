"""Base colors at points of a textured surface, filtered to the size of a pixel.

Textures are read trilinearly in linear light from a pyramid of halvings. The level is that at
which a texel is as large as the pixel on the surface,

    level = log2(texels per metre of the face · depth / focal length),

without regard to slant, so that two models with different layouts are blurred alike.
"""

import math
from dataclasses import dataclass

import numba
import numpy as np

from .model import Model

MODES = {"repeat": 0, "mirror": 1, "clamp": 2}


@dataclass(frozen=True)
class Paint:
    """A model made ready for lookups."""

    uvs: np.ndarray
    colors: np.ndarray
    material: np.ndarray
    density: np.ndarray
    """(face,), texels per metre of the finest level."""
    factors: np.ndarray
    wraps: np.ndarray
    cutouts: np.ndarray
    levels: np.ndarray
    """(material, level, 3): first texel, width, height; width 0 where there is no level."""
    texels: np.ndarray
    """(texel, 4), linear and alpha, of all pyramids one after another."""

    @property
    def has_holes(self) -> bool:
        return bool((self.cutouts[np.unique(self.material)] > 0).any())


def linear(srgb: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def srgb(values: np.ndarray) -> np.ndarray:
    power = 1.055 * np.maximum(values, 0.0031308) ** (1 / 2.4) - 0.055
    return np.where(values <= 0.0031308, 12.92 * values, power)


def paint(model: Model) -> Paint:
    """Decode the textures and build their pyramids."""
    table = linear(np.arange(256) / 255).astype(np.float32)
    chunks, levels, start = [], np.zeros((len(model.materials), 16, 3), np.int64), 0
    sizes = np.ones((len(model.materials), 2))
    for number, material in enumerate(model.materials):
        if material.pixels is None:
            continue
        sizes[number] = material.pixels.shape[1::-1]
        level = table[material.pixels].copy()
        level[..., 3] = material.pixels[..., 3] / np.float32(255)
        for k in range(16):
            levels[number, k] = start, level.shape[1], level.shape[0]
            chunks.append(level.reshape(-1, 4))
            start += len(chunks[-1])
            if min(level.shape[:2]) < 2:
                break
            level = _halved(level)
    return Paint(
        uvs=model.uvs.astype(np.float64),
        colors=model.colors.astype(np.float32),
        material=model.material,
        density=_density(model, sizes),
        factors=np.array([m.factor for m in model.materials], np.float32),
        wraps=np.array([[MODES[w] for w in m.wrap] for m in model.materials], np.int64),
        cutouts=np.array([m.cutout for m in model.materials], np.float32),
        levels=levels,
        texels=np.concatenate([*chunks, np.ones((1, 4), np.float32)]),
    )


def _halved(level: np.ndarray) -> np.ndarray:
    height, width = (side // 2 * 2 for side in level.shape[:2])
    split = level[:height, :width].reshape(height // 2, 2, width // 2, 2, 4)
    return split.mean(axis=(1, 3))


def _density(model: Model, sizes: np.ndarray) -> np.ndarray:
    a, b, c = np.moveaxis(model.positions[model.faces], 1, 0)
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    first, second = model.uvs[:, 1] - model.uvs[:, 0], model.uvs[:, 2] - model.uvs[:, 0]
    texels = np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])
    texels = texels * sizes[model.material].prod(axis=1)
    return np.sqrt(texels / np.maximum(area, 1e-30))


def lookup(paint: Paint, face: np.ndarray, weights: np.ndarray, pixel_m: np.ndarray) -> np.ndarray:
    """(point, 4): linear color and alpha. `weights` are barycentric, `pixel_m` sizes of a pixel
    on the surface. Points below their material's cut-off get alpha 0, all others 1."""
    out = np.empty((len(face), 4), np.float32)
    _lookup(
        face, weights.astype(np.float32), pixel_m.astype(np.float32), out,
        paint.uvs, paint.colors, paint.material, paint.density, paint.factors, paint.wraps,
        paint.cutouts, paint.levels, paint.texels,
    )  # fmt: skip
    return out


@numba.njit(cache=True, nogil=True)
def _lookup(
    face, weights, pixel_m, out, uvs, colors, material, density, factors, wraps, cutouts, levels,
    texels,
):  # fmt: skip
    for p in range(len(face)):
        f = face[p]
        m = material[f]
        for c in range(4):
            total = 0.0
            for corner in range(3):
                total += weights[p, corner] * colors[f, corner, c]
            out[p, c] = total * factors[m, c]
        if levels[m, 0, 1] > 0:
            u = v = 0.0
            for corner in range(3):
                u += weights[p, corner] * uvs[f, corner, 0]
                v += weights[p, corner] * uvs[f, corner, 1]
            coarsest = 0
            while coarsest < 15 and levels[m, coarsest + 1, 1] > 0:
                coarsest += 1
            wanted = density[f] * pixel_m[p]
            level = 0.0
            if wanted > 1.0:
                level = min(math.log2(wanted), float(coarsest))
            fine = int(level)
            share = level - fine
            _bilinear(out, p, u, v, wraps[m], levels[m], texels, fine, share, coarsest)
        if cutouts[m] > 0.0:
            out[p, 3] = 1.0 if out[p, 3] >= cutouts[m] else 0.0
        else:
            out[p, 3] = 1.0


@numba.njit(cache=True, nogil=True)
def _bilinear(out, p, u, v, wrap, levels, texels, fine, share, coarsest):
    """Multiply out[p] with the texture between two levels."""
    found = np.zeros(4)
    for k in range(2):
        part = share if k else 1.0 - share
        if part == 0.0:
            continue
        start, width, height = levels[min(fine + k, coarsest)]
        x, y = u * width - 0.5, v * height - 0.5
        x0, y0 = math.floor(x), math.floor(y)
        fx, fy = x - x0, y - y0
        for dy in range(2):
            for dx in range(2):
                weight = (fx if dx else 1.0 - fx) * (fy if dy else 1.0 - fy) * part
                column = _wrapped(int(x0) + dx, width, wrap[0])
                row = _wrapped(int(y0) + dy, height, wrap[1])
                for c in range(4):
                    found[c] += weight * texels[start + row * width + column, c]
    for c in range(4):
        out[p, c] *= found[c]


@numba.njit(cache=True, nogil=True)
def _wrapped(index, size, mode):
    if mode == 2:
        return min(max(index, 0), size - 1)
    if mode == 0:
        return index % size
    turned = index % (2 * size)
    return turned if turned < size else 2 * size - 1 - turned
