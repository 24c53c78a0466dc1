"""`mesh/1` and `textured-mesh/1`: the one place that writes and reads GLB.

One mesh, one primitive, one material. +Y up, metres, counter-clockwise, front on +Z. Texture
coordinates are glTF's everywhere in the package: u to the right, v *down* from the image's top
left corner, so that texel (row, column) has its centre at ((column + 0.5) / width,
(row + 0.5) / height). Nothing is ever flipped, except in files that trimesh reads for us.
The base color is an sRGB PNG; vertex colors are linear, as glTF 2.0 wants them (3.7.2.1).
Same mesh, same bytes.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int, UInt8
from PIL import Image

from ...pipeline.contract import replacing
from ...pipeline.errors import InputError
from .glb import (
    ARRAY_BUFFER,
    ELEMENT_ARRAY_BUFFER,
    Chunks,
    pack,
    read_accessor,
    read_glb,
    read_view,
)
from .png import png

GENERATOR = "splatworks"
TRIANGLES = 4
CLAMP_TO_EDGE = 33071
LINEAR, LINEAR_MIPMAP_LINEAR = 9729, 9987


@dataclass(frozen=True, slots=True)
class Mesh:
    """Triangles with what may lie on them. Vertices are split where charts meet."""

    positions: Float32[np.ndarray, "vertex 3"]
    faces: Int[np.ndarray, "face 3"]
    """Counter-clockwise seen from outside."""
    normals: Float32[np.ndarray, "vertex 3"] | None = None
    """Unit length."""
    uvs: Float32[np.ndarray, "vertex 2"] | None = None
    """From the top left corner, v down."""
    colors: Float32[np.ndarray, "vertex 3"] | None = None
    """Linear, 0 to 1."""
    base_color: UInt8[np.ndarray, "height width channel"] | None = None
    """sRGB, row 0 at the top, 3 or 4 channels; needs `uvs`."""
    double_sided: bool = False


def save(mesh: Mesh, path: Path) -> Path:
    """Write a GLB. Raises ValueError for a mesh that viewers would refuse. Returns `path`."""
    check(mesh)
    data = encode(mesh)
    with replacing(Path(path)) as temporary:
        temporary.write_bytes(data)
    return Path(path)


def encode(mesh: Mesh) -> bytes:
    """The bytes of the GLB."""
    chunks = Chunks()
    primitive: dict[str, Any] = {"attributes": _attributes(mesh, chunks), "mode": TRIANGLES}
    # Index 65535 is the primitive restart value of 16-bit indices.
    narrow = len(mesh.positions) < 65_535
    indices = mesh.faces.reshape(-1).astype("<u2" if narrow else "<u4")
    primitive["indices"] = chunks.accessor(indices, ELEMENT_ARRAY_BUFFER)
    primitive["material"] = 0
    document = {
        "asset": {"version": "2.0", "generator": GENERATOR},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "asset"}],
        "meshes": [{"primitives": [primitive], "name": "asset"}],
        "materials": [_material(mesh)],
    }
    if mesh.base_color is not None:
        document["images"] = [{"bufferView": chunks.view(png(mesh.base_color)),
                               "mimeType": "image/png", "name": "base_color"}]  # fmt: skip
        document["samplers"] = [{"magFilter": LINEAR, "minFilter": LINEAR_MIPMAP_LINEAR,
                                 "wrapS": CLAMP_TO_EDGE, "wrapT": CLAMP_TO_EDGE}]  # fmt: skip
        document["textures"] = [{"sampler": 0, "source": 0}]
    return pack(document, chunks)


def check(mesh: Mesh) -> None:
    """Raise ValueError unless the arrays fit each other and hold sound values."""
    count = len(mesh.positions)
    if count == 0 or len(mesh.faces) == 0:
        raise ValueError(f"mesh has {count} vertices and {len(mesh.faces)} faces; both are needed.")
    low, high = int(mesh.faces.min()), int(mesh.faces.max())
    if low < 0 or high >= count:
        raise ValueError(f"mesh.faces name vertices {low} to {high}; there are {count}.")
    for name in ("positions", "normals", "uvs", "colors"):
        values = getattr(mesh, name)
        if values is None:
            continue
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if len(values) != count or len(bad):
            raise ValueError(
                f"mesh.{name} has {len(values)} rows for {count} vertices, {len(bad)} of them "
                f"not finite" + (f" (first {bad[0]})." if len(bad) else ".")
            )
    if mesh.base_color is not None and (
        mesh.uvs is None or mesh.base_color.ndim != 3 or mesh.base_color.shape[2] not in (3, 4)
    ):
        raise ValueError("mesh.base_color needs mesh.uvs, and 3 or 4 channels.")


def load(path: Path) -> Mesh:
    """Read a GLB, or anything else that trimesh reads (OBJ, PLY, STL, glTF …).

    A plain GLB (one mesh, one primitive, no transform), such as ours, comes back bit for bit.
    Other scenes are flattened into one mesh; with several textures they are refused.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file.")
    if path.suffix.lower() != ".glb":
        mesh = _load_any(path)
    else:
        document, binary = read_glb(path)
        plain = _is_plain(document)
        mesh = _load_plain(path, document, binary) if plain else _load_any(path)
    try:
        check(mesh)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    return mesh


