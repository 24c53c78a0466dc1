"""The mesh while it shrinks: a simplicial 2-complex in flat arrays, with its incidences.

Notation: v vertices, e edges, f faces. A *corner* is 3 * face + 0..2, a *half* is 2 * edge + 0..1.
Each vertex heads a linked list of the corners and one of the halves that lie at it; joining two
vertices joins their lists. Dead faces and edges start with -1 and are unlinked when next met.
An edge knows how many faces hang on it: none makes it virtual, two is the interior of a surface,
anything else a border of it.

What is used together lies together (rows of few wide arrays): the kernels wait for memory, and
few arguments compile fast.
"""

from typing import NamedTuple

import numpy as np

from ....renderers.cpu.compiled import strict_kernel, strict_part
from .complex import Complex

X, PLANES, BORDERS, SHOWN, REALS = 0, 3, 14, 25, 26
"""Columns of `reals`: position, accumulated quadric, area quadrics of the borders as they lie, and
which share of the surface here is not transparent."""
(
    FIRST_CORNER, LAST_CORNER, FIRST_HALF, STAMP, MARK, TOUCHED, POINT, ON_BORDER, LOCKED, REJECTS,
    PART, CHANGED, COLUMNS,
) = range(13)  # fmt: skip
"""Columns of `vertices`. STAMP says which collapse MARK (the edge that leads here from the vertex
in work) belongs to, TOUCHED which last changed a border edge here; POINT is the index of the
position among the points of the history. ON_BORDER, LOCKED (may be neither moved nor removed) and
REJECTS (some edge here carries a penalty and waits for a change around it) are 0 or 1. PART is the
number of the part, CHANGED the last collapse that changed a face here, COLUMNS how many columns
there are."""
NEXT_CORNER = 3
"""`faces`: three vertices, then for each the next corner in the list of that vertex."""
NEXT_HALF, HANGING, PLACE, PENALIZED, WEIGHED = 2, 4, 5, 6, 7
"""`edges`: two vertices, for each the next half, how many faces hang here, place in the heap,
whether it carries a penalty, and after which collapse its key was found with all penalties; -1 for
a key without."""
FACES, LAST_STAMP, HEAP, POINTS, HELD, LOOKED = range(6)
"""`counts`: living faces, last stamp given, heap entries, points of the history, whether
any edge is held back, and how many faces were left when those were last looked at."""
SHARE, WHOLE, NOW = range(3)
"""`parts`: share of all that is not transparent (-1 for the largest), area at first and now."""


class Web(NamedTuple):
    """Everything the kernels change. Positions are in diagonals of the bounding box."""

    reals: np.ndarray
    """v 26, float64."""
    vertices: np.ndarray
    """v 12, int32."""
    faces: np.ndarray
    """f 6, int32."""
    edges: np.ndarray
    """e 8, int32."""
    keys: np.ndarray
    """e, float64: of the edge at this place of the heap."""
    heap: np.ndarray
    """e, int32: the edge at this place."""
    face_scratch: np.ndarray
    edge_scratch: np.ndarray
    counts: np.ndarray
    """int64."""
    parts: np.ndarray
    """p 3, float64."""
    quadric: np.ndarray
    """11, float64: room for that of the edge in work."""


def build(complex_: Complex, parts: int = 1) -> Web:
    """Incidences of a complex. Quadrics, borders and heap are still empty."""
    v, f, e = len(complex_.positions), len(complex_.faces), len(complex_.edges)
    web = Web(
        reals=np.zeros((v, REALS)),
        vertices=np.zeros((v, COLUMNS), np.int32),
        faces=np.full((f, 6), -1, np.int32),
        edges=np.full((e, 8), -1, np.int32),
        keys=np.zeros(e),
        heap=np.zeros(e, np.int32),
        face_scratch=np.zeros(2 * f + 1, np.int32),
        edge_scratch=np.zeros(2 * e + 1, np.int32),
        counts=np.array([f, 0, 0, v, 0, f]),
        parts=np.zeros((parts, 3)),
        quadric=np.zeros(11),
    )
    web.reals[:, :3] = complex_.positions
    web.reals[:, SHOWN] = 1
    web.vertices[:, [FIRST_CORNER, LAST_CORNER, FIRST_HALF]] = -1
    web.vertices[:, POINT] = np.arange(v)
    web.faces[:, :3] = complex_.faces
    web.edges[:, :2] = complex_.edges
    web.edges[:, HANGING] = complex_.edge_faces
    web.edges[:, PENALIZED] = 0
    _link(web)
    return web


