"""The vertices of a level moved so that its surface lies amid the input's (Hoppe et al. 1993).

Collapses put a vertex where it is nearest to the planes that met there. A surface that is to be
near another one all over lies elsewhere: partly in front of it, partly behind. So points p with
normals n are spread over the input, each joined to a place on the level, and the vertices x
minimize

    sum over points of  w (n·(b1 x1 + b2 x2 + b3 x3) - n·p)²                         distance
    + SHADING sum over faces of  W (N·(x1 - x2))² + W (N·(x2 - x3))² + W (N·(x3 - x1))²
    + MEMORY sum over vertices of  Q(x)  +  a ridge that holds the vertices,

b the weights of the corners of the face that a point is joined to, N and W the mean normal and the
weight of a face's points, Q the planes that a vertex stands for. This is linear for given pairs
(`least_squares`). In between, points go to the closest of the faces around and edges are flipped
where that brings the faces nearer to their points (`flips`).

Neither the number of faces nor the topology changes. The way back for points of the surface stays
open: flips are written down as a history of their own.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from ....renderers.cpu.compiled import kernel
from ..components import Surface
from ..rays import first_hits
from .decimate import Decimation, correspond
from .flips import flip_edges
from .history import History, indexed
from .least_squares import solve
from .triangles import closest_on_triangle

MOST_FACES = 50_000
"""Levels with more stay as the collapses left them: there the gain is small and the work large."""
POINTS = 12
"""Per face of the level, from each of the two surfaces."""
ROUNDS = 6
STILL_ROUNDS = 2
"""The last ones, in which no edge is flipped."""
SHADING = 0.01
MEMORY = 0.3
RIDGE, BORDER_RIDGE = 0.02, 1.0
"""Of a vertex, as shares of what pulls at it; the second at borders, which nothing else keeps from
sliding along the surface."""
MARGIN, FARTHEST = 1e-6, 0.05
"""Where rays from a point to the level start and end, in diagonals."""
ALIGNED = 0.3
"""Cosine of the angle of a point's normal to that of a face from which on it may be joined to it."""
TURNED = 0.3
"""The same for a face and itself before a round: its corners stay if it turns further."""
SLIVER = 0.02
"""Quality 4 sqrt(3) area / sum of squared sides that no face newly gets below."""


@dataclass(frozen=True, slots=True)
class Points:
    """Places that a level is to pass through, in diagonals about the center."""

    places: Float[np.ndarray, "p 3"]
    normals: Float[np.ndarray, "p 3"]
    weights: Float[np.ndarray, " p"]
    faces: Int[np.ndarray, " p"]
    """Of the level, to which they are joined."""


