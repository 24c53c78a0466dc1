"""Edge collapses in order of cost (the paper's Sec. 4; Lindstrom and Turk 1998 for the area term).

    cost(i, j) = min over x of  Q_i(x) + Q_j(x) + S_i(x) + S_j(x) - S_ij(x),

Q the accumulated planes of a vertex, S the area quadrics of the border edges that are at it now,
S_ij that of the collapsed edge, which is in both sums but vanishes.

An edge is priced again only when it comes to the top of the heap: away from borders its cost can
only have grown since (quadrics are only ever added), so its old key is a bound from below. Where
borders move, and where a penalty may have lapsed, prices are brought up to date at once.
"""

import numpy as np

from ....renderers.cpu.compiled import strict_kernel, strict_part
from .checks import breaks_topology, doubles, loss, turning
from .floor import area_around, below_floor
from .heap import pop, set_key
from .quadrics import add_area, least, sum_borders, value
from .rewiring import count_faces, move_edges, move_faces
from .web import (
    BORDERS,
    CHANGED,
    FACES,
    HANGING,
    HEAP,
    HELD,
    LAST_STAMP,
    LOCKED,
    LOOKED,
    MARK,
    NOW,
    ON_BORDER,
    PART,
    PENALIZED,
    PLACE,
    PLANES,
    POINT,
    POINTS,
    REJECTS,
    SHARE,
    SHOWN,
    STAMP,
    TOUCHED,
    WEIGHED,
    Web,
    far_end,
    gather_edges,
    gather_faces,
    has,
    is_border,
    shown,
)

RING = 64
"""Faces of one record of the history at most."""
(
    BORDER, PULL, REACH, FLIP, THIN, BEND, TOPOLOGY, CLOSING, VANISH, SHRINK, FLOOR, LARGE, EARNED,
    GROW, SETTINGS,
) = range(15)  # fmt: skip
"""Places in the array of settings, and how many there are."""
HELD_BACK = 16.0
"""Price, beyond all others, of a collapse that a part must not suffer yet."""
AGAIN = 0.9
"""What is held back is looked at again whenever so many of the faces are left."""


@strict_kernel
def price(
    reals: np.ndarray, vertices: np.ndarray, edges: np.ndarray, edge: int, settings: np.ndarray,
    q: np.ndarray,
) -> tuple[float, float, float, float]:  # fmt: skip
    """Cost of collapsing an edge and where to. `q` is room for a quadric and keeps it."""
    i, j = edges[edge, 0], edges[edge, 1]
    px, py, pz = reals[i, 0], reals[i, 1], reals[i, 2]
    rx, ry, rz = reals[j, 0], reals[j, 1], reals[j, 2]
    for k in range(11):
        q[k] = reals[i, PLANES + k] + reals[j, PLANES + k]
    if vertices[i, ON_BORDER] or vertices[j, ON_BORDER]:
        for k in range(11):
            q[k] += reals[i, BORDERS + k] + reals[j, BORDERS + k]
        if is_border(edges, edge):
            add_area(q, px, py, pz, rx, ry, rz, -2 * settings[BORDER] * shown(reals, i, j) ** 2)
    if vertices[i, LOCKED]:
        return np.inf if vertices[j, LOCKED] else max(value(q, px, py, pz), 0.0), px, py, pz
    if vertices[j, LOCKED]:
        return max(value(q, rx, ry, rz), 0.0), rx, ry, rz
    mx, my, mz = 0.5 * (px + rx), 0.5 * (py + ry), 0.5 * (pz + rz)
    good, x, y, z = least(q, mx, my, mz, settings[PULL])
    length = (px - rx) ** 2 + (py - ry) ** 2 + (pz - rz) ** 2
    if good and (x - mx) ** 2 + (y - my) ** 2 + (z - mz) ** 2 <= settings[REACH] * length:
        return max(value(q, x, y, z), 0.0), x, y, z
    best, x, y, z = value(q, mx, my, mz), mx, my, mz
    at_i, at_j = value(q, px, py, pz), value(q, rx, ry, rz)
    if at_i < best:
        best, x, y, z = at_i, px, py, pz
    if at_j < best:
        best, x, y, z = at_j, rx, ry, rz
    return max(best, 0.0), x, y, z


@strict_part
def price_of(web: Web, edge: int, settings: np.ndarray) -> tuple[float, float, float, float]:
    """The same, with the room of the web."""
    return price(web.reals, web.vertices, web.edges, edge, settings, web.quadric)


