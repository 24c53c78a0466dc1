"""What color a textured mesh has at the place nearest to a point: a source for the baker."""

import numpy as np
from jaxtyping import Bool, Float, Float32

from ...renderers.meshes import sample
from ..formats.gltf import Mesh
from ..geometry.components import Surface, face_areas
from ..geometry.open3d_module import open3d

Points = Float32[np.ndarray, "point 3"]
RAY_REACH = 0.05
"""How far along the normal the right side of a thin wall is looked for, in radii."""


class TexturedSurface:
    """A mesh ready for many lookups."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        center = (mesh.positions.min(axis=0) + mesh.positions.max(axis=0)) / 2
        self.radius_m = float(np.linalg.norm(mesh.positions - center, axis=1).max())
        corners = mesh.positions[mesh.faces].astype(np.float64)
        crosses = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        length = np.linalg.norm(crosses, axis=1, keepdims=True)
        self._face_normals = crosses / np.where(length > 0, length, 1)
        self._scene = _scene(mesh.positions, mesh.faces)
        self._pyramid = [] if mesh.base_color is None else [_unit_range(mesh.base_color)]

    def colors(
        self, positions: Points, normals: Points, *, texture_px: int
    ) -> tuple[Float32[np.ndarray, "point 3"], Bool[np.ndarray, " point"]]:
        """Color at the nearest point of the surface that faces the same way; all valid.

        From the texture (sRGB), averaged down to about `texture_px` first so that a smaller
        target does not alias; without a texture, from the vertex colors (linear).
        """
        faces, barycentrics = self.nearest(positions, normals)
        corners = self.mesh.faces[faces]
        valid = np.ones(len(positions), bool)
        if self._pyramid:
            assert self.mesh.uvs is not None
            uvs = np.einsum("pk,pkc->pc", barycentrics, self.mesh.uvs[corners])
            return sample(self._texture(texture_px), uvs).astype(np.float32), valid
        assert self.mesh.colors is not None
        blended = np.einsum("pk,pkc->pc", barycentrics, self.mesh.colors[corners])
        return blended.astype(np.float32), valid

    def nearest(
        self, positions: Points, normals: Points
    ) -> tuple[np.ndarray, Float[np.ndarray, "point 3"]]:
        """Face and barycentrics of the closest point.

        Where that lies on the far side of a thin wall (its face looks away), the surface hit
        along the normal, forth or back, is taken instead if it looks the same way.
        """
        tensor = open3d().core.Tensor
        found = self._scene.compute_closest_points(tensor(np.ascontiguousarray(positions)))
        faces = found["primitive_ids"].numpy().astype(np.int64)
        second_third = found["primitive_uvs"].numpy().astype(np.float64)
        wrong = np.flatnonzero((self._face_normals[faces] * normals).sum(axis=1) < 0)
        best = np.full(len(wrong), RAY_REACH * self.radius_m)
        for sign in (1.0, -1.0) if len(wrong) else ():
            rays = np.concatenate([positions[wrong], sign * normals[wrong]], axis=1)
            hits = self._scene.cast_rays(tensor(np.ascontiguousarray(rays, np.float32)))
            distance = hits["t_hit"].numpy()
            hit_faces = hits["primitive_ids"].numpy().astype(np.int64)
            closer = np.flatnonzero(distance < best)
            agree = (self._face_normals[hit_faces[closer]] * normals[wrong[closer]]).sum(axis=1) > 0
            closer = closer[agree]
            best[closer] = distance[closer]
            faces[wrong[closer]] = hit_faces[closer]
            second_third[wrong[closer]] = hits["primitive_uvs"].numpy()[closer]
        first = 1 - second_third.sum(axis=1, keepdims=True)
        return faces, np.concatenate([first, second_third], axis=1)

    def distance_to(self, other: Surface) -> tuple[float, float]:
        """Mean (by area) and largest distance from this mesh to `other`, in metres.

        Measured at the corners and the middles of this mesh's faces.
        """
        corners = self.mesh.positions[self.mesh.faces]
        points = np.concatenate([corners, corners.mean(axis=1, keepdims=True)], axis=1)
        points = np.ascontiguousarray(points.reshape(-1, 3), np.float32)
        target = _scene(other.positions, other.faces)
        distance = target.compute_distance(open3d().core.Tensor(points)).numpy().reshape(-1, 4)
        areas = face_areas(Surface(self.mesh.positions, self.mesh.faces))
        # Quadrature over a triangle: 1/12 for each corner, 3/4 for the middle.
        mean = (distance @ np.array([1, 1, 1, 9]) / 12 * areas).sum() / max(areas.sum(), 1e-300)
        return float(mean), float(distance.max())

    def _texture(self, size_px: int) -> Float32[np.ndarray, "height width 3"]:
        """The texture, halved while it is at least twice as large as asked."""
        level = 0
        while max(self._pyramid[level].shape[:2]) >= 2 * max(size_px, 1):
            if min(self._pyramid[level].shape[:2]) < 2:
                break
            if level + 1 == len(self._pyramid):
                self._pyramid.append(_halved(self._pyramid[level]))
            level += 1
        return self._pyramid[level]


def _scene(positions: np.ndarray, faces: np.ndarray):
    o3d = open3d()
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(
        o3d.core.Tensor(np.ascontiguousarray(positions, np.float32)),
        o3d.core.Tensor(np.ascontiguousarray(faces, np.uint32)),
    )
    return scene


def _unit_range(pixels: np.ndarray) -> Float32[np.ndarray, "height width 3"]:
    return pixels[..., :3].astype(np.float32) / np.float32(255)


def _halved(picture: np.ndarray) -> np.ndarray:
    """Means over blocks of 2 x 2; an odd last row or column is dropped."""
    rows, columns = (side // 2 for side in picture.shape[:2])
    even = picture[: 2 * rows, : 2 * columns]
    return even.reshape(rows, 2, columns, 2, -1).mean(axis=(1, 3))
