"""Edge collapses in order of cost (the paper's Sec. 4; Lindstrom and Turk 1998 for the area term).

    cost(i, j) = min over x of  Q_i(x) + Q_j(x) + S_i(x) + S_j(x) - S_ij(x),

Q the accumulated planes of a vertex, S the area quadrics of the border edges that are at it now,
S_ij that of the collapsed edge, which is in both sums but vanishes.

An edge is priced again only when it comes to the top of the heap: away from borders its cost can
only have grown since (quadrics are only ever added), so its old key is a bound from below. Where
borders move, and where a penalty may have lapsed, prices are brought up to date at once.
"""

import numpy as np

from ....renderers.cpu.compiled import kernel, part
from .checks import breaks_topology, turning
from .heap import pop, set_key
from .quadrics import add_area, least, sum_borders, value
from .web import (
    FACES,
    HEAP,
    POINTS,
    STAMP,
    Web,
    far_end,
    gather_edges,
    gather_faces,
    has,
    is_border,
    others,
)

RING = 64
"""Faces of one record of the history at most."""
BORDER, PULL, FLIP, THIN, TOPOLOGY = range(5)
"""Places in the array of settings."""


@part
def price(
    web: Web, edge: int, settings: np.ndarray, q: np.ndarray
) -> tuple[float, float, float, float]:
    """Cost of collapsing an edge and where to. `q` is room for a quadric and keeps it."""
    i, j = web.edges[edge, 0], web.edges[edge, 1]
    for k in range(11):
        q[k] = web.planes[i, k] + web.planes[j, k]
    if web.on_border[i] or web.on_border[j]:
        for k in range(11):
            q[k] += web.borders[i, k] + web.borders[j, k]
        if is_border(web, edge):
            add_area(q, web.positions[i], web.positions[j], -2 * settings[BORDER])
    p, r = web.positions[i], web.positions[j]
    if web.locked[i] and web.locked[j]:
        return np.inf, p[0], p[1], p[2]
    if web.locked[i]:
        return max(value(q, p[0], p[1], p[2]), 0.0), p[0], p[1], p[2]
    if web.locked[j]:
        return max(value(q, r[0], r[1], r[2]), 0.0), r[0], r[1], r[2]
    mx, my, mz = 0.5 * (p[0] + r[0]), 0.5 * (p[1] + r[1]), 0.5 * (p[2] + r[2])
    length = (p[0] - r[0]) ** 2 + (p[1] - r[1]) ** 2 + (p[2] - r[2]) ** 2
    good, x, y, z = least(q, mx, my, mz, settings[PULL])
    if good:
        far = (x - mx) ** 2 + (y - my) ** 2 + (z - mz) ** 2
        if far <= 4 * length:
            return max(value(q, x, y, z), 0.0), x, y, z
    best, x, y, z = value(q, mx, my, mz), mx, my, mz
    at_i, at_j = value(q, p[0], p[1], p[2]), value(q, r[0], r[1], r[2])
    if at_i < best:
        best, x, y, z = at_i, p[0], p[1], p[2]
    if at_j < best:
        best, x, y, z = at_j, r[0], r[1], r[2]
    return max(best, 0.0), x, y, z


@part
def penalty(web: Web, edge: int, x: float, y: float, z: float, settings: np.ndarray) -> float:
    """What is added to the cost for faces that turn over or become slivers; inf for never."""
    i, j = web.edges[edge, 0], web.edges[edge, 1]
    if settings[TOPOLOGY] > 0 and breaks_topology(web, edge):
        return np.inf
    turned_i, thin_i = turning(web, i, j, x, y, z)
    turned_j, thin_j = turning(web, j, i, x, y, z)
    p, r = web.positions[i], web.positions[j]
    length = (p[0] - r[0]) ** 2 + (p[1] - r[1]) ** 2 + (p[2] - r[2]) ** 2
    return (
        settings[FLIP] * (turned_i + turned_j) + settings[THIN] * (thin_i + thin_j)
    ) * length


