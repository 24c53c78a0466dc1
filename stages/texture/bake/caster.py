"""Rays from cameras to the mesh and back, through Open3D's Embree scene, which is built once."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from ...geometry.components import Surface
from ...geometry.open3d_module import open3d
from ...geometry.rays import Hits


@dataclass(frozen=True, slots=True)
class Eye:
    """A pinhole camera."""

    world_to_camera: Float[np.ndarray, "4 4"]
    """OpenCV: x right, y down, z forward."""
    focal_px: tuple[float, float]
    center_px: tuple[float, float]
    width_px: int
    height_px: int

    @property
    def position(self) -> Float[np.ndarray, "3"]:
        return -self.world_to_camera[:3, :3].T @ self.world_to_camera[:3, 3]


@dataclass(frozen=True, slots=True)
class Met:
    """What the rays through pixel centres meet, those that meet anything."""

    pixels: Int[np.ndarray, " hit"]
    """row · width + column."""
    faces: Int[np.ndarray, " hit"]
    barycentrics: Float32[np.ndarray, "hit 3"]
    cosines: Float32[np.ndarray, " hit"]
    """Between the face's own normal and the way back; negative from behind."""
    depths: Float32[np.ndarray, " hit"]
    """View-space z."""


class Caster:
    """Embree counts in float32, so everything is moved near the surface's middle first."""

    def __init__(self, surface: Surface, threads: int) -> None:
        self._core = open3d().core
        self._threads = threads
        self._center = surface.positions.mean(axis=0, dtype=np.float64)
        self._scene = open3d().t.geometry.RaycastingScene(nthreads=threads)
        self._scene.add_triangles(
            self._core.Tensor((surface.positions - self._center).astype(np.float32)),
            self._core.Tensor(np.ascontiguousarray(surface.faces, np.uint32)),
        )

    def free(
        self,
        points: Float32[np.ndarray, "point 3"],
        eye: Float[np.ndarray, "3"],
        tolerance_m: float,
    ) -> Bool[np.ndarray, " point"]:
        """Whether nothing lies between points and eye, but for the first `tolerance_m`."""
        if not len(points):
            return np.zeros(0, bool)
        ways = (eye - self._center) - (points - self._center)
        length = np.linalg.norm(ways, axis=1, keepdims=True)
        share = np.minimum(tolerance_m / np.maximum(length, 1e-30), 1)
        rays = np.empty((len(points), 6), np.float32)
        rays[:, :3] = (points - self._center) + share * ways
        rays[:, 3:] = (1 - share) * ways
        hidden = self._scene.test_occlusions(
            self._core.Tensor(rays), tnear=0.0, tfar=1.0, nthreads=self._threads
        )
        return ~hidden.numpy()

    def along(
        self, points: Float32[np.ndarray, "point 3"], ways: Float32[np.ndarray, "point 3"]
    ) -> Hits:
        """What points meet first along unit ways."""
        rays = np.concatenate([points - self._center, ways], axis=1).astype(np.float32)
        found = self._scene.cast_rays(self._core.Tensor(rays), nthreads=self._threads)
        distance = found["t_hit"].numpy()
        met = np.isfinite(distance)
        faces = np.where(met, found["primitive_ids"].numpy(), 0).astype(np.int64)
        return Hits(distance, faces, _three(found["primitive_uvs"].numpy()))

    def nearest(self, points: Float32[np.ndarray, "point 3"]) -> Hits:
        """The places of the surface that are nearest to points."""
        near = self._core.Tensor((points - self._center).astype(np.float32))
        found = self._scene.compute_closest_points(near, nthreads=self._threads)
        distance = np.linalg.norm(found["points"].numpy() - near.numpy(), axis=1)
        faces = found["primitive_ids"].numpy().astype(np.int64)
        return Hits(distance, faces, _three(found["primitive_uvs"].numpy()))

    def depths(self, eye: Eye) -> Float32[np.ndarray, "height width"]:
        """View-space z at pixel centres; inf beside the mesh."""
        rays = self._rays(eye, 0, eye.height_px)
        found = self._scene.cast_rays(self._core.Tensor(rays), nthreads=self._threads)
        return found["t_hit"].numpy().reshape(eye.height_px, eye.width_px)

    def met(self, eye: Eye, first_row: int, last_row: int) -> Met:
        """Hits of the pixels of some rows."""
        rays = self._rays(eye, first_row, last_row)
        found = self._scene.cast_rays(self._core.Tensor(rays), nthreads=self._threads)
        depths = found["t_hit"].numpy()
        hit = np.flatnonzero(np.isfinite(depths))
        normals, ways = found["primitive_normals"].numpy()[hit], rays[hit, 3:]
        lengths = np.linalg.norm(normals, axis=1) * np.linalg.norm(ways, axis=1)
        along = np.einsum("hx,hx->h", normals, ways)
        return Met(
            pixels=hit + first_row * eye.width_px,
            faces=found["primitive_ids"].numpy()[hit].astype(np.int64),
            barycentrics=_three(found["primitive_uvs"].numpy()[hit]),
            cosines=-along / np.maximum(lengths, np.float32(1e-30)),
            depths=depths[hit],
        )

    def _rays(self, eye: Eye, first: int, last: int) -> Float32[np.ndarray, "ray 6"]:
        """Origins and directions with z = 1 in the camera, so that the ray's parameter is depth."""
        pose = eye.world_to_camera
        columns, rows = np.meshgrid(np.arange(eye.width_px) + 0.5, np.arange(first, last) + 0.5)
        x = (columns - eye.center_px[0]) / eye.focal_px[0]
        y = (rows - eye.center_px[1]) / eye.focal_px[1]
        local = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3)
        rays = np.empty((len(local), 6), np.float32)
        rays[:, :3] = eye.position - self._center
        rays[:, 3:] = local @ pose[:3, :3]
        return rays


def _three(
    second_third: Float32[np.ndarray, "hit 2"],
) -> Float32[np.ndarray, "hit 3"]:
    """All three barycentrics."""
    first = 1 - second_third.sum(axis=1, keepdims=True)
    return np.concatenate([first, second_third], axis=1)
