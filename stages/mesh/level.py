"""At which distance from the median depth the surface is taken.

Gaussians have width: what one sees of them ends about a standard deviation outside their
centres, but the median depth lies at a centre. The level whose silhouettes overlap best with the
splats' own is taken instead of a fixed one.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from ...renderers import meshes
from ...renderers.scene import Cameras
from ..geometry.components import Surface
from .fusion import Fusion

STEP = 0.125
"""Between the levels that are tried, in truncations."""
LIMIT = 0.875
"""Farther out the field only says that no view saw anything there."""
VIEWS = 12
"""So many silhouettes are compared."""


@dataclass(frozen=True, slots=True)
class Fit:
    """One level that was tried."""

    level: float
    """Of the mean truncated distance; positive is outward. Not a length: beside the surface many
    views see only background, so the mean rises faster than the distance."""
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
    views = np.unique(np.linspace(0, count - 1, min(count, VIEWS)).round().astype(int)).tolist()
    compared = replace(
        cameras,
        world_to_camera=cameras.world_to_camera[views],
        focal_px=cameras.focal_px[views],
        center_px=cameras.center_px[views],
    )

    def fit(level: float) -> Fit:
        return Fit(level, overlap(fusion.surface(field - level), compared, silhouettes[views]))

    tried = [fit(0.0), fit(STEP)]
    step = STEP
    if tried[1].overlap < tried[0].overlap:
        step = -STEP
        tried.reverse()
    while tried[-1].overlap >= tried[-2].overlap and abs(tried[-1].level + step) <= LIMIT:
        tried.append(fit(tried[-1].level + step))
    return tried


def overlap(
    surface: Surface, cameras: Cameras, wanted: Bool[np.ndarray, "camera height width"]
) -> float:
    """Intersection over union of the surface's silhouettes and the wanted ones."""
    if not len(surface.faces):
        return 0.0
    scene = meshes.MeshScene(surface.positions, surface.faces)
    hit = meshes.render(scene, cameras, supersample=1).face_id.numpy() >= 0
    return int((hit & wanted).sum()) / max(int((hit | wanted).sum()), 1)
