"""From a point on a simplified mesh back to the input: successive mapping (the paper's Sec. 4.3).

The point keeps its place and its face is followed back, collapse by collapse: among the faces
that were there just before, the closest one is next. So a point only reaches surface that was
merged into its face, never another sheet that happens to be near. Faces that look away from the
point's own are passed over as long as others are there (thin walls whose rims were merged).

Points of one face go the same way for a while. So they are followed together: a collapse asks
those of its faces that can be the closest to any of the points that came this far, by the sphere
around these, for the distances of all of them, in loops that compile to vector instructions, and
then the points part.
"""

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ....renderers.cpu.compiled import inner, lean_kernel
from .collapse import RING
from .history import History
from .triangles import closest_on_triangle

BLOCK = 16384
"""About so many points are one thread's next piece of work."""
FLATTEST = 1e-14
"""Squared sine of the angle at a corner below which a triangle is its sides alone."""
SURELY = 1e-3
"""By how much, in radii and distances, a face must be too far to be left out: more than rounding
in float32 makes of them."""


def follow(
    history: History,
    records: int,
    faces: np.ndarray,
    points: np.ndarray,
    origins: np.ndarray,
    facing: np.ndarray | None,
    *,
    threads: int,
) -> np.ndarray:
    """The face that each point came from, having undone the first `records` records.

    Args:
        faces: Where the points are, as faces of the complex.
        points: In diagonals about the center.
        origins: For each face of the complex that has points on it, a place near all of them.
        facing: Where each face of the complex looks that has points on it; any length. `None` to
            go to the closest face whichever way it looks.

    Returns:
        Faces of the complex.
    """
    count = len(history.face_starts) - 1
    found = np.zeros(len(faces), np.int64)
    order, ends = _by_face(faces, count)
    filtered = facing is not None
    ways = np.zeros((1, 3)) if facing is None else facing
    arrays = (
        history.starts, history.ids, history.corners, history.points, history.face_starts,
        history.face_records,
    )  # fmt: skip

    def one(span: tuple[int, int]) -> None:
        room = _room(int(np.diff(ends[span[0] : span[1] + 1]).max(initial=1)))
        _follow(arrays, records, order, ends, *span, points, origins, ways, filtered, found, room)

    spans = _spans(ends)
    if threads <= 1 or len(spans) <= 1:
        for span in spans:
            one(span)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(one, spans))
    return found


def barycentrics(
    positions: np.ndarray, faces: np.ndarray, numbers: np.ndarray, points: np.ndarray
) -> np.ndarray:
    """Of the closest places of faces (by number) to points (n 3)."""
    weights = np.empty((len(points), 3))
    _barycentrics(positions, faces, numbers, points, weights)
    return weights


def _spans(ends: np.ndarray) -> list[tuple[int, int]]:
    """Runs of faces with about `BLOCK` points each."""
    total = int(ends[-1])
    cuts = np.searchsorted(ends, np.arange(0, total, BLOCK), side="right") - 1
    cuts = np.unique(np.append(cuts, len(ends) - 1)).tolist()
    return list(itertools.pairwise(cuts))


