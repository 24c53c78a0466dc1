"""Looking up textures as a renderer does: wrapped, interpolated, filtered to a footprint.

A texture is kept as a pyramid of 8-bit pictures, each level the mean of 2 x 2 texels of the one
before it, taken in linear light. A footprint of 2^k texels reads between levels floor(k) and
floor(k) + 1 (Williams 1983). Colors come out linear.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, UInt8

from ...renderers.cpu.compiled import kernel
from ..formats.model import Texture

WRAPS = {"repeat": 0, "mirror": 1, "clamp": 2}
SHARPEN_LEVELS = 0.5
"""Footprints are taken so much smaller: trilinear reading blurs by about that."""

_SRGB = np.arange(256) / 255
_LINEAR = np.where(_SRGB <= 0.04045, _SRGB / 12.92, ((_SRGB + 0.055) / 1.055) ** 2.4)
_LINEAR = _LINEAR.astype(np.float32)
_PLAIN = (np.arange(256) / 255).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Pyramid:
    """One texture, ready for lookups."""

    values: UInt8[np.ndarray, " byte"]
    """All levels one after the other, each row-major."""
    starts: np.ndarray
    """Of each level in `values`."""
    sizes: np.ndarray
    """(width, height) of each level."""
    channels: int
    table: Float32[np.ndarray, "channel 256"]
    """What a byte stands for."""
    wraps: tuple[int, int]
    nearest: bool


def pyramid(texture: Texture, *, color: bool, cut_out: bool = False) -> Pyramid:
    """Build all levels.

    Args:
        color: The picture is sRGB, its fourth channel plain.
        cut_out: Alpha weighs the colors, so that what is invisible does not stain the rest.
    """
    picture = np.ascontiguousarray(texture.pixels)
    channels = picture.shape[2]
    table = np.stack([_LINEAR if color and c < 3 else _PLAIN for c in range(channels)])
    levels = [picture]
    while max(levels[-1].shape[:2]) > 1:
        levels.append(_halved(levels[-1], color, cut_out and channels == 4))
    sizes = np.array([(level.shape[1], level.shape[0]) for level in levels], np.int64)
    lengths = [level.size for level in levels]
    return Pyramid(
        values=np.concatenate([level.reshape(-1) for level in levels]),
        starts=np.cumsum([0, *lengths[:-1]]),
        sizes=sizes,
        channels=channels,
        table=table,
        wraps=(WRAPS[texture.wrap[0]], WRAPS[texture.wrap[1]]),
        nearest=texture.nearest,
    )


def look_up(
    source: Pyramid, uvs: Float[np.ndarray, "point 2"], levels: Float[np.ndarray, " point"]
) -> Float32[np.ndarray, "point channel"]:
    """Values at `uvs` (already transformed), each filtered over 2^level texels."""
    out = np.empty((len(uvs), source.channels), np.float32)
    _look_up(
        source.values, source.starts, source.sizes, source.table, source.wraps[0],
        source.wraps[1], source.nearest, np.ascontiguousarray(uvs, np.float64),
        np.ascontiguousarray(levels, np.float32), out,
    )  # fmt: skip
    return out


def encode(linear: Float[np.ndarray, "*axes"]) -> Float32[np.ndarray, "*axes"]:
    """Linear to sRGB (IEC 61966-2-1)."""
    linear = np.clip(linear, 0, 1)
    power = 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    return np.where(linear <= 0.0031308, 12.92 * linear, power).astype(np.float32)


def _halved(
    picture: UInt8[np.ndarray, "height width channel"], color: bool, weighed: bool
) -> UInt8[np.ndarray, "half half2 channel"]:
    out = np.empty(
        (max(picture.shape[0] // 2, 1), max(picture.shape[1] // 2, 1), picture.shape[2]), np.uint8
    )
    table = _LINEAR if color else _PLAIN
    _halve(picture, table, weighed, _ENCODE if color else _ENCODE_PLAIN, out)
    return out


# Linear values in 4096 steps to bytes: finer than the bytes themselves for all but the darkest.
_STEPS = np.arange(4097) / 4096
_ENCODE = np.rint(encode(_STEPS) * 255).astype(np.uint8)
_ENCODE_PLAIN = np.rint(_STEPS * 255).astype(np.uint8)


@kernel
def _halve(picture, table, weighed, codes, out):
    height, width, channels = picture.shape
    rows, columns = out.shape[0], out.shape[1]
    for row in range(rows):
        # An odd side has one texel that belongs to no pair; the last block takes three.
        top, bottom = 2 * row, min(2 * row + 1, height - 1)
        if row == rows - 1:
            bottom = height - 1
        for column in range(columns):
            left, right = 2 * column, min(2 * column + 1, width - 1)
            if column == columns - 1:
                right = width - 1
            for channel in range(channels):
                total = np.float32(0)
                weight = np.float32(0)
                for y in range(top, bottom + 1):
                    for x in range(left, right + 1):
                        value = picture[y, x, channel]
                        if channel == 3:
                            total += value / np.float32(255)
                            weight += np.float32(1)
                        else:
                            share = np.float32(1)
                            if weighed:
                                share = picture[y, x, 3] / np.float32(255) + np.float32(1e-3)
                            total += share * table[value]
                            weight += share
                mean = total / weight
                if channel == 3:
                    out[row, column, channel] = np.uint8(mean * np.float32(255) + np.float32(0.5))
                else:
                    out[row, column, channel] = codes[int(mean * np.float32(4096) + np.float32(0.5))]


@kernel
def _wrapped(index, size, mode):
    if mode == 0:
        return index % size
    if mode == 1:
        index = index % (2 * size)
        return index if index < size else 2 * size - 1 - index
    return min(max(index, 0), size - 1)


@kernel
def _add_bilinear(values, start, width, height, table, wu, wv, nearest, u, v, share, out):
    channels = len(out)
    x, y = u * width - 0.5, v * height - 0.5
    if nearest:
        x, y = np.floor(u * width), np.floor(v * height)
    x_low, y_low = int(np.floor(x)), int(np.floor(y))
    fx, fy = x - x_low, y - y_low
    for step in range(4):
        down, right = step // 2, step % 2
        weight = share * (fx if right else 1 - fx) * (fy if down else 1 - fy)
        if weight <= 0:
            continue
        column = _wrapped(x_low + right, width, wu)
        row = _wrapped(y_low + down, height, wv)
        place = start + (row * width + column) * channels
        for channel in range(channels):
            out[channel] += weight * table[channel, values[place + channel]]


@kernel
def _look_up(values, starts, sizes, table, wu, wv, nearest, uvs, levels, out):
    last = len(starts) - 1
    for point in range(len(uvs)):
        level = min(max(levels[point], 0), last)
        low = int(level)
        share = level - low
        u, v = uvs[point, 0], uvs[point, 1]
        out[point] = 0
        _add_bilinear(
            values, starts[low], sizes[low, 0], sizes[low, 1], table, wu, wv,
            nearest and low == 0, u, v, 1 - share, out[point],
        )  # fmt: skip
        if share > 0:
            _add_bilinear(
                values, starts[low + 1], sizes[low + 1, 0], sizes[low + 1, 1], table, wu, wv,
                False, u, v, share, out[point],
            )  # fmt: skip
