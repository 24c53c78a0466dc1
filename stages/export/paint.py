"""Colors at the vertices from materials, for formats that know no textures."""

import numpy as np
from jaxtyping import Float32

from ..formats import srgb
from ..formats.gltf import Mesh
from ..formats.mesh_ply import sample
from ..formats.model import Model
from .corners import corner_normals, levels_layers, placed
from .profiles import Up


def vertex_colors(model: Model, up: Up, meters_per_unit: float) -> Mesh:
    """The model as a soup of colored triangles, in the file's axes and units."""
    count = 3 * len(model.faces)
    return Mesh(
        positions=(placed(model.positions[model.faces], up) / meters_per_unit)
        .reshape(-1, 3)
        .astype(np.float32),
        faces=np.arange(count).reshape(-1, 3),
        normals=placed(corner_normals(model), up).reshape(-1, 3).astype(np.float32),
        colors=base_colors(model).reshape(-1, 3),
    )


def base_colors(model: Model) -> Float32[np.ndarray, "face 3 3"]:
    """Linear: factor, texture and vertex color multiplied."""
    materials, layers = levels_layers(model)
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