@kernel
def price_all(web: Web, settings: np.ndarray) -> None:
    """First keys of all edges."""
    q = np.zeros(11)
    for edge in range(len(web.edges)):
        web.keys[edge] = price(web, edge, settings, q)[0]


@kernel
def run(
    web: Web,
    settings: np.ndarray,
    goal: int,
    error: float,
    max_error: float,
    starts: np.ndarray,
    ids: np.ndarray,
    corners: np.ndarray,
    points: np.ndarray,
) -> tuple[int, float, int]:
    """Collapse until `goal` faces or fewer are left, `max_error` is met or the room is full.

    The room: `starts` (records + 1), `ids` and `corners` (faces of all records), `points`.

    Returns:
        Records written, the error reached, and why it stopped: 0 no more room, 1 goal, 2 error,
        3 nothing left to collapse.
    """
    q = np.zeros(11)
    record = 0
    filled = 0
    room = len(starts) - 1
    while True:
        if web.counts[FACES] <= goal:
            return record, error, 1
        if record == room:
            return record, error, 0
        edge = next_edge(web, settings, q)
        if edge < 0:
            return record, error, 3
        cost, x, y, z = price(web, edge, settings, q)
        reached = max(error, np.sqrt(cost / q[10])) if q[10] > 0 else error
        if reached > max_error:
            return record, error, 2
        error = reached
        pop(web)
        filled = collapse(web, edge, x, y, z, settings, filled, ids, corners)
        points[record, 0], points[record, 1], points[record, 2] = x, y, z
        record += 1
        starts[record] = filled


@kernel
def next_edge(web: Web, settings: np.ndarray, q: np.ndarray) -> int:
    """The edge to collapse, left at the root of the heap; -1 if there is none."""
    while web.counts[HEAP] > 0:
        edge = web.heap[0]
        if web.edges[edge, 0] < 0:
            pop(web)
            continue
        key = web.keys[edge]
        if key == np.inf:
            return -1
        total, x, y, z = price(web, edge, settings, q)
        if total <= key:
            extra = penalty(web, edge, x, y, z, settings)
            if extra > 0:
                web.penalized[edge] = True
                web.rejects[web.edges[edge, 0]] = True
                web.rejects[web.edges[edge, 1]] = True
            total += extra
            if total <= key:
                if leaves_faces(web, edge):
                    return edge
                total = np.inf
        set_key(web, edge, total)
    return -1


@part
def leaves_faces(web: Web, edge: int) -> bool:
    """Whether anything is left after the collapse."""
    count = web.edge_faces[edge]
    return count == 0 or web.counts[FACES] > count


@kernel
def collapse(
    web: Web,
    edge: int,
    x: float,
    y: float,
    z: float,
    settings: np.ndarray,
    filled: int,
    ids: np.ndarray,
    corners: np.ndarray,
) -> int:
    """Join the ends of an edge at (x, y, z) and write the record. Returns the room filled."""
    i, j = web.edges[edge, 0], web.edges[edge, 1]
    web.counts[STAMP] += 1
    stamp = web.counts[STAMP]
    halves = mark_ring(web, i, j, stamp)
    middle = gather_faces(web, i, 0)
    end = gather_faces(web, j, middle)
    start = filled
    filled = write_record(web, i, j, middle, end, start, ids, corners)
    web.positions[i, 0], web.positions[i, 1], web.positions[i, 2] = x, y, z
    web.point[i] = web.counts[POINTS]
    web.counts[POINTS] += 1
    for k in range(11):
        web.planes[i, k] += web.planes[j, k]
    web.locked[i] |= web.locked[j]
    web.rejects[i] |= web.rejects[j]
    move_faces(web, i, j, middle, end, stamp)
    sign_record(web, start, filled, ids)
    end = move_edges(web, i, j, halves, stamp)
    end = count_faces(web, i, end, stamp)
    refresh(web, i, end, stamp, settings)
    return filled


