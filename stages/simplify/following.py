"""Every texel of a level's atlas followed back to the place on the full mesh that it is to show."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from ..geometry.appearance import Appearance, Places
from ..geometry.atlas import Atlas, Cover, cover
from ..geometry.components import Surface
from ..geometry.decimation import Decimation, correspond
from ..geometry.sampling import blended
from .front import in_front
from .see_through import Sides, alpha_modes

EDGE_PX = 2.0
"""Texels so near to an edge of their face may show what lies beyond it."""


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
    side: Sides | None,
    threads: int,
) -> tuple[Cover, Baked]:
    """The texels of an atlas and the place on the full mesh for each.

    Without those that `side` calls strays, which are filled like the texels between charts.
    """
    found = cover(atlas)
    corners = surface.positions[surface.faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(cross, axis=1, keepdims=True)
    facing = (cross / np.where(length > 0, length, 1)).astype(np.float32)[found.faces]
    points = blended(corners, found.faces, found.barycentrics)
    faces, weights = correspond(decimation, level, found.faces, points, threads=threads)
    original, density = decimation.surface, texels_per_m(surface, atlas)
    mapped = blended(original.positions[original.faces].astype(np.float64), faces, weights)
    reach = decimation.levels[level].error_m
    seen, front, there = in_front(original, surface, points, facing, mapped, reach)
    kept = np.ones(len(faces), bool)
    if side is not None:
        modes = alpha_modes(source.model)[source.model.face_materials[faces]]
        at_edge = _to_edge_px(corners, density, found) < EDGE_PX
        kept = seen | ~(at_edge & side.strays(found.faces, modes))
    faces[seen], weights[seen] = front[seen], there[seen]
    return _only(kept, found, Baked(Places(faces, weights, density[found.faces]), facing))


def _to_edge_px(
    corners: Float[np.ndarray, "face 3 3"], density: Float[np.ndarray, " face"], found: Cover
) -> Float[np.ndarray, " texel"]:
    """How far each texel is from the nearest edge of its face, in texels."""
    sides = np.linalg.norm(np.roll(corners, -2, axis=1) - np.roll(corners, -1, axis=1), axis=2)
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    doubled = np.linalg.norm(cross, axis=1, keepdims=True)
    heights_px = doubled / np.where(sides > 0, sides, 1) * density[:, None]
    return (found.barycentrics * heights_px[found.faces]).min(axis=1)


def _only(kept: Bool[np.ndarray, " texel"], found: Cover, asked: Baked) -> tuple[Cover, Baked]:
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
