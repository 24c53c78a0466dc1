"""From triangle soup to a simplicial 2-complex: sets of vertices, edges and faces.

Vertices closer than a tolerance are one; a face with a repeated corner or without area is none;
of faces with the same three corners one remains. An edge is any side of a face and may have any
number of faces. Positions are centered and divided by the diagonal of the bounding box, so that
nothing that follows knows a scale.
"""

from dataclasses import dataclass, replace

import numpy as np

from ....renderers.cpu.compiled import lean_kernel
from ..components import Surface
from ..connected import connected, near_each_other

WELD_SHARE = 1e-6
"""Vertices nearer than this share of the diagonal are welded."""
LEAST_AREA = 1e-18
"""Faces of a smaller area, in squared diagonals, are taken for degenerate."""


@dataclass(frozen=True, slots=True)
class Complex:
    """The welded mesh and where it came from."""

    positions: np.ndarray
    """v 3, in diagonals about the center."""
    faces: np.ndarray
    """f 3, int32."""
    face_ids: np.ndarray
    """f, int64: faces of the input."""
    vertex_of: np.ndarray
    """Per vertex of the input: the welded one, -1 where no face that stays uses it."""
    edges: np.ndarray
    """e 2, int32, smaller end first; virtual ones last."""
    edge_faces: np.ndarray
    """e, int32: how many faces have this edge; 0 for virtual ones."""
    center_m: np.ndarray
    diagonal_m: float
    degenerate: int
    duplicates: int


def build(surface: Surface) -> Complex:
    """Weld and clean a soup. Does not add virtual edges."""
    positions, center, diagonal = _normalized(surface)
    vertex_of = _weld(positions, surface.faces)
    faces = vertex_of[surface.faces]
    proper = _proper(positions, faces)
    first = first_of_equal(np.sort(faces, axis=1).astype(np.int64)) == np.arange(len(faces))
    kept = np.flatnonzero(proper & first)
    compacted = _compact(positions, faces[kept], vertex_of)
    positions, faces, vertex_of = compacted
    edges, edge_faces = edges_of(faces)
    return Complex(
        positions=positions,
        faces=faces,
        face_ids=kept,
        vertex_of=vertex_of,
        edges=edges,
        edge_faces=edge_faces,
        center_m=center,
        diagonal_m=diagonal,
        degenerate=int((~proper).sum()),
        duplicates=int((proper & ~first).sum()),
    )


def labels(complex_: Complex, *, virtual: bool = False) -> np.ndarray:
    """Per vertex, the number of its component. Virtual edges connect only if told to."""
    real = complex_.edges[(complex_.edge_faces > 0) | virtual]
    return connected(len(complex_.positions), real).astype(np.int32)


def prune(complex_: Complex, share: float) -> tuple[Complex, int]:
    """Drop the components whose bounding box has a diagonal below `share` of the whole one's.

    The largest always stays. Returns what stays and how many went.
    """
    of_vertex = labels(complex_)
    count = int(of_vertex.max(initial=-1)) + 1
    low, high = np.full((count, 3), np.inf), np.full((count, 3), -np.inf)
    np.minimum.at(low, of_vertex, complex_.positions)
    np.maximum.at(high, of_vertex, complex_.positions)
    size = np.linalg.norm(high - low, axis=1)
    stays = (size >= share) | (size == size.max())
    if stays.all():
        return complex_, 0
    kept = stays[of_vertex[complex_.faces[:, 0]]]
    positions, faces, vertex_of = _compact(
        complex_.positions, complex_.faces[kept], complex_.vertex_of
    )
    edges, edge_faces = edges_of(faces)
    smaller = replace(
        complex_, positions=positions, faces=faces, face_ids=complex_.face_ids[kept],
        vertex_of=vertex_of, edges=edges, edge_faces=edge_faces,
    )  # fmt: skip
    return smaller, int((~stays).sum())


