"""Places on the input that a level is to pass through, and which of its faces they belong to."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from ..components import Surface
from ..rays import first_hits
from .decimate import Decimation, correspond
from .joining import ALIGNED, attach

POINTS = 30_000
"""From each of the two surfaces; at least `FEWEST` and at most `MOST` per face of the level."""
FEWEST, MOST = 12, 48
MARGIN, FARTHEST = 1e-6, 0.05
"""Where rays from a point to the level start and end, in diagonals."""
BACK_TO_BACK = -0.8
"""Cosine of the angle between the normals of two faces from which down they are a rim."""


@dataclass(frozen=True, slots=True)
class Points:
    """Places that a level is to pass through, in diagonals about the center."""

    places: Float[np.ndarray, "p 3"]
    normals: Float[np.ndarray, "p 3"]
    weights: Float[np.ndarray, " p"]
    faces: Int[np.ndarray, " p"]
    """Of the level, to which they are joined."""

    def chosen(self, which: np.ndarray) -> "Points":
        """Some of them, by a mask or by numbers."""
        return Points(*(getattr(self, name)[which] for name in Points.__slots__))


def spread_points(
    decimation: Decimation, number: int, weights: Float[np.ndarray, " f"] | None, threads: int
) -> Points:
    """Points all over the input, and those that points all over the level have come from.

    A point of the input is joined to what lies in front of it or behind it, and left out unless
    that belongs to the same component and looks about the same way: what has vanished must not
    pull at its neighbors.
    """
    level, center, diagonal = decimation.levels[number], decimation.center_m, decimation.diagonal_m
    chosen = decimation.numbers
    whole = decimation.surface
    source = Surface((whole.positions - center) / diagonal, whole.faces[chosen])
    normals, areas = normals_and_areas(source)
    weights = np.ones(len(chosen)) if weights is None else np.asarray(weights)[chosen]
    surface = Surface((level.positions - center) / diagonal, level.faces)
    ways, sizes = normals_and_areas(surface)

    each = int(np.clip(POINTS // len(level.faces), FEWEST, MOST))
    here, corners = spread_by_face(len(level.faces), each)
    there = _at(surface, here, corners)
    found, at = correspond(decimation, number, here, there * diagonal + center, threads=threads)
    found = np.searchsorted(chosen, found)
    back = Points(_at(source, found, at), normals[found], sizes[here] / each * weights[found], here)
    back = back.chosen((normals[found] * ways[here]).sum(axis=1) > ALIGNED)

    count = each * len(level.faces)
    found, corners = spread(areas * weights, count)
    places = _at(source, found, corners)
    there, here = facing(surface, places, normals[found])
    found = found[there]
    part = decimation.parts[np.searchsorted(chosen, level.face_ids)]
    fits = decimation.parts[found] == part[here]
    fits &= (normals[found] * ways[here]).sum(axis=1) > ALIGNED
    # Not by a product of BLAS, whose last digits depend on its threads.
    share = np.full(len(there), float((areas * weights).sum()) / count)
    forth = Points(places[there], normals[found], share, here).chosen(fits)
    return together([back, forth])


def together(groups: Sequence[Points]) -> Points:
    """All of them."""
    return Points(
        *(np.concatenate([getattr(one, name) for one in groups]) for name in Points.__slots__)
    )


def spread(
    density: Float[np.ndarray, " f"], count: int
) -> tuple[Int[np.ndarray, " p"], Float[np.ndarray, "p 3"]]:
    """Faces and weights of their corners, as evenly as a sequence without chance has them (R2)."""
    ends = np.cumsum(density)
    steps = (np.arange(count) + 0.5) / count
    face = np.searchsorted(ends, steps * ends[-1], side="right").clip(max=len(density) - 1)
    index = np.arange(count)
    u, v = (index * 0.7548776662466927) % 1, (index * 0.5698402909980532) % 1
    over = u + v > 1
    u, v = np.where(over, 1 - u, u), np.where(over, 1 - v, v)
    return face, np.stack([1 - u - v, u, v], axis=1)


def spread_by_face(faces: int, each: int) -> tuple[Int[np.ndarray, " p"], Float[np.ndarray, "p 3"]]:
    """The same with so many on each face."""
    corners = spread(np.ones(1), each)[1]
    return np.repeat(np.arange(faces), each), np.tile(corners, (faces, 1))


def normals_and_areas(
    surface: Surface,
) -> tuple[Float[np.ndarray, "f 3"], Float[np.ndarray, " f"]]:
    """Unit normals (0 where there is no area) and areas."""
    a, b, c = (surface.positions[surface.faces[:, k]] for k in range(3))
    cross = np.cross(b - a, c - a)
    length = np.linalg.norm(cross, axis=1)
    return cross / np.where(length > 0, length, 1)[:, None], length / 2


def on_border(faces: Int[np.ndarray, "f 3"], vertices: int) -> Bool[np.ndarray, " v"]:
    """Vertices at an edge that has not just two faces."""
    sides = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    edges, hanging = np.unique(sides, axis=0, return_counts=True)
    found = np.zeros(vertices, bool)
    found[edges[hanging != 2]] = True
    return found


def on_rim(surface: Surface) -> Bool[np.ndarray, " v"]:
    """Vertices at an edge of just two faces that lie back to back, as at the rim of a plate."""
    faces, found = surface.faces, np.zeros(len(surface.positions), bool)
    sides = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    edges, which, hanging = np.unique(sides, axis=0, return_inverse=True, return_counts=True)
    which, ways = which.reshape(-1), np.repeat(normals_and_areas(surface)[0], 3, axis=0)
    sums = [np.bincount(which, ways[:, k], minlength=len(edges)) for k in range(3)]
    square = (np.stack(sums) ** 2).sum(axis=0)
    found[edges[(hanging == 2) & (square < 2 + 2 * BACK_TO_BACK)]] = True
    return found


def facing(
    surface: Surface, places: Float[np.ndarray, "p 3"], normals: Float[np.ndarray, "p 3"]
) -> tuple[Int[np.ndarray, " hit"], Int[np.ndarray, " hit"]]:
    """Which of the points have a face of the surface before or behind them, and the nearer one."""
    before = first_hits(surface, places - MARGIN * normals, normals, FARTHEST)
    behind = first_hits(surface, places + MARGIN * normals, -normals, FARTHEST)
    faces = np.where(before.distance_m <= behind.distance_m, before.faces, behind.faces)
    met = np.flatnonzero(np.isfinite(np.minimum(before.distance_m, behind.distance_m)))
    return met, faces[met].astype(np.int64)


def attached(
    positions: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], points: Points
) -> Points:
    """Points joined to the closest aligned face around; without those that none is aligned to."""
    owner, fits = joined(positions, faces, points)
    return replace(points, faces=owner).chosen(fits)


def joined(
    positions: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], points: Points
) -> tuple[Int[np.ndarray, " p"], Bool[np.ndarray, " p"]]:
    """The closest aligned face that shares a corner with each point's, as long as one is closer,
    and whether there is any."""
    flat = faces.reshape(-1)
    around = np.argsort(flat, kind="stable") // 3
    starts = np.concatenate([[0], np.cumsum(np.bincount(flat, minlength=len(positions)))])
    ways = normals_and_areas(Surface(positions, faces))[0]
    owner, fits = points.faces.copy(), np.zeros(len(points.faces), bool)
    attach(positions, faces, ways, starts, around, points.places, points.normals, owner, fits)
    return owner, fits


def _at(surface: Surface, faces: np.ndarray, corners: np.ndarray) -> np.ndarray:
    return np.einsum("pk,pkc->pc", corners, surface.positions[surface.faces[faces]])