@strict_part
def penalty(
    web: Web, edge: int, x: float, y: float, z: float, settings: np.ndarray
) -> tuple[float, float]:
    """What is added to the cost: for faces that turn over or become slivers and for surface that
    goes without a trace or must not go yet (inf for never), and for normals that change and area
    that is lost, or gained at a border.

    Where two lines of a border meet beyond the edge between them no area counts as swept; without
    a price round borders would grow, from one such collapse to the next, into spikes.
    """
    reals, vertices, faces = web.reals, web.vertices, web.faces
    i, j = web.edges[edge, 0], web.edges[edge, 1]
    if settings[TOPOLOGY] > 0 and breaks_topology(web, edge):
        return np.inf, 0.0
    turned, thin, bent, lost, stay = 0.0, 0.0, 0.0, 0.0, 0
    for side in range(2):
        here = turning(
            reals, vertices, faces, i if side == 0 else j, j if side == 0 else i, x, y, z
        )
        turned += here[0]
        thin += here[1]
        bent += here[2]
        lost += here[3]
        stay += here[4]
    length = (
        (reals[i, 0] - reals[j, 0]) ** 2
        + (reals[i, 1] - reals[j, 1]) ** 2
        + (reals[i, 2] - reals[j, 2]) ** 2
    )
    rejected = (settings[FLIP] * turned + settings[THIN] * thin) * length
    changed = settings[BEND] * max(bent, 0.0) * length
    if stay == 0:
        rejected += settings[VANISH] * loss(reals, i, j, lost)
    elif lost > 0:
        changed += settings[SHRINK] * loss(reals, i, j, lost)
    elif is_border(web.edges, edge):
        changed += settings[GROW] * 2 * (lost * shown(reals, i, j)) ** 2
    least_share = max(settings[LARGE], settings[EARNED] / web.counts[FACES])
    if below_floor(web, i, lost, settings[FLOOR], least_share):
        web.counts[HELD] = 1
        rejected += HELD_BACK
    return rejected, changed


@strict_kernel
def first_keys(web: Web, settings: np.ndarray) -> None:
    """Cost of all edges, in their order."""
    for edge in range(len(web.edges)):
        web.keys[edge] = price_of(web, edge, settings)[0]


@strict_kernel
def run(
    web: Web, settings: np.ndarray, goal: int, error: float, max_error: float,
    starts: np.ndarray, ids: np.ndarray, corners: np.ndarray, points: np.ndarray,
) -> tuple[int, float, int]:  # fmt: skip
    """Collapse until `goal` faces or fewer are left, `max_error` is met or the room is full.

    The room: `starts` (records + 1), `ids` and `corners` (faces of all records), `points`.

    Returns:
        Records written, the error reached, and why it stopped: 0 no more room, 1 goal, 2 error,
        3 nothing left to collapse.
    """
    record, q = 0, web.quadric
    if web.counts[HELD]:
        look_again(web, settings)
    while True:
        if web.counts[FACES] <= goal:
            return record, error, 1
        if record == len(points):
            return record, error, 0
        if web.counts[HELD] and web.counts[FACES] < AGAIN * web.counts[LOOKED]:
            look_again(web, settings)
        edge = next_edge(web, settings)
        if edge < 0:
            return record, error, 3
        if takes_too_many(web, edge, goal):
            web.counts[HELD] = 1
            web.edges[edge, WEIGHED] = -1
            set_key(web, edge, web.keys[0] + HELD_BACK)
            continue
        cost, x, y, z = price_of(web, edge, settings)
        reached = max(error, np.sqrt(cost / q[10])) if q[10] > 0 else error
        if reached > max_error:
            return record, error, 2
        error = reached
        pop(web)
        i, j = web.edges[edge, 0], web.edges[edge, 1]
        here = web.vertices[i, PART]
        counted = web.parts[here, SHARE] >= settings[LARGE]
        if counted:
            web.parts[here, NOW] -= area_around(web, i, -1) + area_around(web, j, i)
        starts[record + 1] = collapse(web, edge, x, y, z, settings, starts[record], ids, corners)
        if counted:
            web.parts[here, NOW] += area_around(web, i, -1)
        points[record, 0], points[record, 1], points[record, 2] = x, y, z
        record += 1


