"""What is seen of a model from twelve sides: one ray through the centre of every pixel.

The cameras stand on a Fibonacci sphere around the middle of the original's bounding box, so far
away that its bounding sphere fits. Both sides of every face are seen; what is cut out is looked
through. Agreement with `renderers/meshes.py` is held by a test.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from splatworks.renderers.open3d_import import open3d
from splatworks.stages.geometry.likeness import around

from .model import Model
from .shading import Paint, lookup, paint, srgb

COUNT = 12
SIZE_PX = 512
LAYERS = 12
"""Rays that have passed so many cut-outs see nothing."""


@dataclass(frozen=True)
class Hits:
    """Where rays met a surface, flat."""

    face: np.ndarray
    weights: np.ndarray
    position: np.ndarray
    pixel_m: np.ndarray
    """Size of a pixel at that depth."""


Colors = Callable[[Hits], np.ndarray]
"""(hit, 4): linear color, and 1 or 0 for there or cut out."""


@dataclass(frozen=True)
class View:
    """One picture. Nothing is blended over any background."""

    rgb: np.ndarray
    """(height, width, 3), sRGB, 0 where nothing is seen."""
    mask: np.ndarray
    normal: np.ndarray
    """Of the face, turned to the camera; 0 where nothing is seen."""
    depth: np.ndarray
    """Along the view in metres; infinity where nothing is seen."""
    pixels_per_m: float
    """At the depth of the object's middle."""


class Surface:
    """A model with its ray casting scene and its paint."""

    def __init__(self, model: Model) -> None:
        self.model = model
        o3d = open3d()
        self.scene = o3d.t.geometry.RaycastingScene(nthreads=1)
        self.scene.add_triangles(
            o3d.core.Tensor(np.ascontiguousarray(model.positions, np.float32)),
            o3d.core.Tensor(np.ascontiguousarray(model.faces, np.uint32)),
        )
        self.paint: Paint = paint(model)

    def own_colors(self, hits: Hits) -> np.ndarray:
        return lookup(self.paint, hits.face, hits.weights, hits.pixel_m)

    def nearest_colors(self, hits: Hits) -> np.ndarray:
        """Colors of this surface at the points closest to those of another one."""
        points = open3d().core.Tensor(np.ascontiguousarray(hits.position, np.float32))
        found = self.scene.compute_closest_points(points, nthreads=1)
        face = found["primitive_ids"].numpy().astype(np.int64)
        return lookup(self.paint, face, _three(found["primitive_uvs"].numpy()), hits.pixel_m)

    def distance(self, points: np.ndarray) -> np.ndarray:
        tensor = open3d().core.Tensor(np.ascontiguousarray(points, np.float32))
        return self.scene.compute_distance(tensor, nthreads=1).numpy().astype(np.float64)


@dataclass(frozen=True)
class Stand:
    """Where the cameras of one original stand."""

    center: np.ndarray
    radius_m: float
    size_px: int = SIZE_PX

    @cached_property
    def bundles(self) -> tuple["Bundle", ...]:
        """One per camera."""
        cameras = around(directions(), self.radius_m, self.size_px)
        focal = float(cameras.focal_px[0, 0])
        across = (np.arange(self.size_px) + 0.5 - self.size_px / 2) / focal
        x, y = np.meshgrid(across, across)
        straight = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3)
        return tuple(
            Bundle(
                self.center - pose[:3, :3].T @ pose[:3, 3],
                (straight @ pose[:3, :3]).astype(np.float32),
                focal,
            )
            for pose in cameras.world_to_camera.double().numpy()
        )


def stand(model: Model, size_px: int = SIZE_PX) -> Stand:
    used = model.positions[model.faces.ravel()]
    center = (used.min(axis=0) + used.max(axis=0)) / 2
    return Stand(center, float(np.linalg.norm(used - center, axis=1).max()), size_px)


def directions() -> list[tuple[float, float]]:
    """(azimuth, elevation) in degrees of each camera."""
    golden = 180 * (3 - math.sqrt(5))
    heights = [1 - (2 * k + 1) / COUNT for k in range(COUNT)]
    return [(k * golden % 360, math.degrees(math.asin(h))) for k, h in enumerate(heights)]


def look(surface: Surface, place: Stand, colors: Colors, has_holes: bool) -> list[View]:
    """All views."""
    return [_look(surface, bundle, place, colors, has_holes) for bundle in place.bundles]


@dataclass(frozen=True)
class Bundle:
    """The rays of one camera."""

    origin: np.ndarray
    away: np.ndarray
    """(ray, 3), float32, of length 1 along the view: the parameter of a hit is its depth."""
    focal_px: float


def _look(surface: Surface, bundle: Bundle, place: Stand, colors: Colors, has_holes: bool) -> View:
    size = place.size_px
    rgb = np.zeros((size * size, 3), np.float32)
    normal = np.zeros((size * size, 3), np.float32)
    depth = np.full(size * size, np.inf, np.float32)
    waiting, start = np.arange(size * size), np.zeros(size * size, np.float32)
    for _ in range(LAYERS if has_holes else 1):
        hits, far, normals, seen = _cast(surface, bundle, waiting, start)
        waiting = waiting[seen]
        found = colors(hits)
        there = found[:, 3] > 0
        rgb[waiting[there]] = srgb(found[there, :3].clip(0, 1))
        normal[waiting[there]] = normals[there]
        depth[waiting[there]] = far[there]
        # Past the cut-out by a millionth of the scene: less and the same face is met again.
        waiting, start = waiting[~there], far[~there] + np.float32(2e-6 * place.radius_m)
        if not len(waiting):
            break
    return View(
        rgb.reshape(size, size, 3),
        np.isfinite(depth).reshape(size, size),
        normal.reshape(size, size, 3),
        depth.reshape(size, size),
        bundle.focal_px / float(np.linalg.norm(bundle.origin - place.center)),
    )


def _cast(surface: Surface, bundle: Bundle, chosen: np.ndarray, start: np.ndarray):
    """Hits, their depths and normals (only of the rays that hit), and which rays those are."""
    away = bundle.away if len(chosen) == len(bundle.away) else bundle.away[chosen]
    rays = np.empty((len(away), 6), np.float32)
    rays[:, :3] = bundle.origin
    if start.any():
        rays[:, :3] += away * start[:, None]
    rays[:, 3:] = away
    found = surface.scene.cast_rays(open3d().core.Tensor(rays), nthreads=1)
    reached = found["t_hit"].numpy()
    seen = np.flatnonzero(np.isfinite(reached))
    far, away = reached[seen] + start[seen], away[seen]
    normals = found["primitive_normals"].numpy()[seen]
    length = np.linalg.norm(normals, axis=1) * -np.sign(np.einsum("ij,ij->i", normals, away))
    normals = normals / np.where(length == 0, 1, length)[:, None]
    hits = Hits(
        face=found["primitive_ids"].numpy()[seen].astype(np.int64),
        weights=_three(found["primitive_uvs"].numpy()[seen]),
        position=bundle.origin.astype(np.float32) + away * far[:, None],
        pixel_m=far / bundle.focal_px,
    )
    return hits, far, normals, seen


def _three(second_third: np.ndarray) -> np.ndarray:
    return np.concatenate([1 - second_third.sum(axis=1, keepdims=True), second_third], axis=1)
