"""Depth maps that lie on the surface rather than on the outermost Gaussians.

The median Gaussian is one of the first that a ray meets, and noise spreads the Gaussians of a
surface over a layer: their depth is biased towards the camera. Here each pixel's ray is cut with
the plane through its point on the ridge (`points.py`).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from ..geometry.concurrency import in_order
from .density import Density
from .fusing import DepthMaps
from .looking import Look, rays
from .points import density_for, of_view
from .task import Task

UNKNOWN = -1.0
GRAZING = 0.3
"""Cosine between ray and normal below which the plane says nothing about the ray."""
FARTHEST = 3.0
"""A depth is moved by at most so many radii of the hit Gaussian."""

ROUGH_VIEWS = 2
"""Fewer views with median depth are not believed: each leaves a fringe at its silhouettes."""


class Fused:
    """Signed distance fused from all views' depths, as the settings say.

    Rough maps (median depth) answer only where the fine ones (on the ridge) say nothing, as where
    all views graze or the Gaussians have no clear direction.
    """

    def __init__(self, task: Task) -> None:
        self.fine = task.looks if task.config.depth == "median" else refined(task)
        carve = task.region.is_object
        self._threads = task.ctx.threads
        self._maps = [DepthMaps(self.fine, carve=carve)]
        if task.config.depth != "median":
            self._maps.append(DepthMaps(task.looks, carve=carve))

    def distances(
        self, points: Float[np.ndarray, "point 3"], truncations: Float[np.ndarray, " point"]
    ) -> tuple[Float[np.ndarray, " point"], Int[np.ndarray, " point"]]:
        """As `DepthMaps.distances`."""
        values, counts = self._maps[0].distances(points, truncations, threads=self._threads)
        for rough in self._maps[1:]:
            open_ = np.flatnonzero(counts == 0)
            value, count = rough.distances(points[open_], truncations[open_], threads=self._threads)
            agreed = count >= ROUGH_VIEWS
            values[open_] = np.where(agreed, value, 0)
            counts[open_] = np.where(agreed, count, 0)
        return values, counts


def refined(task: Task) -> Sequence[Look]:
    """What the views see, with depths on the ridge."""
    density = density_for(task, "ridge")

    def one(seen: Look) -> Look:
        return on_ridge(density, seen, task)

    found = []
    with task.ctx.progress("depths on the ridge", len(task.looks)) as bar:
        for seen in in_order(one, task.looks, threads=task.ctx.threads):
            found.append(seen)
            bar.advance()
    return found


def on_ridge(density: Density, seen: Look, task: Task) -> Look:
    """One view; negative where the surface is not known: something else than background."""
    covered = seen.hit >= 0
    points, there = of_view(density, seen, covered, task.config.sampling, "ridge")
    lines = rays(seen.camera, covered)
    directions = lines.directions[there]
    facing = -(points.normals * directions).sum(axis=1)
    z = ((lines.origin - points.positions) * points.normals).sum(axis=1) / np.maximum(facing, 1e-9)
    before = seen.depth[covered].astype(np.float64)
    room = FARTHEST * density.radii[seen.hit[covered][there]]
    fine = facing >= GRAZING * np.linalg.norm(directions, axis=1)
    fine &= np.abs(z - before[there]) <= room
    found = np.full(len(before), UNKNOWN, np.float32)
    found[np.flatnonzero(there)[fine]] = z[fine]
    depth = np.zeros_like(seen.depth)
    depth[covered] = found
    return replace(seen, depth=depth)
