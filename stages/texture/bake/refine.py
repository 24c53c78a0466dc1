"""The texels fitted to the pixels by least squares.

A pixel p whose ray meets the mesh reads the texture bilinearly, as a viewer will: its linear color
is sum_t B_pt x_t with four weights. From the blended texture x0 the texels x move to the minimum of

    sum_p w_p |sum_t B_pt x_t - c_p|^2 + mu sum_t |x_t - x0_t|^2

This takes back what the lookup of pictures at texel centres has blurred, and makes both sides of a
chart's border show the same. The weights are those of `gather.py` for the pixel, times how strongly
sRGB reacts to light at that brightness (squared), times the trust max(0, 1 - d^2 / outlier^2)^2 in
a pixel that lies d from what x0 shows there: an occluder has no say.

No matrix of pixels is kept. B's rows have their four entries in one 2 x 2 block, so that B^T W B is
a stencil of 3 x 3, symmetric: five numbers per texel, whatever the number of photographs. It is
solved by conjugate gradients, channel by channel (Hestenes and Stiefel 1952).
"""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float32

from ....pipeline.contract import Context
from ....renderers.cpu.compiled import kernel, part
from ...formats import tensors
from ...formats.srgb import decode
from ...geometry.concurrency import in_order
from .album import Album, View
from .caster import Caster
from .gather import SLANTED, Rules
from .layout import Layout

ITERATIONS = 60
ENOUGH = 1e-4
"""Of the first residual, at which the solver stops."""
CHECKPOINT_S = 60.0
RAYS = 1 << 20
"""So many are cast at a time."""


@dataclass(frozen=True, slots=True)
class Normal:
    """B^T W B and B^T W c, summed up over the views so far."""

    stencil: Float32[np.ndarray, "row column 5"]
    """Of each texel: itself, then its couplings to the right, below left, below, below right."""
    right: Float32[np.ndarray, "row column 3"]


def refine(
    start: Float32[np.ndarray, "row column 3"],
    photographed: Bool[np.ndarray, "row column"],
    layout: Layout,
    album: Album,
    views: range,
    tones: Float32[np.ndarray, "view 3 256"],
    caster: Caster,
    rules: Rules,
    fidelity: float,
    ctx: Context,
) -> Float32[np.ndarray, "row column 3"]:
    """A better texture, in linear light like `start`.

    Args:
        photographed: Texels on which renders of the splats have no say.
    """
    known = np.zeros(photographed.shape, bool)
    known[layout.rows, layout.columns] = True
    first, normal = _restored(ctx.scratch, layout.size_px)
    saved = time.monotonic()
    with ctx.progress("bake: pixels", len(views), done=first) as bar:
        for number in range(first, len(views)):
            view = album.load(views[number])
            if view.worth.any():
                allowed = known & ~photographed if view.virtual else known
                add(normal, view, tones[views[number]], start, allowed, layout, caster, rules)
            if time.monotonic() - saved > CHECKPOINT_S:
                _keep(normal, number + 1, ctx.scratch)
                saved = time.monotonic()
            bar.advance()
    return solve(normal, start, fidelity, ctx)


