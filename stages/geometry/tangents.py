"""Tangent frames and smooth normals of meshes with creases.

Frames are MikkTSpace's (Mikkelsen 2008), which glTF prescribes: per corner the direction in which
u grows, projected into the plane of the vertex normal, weighted by the corner's angle and averaged
over the corners that share position, normal and uv and are not mirrored. The bitangent is
w · (normal x tangent). glTF's v runs down while MikkTSpace's runs up; w follows glTF (3.7.2.1).
"""

import itertools

import numpy as np
from jaxtyping import Float, Float32, Int

CREASE_DEG = 50.0
"""Faces that meet at a sharper angle do not share their normals."""


def tangents(
    positions: Float[np.ndarray, "vertex 3"],
    normals: Float[np.ndarray, "vertex 3"],
    uvs: Float[np.ndarray, "vertex 2"],
    faces: Int[np.ndarray, "face 3"],
) -> Float32[np.ndarray, "face 3 4"]:
    """Per corner: unit tangent and handedness w.

    Corners without a direction of u (no area in the texture) get some tangent of their normal.
    """
    corners = positions[faces].astype(np.float64)
    flat = uvs[faces].astype(np.float64)
    normal = normals[faces].astype(np.float64)
    e1, e2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    d1, d2 = flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0]
    doubled = d1[:, 0] * d2[:, 1] - d1[:, 1] * d2[:, 0]
    # Only the direction counts, so the division by the area is left out, but not its sign.
    sign = np.where(doubled < 0, -1.0, 1.0)
    along = sign[:, None] * (d2[:, 1:] * e1 - d1[:, 1:] * e2)
    projected = along[:, None] - normal * np.einsum("fcx,fx->fc", normal, along)[..., None]
    projected = _unit(projected) * corner_angles(corners)[..., None]
    projected[doubled == 0] = 0
    # v down turns the handedness: a face that is not mirrored as seen has doubled < 0.
    handed = np.where(doubled > 0, -1.0, 1.0)
    group = _groups(positions, normals, uvs, faces, handed)
    total = np.zeros((int(group.max()) + 1, 3))
    for axis in range(3):
        total[:, axis] = np.bincount(group, projected[..., axis].reshape(-1), len(total))
    mean = total[group].reshape(-1, 3, 3)
    mean = mean - normal * np.einsum("fcx,fcx->fc", normal, mean)[..., None]
    length = np.linalg.norm(mean, axis=-1, keepdims=True)
    mean = np.where(length > 1e-12, mean / np.maximum(length, 1e-300), _any_tangent(normal))
    w = np.broadcast_to(handed[:, None, None], (len(faces), 3, 1))
    return np.concatenate([mean, w], axis=-1).astype(np.float32)