def _by_face(faces: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The points in order of their faces, and where those of each face begin; one more at last."""
    ends, order = np.zeros(count + 2, np.int64), np.empty(len(faces), np.int64)
    _sort(np.ascontiguousarray(faces, np.int64), count, ends, order)
    return order, ends[:-1]


def _room(most: int) -> tuple[np.ndarray, ...]:
    """For work on faces of at most so many points."""
    return (
        np.empty((5, most), np.float32),
        np.empty((2, most), np.int64),
        np.empty((2, most), np.int32),
        np.empty((most + 1, 4), np.int64),
        np.zeros(RING + 1, np.int64),
        np.zeros(RING, np.bool_),
        np.zeros(RING),
    )


@lean_kernel
def _sort(faces: np.ndarray, count: int, ends: np.ndarray, order: np.ndarray) -> None:
    for n in range(len(faces)):
        ends[faces[n] + 2] += 1
    for face in range(count):
        ends[face + 2] += ends[face + 1]
    for n in range(len(faces)):
        order[ends[faces[n] + 1]] = n
        ends[faces[n] + 1] += 1


@lean_kernel
def _follow(
    history: tuple, records: int, order: np.ndarray, ends: np.ndarray, first: int, last: int,
    points: np.ndarray, origins: np.ndarray, facing: np.ndarray, filtered: bool, found: np.ndarray,
    rooms: tuple,
) -> None:  # fmt: skip
    """Follow the points of the faces `first` to `last`, a face at a time.

    Points in work lie in `x`, `y`, `z`; those that have gone the same way so far are a run of
    them, and runs wait on a stack with the face they have come to and the record they met there.
    """
    starts, ids, corners, places, face_starts, face_records = history
    reals, longs, shorts, stack, room, away, far = rooms
    x, y, z, squares, least = reals[0], reals[1], reals[2], reals[3], reals[4]
    number, other, which, moved = longs[0], longs[1], shorts[0], shorts[1]
    for home in range(first, last):
        count = ends[home + 1] - ends[home]
        if count == 0:
            continue
        origin = origins[home]
        for n in range(count):
            point = order[ends[home] + n]
            number[n] = point
            x[n] = points[point, 0] - origin[0]
            y[n] = points[point, 1] - origin[1]
            z[n] = points[point, 2] - origin[2]
        stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 3] = 0, count, home, records
        waiting = 1
        while waiting > 0:
            waiting -= 1
            low, high, face, before = stack[waiting]
            before = _last_before(face_records, face_starts[face], face_starts[face + 1], before)
            if before < 0:
                for n in range(low, high):
                    found[number[n]] = face
                continue
            begin, end = starts[before], starts[before + 1]
            away[: end - begin] = False
            if filtered:
                _turned(begin, end, corners, places, facing[home], away)
            near = _leave_out(
                begin, end, corners, places, origin, x[low:high], y[low:high], z[low:high], far,
                away,
            )  # fmt: skip
            if near >= 0:
                stack[waiting, 0], stack[waiting, 1] = low, high
                stack[waiting, 2], stack[waiting, 3] = _face(ids[begin + near]), before
                waiting += 1
                continue
            least[low:high], which[low:high] = np.inf, 0
            for k in range(end - begin):
                if away[k]:
                    continue
                _squares(
                    corners[begin + k], places, origin, x[low:high], y[low:high], z[low:high],
                    squares[low:high],
                )  # fmt: skip
                own = _face(ids[begin + k]) == face
                _choose(squares[low:high], least[low:high], which[low:high], np.int32(k), own)
            room[: end - begin + 1] = 0
            for n in range(low, high):
                room[which[n] + 1] += 1
            if room[which[low] + 1] == high - low:
                stack[waiting, 2], stack[waiting, 3] = _face(ids[begin + which[low]]), before
                stack[waiting, 0], stack[waiting, 1] = low, high
                waiting += 1
                continue
            room[0] = low
            for k in range(end - begin):
                if room[k + 1] > 0:
                    stack[waiting, 0], stack[waiting, 1] = room[k], room[k] + room[k + 1]
                    stack[waiting, 2], stack[waiting, 3] = _face(ids[begin + k]), before
                    waiting += 1
                room[k + 1] += room[k]
            for n in range(low, high):
                moved[n] = room[which[n]]
                room[which[n]] += 1
            for values in (x, y, z):
                _part(values, moved, squares, low, high)
            _part(number, moved, other, low, high)


@inner
def _face(kept: int) -> int:
    """Of a record's entry, whether the face lived on or not."""
    return kept if kept >= 0 else ~kept


@inner
def _last_before(records: np.ndarray, low: int, high: int, before: int) -> int:
    """The last of the rising records `low` to `high` that is smaller, -1 without any."""
    first = low
    while low < high:
        middle = (low + high) // 2
        if records[middle] < before:
            low = middle + 1
        else:
            high = middle
    return records[low - 1] if low > first else -1


@lean_kernel
def _turned(
    begin: int, end: int, corners: np.ndarray, places: np.ndarray, way: np.ndarray, away: np.ndarray
) -> None:
    """Which faces of a record do not look along `way`; none if all do not."""
    every = True
    for k in range(end - begin):
        a, b, c = corners[begin + k]
        ux, uy, uz = _between(places, a, b)
        vx, vy, vz = _between(places, a, c)
        along = (
            (uy * vz - uz * vy) * way[0]
            + (uz * vx - ux * vz) * way[1]
            + (ux * vy - uy * vx) * way[2]
        )
        away[k] = not along > 0
        every = every and away[k]
    if every:
        away[: end - begin] = False


@inner
def _leave_out(
    begin: int, end: int, corners: np.ndarray, places: np.ndarray, origin: np.ndarray,
    x: np.ndarray, y: np.ndarray, z: np.ndarray, far: np.ndarray, away: np.ndarray,
) -> int:  # fmt: skip
    """Add the faces of a record to `away` that another one is closer than to all of the points.

    A face's distance from the middle of the points, less their radius, is the least that any of
    them can have; plus the radius, the most.

    Returns:
        The one that is left, -1 if there are more.
    """
    count = len(x)
    cx, cy, cz = np.float32(0), np.float32(0), np.float32(0)
    for n in range(np.uint64(count)):
        cx += x[n]
        cy += y[n]
        cz += z[n]
    share = np.float32(1) / np.float32(count)
    cx, cy, cz = cx * share, cy * share, cz * share
    square = np.float32(0)
    for n in range(np.uint64(count)):
        dx, dy, dz = x[n] - cx, y[n] - cy, z[n] - cz
        here = dx * dx + dy * dy + dz * dz
        square = here if here > square else square
    radius = np.sqrt(np.float64(square))
    middle = (cx + origin[0], cy + origin[1], cz + origin[2])
    nearest = np.inf
    for k in range(end - begin):
        if not away[k]:
            a, b, c = corners[begin + k]
            far[k] = np.sqrt(closest_on_triangle(places[a], places[b], places[c], middle)[0])
            nearest = min(nearest, far[k])
    limit = nearest + 2 * radius + SURELY * (nearest + radius)
    left, last = 0, -1
    for k in range(end - begin):
        if not away[k] and far[k] <= limit:
            left += 1
            last = k
        else:
            away[k] = True
    return last if left == 1 else -1


@inner
def _between(places: np.ndarray, a: int, b: int) -> tuple[float, float, float]:
    return (
        np.float64(places[b, 0]) - places[a, 0],
        np.float64(places[b, 1]) - places[a, 1],
        np.float64(places[b, 2]) - places[a, 2],
    )


@lean_kernel
def _squares(
    corners: np.ndarray, places: np.ndarray, origin: np.ndarray, x: np.ndarray, y: np.ndarray,
    z: np.ndarray, squares: np.ndarray,
) -> None:  # fmt: skip
    """Squared distances of points to a triangle, without branches, in float32 about `origin`.

    Over the triangle that to its plane, elsewhere the least of those to its three sides.
    """
    a, b, c = corners[0], corners[1], corners[2]
    ux, uy, uz = _between(places, a, b)
    vx, vy, vz = _between(places, a, c)
    nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    uu, vv = ux * ux + uy * uy + uz * uz, vx * vx + vy * vy + vz * vz
    uv, nn = ux * vx + uy * vy + uz * vz, nx * nx + ny * ny + nz * nz
    # Gradients of the weights of b and c; without area they are 0, and `last` shuts the inside.
    area = nn > FLATTEST * uu * vv
    share = 1 / nn if area else 0.0
    last = np.float32(1.0 if area else -1.0)
    p, q = vv * share, uv * share
    bx, by, bz = _row(p * ux - q * vx, p * uy - q * vy, p * uz - q * vz)
    p = uu * share
    cx, cy, cz = _row(p * vx - q * ux, p * vy - q * uy, p * vz - q * uz)
    share = np.sqrt(share)
    nx, ny, nz = _row(nx * share, ny * share, nz * share)
    ww = (vx - ux) ** 2 + (vy - uy) ** 2 + (vz - uz) ** 2
    wx, wy, wz = _row(vx - ux, vy - uy, vz - uz)
    ux, uy, uz = _row(ux, uy, uz)
    vx, vy, vz = _row(vx, vy, vz)
    per_u, per_v = np.float32(1 / uu if uu > 0 else 0.0), np.float32(1 / vv if vv > 0 else 0.0)
    per_w = np.float32(1 / ww if ww > 0 else 0.0)
    ax, ay, az = _row(places[a, 0] - origin[0], places[a, 1] - origin[1], places[a, 2] - origin[2])
    zero, one = np.float32(0), np.float32(1)
    for n in range(np.uint64(len(squares))):  # Unsigned: LLVM need not look for negative ones.
        px, py, pz = x[n] - ax, y[n] - ay, z[n] - az
        t = (px * ux + py * uy + pz * uz) * per_u
        t = t if t > zero else zero
        t = t if t < one else one
        dx, dy, dz = px - t * ux, py - t * uy, pz - t * uz
        square = dx * dx + dy * dy + dz * dz
        t = (px * vx + py * vy + pz * vz) * per_v
        t = t if t > zero else zero
        t = t if t < one else one
        dx, dy, dz = px - t * vx, py - t * vy, pz - t * vz
        side = dx * dx + dy * dy + dz * dz
        square = side if side < square else square
        dx, dy, dz = px - ux, py - uy, pz - uz
        t = (dx * wx + dy * wy + dz * wz) * per_w
        t = t if t > zero else zero
        t = t if t < one else one
        dx, dy, dz = dx - t * wx, dy - t * wy, dz - t * wz
        side = dx * dx + dy * dy + dz * dz
        square = side if side < square else square
        second, third = px * bx + py * by + pz * bz, px * cx + py * cy + pz * cz
        high = px * nx + py * ny + pz * nz
        over = (second >= zero) & (third >= zero) & (second + third <= last)
        squares[n] = high * high if over else square


@lean_kernel
def _choose(squares: np.ndarray, least: np.ndarray, which: np.ndarray, k: int, own: bool) -> None:
    """Of two equally close faces that which is already there."""
    if own:
        for n in range(np.uint64(len(least))):
            which[n] = k if squares[n] <= least[n] else which[n]
            least[n] = squares[n] if squares[n] <= least[n] else least[n]
    else:
        for n in range(np.uint64(len(least))):
            which[n] = k if squares[n] < least[n] else which[n]
            least[n] = squares[n] if squares[n] < least[n] else least[n]


@inner
def _row(x: float, y: float, z: float) -> tuple[np.float32, np.float32, np.float32]:
    return np.float32(x), np.float32(y), np.float32(z)


@lean_kernel
def _part(values: np.ndarray, moved: np.ndarray, scratch: np.ndarray, low: int, high: int) -> None:
    for n in range(low, high):
        scratch[moved[n]] = values[n]
    for n in range(low, high):
        values[n] = scratch[n]


@lean_kernel
def _barycentrics(
    positions: np.ndarray, faces: np.ndarray, numbers: np.ndarray, points: np.ndarray,
    weights: np.ndarray,
) -> None:  # fmt: skip
    for n in range(len(points)):
        a, b, c = faces[numbers[n]]
        _, v, w = closest_on_triangle(positions[a], positions[b], positions[c], points[n])
        weights[n, 0] = 1 - v - w
        weights[n, 1] = v
        weights[n, 2] = w