def add(
    normal: Normal,
    view: View,
    tones: Float32[np.ndarray, "3 256"],
    start: Float32[np.ndarray, "row column 3"],
    allowed: Bool[np.ndarray, "row column"],
    layout: Layout,
    caster: Caster,
    rules: Rules,
) -> None:
    """Let the pixels of one view count; only those that read nothing but allowed texels."""
    mesh, eye = layout.mesh, view.eye
    assert mesh.uvs is not None
    corners = mesh.uvs[mesh.faces].astype(np.float64) * layout.size_px
    numbers = np.array(
        [rules.sharpness, rules.min_cosine, rules.slanted_cosine, SLANTED, rules.outlier,
         eye.focal_px[0] * eye.focal_px[1]]
    )  # fmt: skip
    table = decode(tones.astype(np.float64))
    rows = max(1, RAYS // eye.width_px)
    for top in range(0, eye.height_px, rows):
        met = caster.met(eye, top, min(top + rows, eye.height_px))
        _add(
            met.pixels, met.faces, met.barycentrics, met.cosines, met.depths, corners,
            layout.texel_m, view.pixels.reshape(-1, 3), view.worth.reshape(-1), table,
            tones, start, allowed, numbers, normal.stencil, normal.right,
        )  # fmt: skip


def solve(
    normal: Normal, start: Float32[np.ndarray, "row column 3"], fidelity: float, ctx: Context
) -> Float32[np.ndarray, "row column 3"]:
    """The minimum, near `start`; texels without pixels stay as they are."""
    diagonal = normal.stencil[..., 0]
    some = diagonal > 0
    if not some.any():
        return start
    mu = np.float32(fidelity * np.median(diagonal[some]))
    with ctx.progress("bake: refining", 3) as bar:

        def channel(k: int) -> np.ndarray:
            return _solved(normal.stencil, mu, normal.right[..., k], start[..., k])

        found = []
        for solved in in_order(channel, range(3), threads=min(ctx.threads, 2)):
            found.append(solved)
            bar.advance()
    return np.stack(found, axis=-1)


def _solved(
    stencil: np.ndarray, mu: np.float32, right: np.ndarray, start: np.ndarray
) -> Float32[np.ndarray, "row column"]:
    """(A + mu) x = right + mu start, which is (A + mu) d = right - A start for x = start + d."""
    x = np.zeros_like(start)
    residual = np.empty_like(start)
    _apply(stencil, np.float32(0), np.ascontiguousarray(start), residual)
    residual = right - residual
    way, image = residual.copy(), np.empty_like(start)
    square = first = _dot(residual, residual)
    for _ in range(ITERATIONS):
        if square <= ENOUGH**2 * first or square == 0:
            break
        _apply(stencil, mu, way, image)
        step = np.float32(square / _dot(way, image))
        x += step * way
        residual -= step * image
        before, square = square, _dot(residual, residual)
        way *= np.float32(square / before)
        way += residual
    return start + x


def _keep(normal: Normal, done: int, scratch: Path) -> None:
    values = {"stencil": torch.from_numpy(normal.stencil), "right": torch.from_numpy(normal.right)}
    tensors.save(values, scratch / "pixels.safetensors", {"done": done})


def _restored(scratch: Path, size: int) -> tuple[int, Normal]:
    path = scratch / "pixels.safetensors"
    if not path.exists():
        shapes = (size, size, 5), (size, size, 3)
        return 0, Normal(*(np.zeros(shape, np.float32) for shape in shapes))
    values, told = tensors.load(path, ["stencil", "right"])
    return int(told["done"]), Normal(values["stencil"].numpy(), values["right"].numpy())


@kernel
def _add(
    pixels, faces, barycentrics, cosines, depths, corners, texel_m, colors, worth, table, shown,
    start, allowed, numbers, stencil, right,
):  # fmt: skip
    size = len(start)
    texels, shares = np.empty((4, 2), np.int64), np.empty(4)
    predicted, wanted = np.empty(3), np.empty(3)
    for hit in range(len(pixels)):
        pixel, face = pixels[hit], faces[hit]
        cosine = cosines[hit]
        if worth[pixel] == 0 or cosine < numbers[2]:
            continue
        x = y = -0.5
        for corner in range(3):
            x += barycentrics[hit, corner] * corners[face, corner, 0]
            y += barycentrics[hit, corner] * corners[face, corner, 1]
        left, top = int(np.floor(x)), int(np.floor(y))
        if left < 0 or top < 0 or left >= size - 1 or top >= size - 1:
            continue
        good = True
        for k in range(4):
            row, column = top + k // 2, left + k % 2
            texels[k, 0], texels[k, 1] = row, column
            shares[k] = (x - left if k % 2 else left + 1 - x) * (y - top if k // 2 else top + 1 - y)
            good = good and allowed[row, column]
        if not good:
            continue
        square = light = 0.0
        for channel in range(3):
            value = 0.0
            for k in range(4):
                value += shares[k] * start[texels[k, 0], texels[k, 1], channel]
            predicted[channel] = value
            light += value / 3
            wanted[channel] = table[channel, colors[pixel, channel]]
            square += (_srgb(value) - shown[channel, colors[pixel, channel]]) ** 2
        trust = max(0.0, 1 - square / numbers[4] ** 2)
        filled = numbers[5] * (texel_m[face] / depths[hit]) ** 2
        weight = cosine ** numbers[0] * min(1.0, filled) * worth[pixel] / 255
        weight *= trust * trust * _reaction(light) ** 2
        if cosine < numbers[1]:
            weight *= numbers[3]
        if weight <= 0:
            continue
        for k in range(4):
            row, column = texels[k, 0], texels[k, 1]
            stencil[row, column, 0] += weight * shares[k] * shares[k]
            for channel in range(3):
                right[row, column, channel] += weight * shares[k] * wanted[channel]
        stencil[top, left, 1] += weight * shares[0] * shares[1]
        stencil[top + 1, left, 1] += weight * shares[2] * shares[3]
        stencil[top, left + 1, 2] += weight * shares[1] * shares[2]
        stencil[top, left, 3] += weight * shares[0] * shares[2]
        stencil[top, left + 1, 3] += weight * shares[1] * shares[3]
        stencil[top, left, 4] += weight * shares[0] * shares[3]


@part
def _srgb(linear):
    if linear <= 0.0031308:
        return 12.92 * linear
    return 1.055 * linear ** (1 / 2.4) - 0.055


@part
def _reaction(linear):
    """Derivative of sRGB by linear light."""
    return 1.055 / 2.4 * max(linear, 0.002) ** (1 / 2.4 - 1)


@kernel
def _apply(stencil, mu, x, out):
    """(A + mu) x."""
    rows, columns = x.shape
    for row in range(rows):
        for column in range(columns):
            s = stencil[row, column]
            total = (s[0] + mu) * x[row, column]
            if column + 1 < columns:
                total += s[1] * x[row, column + 1]
            if column > 0:
                total += stencil[row, column - 1, 1] * x[row, column - 1]
            if row + 1 < rows:
                if column > 0:
                    total += s[2] * x[row + 1, column - 1]
                total += s[3] * x[row + 1, column]
                if column + 1 < columns:
                    total += s[4] * x[row + 1, column + 1]
            if row > 0:
                if column + 1 < columns:
                    total += stencil[row - 1, column + 1, 2] * x[row - 1, column + 1]
                total += stencil[row - 1, column, 3] * x[row - 1, column]
                if column > 0:
                    total += stencil[row - 1, column - 1, 4] * x[row - 1, column - 1]
            out[row, column] = total


@kernel
def _dot(a, b):
    total = 0.0
    for row in range(a.shape[0]):
        for column in range(a.shape[1]):
            total += np.float64(a[row, column]) * b[row, column]
    return total