def edges_of(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unordered pairs of corners, in order of first appearance, and how many faces have each."""
    pairs = np.empty((len(faces), 3, 2), np.int64)
    following = faces[:, [1, 2, 0]]
    np.minimum(faces, following, out=pairs[:, :, 0])
    np.maximum(faces, following, out=pairs[:, :, 1])
    pairs = pairs.reshape(-1, 2)
    first = first_of_equal(pairs)
    counts = np.bincount(first, minlength=len(pairs))
    own = np.flatnonzero(first == np.arange(len(pairs)))
    return pairs[own].astype(np.int32), counts[own].astype(np.int32)


def seams(complex_: Complex, charts: np.ndarray) -> np.ndarray:
    """Sides of faces (face, corner where they start) at whose edge several charts meet."""
    faces = complex_.faces
    start, end = faces.reshape(-1).astype(np.int64), np.roll(faces, -1, axis=1).reshape(-1)
    code = np.minimum(start, end) * len(complex_.positions) + np.maximum(start, end)
    edge = np.unique(code, return_inverse=True)[1].reshape(-1)
    low, high = np.full(len(edge), charts.max(initial=0)), np.full(len(edge), -1)
    of_side = np.repeat(charts, 3)
    np.minimum.at(low, edge, of_side)
    np.maximum.at(high, edge, of_side)
    side = np.flatnonzero((low < high)[edge])
    return np.stack([side // 3, side % 3], axis=1)


def first_of_equal(rows: np.ndarray) -> np.ndarray:
    """Per row of integers, the smallest index of a row that equals it."""
    size = 16
    while size < 2 * len(rows):
        size *= 2
    first = np.zeros(len(rows), np.int64)
    _find_equal(rows, np.full(size, -1, np.int32), first)
    return first


@lean_kernel
def _find_equal(rows: np.ndarray, table: np.ndarray, first: np.ndarray) -> None:
    """By open addressing in a table of -1, whose length is a power of 2.

    The hash wraps around on purpose. Without compilation (NUMBA_DISABLE_JIT) NumPy warns of that
    and the tests take warnings for errors: run them with `-W ignore::RuntimeWarning` then.
    """
    count, width = rows.shape
    size = len(table)
    for row in range(count):
        code = np.uint64(0x9E3779B97F4A7C15)
        for k in range(width):
            code = (code ^ np.uint64(rows[row, k])) * np.uint64(0xBF58476D1CE4E5B9)
            code ^= code >> np.uint64(29)
        slot = np.int64(code & np.uint64(size - 1))
        while True:
            other = table[slot]
            if other < 0:
                table[slot] = row
                first[row] = row
                break
            same = True
            for k in range(width):
                same = same and rows[row, k] == rows[other, k]
            if same:
                first[row] = other
                break
            slot = (slot + 1) & (size - 1)


def _normalized(surface: Surface) -> tuple[np.ndarray, np.ndarray, float]:
    is_used = np.zeros(len(surface.positions), bool)
    is_used[surface.faces] = True
    used = surface.positions[is_used].astype(np.float64)
    if not np.isfinite(used).all():
        corners = surface.positions[surface.faces]
        bad = int(np.flatnonzero(~np.isfinite(corners).all(axis=(1, 2)))[0])
        raise ValueError(f"Face {bad} has a corner that is not finite: repair or drop it first.")
    if not len(used):
        return surface.positions.astype(np.float64), np.zeros(3), 1.0
    low, high = used.min(axis=0), used.max(axis=0)
    center, diagonal = (low + high) / 2, float(np.linalg.norm(high - low))
    if not diagonal > 0:
        return np.zeros(surface.positions.shape), center, 1.0
    return (surface.positions.astype(np.float64) - center) / diagonal, center, diagonal


def _weld(positions: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Per vertex, the lowest index among those at its place.

    Equal positions are found by hashing. Only vertices with a border edge can then still have a
    neighbor to be welded to within the tolerance, and only those are searched.
    """
    same = first_of_equal((positions + 0.0).view(np.int64))
    edges, counts = edges_of(same[faces])
    open_ = np.unique(edges[counts != 2])
    if not len(open_):
        return same
    group = near_each_other(positions[open_], WELD_SHARE)
    lowest = np.full(group.max() + 1, len(positions), np.int64)
    np.minimum.at(lowest, group, open_)
    joined = np.arange(len(positions))
    joined[open_] = lowest[group]
    return joined[same]


def _proper(positions: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = (positions[faces[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    repeated = (faces == np.roll(faces, 1, axis=1)).any(axis=1)
    return ~repeated & (area > LEAST_AREA)


def _compact(
    positions: np.ndarray, faces: np.ndarray, vertex_of: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number the vertices that faces use, keeping their order."""
    used = np.zeros(len(positions), bool)
    used[faces] = True
    number = np.full(len(positions) + 1, -1, np.int64)  # The last one answers for -1.
    number[:-1][used] = np.arange(used.sum())
    return positions[used], number[faces].astype(np.int32), number[vertex_of]
