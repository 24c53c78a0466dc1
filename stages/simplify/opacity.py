"""How much of a surface is there at all: cut-outs and glass are seen through.

A leaf on a card is a small part of the card. What is transparent hides nothing, and it is no loss
where it goes.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

from ..geometry.appearance import Appearance, Places
from .vertices import lattice

STEPS = 6
"""Alpha is looked up at so many points squared on each face."""
THERE = 0.5
"""Alpha from which on a point stops the view."""


def opacity(source: Appearance) -> Float[np.ndarray, " face"]:
    """Mean alpha of each face; exactly 1 where its material is opaque."""
    out = np.ones(len(source.model.faces))
    faces = np.flatnonzero(_translucent(source))
    points = lattice(STEPS)
    each = np.repeat(faces, len(points))
    # Points are so far apart on a right isosceles triangle of this area.
    density = STEPS / np.sqrt(np.maximum(2 * source.areas_m2[each], 1e-300))
    found = source.base_color(Places(each, np.tile(points, (len(faces), 1)), density))
    out[faces] = found[:, 3].reshape(len(faces), len(points)).mean(axis=1, dtype=np.float64)
    return np.clip(out, 0, 1)


def seen_through(
    source: Appearance, faces: Int[np.ndarray, " point"], barycentrics: Float[np.ndarray, "point 3"]
) -> Bool[np.ndarray, " point"]:
    """Whether the surface is transparent at points of it."""
    out = _translucent(source)[faces]
    at = np.flatnonzero(out)
    density = np.full(len(at), np.inf)  # As sharp as the picture is.
    alpha = source.base_color(Places(faces[at], barycentrics[at], density))[:, 3]
    out[at] = alpha < THERE
    return out


def translucent(source: Appearance) -> bool:
    """Whether any face may be seen through."""
    return bool(_translucent(source).any())


def _translucent(source: Appearance) -> Bool[np.ndarray, " face"]:
    modes = np.array([material.alpha_mode != "OPAQUE" for material in source.model.materials])
    return modes[source.model.face_materials]
