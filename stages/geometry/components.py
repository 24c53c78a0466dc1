"""Triangle meshes as plain arrays: parts, closedness, orientation, canonical order.

Notation: v vertices, f faces. Faces are counter-clockwise seen from outside. Everything here is
exact bookkeeping on NumPy arrays and does not depend on the order of its input or on threads.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from .connected import connected


@dataclass(frozen=True, slots=True)
class Surface:
    """Positions and triangles, nothing else."""

    positions: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]


@dataclass(frozen=True, slots=True)
class Report:
    """What a user wants to know about a mesh before using it."""

    faces: int
    vertices: int
    components: int
    watertight: bool
    """Every edge is shared by exactly two faces that run along it in opposite directions."""
    volume_m3: float
    """Signed; positive when the faces look outward."""


def report(surface: Surface) -> Report:
    """Count and check. Vertices are taken as they are: weld first if seams should not count."""
    labels = components(surface)
    return Report(
        faces=len(surface.faces),
        vertices=len(np.unique(surface.faces)),
        components=int(labels.max()) + 1 if len(labels) else 0,
        watertight=is_watertight(surface.faces),
        volume_m3=float(face_volumes(surface).sum()),
    )


def weld(surface: Surface) -> Surface:
    """Merge vertices at exactly the same place; drop the faces that collapse and unused vertices.

    Vertices come out sorted by (x, y, z), so welding also makes their order canonical.
    """
    positions, index = np.unique(surface.positions, axis=0, return_inverse=True)
    faces = index.reshape(-1)[surface.faces]
    return compact(Surface(positions, faces[~_collapsed(faces)]))


def compact(surface: Surface) -> Surface:
    """Drop vertices that no face uses, keeping the order of the others."""
    used, index = np.unique(surface.faces, return_inverse=True)
    return Surface(surface.positions[used], index.reshape(surface.faces.shape))


def joined(parts: Sequence[Surface]) -> Surface:
    """Side by side, in this order; nothing is welded."""
    starts = np.cumsum([0] + [len(part.positions) for part in parts[:-1]])
    return Surface(
        np.concatenate([part.positions for part in parts]),
        np.concatenate([part.faces + start for part, start in zip(parts, starts, strict=True)]),
    )


def canonical(surface: Surface) -> Surface:
    """The same surface in an order that depends on its geometry alone.

    Vertices are sorted by (x, y, z), every face starts at its smallest index (which keeps its
    orientation), and faces are sorted.
    """
    surface = weld(surface)
    first = surface.faces.argmin(axis=1)
    turns = (first[:, None] + np.arange(3)) % 3
    faces = np.take_along_axis(surface.faces, turns, axis=1)
    return Surface(surface.positions, faces[np.lexsort(faces.T[::-1])])


def components(surface: Surface) -> Int[np.ndarray, " f"]:
    """Per face, the number of the connected part (through shared vertices) it belongs to."""
    count, faces = len(surface.positions), surface.faces
    if not len(faces):
        return np.zeros(0, np.int64)
    of_vertex = connected(count, faces[:, [0, 1, 1, 2]].reshape(-1, 2))
    return np.unique(of_vertex[faces[:, 0]], return_inverse=True)[1].reshape(-1)


def keep_large(surface: Surface, *, min_share: float) -> tuple[Surface, int]:
    """Remove floaters and hidden shells.

    A part stays when its faces look outward (a closed part with negative volume is a cavity that
    nobody can see) and its area is at least `min_share` of the largest part's.

    Returns:
        What stays, and how many parts were removed.
    """
    labels = components(surface)
    areas = np.bincount(labels, face_areas(surface))
    volumes = np.bincount(labels, face_volumes(surface))
    outward = volumes > 0
    largest = areas[outward].max(initial=0.0)
    kept = outward & (areas >= min_share * largest)
    return compact(Surface(surface.positions, surface.faces[kept[labels]])), int((~kept).sum())


def is_watertight(faces: Int[np.ndarray, "f 3"]) -> bool:
    """Whether each directed edge occurs once and its opposite once: closed and consistent."""
    if not len(faces):
        return False
    directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(int)
    forward = directed @ _pair_key(faces)
    backward = directed[:, ::-1] @ _pair_key(faces)
    forward.sort()
    backward.sort()
    return bool((forward[1:] != forward[:-1]).all() and (forward == backward).all())


def edge_counts(faces: Int[np.ndarray, "f 3"]) -> tuple[int, int]:
    """How many edges have one face (borders), and how many have more than two."""
    if not len(faces):
        return 0, 0
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(int)
    edges.sort(axis=1)
    _, uses = np.unique(edges @ _pair_key(faces), return_counts=True)
    return int((uses == 1).sum()), int((uses > 2).sum())


def face_areas(surface: Surface) -> Float[np.ndarray, " f"]:
    """In square metres."""
    return np.linalg.norm(_crosses(surface), axis=1) / 2


def face_volumes(surface: Surface) -> Float[np.ndarray, " f"]:
    """Signed volumes of the tetrahedra from the origin; their sum is a closed part's volume."""
    corners = surface.positions[surface.faces].astype(np.float64)
    return np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6


def vertex_normals(surface: Surface) -> Float[np.ndarray, "v 3"]:
    """Unit normals, each adjacent face weighted by its angle at the vertex (Thürmer 1998).

    A vertex without a proper face gets +Y.
    """
    corners = surface.positions[surface.faces].astype(np.float64)
    crosses = _crosses(surface)
    lengths = np.linalg.norm(crosses, axis=1, keepdims=True)
    normals = crosses / np.maximum(lengths, 1e-300)
    total = np.zeros((len(surface.positions), 3))
    for corner in range(3):
        a = corners[:, (corner + 1) % 3] - corners[:, corner]
        b = corners[:, (corner + 2) % 3] - corners[:, corner]
        angle = np.arctan2(lengths[:, 0], np.einsum("ij,ij->i", a, b))
        np.add.at(total, surface.faces[:, corner], normals * angle[:, None])
    size = np.linalg.norm(total, axis=1, keepdims=True)
    return np.where(size > 0, total / np.maximum(size, 1e-300), [0.0, 1.0, 0.0])


def taubin(surface: Surface, *, iterations: int) -> Surface:
    """Smooth without shrinking (Taubin 1995): a step of 0.5 towards the neighbours' mean, then
    one of -0.53 away from it, `iterations` times. Neighbours count once per shared face."""
    from scipy import sparse

    count, faces = len(surface.positions), surface.faces
    rows = faces[:, [0, 1, 1, 2, 2, 0]].ravel()
    columns = faces[:, [1, 0, 2, 1, 0, 2]].ravel()
    links = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), (count, count))
    mean = sparse.diags(1 / np.maximum(links.sum(axis=1).A1, 1)) @ links
    positions = surface.positions.astype(np.float64)
    for _ in range(iterations):
        for step in (0.5, -0.53):
            positions = positions + step * (mean @ positions - positions)
    return Surface(positions, faces)


def _crosses(surface: Surface) -> Float[np.ndarray, "f 3"]:
    corners = surface.positions[surface.faces].astype(np.float64)
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


def _collapsed(faces: Int[np.ndarray, "f 3"]) -> Bool[np.ndarray, " f"]:
    return (faces == np.roll(faces, 1, axis=1)).any(axis=1)


def _pair_key(faces: Int[np.ndarray, "f 3"]) -> Int[np.ndarray, " two"]:
    """Makes one integer of two indices: `pair @ key`."""
    return np.array([int(faces.max()) + 1, 1])
