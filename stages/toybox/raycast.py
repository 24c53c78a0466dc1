"""Pictures of toys by ray casting: Open3D's Embree scene, shading in linear light.

One soft light fixed to the world: a hemisphere, brighter from above, and a wide key from the
upper front left. No highlights and no cast shadows, so that what a picture shows is color and
form. Background and edges are blended in linear light from 3x3 rays per pixel.
"""

import copy
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import catalog, shapes
from .casting import MISS, Caster
from .materials import grain, sheen
from .patterns import mask
from .props import Prop

SAMPLES = 3
"""Rays per pixel and axis."""

KEY_DIRECTION = np.array([0.42, 0.74, 0.53], dtype=np.float32)
SKY, GROUND, KEY = 0.56, 0.30, 0.52
"""Linear irradiance from straight above, from straight below, and of the key light."""


@dataclass(frozen=True, slots=True)
class View:
    """Where one picture is taken from."""

    azimuth_deg: float
    elevation_deg: float
    zoom: float = 1.0
    """Focal length in units of the full view's."""
    center: tuple[float, float] = (0.0, 0.0)
    """Middle of the picture in the full view, -1..1 to the right and up."""
    light: float = 1.0
    """Strength of the key light, relative."""


class Model:
    """One prop, ready to be seen: its ray-casting scene and its color tables."""

    def __init__(self, prop: Prop) -> None:
        self.shape = shapes.build(prop.kind, prop.shape_seed)
        self.caster = Caster(self.shape.vertices, self.shape.faces)
        self._paint(prop)

    def repainted(self, prop: Prop) -> "Model":
        """The same shape in the colors and the pattern of another prop of its kind."""
        assert prop.kind == self.prop.kind, (prop.kind, self.prop.kind)
        other = copy.copy(self)
        other._paint(prop)
        return other

    def _paint(self, prop: Prop) -> None:
        self.prop = prop
        names = self.shape.role_names
        table = linear(shapes.colors(prop.kind, prop.color, prop.part_color, names))
        for role, factor in shapes.SHADES.items():
            if role in names:
                table[names.index(role)] *= factor
        self.table = table.astype(np.float32)
        self.main = names.index("main")
        self.made = [k for k, name in enumerate(names) if name in ("main", "base", *shapes.SHADES)]
        pattern = catalog.LOOKS[prop.pattern_color or prop.color]
        self.pattern = linear(np.asarray(pattern, dtype=np.float32)).astype(np.float32)

    def picture(self, view: View, background: tuple[int, int, int]) -> NDArray[np.uint8]:
        """sRGB, (128, 128, 3)."""
        size = catalog.IMAGE_SIZE_PX
        back = linear(np.asarray(background, dtype=np.float32) / 255)
        origin, directions, pixels = _rays(view)
        image = np.tile(back, (size * size, 1)).astype(np.float32)
        seen, color, normal = self.surface(origin, directions)
        samples = np.tile(back, (len(directions), 1)).astype(np.float32)
        samples[seen] = color * irradiance(normal, view.light)[:, None]
        image[pixels] = samples.reshape(-1, SAMPLES * SAMPLES, 3).mean(axis=1)
        return np.rint(encoded(image) * 255).astype(np.uint8).reshape(size, size, 3)

    def coverage(self, view: View, size: int) -> NDArray[np.bool_]:
        """Which of size x size pixel centers of the full view show the toy."""
        origin, axes = _camera(view)
        line = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
        x, y = np.meshgrid(line, -line)
        directions = _directions(axes, x.ravel(), y.ravel())
        face, _, _ = self.caster.first(origin, directions)
        return (face != MISS).reshape(size, size)

    def surface(
        self, origin: NDArray[np.float32], directions: NDArray[np.float32]
    ) -> tuple[NDArray[np.intp], NDArray[np.float32], NDArray[np.float32]]:
        """Indices of the rays that hit; there, the linear colors without light, and the normals."""
        face, uv, _ = self.caster.first(origin, directions)
        seen = np.flatnonzero(face != MISS)
        face, uv = face[seen], uv[seen]
        corners = self.shape.faces[face]
        weights = np.stack([1 - uv[:, 0] - uv[:, 1], uv[:, 0], uv[:, 1]], axis=1)
        normal = np.einsum("nkc,nk->nc", self.shape.normals[corners], weights)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-20
        role = self.shape.roles[face]
        color = self.table[role]
        if self.prop.pattern != "none":
            on = np.flatnonzero(role == self.main)
            places = np.einsum("nkc,nk->nc", self.shape.rest[corners[on]], weights[on])
            on = on[mask(self.prop.kind, self.prop.pattern, places)]
            color[on] = self.pattern
        if self.prop.color in catalog.MATERIALS:
            on = np.flatnonzero(np.isin(role, self.made))
            if self.prop.color == "wooden":
                places = np.einsum("nkc,nk->nc", self.shape.rest[corners[on]], weights[on])
                color[on] *= grain(places)[:, None]
            else:
                color[on] *= sheen(normal[on])[:, None]
        return seen, color, normal


