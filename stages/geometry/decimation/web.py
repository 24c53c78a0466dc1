"""The mesh while it shrinks: a simplicial 2-complex in flat arrays, with its incidences.

Notation: v vertices, e edges, f faces. A *corner* is 3 * face + 0..2, a *half* is 2 * edge + 0..1.
Each vertex heads a linked list of the corners and one of the halves that lie at it; joining two
vertices joins their lists. Dead faces and edges start with -1 and are unlinked when next met.
An edge knows how many faces hang on it: none makes it virtual, two is the interior of a surface,
anything else a border of it.
"""

from typing import NamedTuple

import numpy as np

from ....renderers.cpu.compiled import kernel, part
from .complex import Complex

FACES, STAMP, HEAP, POINTS = range(4)
"""Places in `Web.counts`: living faces, last stamp given, heap entries, points of the history."""


class Web(NamedTuple):
    """Everything the kernels change. Positions are in diagonals of the bounding box."""

    positions: np.ndarray
    """v 3, float64."""
    planes: np.ndarray
    """v 11, float64: the accumulated quadric of each vertex."""
    borders: np.ndarray
    """v 11, float64: sum of the area quadrics of the border edges at each vertex, as they lie."""
    on_border: np.ndarray
    """v, bool: whether any."""
    locked: np.ndarray
    """v, bool: may be neither moved nor removed."""
    rejects: np.ndarray
    """v, bool: whether some edge here carries a penalty and waits for a change around it."""
    faces: np.ndarray
    """f 3, int32."""
    first_corner: np.ndarray
    last_corner: np.ndarray
    next_corner: np.ndarray
    edges: np.ndarray
    """e 2, int32."""
    edge_faces: np.ndarray
    """e, int32."""
    first_half: np.ndarray
    next_half: np.ndarray
    keys: np.ndarray
    """e, float64: what the heap sorts by, then by edge."""
    heap: np.ndarray
    """e, int32: edges, a 4-ary heap."""
    places: np.ndarray
    """e, int32: where in the heap an edge is."""
    penalized: np.ndarray
    """e, bool."""
    stamps: np.ndarray
    """v, int32: marks of the collapse in work, valid where they equal its stamp."""
    marks: np.ndarray
    """v, int32: the edge that leads here from the vertex in work."""
    touched: np.ndarray
    """v, int32: stamp of the last collapse that changed a border edge here."""
    point: np.ndarray
    """v, int32: index of the present position among the points of the history."""
    face_scratch: np.ndarray
    edge_scratch: np.ndarray
    counts: np.ndarray
    """int64; see above."""


def build(complex_: Complex) -> Web:
    """Incidences of a complex. Quadrics, borders and heap are still empty."""
    v, f, e = len(complex_.positions), len(complex_.faces), len(complex_.edges)
    web = Web(
        positions=complex_.positions.copy(),
        planes=np.zeros((v, 11)),
        borders=np.zeros((v, 11)),
        on_border=np.zeros(v, bool),
        locked=np.zeros(v, bool),
        rejects=np.zeros(v, bool),
        faces=complex_.faces.copy(),
        first_corner=np.full(v, -1, np.int32),
        last_corner=np.full(v, -1, np.int32),
        next_corner=np.full(3 * f, -1, np.int32),
        edges=complex_.edges.copy(),
        edge_faces=complex_.edge_faces.copy(),
        first_half=np.full(v, -1, np.int32),
        next_half=np.full(2 * e, -1, np.int32),
        keys=np.zeros(e),
        heap=np.zeros(e, np.int32),
        places=np.zeros(e, np.int32),
        penalized=np.zeros(e, bool),
        stamps=np.zeros(v, np.int32),
        marks=np.zeros(v, np.int32),
        touched=np.zeros(v, np.int32),
        point=np.arange(v, dtype=np.int32),
        face_scratch=np.zeros(max(2 * f, 1), np.int32),
        edge_scratch=np.zeros(max(2 * e, 1), np.int32),
        counts=np.array([f, 0, 0, v]),
    )
    _link(web)
    return web


@kernel
def _link(web: Web) -> None:
    """Lists in rising order of faces and edges."""
    for corner in range(3 * len(web.faces) - 1, -1, -1):
        vertex = web.faces[corner // 3, corner % 3]
        web.next_corner[corner] = web.first_corner[vertex]
        web.first_corner[vertex] = corner
        if web.last_corner[vertex] < 0:
            web.last_corner[vertex] = corner
    for half in range(2 * len(web.edges) - 1, -1, -1):
        vertex = web.edges[half // 2, half % 2]
        web.next_half[half] = web.first_half[vertex]
        web.first_half[vertex] = half


@part
def gather_faces(web: Web, vertex: int, start: int) -> int:
    """Write the living faces at a vertex to `face_scratch` from `start` on, unlink the dead.

    Returns the end.
    """
    end = start
    before = -1
    corner = web.first_corner[vertex]
    while corner >= 0:
        face = corner // 3
        if web.faces[face, 0] >= 0:
            web.face_scratch[end] = face
            end += 1
            if before >= 0:
                web.next_corner[before] = corner
            else:
                web.first_corner[vertex] = corner
            before = corner
        corner = web.next_corner[corner]
    if before >= 0:
        web.next_corner[before] = -1
    else:
        web.first_corner[vertex] = -1
    web.last_corner[vertex] = before
    return end


@part
def gather_edges(web: Web, vertex: int, start: int) -> int:
    """The same for edges and `edge_scratch`; writes halves, `half // 2` is the edge."""
    end = start
    before = -1
    half = web.first_half[vertex]
    while half >= 0:
        if web.edges[half // 2, 0] >= 0:
            web.edge_scratch[end] = half
            end += 1
            if before >= 0:
                web.next_half[before] = half
            else:
                web.first_half[vertex] = half
            before = half
        half = web.next_half[half]
    if before >= 0:
        web.next_half[before] = -1
    else:
        web.first_half[vertex] = -1
    return end


@part
def far_end(web: Web, half: int) -> int:
    """The vertex at the other end of a half."""
    return web.edges[half // 2, 1 - half % 2]


@part
def has(web: Web, face: int, vertex: int) -> bool:
    """Whether the face has this corner."""
    return (
        web.faces[face, 0] == vertex or web.faces[face, 1] == vertex or web.faces[face, 2] == vertex
    )


@part
def others(web: Web, face: int, vertex: int) -> tuple[int, int]:
    """The two other corners, in the direction of the face."""
    if web.faces[face, 0] == vertex:
        return web.faces[face, 1], web.faces[face, 2]
    if web.faces[face, 1] == vertex:
        return web.faces[face, 2], web.faces[face, 0]
    return web.faces[face, 0], web.faces[face, 1]


@part
def is_border(web: Web, edge: int) -> bool:
    """Whether the surface ends or branches here."""
    count = web.edge_faces[edge]
    return count == 1 or count > 2
