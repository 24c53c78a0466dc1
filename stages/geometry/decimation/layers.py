"""Sheets of a part that lie close behind each other, and what keeps those of a level from crossing.

Each wall of a thin shell is fitted to its own points, and where both are off by more than the gap
between them they pierce each other. So pairs of places are found on the input, one before the
other, and wherever their two faces of the level are in the wrong order or nearer than half the
gap, both are asked to make way, the one that matters less further. Other parts (a picture on a
wall) are left alone: to keep them apart costs more likeness than it brings.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from ..components import Surface
from ..rays import first_hits
from .decimate import Decimation
from .joining import ALIGNED, weigh
from .points import MARGIN, Points, joined, normals_and_areas

REACH = 0.5
"""Gaps of up to so many times the level's error are looked at: across wider ones sheets seldom
meet, and what lies there is rather another part that is free to move."""
KEPT = 0.5
"""Share of a gap that is to stay."""
ASIDE = 0.3
"""In gaps: a place that lies so far beside its face tells nothing about what is before what."""
STRENGTH = 30.0
"""Weight of making way, in weights of the points."""
CELL = 3.0
"""Mean distances of points: side of the cells in which points are looked for."""
MOST_POINTS = 100_000
"""Of more than this only every so many-th is looked at, and counts for all."""


@dataclass(frozen=True, slots=True)
class Layers:
    """Pairs of places of the input, one in front of the other."""

    near: Points
    far: Points
    """What a ray from the near place, along its normal or against it, meets first."""
    ways: Float[np.ndarray, "p 3"]
    """Unit vectors from the near to the far places."""
    gaps: Float[np.ndarray, " p"]
    """Their distances, in diagonals."""


def find_layers(decimation: Decimation, number: int, points: Points) -> Layers:
    """What lies close before or behind the points that a level is to be fitted to."""
    level, diagonal = decimation.levels[number], decimation.diagonal_m
    step = max(len(points.places) // MOST_POINTS, 1)
    points = points.chosen(np.arange(0, len(points.places), step))
    points = replace(points, weights=step * points.weights)
    whole, chosen = decimation.surface, decimation.numbers
    source = Surface((whole.positions - decimation.center_m) / diagonal, whole.faces[chosen])
    reach = REACH * level.error_m / diagonal
    ways = np.concatenate([points.normals, -points.normals])
    starts = np.concatenate([points.places, points.places]) + MARGIN * ways
    if reach > MARGIN:
        hits = first_hits(source, starts, ways, reach - MARGIN)
        met = np.flatnonzero(np.isfinite(hits.distance_m))
    else:
        met = np.zeros(0, np.int64)
    if not len(met):
        return Layers(points.chosen(met), points.chosen(met), np.zeros((0, 3)), np.zeros(0))
    near, ways, faces = points.chosen(met % len(points.places)), ways[met], hits.faces[met]
    gaps = hits.distance_m[met].astype(np.float64) + MARGIN
    all_normals, areas = normals_and_areas(source)
    places, normals = near.places + gaps[:, None] * ways, all_normals[faces]
    part = decimation.parts[np.searchsorted(chosen, level.face_ids)][points.faces]
    # Whose faces these are is known from a point nearby that looks the same way.
    size = CELL * np.sqrt(areas.sum() / len(points.places))
    own = _cells(points.places, points.normals, part, size)
    like, fits = _found(own, _cells(places, normals, decimation.parts[faces], size))
    like = points.chosen(like)
    fits &= part[met % len(part)] == decimation.parts[faces]
    fits &= (normals * like.normals).sum(axis=1) > ALIGNED
    fits &= np.abs((normals * ways).sum(axis=1)) > ALIGNED
    far = Points(places, normals, like.weights, like.faces)
    return Layers(near.chosen(fits), far.chosen(fits), ways[fits], gaps[fits])


def _cells(places: np.ndarray, normals: np.ndarray, part: np.ndarray, size: float) -> np.ndarray:
    """One number per cell, main direction and part; places lie within half a diagonal of the
    center."""
    across = int(1 / size) + 3
    steps = np.floor((places + 0.5) / size).astype(np.int64) + 1
    axis = np.abs(normals).argmax(axis=1)
    upward = np.take_along_axis(normals, axis[:, None], axis=1)[:, 0] > 0
    cell = (steps[:, 0] * across + steps[:, 1]) * across + steps[:, 2]
    return (part * across**3 + cell) * 6 + 2 * axis + upward


def _found(among: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each number wanted where it first is, and whether it is there."""
    order = np.argsort(among, kind="stable")
    at = order[np.searchsorted(among[order], wanted).clip(max=len(among) - 1)]
    return at, among[at] == wanted


def made_way(
    positions: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], layers: Layers
) -> list[Points]:
    """Places that the faces of pairs in the wrong order, or too close, should go through."""
    one, fits = joined(positions, faces, layers.near)
    two, fits_too = joined(positions, faces, layers.far)
    apart = ~(faces[one][:, :, None] == faces[two][:, None, :]).any(axis=(1, 2))
    which = np.flatnonzero(fits & fits_too & apart)
    near = replace(layers.near.chosen(which), faces=one[which])
    far = replace(layers.far.chosen(which), faces=two[which])
    ways, gaps = layers.ways[which], layers.gaps[which]
    here, there = _closest(positions, faces, near), _closest(positions, faces, far)
    missing = KEPT * gaps - _along(there - here, ways)
    crossed = missing > 0
    for found, side in ((here, near), (there, far)):
        crossed &= _beside(found - side.places, ways) <= ASIDE * gaps
    share = near.weights / np.maximum(near.weights + far.weights, 1e-300)
    backward, forward = (share - 1) * missing, share * missing
    return [
        _moved(near, here, backward, ways).chosen(crossed),
        _moved(far, there, forward, ways).chosen(crossed),
    ]


def _moved(side: Points, found: np.ndarray, steps: np.ndarray, ways: np.ndarray) -> Points:
    facing = np.sign(_along(side.normals, ways))[:, None]
    places = found + steps[:, None] * ways
    return Points(places, facing * ways, STRENGTH * side.weights, side.faces)


def _closest(positions: np.ndarray, faces: np.ndarray, points: Points) -> np.ndarray:
    """On the faces that they are joined to."""
    corners = np.zeros((len(points.faces), 3))
    weigh(positions, faces, points.faces, points.places, corners)
    return np.einsum("pk,pkc->pc", corners, positions[faces[points.faces]])


def _along(vectors: np.ndarray, ways: np.ndarray) -> np.ndarray:
    return (vectors * ways).sum(axis=1)


def _beside(vectors: np.ndarray, ways: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vectors - _along(vectors, ways)[:, None] * ways, axis=1)