@part
def mark_ring(web: Web, i: int, j: int, stamp: int) -> int:
    """Stamp the neighbors of i, mark which edge leads there, and where borders were.

    Leaves the halves of i, then those of j, in `edge_scratch`; returns where j's begin.
    """
    middle = gather_edges(web, i, 0)
    for n in range(middle):
        half = web.edge_scratch[n]
        k = far_end(web, half)
        web.stamps[k] = stamp
        web.marks[k] = half // 2
        if is_border(web, half // 2):
            web.touched[k] = stamp
    for n in range(middle, gather_edges(web, j, middle)):
        half = web.edge_scratch[n]
        if is_border(web, half // 2):
            web.touched[far_end(web, half)] = stamp
    return middle


@part
def write_face(
    web: Web, face: int, filled: int, ids: np.ndarray, corners: np.ndarray
) -> int:
    """A face as it is before the collapse."""
    ids[filled] = face
    for corner in range(3):
        corners[filled, corner] = web.point[web.faces[face, corner]]
    return filled + 1


@part
def write_record(
    web: Web, i: int, j: int, middle: int, end: int, filled: int, ids: np.ndarray, corners: np.ndarray
) -> int:
    """The faces at both ends: first those that vanish, then the shorter list, then the longer."""
    full = filled + RING
    for n in range(middle):
        if filled < full and has(web, web.face_scratch[n], j):
            filled = write_face(web, web.face_scratch[n], filled, ids, corners)
    i_first = middle <= end - middle
    for turn in range(2):
        of_i = i_first == (turn == 0)
        for n in range(0 if of_i else middle, middle if of_i else end):
            face = web.face_scratch[n]
            if filled < full and not has(web, face, j if of_i else i):
                filled = write_face(web, face, filled, ids, corners)
    return filled


@part
def sign_record(web: Web, start: int, end: int, ids: np.ndarray) -> None:
    """Faces that vanished are kept as ~face."""
    for n in range(start, end):
        if web.faces[ids[n], 0] < 0:
            ids[n] = ~ids[n]


@part
def move_faces(web: Web, i: int, j: int, middle: int, end: int, stamp: int) -> None:
    """Give j's faces to i; those with both ends, and doubles of i's faces, vanish."""
    for n in range(middle, end):
        face = web.face_scratch[n]
        if has(web, face, i):
            kill_face(web, face)
            continue
        a, b = others(web, face, j)
        if web.stamps[a] == stamp and web.stamps[b] == stamp and is_double(web, a, b, middle):
            loosen(web, a, b, stamp)
            kill_face(web, face)
            continue
        for corner in range(3):
            if web.faces[face, corner] == j:
                web.faces[face, corner] = i
    if web.last_corner[i] >= 0:
        web.next_corner[web.last_corner[i]] = web.first_corner[j]
    else:
        web.first_corner[i] = web.first_corner[j]
    web.last_corner[i] = web.last_corner[j]
    web.first_corner[j] = -1


@part
def kill_face(web: Web, face: int) -> None:
    web.faces[face, 0] = -1
    web.counts[FACES] -= 1


@part
def is_double(web: Web, a: int, b: int, middle: int) -> bool:
    """Whether a living face of i, they are first in the scratch, has the corners a and b too."""
    for n in range(middle):
        face = web.face_scratch[n]
        if web.faces[face, 0] >= 0 and has(web, face, a) and has(web, face, b):
            return True
    return False


@part
def loosen(web: Web, a: int, b: int, stamp: int) -> None:
    """One face fewer at the edge ab."""
    half = web.first_half[a]
    while half >= 0:
        if web.edges[half // 2, 0] >= 0 and far_end(web, half) == b:
            web.edge_faces[half // 2] -= 1
            web.touched[a] = stamp
            web.touched[b] = stamp
            return
        half = web.next_half[half]


@part
def move_edges(web: Web, i: int, j: int, middle: int, stamp: int) -> int:
    """Give j's edges to i, one for each neighbor. Returns the end of i's in the scratch."""
    kept = 0
    for n in range(middle):
        half = web.edge_scratch[n]
        if far_end(web, half) == j:
            web.edges[half // 2, 0] = -1
        else:
            web.edge_scratch[kept] = half
            kept += 1
    n = middle
    half = web.first_half[j]
    while half >= 0:
        following = web.next_half[half]
        edge = half // 2
        if web.edges[edge, 0] >= 0:
            k = far_end(web, half)
            if web.stamps[k] == stamp:
                twin = web.marks[k]
                web.edge_faces[twin] += web.edge_faces[edge]
                web.edges[edge, 0] = -1
            else:
                web.edges[edge, half % 2] = i
                web.stamps[k] = stamp
                web.marks[k] = edge
                web.edge_scratch[kept] = half
                kept += 1
        half = following
    web.first_half[j] = -1
    web.first_half[i] = -1
    for n in range(kept - 1, -1, -1):
        half = web.edge_scratch[n]
        web.next_half[half] = web.first_half[i]
        web.first_half[i] = half
    return kept


@part
def count_faces(web: Web, i: int, end: int, stamp: int) -> int:
    """Count the faces of i's edges anew; edges that lost theirs all go. Returns the new end."""
    for n in range(end):
        edge = web.edge_scratch[n] // 2
        # Virtual edges stay 0; -1 stands for edges that had faces.
        web.edge_faces[edge] = -1 if web.edge_faces[edge] > 0 else 0
    corner = web.first_corner[i]
    while corner >= 0:
        face = corner // 3
        corner = web.next_corner[corner]
        if web.faces[face, 0] < 0:
            continue
        a, b = others(web, face, i)
        for k in (a, b):
            edge = web.marks[k]
            web.edge_faces[edge] = max(web.edge_faces[edge], 0) + 1
    kept = 0
    for n in range(end):
        half = web.edge_scratch[n]
        edge = half // 2
        k = far_end(web, half)
        if web.edge_faces[edge] < 0:
            web.edges[edge, 0] = -1
            web.touched[k] = stamp
            drop_if_bare(web, k)
            continue
        if is_border(web, edge):
            web.touched[k] = stamp
        web.edge_scratch[kept] = half
        kept += 1
    if bare(web, i):
        for n in range(kept):
            web.edges[web.edge_scratch[n] // 2, 0] = -1
        return 0
    return kept


@part
def bare(web: Web, vertex: int) -> bool:
    """Whether no face is left here."""
    corner = web.first_corner[vertex]
    while corner >= 0:
        if web.faces[corner // 3, 0] >= 0:
            return False
        corner = web.next_corner[corner]
    return True


@part
def drop_if_bare(web: Web, vertex: int) -> None:
    """A vertex without faces leaves, with its virtual edges."""
    if bare(web, vertex):
        half = web.first_half[vertex]
        while half >= 0:
            web.edges[half // 2, 0] = -1
            half = web.next_half[half]
        web.first_half[vertex] = -1


@kernel
def refresh(web: Web, i: int, end: int, stamp: int, settings: np.ndarray) -> None:
    """Bring border sums and prices up to date around i, whose halves are first in the scratch."""
    q = np.zeros(11)
    if settings[BORDER] > 0:
        sum_borders(web, i, settings[BORDER], end)
        for n in range(end):
            k = far_end(web, web.edge_scratch[n])
            if web.touched[k] == stamp:
                sum_borders(web, k, settings[BORDER], end)
    for n in range(end):
        half = web.edge_scratch[n]
        edge, k = half // 2, far_end(web, half)
        if web.edges[edge, 0] < 0:
            continue
        if web.penalized[edge] or web.on_border[i] or web.touched[k] == stamp:
            web.penalized[edge] = False
            set_key(web, edge, price(web, edge, settings, q)[0])
        changed = web.touched[k] == stamp and settings[BORDER] > 0
        if not (changed or web.rejects[k]):
            continue
        last = gather_edges(web, k, end)
        for m in range(end, last):
            edge = web.edge_scratch[m] // 2
            if changed or web.penalized[edge]:
                web.penalized[edge] = False
                set_key(web, edge, price(web, edge, settings, q)[0])
        web.rejects[k] = False
    web.rejects[i] = False
