"""What the views bear out of a surface that closes whatever was not looked at (captured scenes).

Poisson reconstruction spans gaps and ends in bulges. Dropping vertices with few points around, as
published, also drops what only few views have seen: the rims of the pictures. Instead each vertex,
at depth z in a view, is held against the depths D of the four pixels around it:

    seen              min D - τ z <= z <= max D + τ z
    looked through    z < min D - τ z
    hidden            otherwise, or a D is not known: this view says nothing

It stays if some view sees it and no more views look through it than see it. Faces go with any
vertex; patches too small to be a part of their own stay, so that depth's noise makes no lace.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from ..geometry.components import Surface, compact, components
from .fusing import DepthMaps
from .looking import Look


def borne_out(
    surface: Surface, looks: Sequence[Look], *, tolerance: float, threads: int
) -> Bool[np.ndarray, " face"]:
    """The faces that stay; `tolerance` is τ."""
    maps = DepthMaps(looks, carve=False)
    seen, through = maps.witnesses(surface.positions, tolerance, threads=threads)
    return ((seen > 0) & (through <= seen))[surface.faces].all(axis=1)


def without_patches(surface: Surface, kept: Bool[np.ndarray, " face"], *, fewest: int) -> Surface:
    """Remove faces that are not kept, but for connected ones (by vertices) that are fewer than
    `fewest` together."""
    gone = np.flatnonzero(~kept)
    labels = components(Surface(surface.positions, surface.faces[gone]))
    small = np.bincount(labels) < fewest
    kept = kept.copy()
    kept[gone[small[labels]]] = True
    return compact(Surface(surface.positions, surface.faces[kept]))
