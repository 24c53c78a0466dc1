"""At which distance from the median depth the surface is taken.

Gaussians have width: what one sees of them ends about a standard deviation outside their
centres, but the median depth lies at a centre. The level whose silhouettes overlap best with the
splats' own is taken instead of a fixed one.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from ...renderers.scene import Cameras
from ..geometry.components import Surface
from ..geometry.open3d_module import open3d
from .fusion import Fusion

STEP = 0.125
"""Between the levels that are tried, in truncations."""
LIMIT = 0.75
"""Farther out the truncated field is too flat to say where a level lies."""
VIEWS = 12
"""So many silhouettes are compared."""


@dataclass(frozen=True, slots=True)
class Fit:
    """One level that was tried."""

    level: float
    """In truncations; positive is outward."""
    overlap: float
    """Intersection over union of the silhouettes, all compared views together."""


def best_level(
    field: Float[np.ndarray, "g g g"],
    fusion: Fusion,
    silhouettes: Bool[np.ndarray, "camera height width"],
    cameras: Cameras,
) -> list[Fit]:
    """Climb from level 0 in the direction in which the overlap grows; all that was tried."""
    count = len(silhouettes)
    views = np.unique(np.linspace(0, count - 1, min(count, VIEWS)).round().astype(int))
    rays = [camera_rays(cameras, int(view)) for view in views]
    wanted = silhouettes[views]

    def fit(level: float) -> Fit:
        return Fit(level, overlap(fusion.surface(field - level), rays, wanted))

    tried = [fit(0.0), fit(STEP)]
    step = STEP if tried[1].overlap >= tried[0].overlap else -STEP
    if step < 0:
        tried.reverse()
    while tried[-1].overlap >= tried[-2].overlap and abs(tried[-1].level + step) <= LIMIT:
        tried.append(fit(tried[-1].level + step))
    return tried


def overlap(
    surface: Surface,
    rays: list[Float[np.ndarray, "height width 6"]],
    wanted: Bool[np.ndarray, "camera height width"],
) -> float:
    """Intersection over union of the surface's silhouettes and the wanted ones."""
    if not len(surface.faces):
        return 0.0
    o3d = open3d()
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(surface.positions.astype(np.float32), surface.faces.astype(np.uint32))
    both = either = 0
    for bundle, mask in zip(rays, wanted, strict=True):
        hit = np.isfinite(scene.cast_rays(o3d.core.Tensor(bundle))["t_hit"].numpy())
        both += int((hit & mask).sum())
        either += int((hit | mask).sum())
    return both / max(either, 1)


def camera_rays(cameras: Cameras, view: int) -> Float[np.ndarray, "height width 6"]:
    """Origin and direction (depth 1) of the ray through every pixel's centre."""
    pose = cameras.world_to_camera[view].numpy().astype(np.float64)
    (fx, fy), (cx, cy) = cameras.focal_px[view].tolist(), cameras.center_px[view].tolist()
    rows, columns = np.mgrid[: cameras.height_px, : cameras.width_px] + 0.5
    directions = np.stack([(columns - cx) / fx, (rows - cy) / fy, np.ones_like(rows)], axis=-1)
    directions = directions @ pose[:3, :3]
    origin = np.broadcast_to(-pose[:3, :3].T @ pose[:3, 3], directions.shape)
    return np.concatenate([origin, directions], axis=-1).astype(np.float32)