def crease_normals(
    positions: Float[np.ndarray, "vertex 3"],
    faces: Int[np.ndarray, "face 3"],
    crease_deg: float = CREASE_DEG,
) -> Float32[np.ndarray, "face 3 3"]:
    """Per corner: the mean of the normals of the faces around that its own face meets gently.

    Weighted by angle (Thürmer 1998). Vertices at one place count as one. Faces without area get
    the mean of all around, or +Y.
    """
    _, place = np.unique(positions, axis=0, return_inverse=True)
    welded = place.reshape(-1)[faces]
    corners = positions[faces].astype(np.float64)
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    own = _unit(cross)
    angles = corner_angles(corners)
    flat = welded.reshape(-1)
    order = np.argsort(flat, kind="stable")
    starts = np.searchsorted(flat[order], np.arange(int(flat.max()) + 2))
    first, second = _pairs_at_vertices(starts)
    first, second = order[first], order[second]
    near = (own[first // 3] * own[second // 3]).sum(axis=1) >= np.cos(np.radians(crease_deg)) - 1e-9
    first, second = first[near], second[near]
    total = np.zeros((len(flat), 3))
    weighted = own[second // 3] * angles.reshape(-1)[second, None]
    for axis in range(3):
        total[:, axis] = np.bincount(first, weighted[:, axis], len(flat))
    length = np.linalg.norm(total, axis=1, keepdims=True)
    normals = np.where(length > 1e-12, total / np.maximum(length, 1e-300), np.repeat(own, 3, 0))
    missing = np.linalg.norm(normals, axis=1) < 0.5
    normals[missing] = [0.0, 1.0, 0.0]
    return normals.reshape(-1, 3, 3).astype(np.float32)


def split_normals(
    faces: Int[np.ndarray, "face 3"], normals: Float32[np.ndarray, "face 3 3"]
) -> tuple[Int[np.ndarray, " new"], Int[np.ndarray, "face 3"], Float32[np.ndarray, "new 3"]]:
    """Split vertices where their corners' normals differ: old index, faces, normal of each."""
    rounded = np.rint(normals.reshape(-1, 3) * 1e4).astype(np.int64)
    keys = np.concatenate([faces.reshape(-1, 1), rounded], axis=1)
    # One number per key: rows of four integers are slow to sort.
    code = ((keys[:, 0] * 20_011 + keys[:, 1]) * 20_011 + keys[:, 2]) * 20_011 + keys[:, 3]
    _, first, index = np.unique(code, return_index=True, return_inverse=True)
    return keys[first, 0], index.reshape(-1, 3), normals.reshape(-1, 3)[first]


def corner_angles(corners: Float[np.ndarray, "face 3 3"]) -> Float[np.ndarray, "face 3"]:
    """In radians."""
    after = np.roll(corners, -1, axis=1) - corners
    before = np.roll(corners, 1, axis=1) - corners
    cross = np.linalg.norm(np.cross(after, before), axis=-1)
    return np.arctan2(cross, (after * before).sum(axis=-1))


def _pairs_at_vertices(
    starts: Int[np.ndarray, " run"],
) -> tuple[Int[np.ndarray, " pair"], Int[np.ndarray, " pair"]]:
    """All ordered pairs within each run starts[k] .. starts[k + 1], a run at most 64 long.

    A vertex with more faces is the hub of a fan, where pairs would be too many; its runs are cut.
    """
    cut = np.concatenate(
        [np.arange(a, b, 64) for a, b in itertools.pairwise(starts) if b - a > 64]
        or [np.zeros(0, np.int64)]
    )
    edges = np.unique(np.concatenate([starts, cut]))
    counts = np.diff(edges)
    squares = counts * counts
    of_run = np.repeat(np.arange(len(counts)), squares)
    within = np.arange(int(squares.sum())) - np.repeat(np.cumsum(squares) - squares, squares)
    low, size = edges[of_run], counts[of_run]
    return low + within // size, low + within % size


def _groups(
    positions: np.ndarray, normals: np.ndarray, uvs: np.ndarray, faces: np.ndarray, hand: np.ndarray
) -> Int[np.ndarray, " corner"]:
    """One number for the corners that share all attributes and the handedness of their face."""
    every = np.concatenate([positions, normals, uvs], axis=1).astype(np.float32)
    _, same = np.unique(every, axis=0, return_inverse=True)
    key = 2 * same.reshape(-1)[faces] + (hand > 0)[:, None]
    return np.unique(key.reshape(-1), return_inverse=True)[1].reshape(-1)


def _any_tangent(normal: Float[np.ndarray, "*axes 3"]) -> Float[np.ndarray, "*axes 3"]:
    """Perpendicular to `normal`, by the axis that it points along least."""
    axis = np.eye(3)[np.abs(normal).argmin(axis=-1)]
    return _unit(axis - normal * (axis * normal).sum(axis=-1, keepdims=True))


def _unit(vectors: Float[np.ndarray, "*axes 3"]) -> Float[np.ndarray, "*axes 3"]:
    """Zero stays zero."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)
