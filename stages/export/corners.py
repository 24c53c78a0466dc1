"""Geometry made sound for export: normals and tangents everywhere, axes and units, welded places.

Nothing is resampled: faces stay in their order, and corners keep their values.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Float, Float32, Int

from ..formats.asset import Level, Look
from ..formats.model import SLOTS, Material, Model, Texture
from ..geometry.tangents import crease_normals, tangents
from .profiles import Up

Layout = tuple[int, tuple]
"""A set of texture coordinates and the map applied to it."""


def with_frames(model: Model) -> Model:
    """The model with a normal at every vertex and, if any material has a normal map, a tangent.

    What the file gave is kept; only what is missing is computed, and vertices are split for it
    where corners disagree. Without tangents of its own a GLB looks different from viewer to
    viewer, and the validator warns.
    """
    normals = corner_normals(model)
    mapped = any(material.normal is not None for material in model.materials)
    directions = _corner_tangents(model, normals) if mapped else None
    own_normals = model.normals is not None and np.array_equal(normals, model.normals[model.faces])
    own_tangents = directions is None or (
        model.tangents is not None and np.array_equal(directions, model.tangents[model.faces])
    )
    if own_normals and own_tangents:
        return model if mapped else replace(model, tangents=None)
    keys = [model.faces.reshape(-1, 1).astype(np.float64), normals.reshape(-1, 3)]
    if directions is not None:
        keys.append(directions.reshape(-1, 4))
    rows = np.concatenate(keys, axis=1)
    _, first, inverse = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    old = model.faces.reshape(-1)[first]

    def taken(values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None else values[old]

    return replace(
        model,
        positions=model.positions[old],
        faces=inverse.reshape(-1, 3).astype(np.int64),
        normals=normals.reshape(-1, 3)[first],
        tangents=None if directions is None else directions.reshape(-1, 4)[first],
        uvs=tuple(uv[old] for uv in model.uvs),
        colors=taken(model.colors),
        importance=taken(model.importance),
        joints=taken(model.joints),
        weights=taken(model.weights),
    )


def corner_normals(model: Model) -> Float32[np.ndarray, "face 3 3"]:
    """Those of the file; where it has none, smooth ones with creases."""
    if model.normals is None:
        return crease_normals(model.positions, model.faces)
    normals = model.normals[model.faces]
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    if (length > 0.5).all():
        return normals
    made = crease_normals(model.positions, model.faces)
    return np.where(length > 0.5, normals, made).astype(np.float32)


def _corner_tangents(
    model: Model, normals: Float32[np.ndarray, "face 3 3"]
) -> Float32[np.ndarray, "face 3 4"]:
    if model.tangents is not None:
        own = model.tangents[model.faces]
        sound = np.abs(np.linalg.norm(own[..., :3], axis=-1) - 1) < 1e-3
        sound &= np.abs(own[..., 3]) == 1
        if sound.all():
            return own
    coordinates = np.zeros((len(model.faces), 3, 2), np.float32)
    for number, material in enumerate(model.materials):
        if material.normal is not None:
            chosen = model.face_materials == number
            coordinates[chosen] = _laid(model, chosen, _layout(material.normal))
    soup = np.arange(3 * len(model.faces)).reshape(-1, 3)
    made = tangents(
        model.positions[model.faces].reshape(-1, 3),
        normals.reshape(-1, 3),
        coordinates.reshape(-1, 2),
        soup,
    )
    if model.tangents is None:
        return made
    return np.where(sound.all(axis=1)[:, None, None], own, made).astype(np.float32)


def with_layers(
    model: Model,
) -> tuple[tuple[Material, ...], tuple[Float32[np.ndarray, "face 3 2"], ...]]:
    """Texture coordinates as plain layers, with all transforms of pictures applied.

    Returns the materials with `uv_set` counting these layers. The base color's comes first.
    """
    layouts = [_layouts(material) for material in model.materials]
    count = max([1 if model.uvs else 0, *(len(each) for each in layouts)])
    layers = np.zeros((count, len(model.faces), 3, 2), np.float32)
    materials = []
    for number, material in enumerate(model.materials):
        chosen = model.face_materials == number
        own = layouts[number] or ([(0, ((1, 0, 0), (0, 1, 0)))] if model.uvs else [])
        for place, layout in enumerate(own):
            layers[place][chosen] = _laid(model, chosen, layout)
        materials.append(_renumbered(material, layouts[number]))
    return tuple(materials), tuple(layers)


def _layouts(material: Material) -> list[Layout]:
    textures = [getattr(material, slot) for slot in SLOTS]
    return list(dict.fromkeys(_layout(texture) for texture in textures if texture is not None))


def _layout(texture: Texture) -> Layout:
    return texture.uv_set, texture.transform


def _renumbered(material: Material, layouts: list[Layout]) -> Material:
    def plain(texture: Texture | None) -> Texture | None:
        if texture is None:
            return None
        return Texture(
            texture.pixels, texture.wrap, texture.nearest, layouts.index(_layout(texture))
        )

    return replace(material, **{slot: plain(getattr(material, slot)) for slot in SLOTS})


def _laid(model: Model, chosen: np.ndarray, layout: Layout) -> Float32[np.ndarray, "chosen 3 2"]:
    """Zero where the file lacks the set that a picture asks for."""
    number, transform = layout
    if number >= len(model.uvs):
        return np.zeros((int(chosen.sum()), 3, 2), np.float32)
    uv = model.uvs[number][model.faces[chosen]].astype(np.float64)
    matrix = np.array(transform, np.float64)
    return (uv @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)


def as_level(
    model: Model,
    looks: tuple[Look, ...],
    layers: tuple[Float32[np.ndarray, "face 3 2"], ...],
    up: Up,
    meters_per_unit: float,
) -> tuple[Level, int]:
    """The model in the file's axes and units, its places welded; and how many faces were left out
    since two of their corners are one place."""
    positions = placed(model.positions, up) / meters_per_unit
    places, faces = weld(positions, model.faces)
    sound = (faces != np.roll(faces, 1, axis=1)).all(axis=1)
    colors = None if model.colors is None else model.colors[model.faces][sound]
    level = Level(
        places=places,
        faces=faces[sound],
        face_looks=model.face_materials[sound],
        looks=looks,
        normals=placed(corner_normals(model), up).astype(np.float32)[sound],
        layers=tuple(layer[sound] for layer in layers),
        colors=colors,
    )
    return level, int((~sound).sum())


def placed(vectors: Float[np.ndarray, "*axes 3"], up: Up) -> Float[np.ndarray, "*axes 3"]:
    """From +Y up with the front on +Z to the file's axes: with z up the front is -Y."""
    if up == "y":
        return vectors
    return np.stack([vectors[..., 0], -vectors[..., 2], vectors[..., 1]], axis=-1)


def weld(
    positions: Float[np.ndarray, "vertex 3"], faces: Int[np.ndarray, "face 3"]
) -> tuple[Float[np.ndarray, "place 3"], Int[np.ndarray, "face 3"]]:
    """Vertices at one place become one; but for faces that would then lie on another one.

    A sheet with a front and a back of its own would lose one of the two in tools that allow no
    two faces over the same vertices. The back keeps its vertices.
    """
    places, inverse = np.unique(positions[faces.reshape(-1)], axis=0, return_inverse=True)
    welded = inverse.reshape(-1, 3)
    _, first = np.unique(np.sort(welded, axis=1), axis=0, return_index=True)
    again = np.ones(len(faces), bool)
    again[first] = False
    again &= (welded != np.roll(welded, 1, axis=1)).all(axis=1)
    if not again.any():
        return places, welded
    kept, index = np.unique(faces[again], return_inverse=True)
    out = welded.copy()
    out[again] = len(places) + index.reshape(-1, 3)
    return np.concatenate([places, positions[kept]]), out