def _attributes(mesh: Mesh, chunks: Chunks) -> dict[str, int]:
    arrays = {
        "POSITION": mesh.positions,
        "NORMAL": None if mesh.normals is None else unit_normals(mesh.normals),
        "TEXCOORD_0": mesh.uvs,
        "COLOR_0": mesh.colors,
    }
    return {
        name: chunks.accessor(np.asarray(values, "<f4"), ARRAY_BUFFER)
        for name, values in arrays.items()
        if values is not None
    }


def unit_normals(normals: np.ndarray) -> np.ndarray:
    """Validators want length 1 within 5e-3; a vertex without direction gets +Y."""
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    off = np.abs(length - 1) > 1e-4
    scaled = normals / np.where(length > 1e-12, length, 1)
    out = np.where(off, scaled, normals)
    out[length[:, 0] <= 1e-12] = (0, 1, 0)
    return out.astype(np.float32)


def _material(mesh: Mesh) -> dict[str, Any]:
    surface: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": 1.0}
    if mesh.base_color is not None:
        surface["baseColorTexture"] = {"index": 0}
    return {"name": "asset", "doubleSided": mesh.double_sided, "pbrMetallicRoughness": surface}


def _is_plain(document: dict[str, Any]) -> bool:
    nodes, meshes = document.get("nodes", []), document.get("meshes", [])
    return (
        len(nodes) == 1
        and not {"matrix", "translation", "rotation", "scale", "skin"} & set(nodes[0])
        and len(meshes) == 1
        and len(meshes[0].get("primitives", [])) == 1
        and meshes[0]["primitives"][0].get("mode", TRIANGLES) == TRIANGLES
        and "indices" in meshes[0]["primitives"][0]
        and not document.get("extensionsRequired")
        and not any("uri" in entry for entry in document.get("buffers", []))
        and not any("uri" in entry for entry in document.get("images", []))
    )


def _load_plain(path: Path, document: dict[str, Any], binary: bytes) -> Mesh:
    try:
        primitive = document["meshes"][0]["primitives"][0]
        names = primitive["attributes"]
        values = {name: read_accessor(document, binary, names[name]) for name in names}
        indices = read_accessor(document, binary, primitive["indices"])
        faces = indices.reshape(-1, 3).astype(np.int64)
        material = document.get("materials", [{}])[primitive.get("material", 0)]
        picture = _base_color(document, binary, material)
        colors = values.get("COLOR_0")
        return Mesh(
            positions=_floats(values["POSITION"]),
            faces=faces,
            normals=_floats(values.get("NORMAL")),
            uvs=_floats(values.get("TEXCOORD_0")),
            colors=_floats(None if colors is None else colors[:, :3]),
            base_color=picture,
            double_sided=bool(material.get("doubleSided", False)),
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OSError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise InputError(f"{path}: broken GLB, or cut short ({problem}).") from None


def _floats(values: np.ndarray | None) -> np.ndarray | None:
    """glTF's normalized integers become 0 to 1."""
    if values is None or values.dtype.kind == "f":
        return values
    return (values / np.iinfo(values.dtype).max).astype(np.float32)


def _base_color(document: dict[str, Any], binary: bytes, material: dict[str, Any]) -> Any:
    texture = material.get("pbrMetallicRoughness", {}).get("baseColorTexture")
    if texture is None:
        return None
    source = document["textures"][texture["index"]]["source"]
    data = read_view(document, binary, document["images"][source]["bufferView"])
    return _pixels(Image.open(io.BytesIO(data)))


def _pixels(image: Image.Image) -> UInt8[np.ndarray, "height width channel"]:
    return np.asarray(image.convert("RGBA" if "A" in image.getbands() else "RGB"))


def _load_any(path: Path) -> Mesh:
    """Through trimesh: transforms applied, parts joined. trimesh's v runs up; ours runs down."""
    import trimesh

    try:
        scene = trimesh.load_scene(path, process=False)
        parts = [part for part in scene.dump() if isinstance(part, trimesh.Trimesh)]
    except Exception as error:  # Whatever a third-party parser throws at a broken file.
        problem = f"{type(error).__name__}: {error}"
        raise InputError(f"{path}: no readable mesh ({problem}).") from None
    if not parts:
        raise InputError(f"{path}: holds no triangles.")
    pictures = [_trimesh_picture(part) for part in parts]
    if sum(picture is not None for picture in pictures) > 1 and len(parts) > 1:
        raise InputError(f"{path}: has {len(parts)} textured parts; join them into one first.")
    offsets = np.cumsum([0] + [len(part.vertices) for part in parts[:-1]])
    faces = [part.faces + offset for part, offset in zip(parts, offsets, strict=True)]
    uvs = [getattr(part.visual, "uv", None) for part in parts]
    together = all(uv is not None for uv in uvs)
    joined = np.concatenate(uvs).astype(np.float32) if together else None
    return Mesh(
        positions=np.concatenate([part.vertices for part in parts]).astype(np.float32),
        faces=np.concatenate(faces).astype(np.int64),
        normals=np.concatenate([part.vertex_normals for part in parts]).astype(np.float32),
        uvs=None if joined is None else joined * np.float32([1, -1]) + np.float32([0, 1]),
        base_color=pictures[0] if len(parts) == 1 and together else None,
    )


def _trimesh_picture(part: Any) -> np.ndarray | None:
    material = getattr(part.visual, "material", None)
    image = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    return None if image is None else _pixels(image)