@strict_kernel
def _link(web: Web) -> None:
    """Lists in rising order of faces and edges."""
    vertices, faces, edges = web.vertices, web.faces, web.edges
    for face in range(len(faces) - 1, -1, -1):
        for corner in range(2, -1, -1):
            vertex = faces[face, corner]
            faces[face, NEXT_CORNER + corner] = vertices[vertex, FIRST_CORNER]
            vertices[vertex, FIRST_CORNER] = 3 * face + corner
            if vertices[vertex, LAST_CORNER] < 0:
                vertices[vertex, LAST_CORNER] = 3 * face + corner
    for edge in range(len(edges) - 1, -1, -1):
        for side in range(1, -1, -1):
            vertex = edges[edge, side]
            edges[edge, NEXT_HALF + side] = vertices[vertex, FIRST_HALF]
            vertices[vertex, FIRST_HALF] = 2 * edge + side


@strict_part
def following_corner(faces: np.ndarray, corner: int) -> int:
    """The next one at the same vertex."""
    return faces[corner // 3, NEXT_CORNER + corner % 3]


@strict_part
def following_half(edges: np.ndarray, half: int) -> int:
    """The next one at the same vertex."""
    return edges[half // 2, NEXT_HALF + half % 2]


@strict_kernel
def gather_faces(
    vertices: np.ndarray, faces: np.ndarray, scratch: np.ndarray, vertex: int, start: int
) -> int:
    """Write the living faces at a vertex to the scratch from `start` on, unlink the dead.

    Returns the end.
    """
    end = start
    before = -1
    corner = vertices[vertex, FIRST_CORNER]
    while corner >= 0:
        face = corner // 3
        if faces[face, 0] >= 0:
            scratch[end] = face
            end += 1
            if before >= 0:
                faces[before // 3, NEXT_CORNER + before % 3] = corner
            else:
                vertices[vertex, FIRST_CORNER] = corner
            before = corner
        corner = following_corner(faces, corner)
    if before >= 0:
        faces[before // 3, NEXT_CORNER + before % 3] = -1
    else:
        vertices[vertex, FIRST_CORNER] = -1
    vertices[vertex, LAST_CORNER] = before
    return end


@strict_kernel
def gather_edges(
    vertices: np.ndarray, edges: np.ndarray, scratch: np.ndarray, vertex: int, start: int
) -> int:
    """The same for edges; writes halves, `half // 2` is the edge."""
    end = start
    before = -1
    half = vertices[vertex, FIRST_HALF]
    while half >= 0:
        if edges[half // 2, 0] >= 0:
            scratch[end] = half
            end += 1
            if before >= 0:
                edges[before // 2, NEXT_HALF + before % 2] = half
            else:
                vertices[vertex, FIRST_HALF] = half
            before = half
        half = following_half(edges, half)
    if before >= 0:
        edges[before // 2, NEXT_HALF + before % 2] = -1
    else:
        vertices[vertex, FIRST_HALF] = -1
    return end


@strict_part
def far_end(edges: np.ndarray, half: int) -> int:
    """The vertex at the other end of a half."""
    return edges[half // 2, 1 - half % 2]


@strict_part
def has(faces: np.ndarray, face: int, vertex: int) -> bool:
    """Whether the face has this corner."""
    return faces[face, 0] == vertex or faces[face, 1] == vertex or faces[face, 2] == vertex


@strict_part
def others(faces: np.ndarray, face: int, vertex: int) -> tuple[int, int]:
    """The two other corners, in the direction of the face."""
    a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
    if a == vertex:
        return b, c
    if b == vertex:
        return c, a
    return a, b


@strict_part
def shown(reals: np.ndarray, a: int, b: int) -> float:
    """Share of the surface at the edge ab that is not transparent."""
    return 0.5 * (reals[a, SHOWN] + reals[b, SHOWN])


@strict_part
def is_border(edges: np.ndarray, edge: int) -> bool:
    """Whether the surface ends or branches here."""
    count = edges[edge, HANGING]
    return count == 1 or count > 2
