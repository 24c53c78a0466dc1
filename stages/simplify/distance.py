"""How far a surface is from its simplified versions."""

import numpy as np

from ..geometry.components import Surface, face_areas
from ..geometry.open3d_module import open3d


class Distances:
    """From one surface, measured at the corners and the middles of its faces."""

    def __init__(self, surface: Surface) -> None:
        corners = surface.positions[surface.faces]
        points = np.concatenate([corners, corners.mean(axis=1, keepdims=True)], axis=1)
        self._points = np.ascontiguousarray(points.reshape(-1, 3), np.float32)
        self._areas = face_areas(surface)

    def to(self, other: Surface) -> tuple[float, float]:
        """Mean (by area) and largest distance to `other`, in metres."""
        o3d = open3d()
        scene = o3d.t.geometry.RaycastingScene()
        scene.add_triangles(
            o3d.core.Tensor(np.ascontiguousarray(other.positions, np.float32)),
            o3d.core.Tensor(np.ascontiguousarray(other.faces, np.uint32)),
        )
        distance = scene.compute_distance(o3d.core.Tensor(self._points)).numpy().reshape(-1, 4)
        # Quadrature over a triangle: 1/12 for each corner, 3/4 for the middle.
        weighted = distance @ np.array([1, 1, 1, 9]) / 12 * self._areas
        return float(weighted.sum() / max(self._areas.sum(), 1e-300)), float(distance.max())
