"""From a prop's words to triangles in the standard frame, with a color role on every face."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from . import (
    animal_kinds,
    built_kinds,
    catalog,
    figure_kinds,
    food_kinds,
    gear_kinds,
    turned_kinds,
    vehicle_kinds,
    vessel_kinds,
)
from .catalog import Rgb
from .recipe import Recipe

NATURAL: Mapping[str, Rgb] = MappingProxyType(
    {
        "gills": (0.98, 0.93, 0.84),
        "wood": (0.47, 0.29, 0.15),
        "dark": (0.09, 0.09, 0.10),
        "rubber": (0.13, 0.13, 0.14),
        "metal": (0.72, 0.73, 0.76),
        "iron": (0.29, 0.29, 0.32),
        "glass": (0.42, 0.62, 0.76),
        "orange": (0.96, 0.50, 0.06),
        "white": (0.97, 0.97, 0.97),
        "dough": (0.80, 0.55, 0.30),
        "brass": (0.82, 0.64, 0.24),
        "brick": (0.60, 0.30, 0.22),
        "trimming": (0.93, 0.91, 0.86),
        "lamp": (1.0, 0.95, 0.72),
        "tail-lamp": (0.80, 0.06, 0.06),
        "leaf": (0.22, 0.52, 0.14),
        "stalk": (0.30, 0.55, 0.16),
        "pink": (0.94, 0.58, 0.62),
    }
)
"""Colors of parts that no caption names, in sRGB."""

SHADES: Mapping[str, float] = MappingProxyType({"inside": 0.32, "trim": 0.45})
"""Roles that are the base color, darkened by a factor in linear light."""

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        **turned_kinds.RECIPES,
        **built_kinds.RECIPES,
        **food_kinds.RECIPES,
        **vessel_kinds.RECIPES,
        **animal_kinds.RECIPES,
        **figure_kinds.RECIPES,
        **vehicle_kinds.RECIPES,
        **gear_kinds.RECIPES,
    }
)
"""How every kind of `catalog.KINDS` is made."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Triangles of one prop. Parts are closed surfaces that may run through one another."""

    vertices: NDArray[np.float32]
    """In the standard frame: inside the ball of radius 0.5 m, +Y up, front at +Z."""
    rest: NDArray[np.float32]
    """The same vertices on the kind's nominal proportions: where patterns are laid out."""
    normals: NDArray[np.float32]
    """Unit vertex normals; creases have doubled vertices."""
    faces: NDArray[np.uint32]
    roles: NDArray[np.uint8]
    """Per face, an index into `role_names`."""
    parts: NDArray[np.uint16]
    """Per face, the number of the closed surface that it belongs to."""
    role_names: tuple[str, ...]


def build(kind: str, seed: int) -> Shape:
    """The triangles of a kind, its proportions varied by `seed`."""
    rest, faces, roles, parts, names = nominal(kind)
    draws = np.random.default_rng(seed)
    vertices = np.concatenate(
        [solid[0] for _, solid in RECIPES[kind].build(lambda x: x * draws.uniform(0.9, 1.1))]
    )
    vertices = framed(vertices)
    normals = vertex_normals(vertices, faces).astype(np.float32)
    return Shape(vertices.astype(np.float32), rest, normals, faces, roles, parts, names)


@lru_cache(maxsize=len(RECIPES))
def nominal(kind: str) -> tuple:
    """Vertices, faces, roles, part numbers and role names at nominal proportions."""
    pieces = RECIPES[kind].build(lambda length: length)
    names = tuple(dict.fromkeys(role for role, _ in pieces))
    starts = np.cumsum([0, *(len(solid[0]) for _, solid in pieces)])
    faces = np.concatenate([f + start for (_, (_, f)), start in zip(pieces, starts, strict=False)])
    counts = [len(solid[1]) for _, solid in pieces]
    roles = np.repeat([names.index(role) for role, _ in pieces], counts)
    parts = np.repeat(np.arange(len(pieces)), counts)
    rest = framed(np.concatenate([solid[0] for _, solid in pieces]))
    for start, stop, (role, _) in zip(starts[:-1], starts[1:], pieces, strict=True):
        if role == "main":
            _flatten(rest[start:stop])
    return (
        rest.astype(np.float32),
        faces.astype(np.uint32),
        roles.astype(np.uint8),
        parts.astype(np.uint16),
        names,
    )


def framed(vertices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shift and scale into the ball of radius 0.5 m around the origin, touching it.

    The ball's center walks toward the farthest vertex in shrinking steps (after Badoiu and
    Clarkson): the ball is within a few per cent of the smallest one.
    """
    center = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    for step in range(1, 200):
        away = vertices - center
        far = np.argmax((away**2).sum(axis=1))
        center = center + away[far] / (step + 1) ** 1.2 * 0.5
    radius = np.sqrt(((vertices - center) ** 2).sum(axis=1).max())
    return (vertices - center) * (catalog.OBJECT_RADIUS_M / (radius * (1 + 1e-6)))


def _flatten(board: NDArray[np.float64]) -> None:
    """Collapse a board to its middle plane, in place: a pattern runs through its thickness."""
    extent = np.ptp(board, axis=0)
    thin = int(np.argmin(extent))
    if extent[thin] < 0.2 * np.sort(extent)[1]:
        board[:, thin] = board[:, thin].mean()


def vertex_normals(vertices: NDArray[np.float64], faces: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Unit normals, faces weighted by area."""
    corners = vertices[faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(vertices)
    for axis in range(3):
        weights = np.repeat(cross[:, axis], 3)
        normals[:, axis] = np.bincount(faces.ravel(), weights, minlength=len(vertices))
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return normals / np.maximum(length, 1e-30)


def colors(kind: str, color: str, part_color: str, roles: tuple[str, ...]) -> NDArray[np.float32]:
    """sRGB per role."""
    base = catalog.LOOKS[color]
    rows = []
    for role in roles:
        if role in ("main", "base", *SHADES):
            rows.append(base)
        elif role == "part":
            natural = RECIPES[kind].part_color or base
            rows.append(catalog.COLORS[part_color] if part_color else natural)
        else:
            rows.append(NATURAL[role])
    return np.asarray(rows, dtype=np.float32)
