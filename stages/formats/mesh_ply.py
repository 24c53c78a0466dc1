"""A triangle mesh with vertex colors as binary PLY, for tools that read no glTF.

Vertices at one place are one vertex here: without texture there is no reason to split them.
Colors are 8-bit sRGB, as MeshLab and Blender expect.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

from ...pipeline.contract import replacing
from .gltf import Mesh

VERTEX = np.dtype(
    [(name, "<f4") for name in ("x", "y", "z", "nx", "ny", "nz")]
    + [(name, "u1") for name in ("red", "green", "blue")]
)
FACE = np.dtype([("count", "u1"), ("vertices", "<i4", (3,))])


def save(mesh: Mesh, path: Path) -> Path:
    """Write the PLY; the colors are those of the texture at the vertices. Returns `path`."""
    positions, index = np.unique(mesh.positions, axis=0, return_inverse=True)
    index = index.reshape(-1)
    normals = np.zeros_like(mesh.positions) if mesh.normals is None else mesh.normals
    colors = mean(vertex_colors(mesh), index)
    return write(positions, mean(normals, index), colors, index[mesh.faces], path)


def write(
    positions: Float[np.ndarray, "vertex 3"],
    normals: Float[np.ndarray, "vertex 3"],
    colors: Float[np.ndarray, "vertex 3"],
    faces: Int[np.ndarray, "face 3"],
    path: Path,
) -> Path:
    """Write the PLY with these vertices as they are; colors are sRGB, 0 to 1. Returns `path`."""
    vertices = np.zeros(len(positions), VERTEX)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = normals / np.where(length > 0, length, 1)
    for axis, name in enumerate("xyz"):
        vertices[name] = positions[:, axis]
        vertices[f"n{name}"] = normals[:, axis]
    rounded = np.rint(colors * 255).astype(np.uint8)
    for channel, name in enumerate(("red", "green", "blue")):
        vertices[name] = rounded[:, channel]
    table = np.zeros(len(faces), FACE)
    table["count"], table["vertices"] = 3, faces
    with replacing(Path(path)) as temporary, temporary.open("wb") as file:
        file.write(_header(len(vertices), len(faces)))
        vertices.tofile(file)
        table.tofile(file)
    return Path(path)


def vertex_colors(mesh: Mesh) -> Float32[np.ndarray, "vertex 3"]:
    """sRGB, 0 to 1: from the texture, else the vertex colors, else gray."""
    if mesh.base_color is not None and mesh.uvs is not None:
        return sample(mesh.base_color, mesh.uvs)
    if mesh.colors is not None:
        return _encode(mesh.colors)
    return np.full_like(mesh.positions, 0.5)


def _header(vertices: int, faces: int) -> bytes:
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {vertices}"]
    kinds = {"f4": "float", "u1": "uchar"}
    lines += [f"property {kinds[VERTEX[name].str[1:]]} {name}" for name in VERTEX.names or ()]
    lines += [f"element face {faces}", "property list uchar int vertex_indices", "end_header"]
    return ("\n".join(lines) + "\n").encode("ascii")


def mean(
    values: Float[np.ndarray, "vertex 3"], index: Int[np.ndarray, " vertex"]
) -> Float[np.ndarray, "place 3"]:
    """Of the values that share an index."""
    counts = np.bincount(index)[:, None]
    sums = np.stack([np.bincount(index, values[:, axis]) for axis in range(3)], axis=1)
    return sums / counts


def sample(
    picture: UInt8[np.ndarray, "height width channel"], uvs: Float32[np.ndarray, "point 2"]
) -> Float32[np.ndarray, "point 3"]:
    """Bilinear, clamped at the border; texel centres at +0.5."""
    height, width = picture.shape[:2]
    place = np.clip(uvs * [width, height] - 0.5, 0, [width - 1, height - 1])
    low = np.minimum(place.astype(int), [max(width - 2, 0), max(height - 2, 0)])
    right, down = (place - low).T[..., None]
    x, y = low.T
    x1, y1 = np.minimum(x + 1, width - 1), np.minimum(y + 1, height - 1)
    pixels = picture[..., :3] / 255.0
    upper = pixels[y, x] * (1 - right) + pixels[y, x1] * right
    lower = pixels[y1, x] * (1 - right) + pixels[y1, x1] * right
    return (upper * (1 - down) + lower * down).astype(np.float32)


def _encode(linear: Float32[np.ndarray, "vertex 3"]) -> Float32[np.ndarray, "vertex 3"]:
    """Linear to sRGB (IEC 61966-2-1)."""
    power = 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    return np.clip(np.where(linear <= 0.0031308, 12.92 * linear, power), 0, 1).astype(np.float32)
