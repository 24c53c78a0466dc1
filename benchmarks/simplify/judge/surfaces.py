"""Distances between surfaces, parts that went missing, and what is broken in a mesh."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from .model import Model, weld
from .views import Surface

SAMPLES = 40_000
LARGE = 0.02
"""Share of the area from which on a part must not vanish."""
GONE = (0.02, 0.2)
"""A spot is gone if nothing is within this share of the mesh's diagonal, or of its part's."""


@dataclass(frozen=True)
class Distances:
    """As shares of the original's diagonal, both ways."""

    chamfer: float
    """Mean of the two mean distances."""
    hausdorff: float
    """Largest of any sample or vertex."""


@dataclass(frozen=True)
class Faults:
    not_finite: int
    bad_indices: int
    degenerate: int
    duplicate: int
    uv_outside: bool


def sample(model: Model, count: int = SAMPLES, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points spread evenly over the area (stratified along the list of faces), and their faces."""
    corners = model.positions[model.faces]
    area = _areas(model)
    total = np.cumsum(area)
    rng = np.random.default_rng(seed)
    at = (np.arange(count) + rng.random(count)) / count * total[-1]
    face = np.searchsorted(total, at, side="right").clip(max=len(area) - 1)
    u, v = rng.random(count), rng.random(count)
    over = u + v > 1
    u, v = np.where(over, 1 - u, u), np.where(over, 1 - v, v)
    a, b, c = np.moveaxis(corners[face], 1, 0)
    return a + u[:, None] * (b - a) + v[:, None] * (c - a), face


def distances(original: Surface, other: Surface) -> Distances:
    means, largest = [], 0.0
    for one, two in ((original, other), (other, original)):
        points = sample(one.model)[0]
        means.append(two.distance(points).mean())
        vertices = one.model.positions[np.unique(one.model.faces)]
        largest = max(largest, two.distance(np.concatenate([points, vertices])).max())
    diagonal = original.model.diagonal
    return Distances(float(np.mean(means)) / diagonal, float(largest) / diagonal)


def lost_parts(original: Surface, other: Surface) -> list[float]:
    """Areas, as shares of the whole, of connected parts of the original that are gone: of more
    than half their area nothing is left nearby. Parts smaller than `LARGE` are not looked at."""
    model = original.model
    label = parts(model)
    area = np.bincount(label, _areas(model))
    points, face = sample(model)
    lost = []
    for number in np.flatnonzero(area >= LARGE * area.sum()):
        corners = model.positions[model.faces[label == number].ravel()]
        size = float(np.linalg.norm(np.ptp(corners, axis=0)))
        reach = min(GONE[0] * model.diagonal, GONE[1] * size)
        gone = other.distance(points[label[face] == number]) > reach
        if gone.mean() > 0.5:
            lost.append(float(area[number] / area.sum()))
    return lost


def parts(model: Model) -> np.ndarray:
    """Per face, the number of the part it is connected to through shared places."""
    places, faces = weld(model.positions, model.faces)
    rows, columns = faces[:, [0, 1]].ravel(), faces[:, [1, 2]].ravel()
    links = sparse.coo_matrix((np.ones(len(rows)), (rows, columns)), (len(places),) * 2)
    of_vertex = csgraph.connected_components(links, directed=False)[1]
    return np.unique(of_vertex[faces[:, 0]], return_inverse=True)[1].reshape(-1)


def faults(model: Model) -> Faults:
    """Counted on faces whose corners are welded by position. A face is degenerate if two corners
    are one place or its area is below 1e-12 of its longest side squared."""
    outside = ((model.faces < 0) | (model.faces >= len(model.positions))).any(axis=1)
    finite = np.isfinite(model.positions).all(axis=1)
    sound = model.faces[~outside]
    sound = sound[finite[sound].all(axis=1)]
    faces = weld(model.positions, sound)[1] if len(sound) else sound
    a, b, c = np.moveaxis(model.positions[sound], 1, 0)
    longest = np.max([((p - q) ** 2).sum(axis=1) for p, q in ((a, b), (b, c), (c, a))], axis=0)
    flat = np.linalg.norm(np.cross(b - a, c - a), axis=1) <= 1e-12 * longest
    flat |= (faces == np.roll(faces, 1, axis=1)).any(axis=1)
    proper = np.sort(faces[~flat], axis=1)
    return Faults(
        not_finite=int((~finite).sum()),
        bad_indices=int(outside.sum()),
        degenerate=int(flat.sum()),
        duplicate=len(proper) - len(np.unique(proper, axis=0)),
        uv_outside=not model.unit,
    )


def _areas(model: Model) -> np.ndarray:
    a, b, c = np.moveaxis(model.positions[model.faces], 1, 0)
    return np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
