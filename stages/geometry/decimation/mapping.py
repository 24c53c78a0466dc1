"""From a point on a simplified mesh back to the input: successive mapping (the paper's Sec. 4.3).

The point keeps its place and its face is followed back, collapse by collapse: among the faces
that were there just before, the closest one is next. So a point only reaches surface that was
merged into its face, never another sheet that happens to be near. With a normal, faces that look
away from it are passed over as long as others are there (thin walls whose rims were merged).
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ....renderers.cpu.compiled import kernel, part
from .history import History
from .triangles import closest_on_triangle

BLOCK = 16384
"""Points that one thread takes at a time."""


def follow(
    history: History,
    records: int,
    faces: np.ndarray,
    points: np.ndarray,
    normals: np.ndarray | None,
    *,
    threads: int,
) -> np.ndarray:
    """The face that each point came from, having undone the first `records` records.

    Args:
        faces: Where the points are, as faces of the complex.
        points: In diagonals about the center.
        normals: Where the surface looks there; any length.

    Returns:
        Faces of the complex.
    """
    found = np.zeros(len(faces), np.int64)
    filtered = normals is not None
    ways = np.zeros((len(faces), 3)) if normals is None else normals

    def one(start: int) -> None:
        span = slice(start, start + BLOCK)
        _follow(history_arrays, records, faces[span], points[span], ways[span], filtered,
                found[span])  # fmt: skip

    history_arrays = (
        history.starts, history.ids, history.corners, history.points, history.face_starts,
        history.face_records,
    )  # fmt: skip
    starts = range(0, len(faces), BLOCK)
    if threads <= 1 or len(starts) <= 1:
        for start in starts:
            one(start)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(one, starts))
    return found


def barycentrics(corners: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Of the closest point of each triangle (n 3 3) to each point (n 3)."""
    weights = np.zeros((len(points), 3))
    _barycentrics(corners, points, weights)
    return weights


@kernel
def _follow(
    history: tuple, records: int, faces: np.ndarray, points: np.ndarray, normals: np.ndarray,
    filtered: bool, found: np.ndarray,
) -> None:  # fmt: skip
    starts, ids, corners, places, face_starts, face_records = history
    for n in range(len(faces)):
        face = faces[n]
        before = records
        while True:
            low, high = face_starts[face], face_starts[face + 1]
            first = low
            while low < high:
                middle = (low + high) // 2
                if face_records[middle] < before:
                    low = middle + 1
                else:
                    high = middle
            if low == first:
                break
            before = face_records[low - 1]
            face = _closest(
                starts[before], starts[before + 1], ids, corners, places, points[n], normals[n],
                filtered, face,
            )  # fmt: skip
        found[n] = face


@part
def _closest(
    start: int, end: int, ids: np.ndarray, corners: np.ndarray, places: np.ndarray,
    point: np.ndarray, normal: np.ndarray, filtered: bool, own: int,
) -> int:  # fmt: skip
    """The closest face of a record; of two equally close ones that which is already there."""
    best = own
    least = np.inf
    turned_best = own
    turned_least = np.inf
    for n in range(start, end):
        face = ids[n] if ids[n] >= 0 else ~ids[n]
        a, b, c = places[corners[n, 0]], places[corners[n, 1]], places[corners[n, 2]]
        square, _, _ = closest_on_triangle(a, b, c, point)
        away = False
        if filtered:
            ux, uy, uz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
            vx, vy, vz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
            away = (
                (uy * vz - uz * vy) * normal[0]
                + (uz * vx - ux * vz) * normal[1]
                + (ux * vy - uy * vx) * normal[2]
            ) <= 0
        if away:
            if square < turned_least or (square == turned_least and face == own):
                turned_least, turned_best = square, face
        elif square < least or (square == least and face == own):
            least, best = square, face
    return best if least < np.inf else turned_best


@kernel
def _barycentrics(corners: np.ndarray, points: np.ndarray, weights: np.ndarray) -> None:
    for n in range(len(points)):
        _, v, w = closest_on_triangle(corners[n, 0], corners[n, 1], corners[n, 2], points[n])
        weights[n, 0] = 1 - v - w
        weights[n, 1] = v
        weights[n, 2] = w
