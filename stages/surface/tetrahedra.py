"""Marching tetrahedra: the zero surface of values at the corners of a tetrahedral mesh.

Notation: v corners, t tetrahedra, e edges that the surface crosses.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from ..geometry.components import Surface

EDGES = np.array([(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)])
"""Corners of the edges of a tetrahedron."""


@dataclass(frozen=True, slots=True)
class Crossings:
    """Edges with one solid and one free corner, each once, and the triangles between them."""

    solid: Int[np.ndarray, " e"]
    free: Int[np.ndarray, " e"]
    faces: Int[np.ndarray, "f 3"]
    """Indices of edges."""
    tetrahedra: Int[np.ndarray, " f"]
    """In which tetrahedron each triangle lies."""


def crossings(tetrahedra: Int[np.ndarray, "t 4"], solid: Bool[np.ndarray, " v"]) -> Crossings:
    """One triangle where one corner is alone on its side, two where it is two against two.

    The winding is settled by `wound`, when the places on the edges are known.
    """
    inside = solid[tetrahedra]
    count = inside.sum(axis=1)
    # Solid corners first, in their order.
    order = np.argsort(~inside, axis=1, kind="stable")
    sorted_ = np.take_along_axis(tetrahedra, order, axis=1)
    triangles, owners = [], []
    for wanted, shapes in _CASES.items():
        rows = np.flatnonzero(count == wanted)
        for shape in shapes:
            triangles.append(sorted_[rows][:, np.array(shape)])
            owners.append(rows)
    pairs = np.concatenate(triangles)  # f 3 2: (solid corner, free corner)
    owner = np.concatenate(owners)
    size = len(solid)
    keys = pairs[..., 0].astype(np.int64) * size + pairs[..., 1]
    edges, index = np.unique(keys, return_inverse=True)
    return Crossings(edges // size, edges % size, index.reshape(-1, 3), owner)


_CASES = {
    1: (((0, 1), (0, 2), (0, 3)),),
    2: (((0, 2), (0, 3), (1, 3)), ((0, 2), (1, 3), (1, 2))),
    3: (((0, 3), (1, 3), (2, 3)),),
}
"""By the number of solid corners, which come first: the edges of each triangle."""


def wound(
    places: Float[np.ndarray, "e 3"],
    found: Crossings,
    corners: Float[np.ndarray, "v 3"],
) -> Surface:
    """The surface through given places on the edges, its faces towards the free corners."""
    a, b, c = np.moveaxis(places[found.faces], 1, 0)
    outward = (corners[found.free] - corners[found.solid])[found.faces].sum(axis=1)
    turned = np.einsum("ij,ij->i", np.cross(b - a, c - a), outward) < 0
    faces = found.faces.copy()
    faces[turned] = faces[turned][:, ::-1]
    return Surface(places, faces)