@strict_part
def takes_too_many(web: Web, edge: int, goal: int) -> bool:
    """Whether a collapse would miss the goal by more than one face or a hundredth, because many
    sheets meet there or faces become doubles of others, while others can go."""
    left = web.counts[FACES] - web.edges[edge, HANGING]
    fewest = goal - max(1, goal // 100)
    if web.keys[0] >= HELD_BACK or left - RING >= fewest:
        return False
    return left - doubles(web, web.edges[edge, 0], web.edges[edge, 1]) < fewest


@strict_kernel
def look_again(web: Web, settings: np.ndarray) -> None:
    """Price all edges anew that are held back: their parts may earn no floor by now."""
    web.counts[HELD] = 0
    web.counts[LOOKED] = web.counts[FACES]
    for edge in range(len(web.edges)):
        place = web.edges[edge, PLACE]
        if place < 0 or web.edges[edge, 0] < 0:
            continue
        if HELD_BACK <= web.keys[place] < np.inf:
            web.edges[edge, WEIGHED] = -1
            set_key(web, edge, price_of(web, edge, settings)[0])


@strict_part
def next_edge(web: Web, settings: np.ndarray) -> int:
    """The edge to collapse, left at the root of the heap; -1 if there is none."""
    vertices, edges = web.vertices, web.edges
    while web.counts[HEAP] > 0:
        edge = web.heap[0]
        if edges[edge, 0] < 0:
            pop(web)
            continue
        key = web.keys[0]
        if key == np.inf:
            return -1
        if is_fresh(web, edge, settings) and leaves_faces(web, edge):
            return edge
        total, x, y, z = price_of(web, edge, settings)
        edges[edge, WEIGHED] = -1
        if total <= key:
            rejected, bent = penalty(web, edge, x, y, z, settings)
            if rejected > 0:
                edges[edge, PENALIZED] = 1
                vertices[edges[edge, 0], REJECTS] = 1
                vertices[edges[edge, 1], REJECTS] = 1
            total += rejected + bent
            if total <= key:
                if leaves_faces(web, edge):
                    return edge
                total = np.inf
            edges[edge, WEIGHED] = web.counts[LAST_STAMP]
        set_key(web, edge, total)
    return -1


@strict_part
def is_fresh(web: Web, edge: int, settings: np.ndarray) -> bool:
    """Whether nothing that the key depends on has changed since it was found with all penalties."""
    vertices, edges = web.vertices, web.edges
    i, j, when = edges[edge, 0], edges[edge, 1], edges[edge, WEIGHED]
    # Whether a part is above its floor depends on what went elsewhere.
    fixed = web.parts[vertices[i, PART], SHARE] < settings[LARGE]
    return fixed and vertices[i, CHANGED] <= when and vertices[j, CHANGED] <= when


@strict_part
def leaves_faces(web: Web, edge: int) -> bool:
    """Whether anything is left after the collapse."""
    hanging = web.edges[edge, HANGING]
    return hanging == 0 or web.counts[FACES] > hanging


@strict_part
def collapse(
    web: Web, edge: int, x: float, y: float, z: float, settings: np.ndarray, filled: int,
    ids: np.ndarray, corners: np.ndarray,
) -> int:  # fmt: skip
    """Join the ends of an edge at (x, y, z) and write the record. Returns the room filled."""
    reals, vertices, faces, scratch = web.reals, web.vertices, web.faces, web.face_scratch
    i, j = web.edges[edge, 0], web.edges[edge, 1]
    web.counts[LAST_STAMP] += 1
    stamp = web.counts[LAST_STAMP]
    halves = mark_ring(vertices, web.edges, web.edge_scratch, i, j, stamp)
    middle = gather_faces(vertices, faces, scratch, i, 0)
    end = gather_faces(vertices, faces, scratch, j, middle)
    last = write_record(vertices, faces, scratch, i, j, middle, end, filled, ids, corners)
    reals[i, 0], reals[i, 1], reals[i, 2] = x, y, z
    weight = reals[i, PLANES + 10] + reals[j, PLANES + 10]
    if weight > 0:
        share = reals[j, PLANES + 10] / weight
        reals[i, SHOWN] += share * (reals[j, SHOWN] - reals[i, SHOWN])
    for k in range(PLANES, PLANES + 11):
        reals[i, k] += reals[j, k]
    vertices[i, POINT] = web.counts[POINTS]
    web.counts[POINTS] += 1
    vertices[i, LOCKED] |= vertices[j, LOCKED]
    vertices[i, REJECTS] |= vertices[j, REJECTS]
    closing = settings[CLOSING] > 0
    web.counts[FACES] -= move_faces(web, i, j, middle, end, stamp, closing)
    for n in range(filled, last):
        if faces[ids[n], 0] < 0:
            ids[n] = ~ids[n]
    end = move_edges(vertices, web.edges, web.edge_scratch, i, j, halves, stamp)
    kept, left, end = count_faces(vertices, faces, web.edges, web.edge_scratch, i, end, stamp)
    refresh(web, i, kept, left, end, stamp, settings)
    return last


@strict_part
def mark_ring(
    vertices: np.ndarray, edges: np.ndarray, scratch: np.ndarray, i: int, j: int, stamp: int
) -> int:
    """Stamp the neighbors of i, mark which edge leads there, and where borders were.

    Leaves the halves of i in the scratch, returns where they end.
    """
    middle = gather_edges(vertices, edges, scratch, i, 0)
    end = gather_edges(vertices, edges, scratch, j, middle)
    for n in range(end):
        half = scratch[n]
        k = far_end(edges, half)
        vertices[k, CHANGED] = stamp
        if n < middle:
            vertices[k, STAMP] = stamp
            vertices[k, MARK] = half // 2
        if is_border(edges, half // 2):
            vertices[k, TOUCHED] = stamp
    return middle


@strict_part
def write_record(
    vertices: np.ndarray, faces: np.ndarray, scratch: np.ndarray, i: int, j: int, middle: int,
    end: int, filled: int, ids: np.ndarray, corners: np.ndarray,
) -> int:  # fmt: skip
    """The faces at both ends: first those that vanish, then the shorter list, then the longer."""
    full = filled + RING
    i_first = middle <= end - middle
    for turn in range(3):
        of_i = turn == 0 or i_first == (turn == 1)
        for n in range(0 if of_i else middle, middle if of_i else end):
            face = scratch[n]
            shared = has(faces, face, j if of_i else i)
            if filled < full and shared == (turn == 0):
                ids[filled] = face
                for corner in range(3):
                    corners[filled, corner] = vertices[faces[face, corner], POINT]
                filled += 1
    return filled


@strict_part
def refresh(
    web: Web, i: int, kept: int, left: int, end: int, stamp: int, settings: np.ndarray
) -> None:
    """Bring border sums and prices up to date around i, as `count_faces` left it in the scratch."""
    vertices, edges, scratch = web.vertices, web.edges, web.edge_scratch
    borders = settings[BORDER] > 0
    if borders:
        sum_borders(web, i, settings[BORDER], end)
        for n in range(kept):
            k = far_end(edges, scratch[n])
            if vertices[k, TOUCHED] == stamp:
                sum_borders(web, k, settings[BORDER], end)
        for n in range(left, end):
            sum_borders(web, scratch[n], settings[BORDER], end)
    for n in range(kept):
        k = far_end(edges, scratch[n])
        changed = borders and vertices[k, TOUCHED] == stamp
        edge = scratch[n] // 2
        if changed or edges[edge, PENALIZED] or vertices[i, ON_BORDER]:
            reprice(web, edge, settings)
        if changed or vertices[k, REJECTS]:
            reprice_around(web, k, end, changed, settings)
    for n in range(left, end):
        if borders or vertices[scratch[n], REJECTS]:
            reprice_around(web, scratch[n], end, borders, settings)
    vertices[i, REJECTS] = 0


@strict_kernel
def reprice_around(web: Web, vertex: int, end: int, changed: bool, settings: np.ndarray) -> None:
    """The edges of a neighbor: all if its borders have changed, else those with a penalty."""
    vertices, edges, scratch = web.vertices, web.edges, web.edge_scratch
    for m in range(end, gather_edges(vertices, edges, scratch, vertex, end)):
        edge = scratch[m] // 2
        if changed or edges[edge, PENALIZED]:
            reprice(web, edge, settings)
    vertices[vertex, REJECTS] = 0


@strict_part
def reprice(web: Web, edge: int, settings: np.ndarray) -> None:
    """Give an edge the key it deserves now, without penalty."""
    web.edges[edge, PENALIZED], web.edges[edge, WEIGHED] = 0, -1
    set_key(web, edge, price_of(web, edge, settings)[0])
