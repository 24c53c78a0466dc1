"""What a fitted field is good for: pictures, meshes, and a source for the baker."""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float32, Int

from ..geometry.bake import Source
from ..geometry.components import Surface, canonical
from ..geometry.isosurface import isosurface
from .field import Field

CHUNK = 1 << 16
"""Points that are evaluated together: their features stay in the cache."""


def values(
    field: Field, points: Float32[np.ndarray, "point dim"]
) -> Float32[np.ndarray, "point channel"]:
    """The field at many points, piece by piece."""
    out = np.empty((len(points), field.settings.channels), np.float32)
    with torch.no_grad():
        for first in range(0, len(points), CHUNK):
            piece = torch.from_numpy(np.ascontiguousarray(points[first : first + CHUNK]))
            out[first : first + CHUNK] = field(piece).numpy()
    return out


def pixel_points(width: int, height: int, first: int, last: int) -> Float32[np.ndarray, "pixel 2"]:
    """Centers of the pixels first..last, counted row by row, in units of the longer side."""
    number = np.arange(first, last)
    places = np.stack([number % width, number // width], axis=1) + 0.5
    return (places / max(width, height)).astype(np.float32)


def rows(
    field: Field, width: int, height: int
) -> Iterator[Float32[np.ndarray, "row width channel"]]:
    """The picture that an image field holds, some rows at a time from the top."""
    step = max(1, 4 * CHUNK // width)
    for top in range(0, height, step):
        bottom = min(top + step, height)
        found = values(field, pixel_points(width, height, top * width, bottom * width))
        yield found.reshape(bottom - top, width, -1)


def mesh(field: Field, resolution: int) -> Surface:
    """The zero surface of a distance or occupancy, counter-clockwise from outside, in canonical
    order. An occupancy, which does not say how far the surface is, is asked at every voxel.

    Args:
        resolution: Voxels along the side of the field's cube.
    """
    low, side = np.array(field.settings.low, np.float32), field.settings.side

    def ask(unit: Float32[np.ndarray, "point 3"]) -> Float32[np.ndarray, " point"]:
        return values(field, unit * np.float32(side) + low)[:, 0]

    if field.settings.kind == "occupancy":
        found = isosurface(lambda unit: -ask(unit), resolution, everywhere=True)
    else:
        found = isosurface(lambda unit: ask(unit) / np.float32(side), resolution)
    return canonical(Surface(found.positions * np.float32(side) + low, found.faces))


def source(field: Field) -> Source:
    """A texture field as what the baker asks: values at surface points, all of them valid."""

    def ask(
        positions: Float32[np.ndarray, "point 3"],
        normals: Float32[np.ndarray, "point 3"],
        faces: Int[np.ndarray, " point"],
    ) -> tuple[np.ndarray, np.ndarray]:
        return values(field, positions), np.ones(len(positions), bool)

    return ask
