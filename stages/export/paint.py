"""Colors at the vertices from materials, for formats that know no textures."""

from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int

from ..formats import mesh_ply, srgb
from ..formats.mesh_ply import sample
from ..formats.model import Model
from .corners import corner_normals, placed, weld, with_layers
from .profiles import Up

LARGEST_STEP = 0.1
"""Corners at one place whose sRGB colors differ by more than twice this are vertices apart."""


def save_painted(model: Model, path: Path, up: Up, meters_per_unit: float) -> Path:
    """Write a PLY in the file's axes and units.

    Places are shared over seams, so that what was closed stays closed; but where colors jump,
    as between two materials, vertices are split instead of blurring them.
    """
    places, faces = weld(placed(model.positions, up) / meters_per_unit, model.faces)
    colors = srgb.encode(base_colors(model)).reshape(-1, 3)
    vertex = _vertices(model, faces.reshape(-1), colors)
    normals = placed(corner_normals(model), up).reshape(-1, 3).astype(np.float64)
    first = np.unique(vertex, return_index=True)[1]
    return mesh_ply.write(
        places[faces.reshape(-1)[first]],
        mesh_ply.mean(normals, vertex),
        mesh_ply.mean(colors, vertex),
        vertex.reshape(-1, 3),
        path,
    )


def _vertices(model: Model, place: np.ndarray, colors: np.ndarray) -> Int[np.ndarray, " corner"]:
    """The vertex of every corner."""
    _, place = np.unique(place, return_inverse=True)
    off = np.abs(colors - mesh_ply.mean(colors, place)[place]).max(axis=1)
    jumps = np.zeros(int(place.max()) + 1, bool)
    jumps[place[off > LARGEST_STEP]] = True
    keys = np.zeros((len(place), 4))
    keys[:, 0] = place
    if model.uvs:
        keys[:, 1:3] = model.uvs[0][model.faces.reshape(-1)]
    keys[:, 3] = np.repeat(model.face_materials, 3)
    keys[~jumps[place], 1:] = 0
    return np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)


def base_colors(model: Model) -> Float32[np.ndarray, "face 3 3"]:
    """Linear: factor, texture and vertex color multiplied."""
    materials, layers = with_layers(model)
    out = np.ones((len(model.faces), 3, 3), np.float32)
    for number, material in enumerate(materials):
        chosen = model.face_materials == number
        color = np.broadcast_to(np.float32(material.base_color_factor[:3]), out[chosen].shape)
        texture = material.base_color
        if texture is not None:
            uvs = layers[texture.uv_set][chosen].reshape(-1, 2)
            if texture.wrap != ("clamp", "clamp"):
                # Whole numbers stay: the far border of a picture is not its near one.
                uvs = np.where((uvs < 0) | (uvs > 1), uvs - np.floor(uvs), uvs)
            shown = sample(texture.pixels, uvs.astype(np.float32))
            color = color * srgb.decode(shown).reshape(-1, 3, 3).astype(np.float32)
        out[chosen] = color
    if model.colors is not None:
        out *= model.colors[model.faces][..., :3]
    return out
