"""Which Gaussian enters which pixel with what weight: the blending as a sparse matrix.

Where geometry and opacity are frozen, a picture is linear in the colors: C = W c, with W fixed for
each camera. Whoever optimizes colors alone computes W once and needs no rasterizer in the loop.
The arithmetic is that of `blend.py`, in float64, Gaussian by Gaussian from front to back.
"""

import math

import numpy as np
import torch
from scipy import sparse

from ..scene import Cameras, Gaussians
from .autograd import Project
from .bins import BOX, FIELDS
from .compiled import kernel
from .renderer import _as_float32, _records

ALPHA_MIN, ALPHA_MAX, T_MIN = 1 / 255, 0.999, 1e-4


@kernel
def trace(order, xy, conics, opacities, halves, width, height, starts, pixels, weights):
    """Count (into `starts`, shifted by one) or, where `pixels` has room, also list all entries."""
    transmittance = np.ones(width * height)
    listing = len(pixels) > 0
    for g in order:
        x, y = xy[g, 0], xy[g, 1]
        a, b, c, opacity = conics[g, 0], conics[g, 1], conics[g, 2], opacities[g]
        left = max(0, math.ceil(x - halves[g, 0] - 0.5))
        right = min(width - 1, math.floor(x + halves[g, 0] - 0.5))
        top = max(0, math.ceil(y - halves[g, 1] - 0.5))
        bottom = min(height - 1, math.floor(y + halves[g, 1] - 0.5))
        count = 0
        for row in range(top, bottom + 1):
            dy = row + 0.5 - y
            for column in range(left, right + 1):
                pixel = row * width + column
                t = transmittance[pixel]
                if t <= 0:  # Blending has ended here.
                    continue
                dx = column + 0.5 - x
                sigma = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
                alpha = min(ALPHA_MAX, opacity * math.exp(-sigma))
                if alpha < ALPHA_MIN:
                    continue
                if t * (1 - alpha) <= T_MIN:
                    transmittance[pixel] = 0
                    continue
                if listing:
                    pixels[starts[g] + count] = pixel
                    weights[starts[g] + count] = t * alpha
                transmittance[pixel] = t * (1 - alpha)
                count += 1
        if not listing:
            starts[g + 1] = count


def contributions(scene: Gaussians, cameras: Cameras) -> list[sparse.csc_array]:
    """Per camera, the weight of every Gaussian (column) in every pixel (row by row)."""
    scene = _as_float32(scene)
    size = (cameras.width_px, cameras.height_px)
    with torch.no_grad():
        xy, conics, _, depths, radii, records = Project.apply(
            scene.means, scene.quaternions, scene.scales, scene.opacities, scene.sh,
            _records(cameras), size, 1,
        )  # fmt: skip
    halves = records.unflatten(1, (-1, FIELDS))[..., BOX : BOX + 2]
    opacities = scene.opacities.numpy()
    return [
        _matrix(*(part[k].numpy() for part in (xy, conics, depths, halves, radii)), opacities, size)
        for k in range(len(cameras.world_to_camera))
    ]


def _matrix(xy, conics, depths, halves, radii, opacities, size) -> sparse.csc_array:
    (width, height), count = size, len(radii)
    drawn = np.flatnonzero(radii > 0)
    order = drawn[np.argsort(depths[drawn], kind="stable")]
    starts = np.zeros(count + 1, np.int64)
    nothing = np.empty(0, np.int32), np.empty(0, np.float32)
    trace(order, xy, conics, opacities, halves, width, height, starts, *nothing)
    starts = np.cumsum(starts)
    pixels, weights = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.float32)
    if len(pixels):
        trace(order, xy, conics, opacities, halves, width, height, starts, pixels, weights)
    return sparse.csc_array((weights, pixels, starts), shape=(width * height, count))
