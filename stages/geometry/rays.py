"""Where straight lines first meet a surface, by Embree (through embreex, which imports quickly).

Embree counts in float32, so everything is moved near the surface's middle first.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from .components import Surface


@dataclass(frozen=True, slots=True)
class Hits:
    """What each ray met; without a hit the distance is infinite and the rest means nothing."""

    distance_m: Float32[np.ndarray, " ray"]
    faces: Int[np.ndarray, " ray"]
    barycentrics: Float32[np.ndarray, "ray 3"]


def first_hits(
    surface: Surface,
    starts: Float[np.ndarray, "ray 3"],
    directions: Float[np.ndarray, "ray 3"],
    reach_m: float = np.inf,
) -> Hits:
    """Cast rays of at most `reach_m`. Both sides of a face are met.

    Args:
        directions: Of unit length.
    """
    if not len(starts) or not len(surface.faces):
        nothing = np.full(len(starts), np.inf, np.float32)
        zeros = np.zeros((len(starts), 3), np.float32)
        return Hits(nothing, np.zeros(len(starts), np.int64), zeros)
    answer = _cast(surface, starts, directions, reach_m, query="INTERSECT", output=True)
    met = answer["primID"] >= 0
    second, third = answer["u"], answer["v"]
    return Hits(
        distance_m=np.where(met, answer["tfar"], np.float32(np.inf)),
        faces=np.where(met, answer["primID"], 0),
        barycentrics=np.stack([1 - second - third, second, third], axis=1),
    )


def any_hits(
    surface: Surface,
    starts: Float[np.ndarray, "ray 3"],
    directions: Float[np.ndarray, "ray 3"],
) -> Bool[np.ndarray, " ray"]:
    """Which rays meet anything at all: faster than what they meet first."""
    if not len(starts) or not len(surface.faces):
        return np.zeros(len(starts), bool)
    return _cast(surface, starts, directions, np.inf, query="OCCLUDED") >= 0


def _cast(
    surface: Surface, starts: np.ndarray, directions: np.ndarray, reach_m: float, **asked: Any
) -> Any:
    """Embree's answer. With `output` a dictionary, otherwise one number per ray."""
    from embreex.mesh_construction import TriangleMesh
    from embreex.rtcore_scene import EmbreeScene

    center = surface.positions.mean(axis=0)
    scene = EmbreeScene()
    corners = np.ascontiguousarray(surface.positions - center, np.float32)
    TriangleMesh(scene, corners, np.ascontiguousarray(surface.faces, np.int32))
    return scene.run(
        np.ascontiguousarray(starts - center, np.float32),
        np.ascontiguousarray(directions, np.float32),
        np.full(len(starts), reach_m, np.float32),
        **asked,
    )
