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

from ...renderers.cpu.compiled import kernel
from ..geometry.concurrency import in_order
from .looking import Look

CHUNK = 1 << 18
"""Places per piece of work."""
NEAREST_M = 1e-6


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
            _fuse(
                np.ascontiguousarray(points[part], np.float64),
                np.ascontiguousarray(truncations[part], np.float64), self._depths, self._starts,
                self._shapes, self._cameras, self._carve, means[part], counts[part],
            )  # fmt: skip

        for _ in in_order(work, range(0, len(points), CHUNK), threads=threads):
            pass
        return means, counts


@kernel
def _fuse(points, truncations, depths, starts, shapes, cameras, carve, means, counts):
    for p in range(len(points)):
        x, y, z = points[p, 0], points[p, 1], points[p, 2]
        limit = truncations[p]
        total, count = 0.0, 0
        for c in range(len(cameras)):
            row = cameras[c]
            deep = row[6] * x + row[7] * y + row[8] * z + row[11]
            if deep <= NEAREST_M:
                continue
            u = row[12] * (row[0] * x + row[1] * y + row[2] * z + row[9]) / deep + row[14]
            v = row[13] * (row[3] * x + row[4] * y + row[5] * z + row[10]) / deep + row[15]
            height, width = shapes[c, 0], shapes[c, 1]
            if not (u >= 0 and v >= 0 and u < width and v < height):
                continue
            start = starts[c]
            found = depths[start + int(v) * width + int(u)]
            if found <= 0:
                if carve and found == 0:
                    total += 1.0
                    count += 1
                continue
            left = min(max(int(np.floor(u - 0.5)), 0), width - 2)
            top = min(max(int(np.floor(v - 0.5)), 0), height - 2)
            if width > 1 and height > 1:
                at = start + top * width + left
                a, b = depths[at], depths[at + 1]
                d, e = depths[at + width], depths[at + width + 1]
                low, high = min(min(a, b), min(d, e)), max(max(a, b), max(d, e))
                if low > 0 and high - low < limit:
                    fx = min(max(u - 0.5 - left, 0.0), 1.0)
                    fy = min(max(v - 0.5 - top, 0.0), 1.0)
                    found = (a * (1 - fx) + b * fx) * (1 - fy) + (d * (1 - fx) + e * fx) * fy
            away = (found - deep) / limit
            if away < -1:
                continue
            total += min(away, 1.0)
            count += 1
        if count > 0:
            means[p] = total / count
        counts[p] = count
