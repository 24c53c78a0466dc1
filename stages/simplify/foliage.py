"""Leaves: where most of a tree's cards are gone, those that are left grow.

A crown of a thousand leaves cannot keep them with a hundred faces. A share of them, made larger
so that they cover what all did, looks like it from afar (Cook et al., "Stochastic Simplification
of Aggregate Detail", 2007); left as they are they look like a bare tree.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from ..formats.model import Material, Model
from ..geometry.components import Surface, face_areas, weld
from ..geometry.decimation import Decimation

MANY = 50
"""So many cards of one material are foliage."""
SMALL = 0.02
"""Share of the whole area that a leaf has at most."""
OPEN = 0.9
"""Share of the cards that must have a border: leaves are sheets."""
GONE = 0.6
"""Share of their area that must be gone. A leaf that has grown covers what others did, but nothing
of it is where it was: as long as two in five are there, gaps are better."""
GROWTH = 2.0
"""By how much a leaf grows at most, in length."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The connected parts of the input, and what a level has of them."""

    materials: Int[np.ndarray, " part"]
    areas_m2: Float[np.ndarray, " part"]
    centers: Float[np.ndarray, "part 3"]
    areas_now_m2: Float[np.ndarray, " part"]
    centers_now: Float[np.ndarray, "part 3"]
    sheets: Bool[np.ndarray, " part"]
    """Whether it had a border."""


def grown(decimation: Decimation, number: int, model: Model) -> Float[np.ndarray, "vertex 3"]:
    """Positions of a level's vertices with the leaves that are left made larger.

    Once most are gone, every leaf that is leaves its area to the nearest one. Only parts with a
    cut-out picture are leaves; windows of a house or planks would be wrong if they grew. What is
    locked stays.
    """
    level = decimation.levels[number]
    cut_out = np.flatnonzero([_is_cut_out(material) for material in model.materials])
    if not len(cut_out):
        return level.positions
    of_face = decimation.parts[np.searchsorted(decimation.numbers, level.face_ids)]
    parts = _parts(decimation, Surface(level.positions, level.faces), of_face, model)
    scale = np.ones(len(parts.areas_m2))
    for material in cut_out:
        _grow(parts, int(material), scale)
    part = np.zeros(len(level.positions), np.int64)
    part[level.faces] = of_face[:, None]
    middle = parts.centers_now[part]
    out = middle + scale[part][:, None] * (level.positions - middle)
    return np.where((level.locked | (scale[part] == 1))[:, None], level.positions, out)


def _is_cut_out(material: Material) -> bool:
    """Whether its picture says where the surface is."""
    picture = material.base_color
    return material.alpha_mode != "OPAQUE" and picture is not None and picture.pixels.shape[2] == 4


def _parts(
    decimation: Decimation, left: Surface, of_left: Int[np.ndarray, " face"], model: Model
) -> Parts:
    whole = decimation.surface
    source = Surface(whole.positions, whole.faces[decimation.numbers])
    count = int(decimation.parts.max()) + 1
    materials = np.zeros(count, np.int64)
    materials[decimation.parts] = model.face_materials[decimation.numbers]
    sheets = np.zeros(count, bool)
    sheets[decimation.parts[_at_border(weld(source).faces)]] = True
    return Parts(
        materials,
        *_areas_and_centers(source, decimation.parts, count),
        *_areas_and_centers(left, of_left, count),
        sheets,
    )


def _areas_and_centers(
    surface: Surface, of_face: Int[np.ndarray, " face"], count: int
) -> tuple[Float[np.ndarray, " part"], Float[np.ndarray, "part 3"]]:
    areas = face_areas(surface)
    middles = surface.positions[surface.faces].mean(axis=1)
    total = np.bincount(of_face, areas, count)
    sums = [np.bincount(of_face, areas * middles[:, k], count) for k in range(3)]
    return total, np.stack(sums, axis=1) / np.maximum(total, 1e-300)[:, None]


def _at_border(faces: Int[np.ndarray, "face 3"]) -> Bool[np.ndarray, " face"]:
    """Faces with a side that no other has."""
    sides = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]], axis=2).reshape(-1, 2)
    _, which, counts = np.unique(sides, axis=0, return_inverse=True, return_counts=True)
    return (counts[which.reshape(-1)] == 1).reshape(-1, 3).any(axis=1)


def _grow(parts: Parts, material: int, scale: Float[np.ndarray, " part"]) -> None:
    """Enter by how much the leaves of a material grow."""
    small = parts.areas_m2 <= SMALL * parts.areas_m2.sum()
    leaves = small & (parts.areas_m2 > 0) & (parts.materials == material)
    left = np.flatnonzero(leaves & (parts.areas_now_m2 > 0))
    gone = np.flatnonzero(leaves & (parts.areas_now_m2 == 0))
    share = parts.areas_m2[gone].sum() / max(parts.areas_m2[leaves].sum(), 1e-300)
    if leaves.sum() < MANY or not len(left) or share < GONE:
        return
    if parts.sheets[leaves].mean() < OPEN:
        return
    from scipy.spatial import cKDTree  # 0.2 s, for foliage only

    wanted = parts.areas_m2[left].copy()
    heirs = cKDTree(parts.centers[left]).query(parts.centers[gone])[1]
    np.add.at(wanted, heirs, parts.areas_m2[gone])
    scale[left] = np.minimum(np.sqrt(wanted / parts.areas_m2[left]), GROWTH)