def fit(
    decimation: Decimation,
    number: int,
    weights: Float[np.ndarray, " f"] | None = None,
    *,
    threads: int = 1,
) -> Decimation:
    """The decimation with one level fitted to the input.

    Locked vertices stay, and so do edges between them. `Level.error_m` stays as well: it is that of
    the collapses.

    Args:
        number: Of the level; it must not have been fitted before.
        weights: Of the input's faces, per area: how much being near them matters.
        threads: The result does not depend on it.
    """
    level = decimation.levels[number]
    if level.flips is not None:
        raise ValueError(f"level {number} has been fitted before.")
    if not 0 < len(level.faces) <= MOST_FACES:
        return decimation
    points = spread_points(decimation, number, weights, threads)
    center, diagonal = decimation.center_m, decimation.diagonal_m
    positions, faces = (level.positions - center) / diagonal, level.faces
    ridges = np.where(on_border(faces, len(positions)), BORDER_RIDGE, RIDGE)
    ridges[level.locked] = np.inf
    steps: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for turn in range(ROUNDS):
        points = attached(positions, faces, points)
        moved = _moved(positions, faces, points, ridges, MEMORY * level.quadrics)
        positions = _settled(positions, moved, faces)
        if turn < ROUNDS - STILL_ROUNDS:
            pairs, flipped = flip_edges(
                positions, faces, points.places, points.normals, points.weights, points.faces,
                level.locked,
            )  # fmt: skip
            steps.append((positions, pairs, faces[pairs]))
            faces = flipped
    numbers = np.searchsorted(decimation.numbers, level.face_ids)
    fitted = replace(
        level,
        positions=positions * diagonal + center,
        faces=faces,
        flips=_history(steps, numbers, len(decimation.numbers)),
    )
    levels = (*decimation.levels[:number], fitted, *decimation.levels[number + 1 :])
    return replace(decimation, levels=levels)


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

    here, corners = spread_by_face(len(level.faces))
    there = _at(surface, here, corners)
    found, at = correspond(decimation, number, here, there * diagonal + center, threads=threads)
    found = np.searchsorted(chosen, found)
    back = Points(
        _at(source, found, at), normals[found], sizes[here] / POINTS * weights[found], here
    )
    back = _chosen(back, (normals[found] * ways[here]).sum(axis=1) > ALIGNED)

    count = POINTS * len(level.faces)
    found, corners = spread(areas * weights, count)
    places = _at(source, found, corners)
    there, here = facing(surface, places, normals[found])
    found = found[there]
    part = decimation.parts[np.searchsorted(chosen, level.face_ids)]
    fits = decimation.parts[found] == part[here]
    fits &= (normals[found] * ways[here]).sum(axis=1) > ALIGNED
    share = np.full(len(there), (areas @ weights) / count)
    forth = _chosen(Points(places[there], normals[found], share, here), fits)
    return Points(
        *(np.concatenate([getattr(back, n), getattr(forth, n)]) for n in Points.__slots__)
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


def spread_by_face(faces: int) -> tuple[Int[np.ndarray, " p"], Float[np.ndarray, "p 3"]]:
    """The same with `POINTS` on every face."""
    corners = spread(np.ones(1), POINTS)[1]
    return np.repeat(np.arange(faces), POINTS), np.tile(corners, (faces, 1))


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
    """Points joined to the closest aligned face that shares a corner with theirs, as long as one
    is closer; those that no face around is aligned to are left out."""
    flat = faces.reshape(-1)
    around = np.argsort(flat, kind="stable") // 3
    starts = np.concatenate([[0], np.cumsum(np.bincount(flat, minlength=len(positions)))])
    ways = normals_and_areas(Surface(positions, faces))[0]
    owner, fits = points.faces.copy(), np.zeros(len(points.faces), bool)
    _attach(positions, faces, ways, starts, around, points.places, points.normals, owner, fits)
    return _chosen(replace(points, faces=owner), fits)


@kernel
def _attach(
    positions: np.ndarray, faces: np.ndarray, ways: np.ndarray, starts: np.ndarray,
    around: np.ndarray, places: np.ndarray, normals: np.ndarray, owner: np.ndarray,
    fits: np.ndarray,
) -> None:  # fmt: skip
    for p in range(len(owner)):
        face = owner[p]
        for _ in range(3):
            least, best = np.inf, face
            for k in range(3):
                vertex = faces[face, k]
                for n in range(starts[vertex], starts[vertex + 1]):
                    other = around[n]
                    cosine = (
                        ways[other, 0] * normals[p, 0]
                        + ways[other, 1] * normals[p, 1]
                        + ways[other, 2] * normals[p, 2]
                    )
                    if cosine < ALIGNED:
                        continue
                    square, _, _ = closest_on_triangle(
                        positions[faces[other, 0]], positions[faces[other, 1]],
                        positions[faces[other, 2]], places[p],
                    )  # fmt: skip
                    if square < least:
                        least, best = square, other
            fits[p] = least < np.inf
            if best == face:
                break
            face = best
        owner[p] = face


def _moved(
    positions: np.ndarray, faces: np.ndarray, points: Points, ridges: np.ndarray,
    quadrics: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Where the sum is least."""
    count, owner, normals, weights = len(faces), points.faces, points.normals, points.weights
    corners = np.zeros((len(owner), 3))
    _weigh(positions, faces, owner, points.places, corners)
    of_face = np.bincount(owner, weights, minlength=count)
    sums = [np.bincount(owner, weights * normals[:, k], minlength=count) for k in range(3)]
    mean = np.stack(sums, axis=1) / np.where(of_face > 0, of_face, 1)[:, None]
    each = np.repeat(np.arange(count), 3)
    sides = np.tile([[1.0, -1, 0], [0, 1, -1], [-1, 0, 1]], (count, 1))
    return solve(
        positions,
        faces[np.concatenate([owner, each])],
        np.concatenate([corners, sides]),
        np.concatenate([normals, mean[each]]),
        np.concatenate([(normals * points.places).sum(axis=1), np.zeros(3 * count)]),
        np.concatenate([weights, SHADING * of_face[each]]),
        ridges,
        quadrics,
    )


@kernel
def _weigh(
    positions: np.ndarray, faces: np.ndarray, owner: np.ndarray, places: np.ndarray,
    corners: np.ndarray,
) -> None:  # fmt: skip
    for p in range(len(owner)):
        a, b, c = faces[owner[p], 0], faces[owner[p], 1], faces[owner[p], 2]
        _, v, w = closest_on_triangle(positions[a], positions[b], positions[c], places[p])
        corners[p, 0], corners[p, 1], corners[p, 2] = 1 - v - w, v, w


def _settled(old: np.ndarray, new: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """`new`, but old where a face would turn over or become a sliver."""
    before, _ = normals_and_areas(Surface(old, faces))
    was_thin = _thin(old, faces)
    new = new.copy()
    while True:
        after, _ = normals_and_areas(Surface(new, faces))
        bad = ((before * after).sum(axis=1) < TURNED) | (_thin(new, faces) & ~was_thin)
        back = np.unique(faces[bad])
        back = back[(new[back] != old[back]).any(axis=1)]
        if not len(back):
            return new
        new[back] = old[back]


def _thin(positions: np.ndarray, faces: np.ndarray) -> np.ndarray:
    areas = normals_and_areas(Surface(positions, faces))[1]
    corners = positions[faces]
    sides = ((corners - np.roll(corners, 1, axis=1)) ** 2).sum(axis=(1, 2))
    return 4 * np.sqrt(3) * areas < SLIVER * sides


def _history(
    steps: list[tuple[np.ndarray, np.ndarray, np.ndarray]], numbers: np.ndarray, faces: int
) -> History:
    """One record per flip: the two faces, by the complex's numbers, as they were before."""
    pairs = np.concatenate([pairs for _, pairs, _ in steps])
    shift = len(steps[0][0])
    corners = np.concatenate([was + k * shift for k, (_, _, was) in enumerate(steps)])
    return indexed(
        starts=2 * np.arange(len(pairs) + 1),
        ids=numbers[pairs.reshape(-1)].astype(np.int32),
        corners=corners.reshape(-1, 3).astype(np.int32),
        points=np.concatenate([positions for positions, _, _ in steps]).astype(np.float32),
        faces=faces,
    )


def _at(surface: Surface, faces: np.ndarray, corners: np.ndarray) -> np.ndarray:
    return np.einsum("pk,pkc->pc", corners, surface.positions[surface.faces[faces]])


def _chosen(points: Points, which: np.ndarray) -> Points:
    return Points(*(getattr(points, name)[which] for name in Points.__slots__))
