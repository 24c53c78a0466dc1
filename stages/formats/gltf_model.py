"""Writing a `Model` as GLB: several materials over shared vertices, all maps, and a skeleton.

Every material in use becomes a primitive; all share their vertices. Pictures are PNGs, each
written once however often it is used. Same model, same bytes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline.contract import replacing
from .glb import ARRAY_BUFFER, CODES, ELEMENT_ARRAY_BUFFER, Chunks, pack
from .gltf import GENERATOR, LINEAR, LINEAR_MIPMAP_LINEAR, TRIANGLES, unit_normals
from .model import IDENTITY, Material, Model, Texture
from .png import png

WRAPS = {"repeat": 10497, "mirror": 33648, "clamp": 33071}
NEAREST = 9728
LODS = "MSFT_lod"


def save(model: Model, path: Path, name: str = "asset") -> Path:
    """Write the GLB. Raises ValueError for what viewers would refuse. Returns `path`."""
    return save_levels((model,), path, name)


def save_levels(levels: Sequence[Model], path: Path, name: str = "asset") -> Path:
    """The same with levels of detail, finest first, as the extension MSFT_lod has them."""
    data = encode_levels(levels, name)
    with replacing(Path(path)) as temporary:
        temporary.write_bytes(data)
    return Path(path)


def encode(model: Model) -> bytes:
    """The bytes of the GLB."""
    return encode_levels((model,), "asset")


def encode_levels(levels: Sequence[Model], name: str) -> bytes:
    """The bytes of the GLB. Several levels cannot have skeletons (ValueError)."""
    chunks = Chunks()
    materials = _Materials(chunks)
    entries: list[dict[str, Any]] = []
    meshes = []
    for level in levels:
        _check(level)
        meshes.append({"primitives": _primitives(level, chunks, len(entries)), "name": name})
        used = _used(level)
        entries += [materials.add(level.materials[k]) for k in used]
    document: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": GENERATOR},
        "scene": 0,
        "meshes": meshes,
        "materials": entries,
        **(_scene(levels[0], chunks, name) if len(levels) == 1 else _lods(levels, name)),
    }
    extensions = set(materials.extensions)
    if len(levels) > 1:
        extensions.add(LODS)
        for number, mesh in enumerate(meshes):
            mesh["name"] = f"{name}_LOD{number}"
    for key in ("images", "samplers", "textures"):
        if getattr(materials, key):
            document[key] = getattr(materials, key)
    if extensions:
        document["extensionsUsed"] = sorted(extensions)
    return pack(document, chunks)


def _used(model: Model) -> list[int]:
    return [k for k in range(len(model.materials)) if (model.face_materials == k).any()]


def _primitives(model: Model, chunks: Chunks, first_material: int) -> list[dict[str, Any]]:
    """One per material in use, over the same vertices."""
    used = _used(model)
    attributes = _attributes(model, chunks, [model.materials[k] for k in used])
    narrow = len(model.positions) < 65_535  # Index 65535 restarts a primitive.
    primitives = []
    for number, material in enumerate(used):
        indices = model.faces[model.face_materials == material].reshape(-1)
        accessor = chunks.accessor(indices.astype("<u2" if narrow else "<u4"), ELEMENT_ARRAY_BUFFER)
        primitives.append(
            {"attributes": attributes, "mode": TRIANGLES, "indices": accessor,
             "material": first_material + number}
        )  # fmt: skip
    return primitives


def _lods(levels: Sequence[Model], name: str) -> dict[str, Any]:
    """A node per level; the scene shows the first, which names the others."""
    if any(level.rig is not None for level in levels):
        raise ValueError("levels of detail in one GLB cannot have skeletons.")
    nodes: list[dict[str, Any]] = [
        {"mesh": number, "name": f"{name}_LOD{number}"} for number in range(len(levels))
    ]
    nodes[0]["extensions"] = {LODS: {"ids": list(range(1, len(levels)))}}
    # Shares of the screen down to which each level is shown; the last one stays.
    coverage = [0.5 ** (number + 1) for number in range(len(levels) - 1)]
    nodes[0]["extras"] = {"MSFT_screencoverage": [*coverage, 0.0]}
    return {"scenes": [{"nodes": [0]}], "nodes": nodes}


def _check(model: Model) -> None:
    count = len(model.positions)
    if not count or not len(model.faces):
        raise ValueError(f"a model of {count} vertices and {len(model.faces)} faces.")
    if model.faces.min() < 0 or model.faces.max() >= count:
        raise ValueError(f"model.faces name vertices up to {model.faces.max()}; there are {count}.")
    named = {"positions": model.positions, "normals": model.normals, "tangents": model.tangents,
             "colors": model.colors, "weights": model.weights,
             **{f"uvs {k}": uv for k, uv in enumerate(model.uvs)}}  # fmt: skip
    for name, values in named.items():
        if values is not None and (len(values) != count or not np.isfinite(values).all()):
            raise ValueError(f"model.{name}: {len(values)} rows for {count}, or not finite.")


def _attributes(model: Model, chunks: Chunks, materials: list[Material]) -> dict[str, int]:
    arrays: dict[str, np.ndarray | None] = {
        "POSITION": model.positions,
        "NORMAL": None if model.normals is None else unit_normals(model.normals),
        "TANGENT": model.tangents if any(m.normal for m in materials) else None,
    }
    arrays |= {f"TEXCOORD_{number}": uv for number, uv in enumerate(model.uvs)}
    if model.colors is not None:
        opaque = bool((model.colors[:, 3] == 1).all())
        arrays["COLOR_0"] = model.colors[:, :3] if opaque else model.colors
    found = {
        name: chunks.accessor(np.asarray(values, "<f4"), ARRAY_BUFFER)
        for name, values in arrays.items()
        if values is not None
    }
    if model.rig is not None and model.joints is not None and model.weights is not None:
        narrow = len(model.rig.joints) <= 256
        joints = np.where(model.weights > 0, model.joints, 0)
        found["JOINTS_0"] = chunks.accessor(joints.astype("u1" if narrow else "<u2"), ARRAY_BUFFER)
        found["WEIGHTS_0"] = chunks.accessor(np.asarray(model.weights, "<f4"), ARRAY_BUFFER)
    return found


def _scene(model: Model, chunks: Chunks, name: str) -> dict[str, Any]:
    rig = model.rig
    if rig is None:
        return {"scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0, "name": name}]}
    binds = chunks.accessor(np.asarray(rig.inverse_binds, "<f4"))
    own = len(rig.nodes)
    document: dict[str, Any] = {
        "scenes": [{"nodes": [*rig.roots, own]}],
        "nodes": [*rig.nodes, {"mesh": 0, "skin": 0, "name": name}],
        "skins": [{"joints": list(rig.joints), "inverseBindMatrices": binds}],
    }
    if rig.animations:
        places = [
            chunks.accessor(_little(array), normalized=normalized)
            for array, normalized in zip(rig.arrays, rig.normalized, strict=True)
        ]
        document["animations"] = [_animation(entry, places) for entry in rig.animations]
    return document


def _animation(entry: dict[str, Any], places: list[int]) -> dict[str, Any]:
    samplers = [
        {**sampler, "input": places[sampler["input"]], "output": places[sampler["output"]]}
        for sampler in entry["samplers"]
    ]
    return {**entry, "samplers": samplers}


def _little(array: np.ndarray) -> np.ndarray:
    """In the byte order of the file."""
    kind = next(kind for kind in CODES if kind == array.dtype.newbyteorder("<"))
    return array.astype(kind)


class _Materials:
    """Materials, textures, samplers and pictures while they are collected."""

    def __init__(self, chunks: Chunks) -> None:
        self._chunks = chunks
        self._pictures: dict[int, int] = {}
        self._textures: dict[tuple[int, int], int] = {}
        self.images: list[dict[str, Any]] = []
        self.samplers: list[dict[str, Any]] = []
        self.textures: list[dict[str, Any]] = []
        self.extensions: set[str] = set()

    def add(self, material: Material) -> dict[str, Any]:
        """The JSON of one material; defaults are left out."""
        surface: dict[str, Any] = {
            "metallicFactor": material.metallic_factor,
            "roughnessFactor": material.roughness_factor,
        }
        if material.base_color_factor != (1.0, 1.0, 1.0, 1.0):
            surface["baseColorFactor"] = list(material.base_color_factor)
        self._put(surface, "baseColorTexture", material.base_color, "base_color")
        self._put(surface, "metallicRoughnessTexture", material.metallic_roughness, "surface")
        entry: dict[str, Any] = {
            "name": material.name or "asset",
            "doubleSided": material.double_sided,
            "pbrMetallicRoughness": surface,
        }
        self._put(entry, "normalTexture", material.normal, "normal")
        self._put(entry, "occlusionTexture", material.occlusion, "occlusion")
        self._put(entry, "emissiveTexture", material.emissive, "emissive")
        if material.normal is not None and material.normal_scale != 1.0:
            entry["normalTexture"]["scale"] = material.normal_scale
        if material.occlusion is not None and material.occlusion_strength != 1.0:
            entry["occlusionTexture"]["strength"] = material.occlusion_strength
        if any(material.emissive_factor):
            entry["emissiveFactor"] = list(material.emissive_factor)
        if material.alpha_mode != "OPAQUE":
            entry["alphaMode"] = material.alpha_mode
        if material.alpha_mode == "MASK" and material.alpha_cutoff != 0.5:
            entry["alphaCutoff"] = material.alpha_cutoff
        extensions: dict[str, Any] = {}
        if material.emissive_strength != 1.0 and any(material.emissive_factor):
            strength = {"emissiveStrength": material.emissive_strength}
            extensions["KHR_materials_emissive_strength"] = strength
        if material.unlit:
            extensions["KHR_materials_unlit"] = {}
        if extensions:
            self.extensions |= set(extensions)
            entry["extensions"] = extensions
        return entry

    def _put(self, entry: dict[str, Any], key: str, texture: Texture | None, name: str) -> None:
        if texture is None:
            return
        reference: dict[str, Any] = {"index": self._texture(texture, name)}
        if texture.uv_set:
            reference["texCoord"] = texture.uv_set
        if texture.transform != IDENTITY:
            reference["extensions"] = {"KHR_texture_transform": _transform(texture)}
            self.extensions.add("KHR_texture_transform")
        entry[key] = reference

    def _texture(self, texture: Texture, name: str) -> int:
        picture = self._picture(texture.pixels, name)
        sampler = {
            "magFilter": NEAREST if texture.nearest else LINEAR,
            "minFilter": LINEAR_MIPMAP_LINEAR,
            "wrapS": WRAPS[texture.wrap[0]],
            "wrapT": WRAPS[texture.wrap[1]],
        }
        if sampler not in self.samplers:
            self.samplers.append(sampler)
        key = (self.samplers.index(sampler), picture)
        if key not in self._textures:
            self._textures[key] = len(self.textures)
            self.textures.append({"sampler": key[0], "source": key[1]})
        return self._textures[key]

    def _picture(self, pixels: np.ndarray, name: str) -> int:
        if id(pixels) not in self._pictures:
            self._pictures[id(pixels)] = len(self.images)
            view = self._chunks.view(png(pixels))
            self.images.append({"bufferView": view, "mimeType": "image/png", "name": name})
        return self._pictures[id(pixels)]


def _transform(texture: Texture) -> dict[str, Any]:
    """Offset, rotation and scale of an affine map without shear, as they were read."""
    (a, b, ox), (c, d, oy) = texture.transform
    sx, sy = float(np.hypot(a, c)), float(np.hypot(b, d))
    if a * d - b * c < 0:
        sy = -sy
    angle = float(np.arctan2(-c, a))
    return {"offset": [ox, oy], "rotation": angle, "scale": [sx, sy]}
