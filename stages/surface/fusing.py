"""Signed distance at any places, from depth maps (Curless and Levoy 1996).

Per view the distance is measured along the optical axis, D(u, v) - z, and cut off at the
truncation; what lies deeper behind the surface than that is not seen by the view. The result is the
mean over the views that measure, so that noise averages out. Background (depth 0) counts as
far away where it is asked to: rays that pass by carve. Where depth is negative, a view
does not measure.

D is interpolated between the four pixels around where all of them belong to one surface, which
keeps half-pixel steps out; else it is that of the nearest.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from ..geometry.concurrency import in_order
from . import kernels
from .looking import Look

CHUNK = 1 << 18
"""Places per piece of work."""


class DepthMaps:
    """The maps of all views, ready for lookups."""

    def __init__(self, looks: Sequence[Look], *, carve: bool) -> None:
        self._depths = np.concatenate([seen.depth.reshape(-1) for seen in looks])
        sizes = [seen.depth.size for seen in looks]
        self._starts = np.cumsum([0, *sizes[:-1]]).astype(np.int64)
        self._shapes = np.array([seen.depth.shape for seen in looks], np.int64)
        rows = []
        for seen in looks:
            camera = seen.camera
            pose = camera.world_to_camera[0].double().numpy()
            lens = [*camera.focal_px[0].tolist(), *camera.center_px[0].tolist()]
            rows.append([*pose[:3, :3].ravel(), *pose[:3, 3], *lens])
        self._cameras = np.array(rows)
        self._carve = carve

    def distances(
        self,
        points: Float[np.ndarray, "point 3"],
        truncations: Float[np.ndarray, " point"],
        *,
        threads: int,
    ) -> tuple[Float[np.ndarray, " point"], Int[np.ndarray, " point"]]:
        """Mean distance in truncations (1 free, -1 solid), and how many views measured it; 0 where
        none did."""
        means = np.zeros(len(points), np.float32)
        counts = np.zeros(len(points), np.int32)

        def work(start: int) -> None:
            part = slice(start, start + CHUNK)
            kernels.fuse(
                np.ascontiguousarray(points[part], np.float64),
                np.ascontiguousarray(truncations[part], np.float64), self._depths, self._starts,
                self._shapes, self._cameras, self._carve, means[part], counts[part],
            )  # fmt: skip

        for _ in in_order(work, range(0, len(points), CHUNK), threads=threads):
            pass
        return means, counts

    def witnesses(
        self, points: Float[np.ndarray, "point 3"], tolerance: float, *, threads: int
    ) -> tuple[Int[np.ndarray, " point"], Int[np.ndarray, " point"]]:
        """How many views see each place, within `tolerance` of its depth there, and how many look
        through it (`witness.py`)."""
        seen = np.zeros(len(points), np.int32)
        through = np.zeros(len(points), np.int32)

        def work(start: int) -> None:
            part = slice(start, start + CHUNK)
            kernels.witness(
                np.ascontiguousarray(points[part], np.float64), tolerance, self._depths,
                self._starts, self._shapes, self._cameras, seen[part], through[part],
            )  # fmt: skip

        for _ in in_order(work, range(0, len(points), CHUNK), threads=threads):
            pass
        return seen, through
