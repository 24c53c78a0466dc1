"""Where straight lines first meet a surface, by Embree (through embreex, which imports quickly).

Embree counts in float32, so everything is moved near the surface's middle first.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int

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
    from embreex.mesh_construction import TriangleMesh
    from embreex.rtcore_scene import EmbreeScene

    center = surface.positions.mean(axis=0)
    scene = EmbreeScene()
    corners = np.ascontiguousarray(surface.positions - center, np.float32)
    TriangleMesh(scene, corners, np.ascontiguousarray(surface.faces, np.int32))
    answer = scene.run(
        np.ascontiguousarray(starts - center, np.float32),
        np.ascontiguousarray(directions, np.float32),
        np.full(len(starts), reach_m, np.float32),
        query="INTERSECT",
        output=True,
    )
    met = answer["primID"] >= 0
    second, third = answer["u"], answer["v"]
    return Hits(
        distance_m=np.where(met, answer["tfar"], np.float32(np.inf)),
        faces=np.where(met, answer["primID"], 0),
        barycentrics=np.stack([1 - second - third, second, third], axis=1),
    )
