"""Every texel of a level's atlas followed back to the place on the full mesh that it is to show."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from ..geometry.appearance import Appearance, Places
from ..geometry.atlas import Atlas, Cover
from ..geometry.components import Surface
from ..geometry.decimation import Decimation, correspond
from ..geometry.sampling import blended
from .front import in_front


@dataclass(frozen=True, slots=True)
class Baked:
    """What the full mesh answered for every texel."""

    places: Places
    facing: Float[np.ndarray, "texel 3"]
    """Normals of the level's faces."""


def follow(
    source: Appearance,
    decimation: Decimation,
    level: int,
    surface: Surface,
    atlas: Atlas,
    found: Cover,
    threads: int,
) -> Baked:
    """The place on the full mesh for every texel."""
    corners = surface.positions[surface.faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(cross, axis=1, keepdims=True)
    facing = (cross / np.where(length > 0, length, 1)).astype(np.float32)[found.faces]
    points = blended(corners, found.faces, found.barycentrics)
    faces, weights = correspond(decimation, level, found.faces, points, threads=threads)
    original = decimation.surface
    mapped = blended(original.positions[original.faces].astype(np.float64), faces, weights)
    reach = decimation.levels[level].error_m
    seen, front, there = in_front(original, surface, points, facing, mapped, reach)
    faces[seen], weights[seen] = front[seen], there[seen]
    density = texels_per_m(surface, atlas)
    return Baked(Places(faces, weights, density[found.faces]), facing)


def only(kept: Bool[np.ndarray, " texel"], found: Cover, asked: Baked) -> tuple[Cover, Baked]:
    """Without the other texels, which are filled like those between the charts."""
    places = asked.places
    return (
        Cover(
            found.rows[kept],
            found.columns[kept],
            found.faces[kept],
            found.barycentrics[kept],
            found.inside[kept],
            found.size_px,
        ),
        Baked(
            Places(places.faces[kept], places.barycentrics[kept], places.texels_per_m[kept]),
            asked.facing[kept],
        ),
    )


def texels_per_m(surface: Surface, atlas: Atlas) -> Float[np.ndarray, " face"]:
    """How densely the atlas shows each face."""
    corners = surface.positions[surface.faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert atlas.mesh.uvs is not None
    uvs = atlas.mesh.uvs[atlas.mesh.faces].astype(np.float64) * atlas.size_px
    first, second = uvs[:, 1] - uvs[:, 0], uvs[:, 2] - uvs[:, 0]
    drawn = np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])
    real = np.linalg.norm(cross, axis=1)
    return np.sqrt(np.where(real > 0, drawn / np.where(real > 0, real, 1), 0))
