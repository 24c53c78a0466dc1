"""Looking up textures as a renderer does: wrapped, interpolated, filtered to a footprint.

A texture is kept as a pyramid of 8-bit pictures, each level the mean of 2 x 2 texels of the one
before it, taken in linear light. A footprint of 2^k texels reads between levels floor(k) and
floor(k) + 1 (Williams 1983). Colors come out linear.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

from ...renderers.cpu.compiled import inner, lean_kernel
from ..formats.model import Texture
from ..formats.srgb import decode, encode

WRAPS = {"repeat": 0, "mirror": 1, "clamp": 2}
UNSEEN = 1e-3
"""Weight of a color whose alpha is 0, so that there is one everywhere."""
SHARPEN_LEVELS = 0.5
"""Footprints are taken so much smaller: trilinear reading blurs by about that."""

_LINEAR = decode(np.arange(256) / 255).astype(np.float32)
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
    cut_out: bool
    """Alpha weighs the colors."""


def pyramid(texture: Texture, *, color: bool, cut_out: bool = False) -> Pyramid:
    """Build all levels.

    Args:
        color: The picture is sRGB, its fourth channel plain.
        cut_out: Alpha weighs the colors, so that what is invisible does not stain the rest.
    """
    height, width, channels = texture.pixels.shape
    table = np.stack([_LINEAR if color and c < 3 else _PLAIN for c in range(channels)])
    sizes = [(width, height)]
    while max(sizes[-1]) > 1:
        sizes.append((max(sizes[-1][0] // 2, 1), max(sizes[-1][1] // 2, 1)))
    ends = np.cumsum([channels * wide * high for wide, high in sizes])
    starts = np.concatenate([[0], ends[:-1]])
    values = np.empty(ends[-1], np.uint8)
    levels = [
        values[start:end].reshape(high, wide, channels)
        for start, end, (wide, high) in zip(starts, ends, sizes, strict=True)
    ]
    levels[0][:] = texture.pixels
    for fine, coarse in itertools.pairwise(levels):
        _halve_into(coarse, fine, color, cut_out and channels == 4)
    return Pyramid(
        values=values,
        starts=starts,
        sizes=np.array(sizes, np.int64),
        channels=channels,
        table=table,
        wraps=(WRAPS[texture.wrap[0]], WRAPS[texture.wrap[1]]),
        nearest=texture.nearest,
        cut_out=cut_out and channels == 4,
    )


def look_up(
    source: Pyramid,
    uvs: Float[np.ndarray, "face 3 2"],
    densities: Float[np.ndarray, " face"],
    faces: Int[np.ndarray, " point"],
    barycentrics: Float[np.ndarray, "point 3"],
    texels_per_m: Float[np.ndarray, " point"],
) -> Float32[np.ndarray, "point channel"]:
    """Values at points on faces, each filtered over the footprint of the asker's texel.

    Args:
        uvs: Of the corners of all faces, already transformed.
        densities: Texels of the finest level per square metre of each face.
        texels_per_m: How densely the asker samples.
    """
    out = np.empty((len(faces), source.channels), np.float32)
    _look_up(
        source.values, source.starts, source.sizes, source.table, source.wraps[0],
        source.wraps[1], source.nearest, source.cut_out, np.ascontiguousarray(uvs, np.float64),
        np.ascontiguousarray(densities, np.float64), np.ascontiguousarray(faces, np.int64),
        np.ascontiguousarray(barycentrics, np.float64),
        np.ascontiguousarray(texels_per_m, np.float64), SHARPEN_LEVELS, out,
    )  # fmt: skip
    return out


def blended(
    values: Float[np.ndarray, "face 3 channel"],
    faces: Int[np.ndarray, " point"],
    barycentrics: Float[np.ndarray, "point 3"],
) -> Float[np.ndarray, "point channel"]:
    """Values of the corners of faces, interpolated at points on them; in their own precision."""
    out = np.empty((len(faces), values.shape[2]), values.dtype)
    _blend(
        np.ascontiguousarray(values), np.ascontiguousarray(faces, np.int64),
        np.ascontiguousarray(barycentrics, np.float64), out,
    )  # fmt: skip
    return out


def _halve_into(
    out: UInt8[np.ndarray, "half half2 channel"],
    picture: UInt8[np.ndarray, "height width channel"],
    color: bool,
    weighed: bool,
) -> None:
    table, codes = (_LINEAR, _ENCODE) if color else (_PLAIN, _ENCODE_PLAIN)
    if not weighed and picture.shape[:2] == (2 * out.shape[0], 2 * out.shape[1]):
        _halve_even(picture, table, codes, out)
    else:
        _halve(picture, table, weighed, codes, out)


# Linear values in 4096 steps to bytes: finer than the bytes themselves for all but the darkest.
_STEPS = np.arange(4097) / 4096
_ENCODE = np.rint(encode(_STEPS) * 255).astype(np.uint8)
_ENCODE_PLAIN = np.rint(_STEPS * 255).astype(np.uint8)


@lean_kernel
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
                                share = picture[y, x, 3] / np.float32(255) + np.float32(UNSEEN)
                            total += share * table[value]
                            weight += share
                mean = total / weight
                if channel == 3:
                    out[row, column, channel] = np.uint8(mean * np.float32(255) + np.float32(0.5))
                else:
                    out[row, column, channel] = codes[
                        int(mean * np.float32(4096) + np.float32(0.5))
                    ]


@lean_kernel
def _halve_even(picture, table, codes, out):
    """What `_halve` does where all blocks are 2 x 2 and all texels count the same."""
    rows, columns, channels = out.shape
    scale = np.float32(1024)
    half = np.float32(0.5)
    for row in range(rows):
        top, bottom = picture[2 * row], picture[2 * row + 1]
        for column in range(columns):
            left, right = 2 * column, 2 * column + 1
            for channel in range(min(channels, 3)):
                total = table[top[left, channel]] + table[top[right, channel]]
                total += table[bottom[left, channel]] + table[bottom[right, channel]]
                out[row, column, channel] = codes[int(total * scale + half)]
            if channels == 4:
                whole = int(top[left, 3]) + top[right, 3] + bottom[left, 3] + bottom[right, 3]
                out[row, column, 3] = (whole + 2) // 4


@inner
def _wrapped(index, size, mode):
    if mode == 0:
        return index % size
    if mode == 1:
        index = index % (2 * size)
        return index if index < size else 2 * size - 1 - index
    return min(max(index, 0), size - 1)


@inner
def _add_bilinear(values, start, width, height, table, wu, wv, nearest, cut, u, v, share, out):
    """Add `share` of one level to `out`; returns by how much the colors have been weighed."""
    channels = len(out)
    x, y = u * width - 0.5, v * height - 0.5
    if nearest:
        x, y = np.floor(u * width), np.floor(v * height)
    x_low, y_low = int(np.floor(x)), int(np.floor(y))
    fx, fy = x - x_low, y - y_low
    total = 0.0
    for step in range(4):
        down, right = step // 2, step % 2
        weight = share * (fx if right else 1 - fx) * (fy if down else 1 - fy)
        if weight <= 0:
            continue
        column = _wrapped(x_low + right, width, wu)
        row = _wrapped(y_low + down, height, wv)
        place = start + (row * width + column) * channels
        if cut:
            out[3] += weight * table[3, values[place + 3]]
            weight *= table[3, values[place + 3]] + UNSEEN
        total += weight
        for channel in range(3 if cut else channels):
            out[channel] += weight * table[channel, values[place + channel]]
    return total


@lean_kernel
def _look_up(
    values, starts, sizes, table, wu, wv, nearest, cut, uvs, densities, faces, barycentrics,
    texels_per_m, bias, out,
):  # fmt: skip
    last = len(starts) - 1
    for point in range(len(faces)):
        face = faces[point]
        u = v = 0.0
        for corner in range(3):
            u += barycentrics[point, corner] * uvs[face, corner, 0]
            v += barycentrics[point, corner] * uvs[face, corner, 1]
        level = 0.0
        asked = texels_per_m[point] * texels_per_m[point]
        if densities[face] > asked and asked > 0:
            level = min(max(0.5 * np.log2(densities[face] / asked) - bias, 0.0), last)
        low = int(level)
        share = level - low
        out[point] = 0
        total = _add_bilinear(
            values, starts[low], sizes[low, 0], sizes[low, 1], table, wu, wv,
            nearest and low == 0, cut, u, v, 1 - share, out[point],
        )  # fmt: skip
        if share > 0:
            total += _add_bilinear(
                values, starts[low + 1], sizes[low + 1, 0], sizes[low + 1, 1], table, wu, wv,
                False, cut, u, v, share, out[point],
            )  # fmt: skip
        if cut:
            out[point, 0] /= total
            out[point, 1] /= total
            out[point, 2] /= total


@lean_kernel
def _blend(values, faces, barycentrics, out):
    for point in range(len(faces)):
        for channel in range(out.shape[1]):
            total = 0.0
            for corner in range(3):
                total += barycentrics[point, corner] * values[faces[point], corner, channel]
            out[point, channel] = total
