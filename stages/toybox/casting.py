"""The first triangle along a ray: Open3D's Embree scene on one thread."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...renderers.open3d_import import open3d

MISS = np.uint32(0xFFFFFFFF)
"""The face index of a ray that hits nothing."""


class Caster:
    """Triangles that rays can be cast at."""

    def __init__(self, vertices: NDArray[np.float32], faces: NDArray[np.uint32]) -> None:
        self._tensor: Any = open3d().core.Tensor
        self._scene: Any = open3d().t.geometry.RaycastingScene(nthreads=1)
        self._scene.add_triangles(self._tensor(vertices), self._tensor(faces))

    def first(
        self, origins: NDArray[np.float32], directions: NDArray[np.float32]
    ) -> tuple[NDArray[np.uint32], NDArray[np.float32], NDArray[np.float32]]:
        """Face index (or `MISS`), barycentric (u, v) and distance per ray.

        The point hit is `(1 - u - v) a + u b + v c` for the face's corners a, b, c.

        Args:
            origins: One for all rays, or one per ray.
        """
        rays = np.empty((len(directions), 6), dtype=np.float32)
        rays[:, :3] = origins
        rays[:, 3:] = directions
        hits = self._scene.cast_rays(self._tensor(rays), nthreads=1)
        return (
            hits["primitive_ids"].numpy(),
            hits["primitive_uvs"].numpy(),
            hits["t_hit"].numpy(),
        )
