"""What the views bear out of a surface that closes whatever was not looked at (captured scenes).

Poisson reconstruction spans gaps and ends in bulges. Dropping vertices with few points around, as
published, also drops what only few views have seen: the rims of the pictures. Instead each vertex,
at depth z in a view, is held against the depths D of the four pixels around it:

    seen              min D - τ z <= z <= max D + τ z
    looked through    z < min D - τ z
    hidden            otherwise, or a D is not known: this view says nothing

It is borne out if some view sees it and no more views look through it than see it. A face stays if
its corners and its middle are; patches too small to be a part of their own stay, so that depth's
noise makes no lace.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from ..geometry.components import Surface, compact, components
from .fusing import DepthMaps
from .looking import Look


def borne_out(
    surface: Surface, looks: Sequence[Look], *, tolerance: float, threads: int
) -> Bool[np.ndarray, " face"]:
    """The faces that stay; `tolerance` is τ."""
    maps = DepthMaps(looks, carve=False)

    def good(places: Float[np.ndarray, "place 3"]) -> Bool[np.ndarray, " place"]:
        seen, through = maps.witnesses(places, tolerance, threads=threads)
        return (seen > 0) & (through <= seen)

    kept = good(surface.positions)[surface.faces].all(axis=1)
    # Large faces may span the air between corners that are seen.
    kept[kept] = good(surface.positions[surface.faces[kept]].mean(axis=1))
    return kept


def without_patches(surface: Surface, kept: Bool[np.ndarray, " face"], *, fewest: int) -> Surface:
    """Remove faces that are not kept, but for connected ones (by vertices) that are fewer than
    `fewest` together."""
    gone = np.flatnonzero(~kept)
    labels = components(Surface(surface.positions, surface.faces[gone]))
    small = np.bincount(labels) < fewest
    kept = kept.copy()
    kept[gone[small[labels]]] = True
    return compact(Surface(surface.positions, surface.faces[kept]))
