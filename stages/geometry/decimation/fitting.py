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
(`least_squares`). In between, points go to the closest of the faces around, sheets that have come
to cross are asked to make way (`layers`), and edges are flipped where that brings the faces nearer
to their points (`flips`).

Neither the number of faces nor the topology changes. The way back for points of the surface stays
open: flips are written down as a history of their own.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from ..components import Surface
from .decimate import Decimation
from .flips import flip_edges
from .history import History, indexed
from .joining import weigh
from .layers import find_layers, made_way
from .least_squares import solve
from .points import (
    Points,
    attached,
    normals_and_areas,
    on_border,
    on_rim,
    spread_points,
    together,
)

MOST_FACES = 50_000
"""Levels with more stay as the collapses left them: there the gain is small and the work large."""
ROUNDS = 8
STILL_ROUNDS = 2
"""The last ones, in which no edge is flipped."""
SHADING = 0.01
MEMORY, SHARES = (0.1, 0.3), (0.125, 0.4)
"""Of levels with these shares of the input's faces, linear in between: the more faces, the fewer
points lie on each, and what a vertex stands for tells more than they do."""
RIDGE, BORDER_RIDGE = 0.005, 1.0
"""Of a vertex, as shares of what pulls at it; the second at borders and at rims of thin shells,
which nothing else keeps from sliding along the surface."""
TURNED = 0.3
"""Cosine of the angle that a face may turn by in a round; its corners stay if it turns further."""
SLIVER = 0.02
"""Quality 4 sqrt(3) area / sum of squared sides that no face newly gets below."""


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
    sliding = on_border(faces, len(positions)) | on_rim(Surface(positions, faces))
    ridges = np.where(sliding, BORDER_RIDGE, RIDGE)
    ridges[level.locked] = np.inf
    layers = find_layers(decimation, number, points)
    memory = float(np.interp(len(faces) / len(decimation.numbers), SHARES, MEMORY))
    steps: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for turn in range(ROUNDS):
        points = attached(positions, faces, points)
        wanted = together([points, *made_way(positions, faces, layers)])
        moved = _moved(positions, faces, wanted, ridges, memory * level.quadrics)
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


def _moved(
    positions: np.ndarray, faces: np.ndarray, points: Points, ridges: np.ndarray,
    quadrics: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Where the sum is least."""
    count, owner, normals, weights = len(faces), points.faces, points.normals, points.weights
    corners = np.zeros((len(owner), 3))
    weigh(positions, faces, owner, points.places, corners)
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
