"""Closed surfaces from which toys are put together: turned, swept, lofted, boxed.

A solid is `(vertices, faces)`. Faces that share a vertex are shaded smoothly; at a crease the
vertices are doubled, so a solid is watertight once equal positions are merged. The number of
vertices never depends on the dimensions: two toys of one kind correspond vertex by vertex.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Faces = NDArray[np.int64]
Solid = tuple[Points, Faces]


def turned(profile: Sequence[tuple[float, float]], *, segments: int = 48, smooth: int = 4) -> Solid:
    """A solid of revolution around +Y from a (radius, height) profile that ends on the axis.

    `smooth` points of a Catmull-Rom curve replace each straight piece; a point given twice is
    a crease.
    """
    curve = smoothed(profile, smooth)
    return grid(_spin(curve, segments), wrap_rows=True)


def ring(profile: Sequence[tuple[float, float]], *, segments: int = 48, smooth: int = 4) -> Solid:
    """Like `turned`, for a closed profile that does not touch the axis."""
    curve = smoothed([*profile, profile[0]], smooth)[:-1]
    return grid(_spin(curve, segments), wrap_rows=True, wrap_columns=True)


def torus(radius: float, thickness: float, *, segments: int = 32, sides: int = 12) -> Solid:
    """A torus around +Y."""
    turn = np.arange(sides) * (2 * np.pi / sides)
    curve = np.stack([radius + thickness * np.cos(turn), thickness * np.sin(turn)], axis=1)
    return grid(_spin(curve, segments), wrap_rows=True, wrap_columns=True)


def ball(radii: Sequence[float], *, segments: int = 32) -> Solid:
    """An ellipsoid at the origin with the given semi-axes."""
    turn = np.linspace(-np.pi / 2, np.pi / 2, segments // 2 + 1)
    curve = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    curve[[0, -1], 0] = 0.0
    vertices, faces = grid(_spin(curve, segments), wrap_rows=True)
    return vertices * np.asarray(radii), faces


def box(
    size: Sequence[float],
    bevel: float,
    *,
    center: Sequence[float] = (0.0, 0.0, 0.0),
    steps: int = 3,
) -> Solid:
    """A box with rounded edges: a sphere of radius `bevel`, pulled apart."""
    half = np.asarray(size) / 2 - bevel
    quarter = np.linspace(0, np.pi / 2, steps + 1)
    around = np.concatenate([quarter + k * np.pi / 2 for k in range(4)])
    side = np.repeat([[1, 1], [-1, 1], [-1, -1], [1, -1]], steps + 1, axis=0)
    rise = np.concatenate([quarter - np.pi / 2, quarter])
    level = np.repeat([-1, 1], steps + 1)
    normal = np.stack(
        [
            np.outer(np.cos(around), np.cos(rise)),
            np.outer(np.ones_like(around), np.sin(rise)),
            np.outer(np.sin(around), np.cos(rise)),
        ],
        axis=-1,
    )
    corner = np.empty_like(normal)
    corner[..., 0] = side[:, :1]
    corner[..., 1] = level[None]
    corner[..., 2] = side[:, 1:]
    points = bevel * normal + corner * half + np.asarray(center)
    return grid(points, wrap_rows=True, cap_columns=True)


def loft(sections: Points, *, creased: bool = False) -> Solid:
    """A skin over cross-sections (section, point, 3), with flat, creased caps at both ends."""
    points = np.asarray(sections, dtype=np.float64).transpose(1, 0, 2)
    if creased:
        points = np.repeat(points, 2, axis=0)
        points = np.roll(points, -1, axis=0)
    return grid(points, wrap_rows=True, cap_columns=True, pair_rows=creased)


def prism(outline: Points, offset: Sequence[float]) -> Solid:
    """A flat polygon (point, 3), star-shaped around its mean, extruded by a vector."""
    outline = np.asarray(outline, dtype=np.float64)
    return loft(np.stack([outline, outline + np.asarray(offset)]), creased=True)


def tube(path: Points, radii: Sequence[float], *, sides: int = 12) -> Solid:
    """A round tube along a planar open path, closed at both ends."""
    path = np.asarray(path, dtype=np.float64)
    tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    plane = np.linalg.svd(path - path.mean(axis=0))[2][2]
    across = np.cross(plane, tangent)
    turn = np.arange(sides) * (2 * np.pi / sides)
    circle = np.cos(turn)[None, :, None] * across[:, None] + np.sin(turn)[None, :, None] * plane
    return loft(path[:, None] + np.asarray(radii)[:, None, None] * circle)


def cylinder(radius: float, length: float, *, bevel: float = 0.0, segments: int = 32) -> Solid:
    """A cylinder around +Y, centered at the origin."""
    half = length / 2
    profile = [
        (0.0, -half),
        (radius - bevel, -half),
        (radius - bevel, -half),
        (radius, bevel - half),
    ]
    profile += [(r, -y) for r, y in reversed(profile)]
    return turned(profile, segments=segments, smooth=1)


def smoothed(profile: Sequence[tuple[float, float]], steps: int) -> Points:
    """A Catmull-Rom curve through the points; doubled points stay corners."""
    points = np.asarray(profile, dtype=np.float64)
    if steps == 1:
        return points
    pieces = [points[:1]]
    for index in range(len(points) - 1):
        a, b = points[index], points[index + 1]
        if np.array_equal(a, b):
            pieces.append(b[None])
            continue
        before = points[index - 1] if index > 0 else 2 * a - b
        after = points[index + 2] if index + 2 < len(points) else 2 * b - a
        before = 2 * a - b if np.array_equal(before, a) else before
        after = 2 * b - a if np.array_equal(after, b) else after
        t = np.linspace(0, 1, steps + 1)[1:, None]
        bend = 2 * before - 5 * a + 4 * b - after
        piece = a + 0.5 * t * (b - before + t * (bend + t * (3 * (a - b) + after - before)))
        piece[-1] = b
        pieces.append(piece)
    curve = np.concatenate(pieces)
    curve[:, 0] = np.maximum(curve[:, 0], 0.0)
    return curve


def grid(
    points: Points,
    *,
    wrap_rows: bool = False,
    wrap_columns: bool = False,
    cap_columns: bool = False,
    pair_rows: bool = False,
) -> Solid:
    """Triangles over a (row, column, 3) grid, outward.

    Args:
        cap_columns: Close the first and the last column with a fan around its mean.
        pair_rows: Rows 2k and 2k+1 coincide with their neighbors' ends: join only within pairs.
    """
    rows, columns = points.shape[:2]
    index = np.arange(rows * columns).reshape(rows, columns)
    a = index if wrap_rows else index[:-1]
    b = np.roll(index, -1, axis=0) if wrap_rows else index[1:]
    if pair_rows:
        a, b = a[::2], b[::2]
    if wrap_columns:
        a, b = np.c_[a, a[:, :1]], np.c_[b, b[:, :1]]
    quads = np.stack([a[:, :-1], b[:, :-1], b[:, 1:], a[:, 1:]], axis=-1).reshape(-1, 4)
    vertices = points.reshape(-1, 3)
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    if cap_columns:
        for column, flip in ((0, True), (columns - 1, False)):
            vertices, faces = _capped(vertices, faces, points[:, column], flip)
    return outward(vertices, _proper(vertices, faces))


def outward(vertices: Points, faces: Faces) -> Solid:
    """The same surface with the triangles counter-clockwise seen from outside."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    volume = np.einsum("ij,ij->", a, np.cross(b, c))
    return (vertices, faces) if volume >= 0 else (vertices, faces[:, ::-1])