def irradiance(normal: NDArray[np.float32], light: float) -> NDArray[np.float32]:
    """Linear light on a surface; the key wraps around by half, so no side is black."""
    key = KEY_DIRECTION / np.linalg.norm(KEY_DIRECTION)
    wrapped = np.clip((normal @ key + 0.5) / 1.5, 0, 1)
    dome = GROUND + (SKY - GROUND) * (0.5 + 0.5 * normal[:, 1])
    return dome + light * KEY * wrapped


def linear(srgb: NDArray[np.float32]) -> NDArray[np.float32]:
    """sRGB to linear light."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def encoded(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Linear light to sRGB; what is brighter than white becomes white."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def _camera(view: View) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Position and the axes right, up, forward, as rows."""
    azimuth, elevation = math.radians(view.azimuth_deg), math.radians(view.elevation_deg)
    backward = np.array(
        [
            math.cos(elevation) * math.sin(azimuth),
            math.sin(elevation),
            math.cos(elevation) * math.cos(azimuth),
        ]
    )
    right = np.array([math.cos(azimuth), 0.0, -math.sin(azimuth)])
    up = np.cross(backward, right)
    axes = np.stack([right, up, -backward]).astype(np.float32)
    return (catalog.CAMERA_DISTANCE_M * backward).astype(np.float32), axes


def _directions(
    axes: NDArray[np.float32], x: NDArray[np.float32], y: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Rays through points of the full view's picture plane, -1..1."""
    half = np.float32(math.tan(math.radians(catalog.CAMERA_FOVY_DEG) / 2))
    return (half * x)[:, None] * axes[0] + (half * y)[:, None] * axes[1] + axes[2]


def _rays(
    view: View,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.intp]]:
    """Camera position, rays (pixel by pixel, 3x3 each), and the pixels that can see the toy.

    The toy's ball fills about half of the picture; rays outside it are not cast.
    """
    size = catalog.IMAGE_SIZE_PX
    origin, axes = _camera(view)
    line = ((np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1) / view.zoom
    x, y = np.meshgrid(view.center[0] + line, view.center[1] - line)
    sine = catalog.OBJECT_RADIUS_M / catalog.CAMERA_DISTANCE_M
    reach = math.tan(math.asin(sine)) / math.tan(math.radians(catalog.CAMERA_FOVY_DEG) / 2)
    pixels = np.flatnonzero(x.ravel() ** 2 + y.ravel() ** 2 < (reach + 0.02) ** 2)
    step = (np.arange(SAMPLES, dtype=np.float32) + 0.5) / SAMPLES - 0.5
    step *= 2 / size / view.zoom
    right, up = np.meshgrid(step, step)
    fine_x = (x.ravel()[pixels, None] + right.ravel()).ravel()
    fine_y = (y.ravel()[pixels, None] + up.ravel()).ravel()
    return origin, _directions(axes, fine_x, fine_y), pixels


def closer(model: Model, view: View, zoom: float, label: int) -> View:
    """A close-up whose window is filled by the toy for the most part.

    Windows are tried on a coarse mask: one of the fullest sixth is taken, by `label`.
    """
    size = 48
    mask = model.coverage(view, size)
    width = round(size / zoom)
    total = np.pad(mask.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    full = total[width:, width:] - total[:-width, width:] - total[width:, :-width]
    full = full + total[:-width, :-width]
    order = np.argsort(-full, axis=None, kind="stable")
    enough = max(len(order) // 6, 1)
    enough = max(int((full.ravel()[order[:enough]] >= 0.6 * full.max()).sum()), 1)
    row, column = divmod(int(order[label % enough]), full.shape[1])
    x = (column + width / 2) / size * 2 - 1
    y = 1 - (row + width / 2) / size * 2
    return View(view.azimuth_deg, view.elevation_deg, zoom, (round(x, 4), round(y, 4)), view.light)