def moved(solid: Solid, offset: Sequence[float]) -> Solid:
    """The solid, shifted."""
    return solid[0] + np.asarray(offset), solid[1]


def turned_by(solid: Solid, axis: Sequence[float], angle_deg: float) -> Solid:
    """The solid, rotated about an axis through the origin (right-handed)."""
    k = np.asarray(axis, dtype=np.float64) / np.linalg.norm(axis)
    angle = np.radians(angle_deg)
    cross = np.array([[0, -k[2], k[1]], [k[2], 0, -k[0]], [-k[1], k[0], 0]])
    rotation = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return solid[0] @ rotation.T, solid[1]


def _spin(curve: Points, segments: int) -> Points:
    """(segment, point, 3) from a (radius, height) curve."""
    turn = np.arange(segments) * (2 * np.pi / segments)
    x = np.sin(turn)[:, None] * curve[None, :, 0]
    z = np.cos(turn)[:, None] * curve[None, :, 0]
    return np.stack([x, np.broadcast_to(curve[None, :, 1], x.shape), z], axis=-1)


def _capped(vertices: Points, faces: Faces, rim: Points, flip: bool) -> Solid:
    """A fan over a closed rim, with its own vertices, so that its edge is a crease."""
    start, count = len(vertices), len(rim)
    vertices = np.concatenate([vertices, rim, rim.mean(axis=0, keepdims=True)])
    here = start + np.arange(count)
    fan = np.stack([here, np.roll(here, -1), np.full(count, start + count)], axis=1)
    return vertices, np.concatenate([faces, fan[:, ::-1] if flip else fan])


def _proper(vertices: Points, faces: Faces) -> Faces:
    """Faces with an area; those that a pole or a crease has collapsed go."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    return faces[area > 1e-12]
