"""Reading any GLB into a `Model` and writing plain ones. Needs only NumPy and Pillow, because the
adapters run it in the environments of other tools.
"""

import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .model import WRAPS, Material, Model

TYPES = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
CUTOUT = {"MASK": 0.5, "BLEND": 0.5}
REPEAT = 10497


class Unreadable(ValueError):
    """The file is broken: the fault of the tool that wrote it, not of the judge."""


class File:
    """The two chunks and what lies in them."""

    def __init__(self, path: Path) -> None:
        data = Path(path).read_bytes()
        length = struct.unpack_from("<I", data, 12)[0]
        self.document: dict[str, Any] = json.loads(data[20 : 20 + length])
        self.binary = data[28 + length :]

    def view(self, index: int) -> bytes:
        view = self.document["bufferViews"][index]
        start = view.get("byteOffset", 0)
        return self.binary[start : start + view["byteLength"]]

    def accessor(self, index: int) -> np.ndarray:
        """One row per element; normalized integers as floats."""
        entry = self.document["accessors"][index]
        dtype, width = np.dtype(TYPES[entry["componentType"]]), WIDTHS[entry["type"]]
        view = self.document["bufferViews"][entry["bufferView"]]
        stride = view.get("byteStride") or dtype.itemsize * width  # 0: from old exporters
        rows = np.ndarray(
            (entry["count"], width),
            dtype,
            self.view(entry["bufferView"]),
            entry.get("byteOffset", 0),
            (stride, dtype.itemsize),
        )
        if not entry.get("normalized"):
            return rows.copy()
        return np.maximum(rows / np.iinfo(dtype).max, -1.0)

    def material(self, entry: dict[str, Any]) -> Material:
        surface = entry.get("pbrMetallicRoughness", {})
        pixels, wrap = None, ("repeat", "repeat")
        if "baseColorTexture" in surface:
            texture = self.document["textures"][surface["baseColorTexture"]["index"]]
            image = self.document["images"][texture["source"]]
            picture = Image.open(io.BytesIO(self.view(image["bufferView"])))
            pixels = np.asarray(picture.convert("RGBA"))
            sampler = {}
            if "sampler" in texture:
                sampler = self.document["samplers"][texture["sampler"]]
            wrap = tuple(WRAPS[sampler.get(name, REPEAT)] for name in ("wrapS", "wrapT"))
        return Material(
            pixels=pixels,
            factor=tuple(surface.get("baseColorFactor", (1.0, 1.0, 1.0, 1.0))),
            wrap=wrap,
            cutout=entry.get("alphaCutoff", CUTOUT.get(entry.get("alphaMode", ""), 0.0)),
        )


def read(path: Path) -> Model:
    """All triangles of the file's scene, transformed into the world. Raises Unreadable."""
    try:
        return _read(path)
    # What numbers that lead nowhere, missing entries and cut-off data raise.
    except (KeyError, IndexError, ValueError, struct.error, OSError) as problem:
        raise Unreadable(f"{path}: {type(problem).__name__}: {problem}") from problem


def _read(path: Path) -> Model:
    file = File(path)
    materials = [file.material(entry) for entry in file.document.get("materials", [])]
    parts, worlds = [], _worlds(file.document)
    for number, matrix in worlds.items():
        node = file.document["nodes"][number]
        primitives = file.document["meshes"][node["mesh"]]["primitives"] if "mesh" in node else ()
        for primitive in primitives:
            if primitive.get("mode", 4) == 4:
                names = primitive["attributes"]
                posed = _posed(file, names, node["skin"], worlds) if "skin" in node else matrix
                parts.append(_part(file, primitive, posed, len(materials)))
    if not parts:
        raise ValueError("no triangles.")
    offsets = np.cumsum([0] + [len(part[0]) for part in parts[:-1]])
    columns = list(zip(*parts, strict=True))
    faces = [part + offset for part, offset in zip(columns[1], offsets, strict=True)]
    return Model(
        positions=np.concatenate(columns[0]),
        faces=np.concatenate(faces),
        uvs=np.concatenate(columns[2]),
        colors=np.concatenate(columns[3]),
        material=np.concatenate(columns[4]),
        materials=(*materials, Material(None, (1.0, 1.0, 1.0, 1.0))),
        unit=all(part[5] for part in parts),
    )


def _part(file: File, primitive: dict[str, Any], matrix: np.ndarray, default: int) -> tuple:
    names = primitive["attributes"]
    positions = file.accessor(names["POSITION"]).astype(np.float64)
    positions = np.einsum("...ij,...j->...i", matrix[..., :3, :3], positions) + matrix[..., :3, 3]
    if "indices" in primitive:
        faces = file.accessor(primitive["indices"]).astype(np.int64).reshape(-1, 3)
    else:
        faces = np.arange(len(positions)).reshape(-1, 3)
    if matrix.ndim == 2 and np.linalg.det(matrix[:3, :3]) < 0:
        faces = faces[:, ::-1]
    number = primitive.get("material", default)
    inside = ((faces >= 0) & (faces < len(positions))).all(axis=1)
    safe = np.where(inside[:, None], faces, 0)
    uvs, unit = _uvs(file, names, number, default)
    colors = np.ones((len(positions), 4))
    if "COLOR_0" in names:
        found = file.accessor(names["COLOR_0"])
        colors[:, : found.shape[1]] = found
    return (
        positions,
        faces,
        np.zeros((len(faces), 3, 2)) if uvs is None else uvs[safe],
        colors[safe],
        np.full(len(faces), number),
        unit,
    )


def _uvs(file: File, names: dict, number: int, default: int) -> tuple[np.ndarray | None, bool]:
    """Coordinates of the set that the base color uses, after KHR_texture_transform."""
    entry = {} if number == default else file.document["materials"][number]
    texture = entry.get("pbrMetallicRoughness", {}).get("baseColorTexture", {})
    change = texture.get("extensions", {}).get("KHR_texture_transform", {})
    name = f"TEXCOORD_{change.get('texCoord', texture.get('texCoord', 0))}"
    if name not in names:
        return None, True
    stored = file.accessor(names[name]).astype(np.float64)
    unit = bool((stored >= -1e-6).all() and (stored <= 1 + 1e-6).all())
    angle = change.get("rotation", 0.0)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    scaled = stored * np.array(change.get("scale", (1.0, 1.0)))
    return scaled @ turn.T + np.array(change.get("offset", (0.0, 0.0))), unit


def _worlds(document: dict[str, Any]) -> dict[int, np.ndarray]:
    """Of every node of the scene the transform to the world."""
    nodes = document["nodes"]
    scenes = document.get("scenes", [{"nodes": list(range(len(nodes)))}])
    waiting = [(np.eye(4), k) for k in scenes[document.get("scene", 0)].get("nodes", [])]
    found = {}
    while waiting:
        above, k = waiting.pop(0)
        found[k] = above @ _local(nodes[k])
        waiting += [(found[k], child) for child in nodes[k].get("children", [])]
    return found


def _posed(
    file: File, names: dict[str, int], number: int, worlds: dict[int, np.ndarray]
) -> np.ndarray:
    """Per vertex of a skinned primitive the transform to the world with the bones at rest. That of
    the node it hangs on does not count (glTF 2.0, 3.7.3.3)."""
    skin = file.document["skins"][number]
    bones = np.stack([worlds[joint] for joint in skin["joints"]])
    if "inverseBindMatrices" in skin:
        stored = file.accessor(skin["inverseBindMatrices"]).astype(np.float64)
        bones = bones @ stored.reshape(-1, 4, 4).transpose(0, 2, 1)
    joints = np.concatenate([file.accessor(names[n]) for n in sorted(names) if "JOINTS" in n], 1)
    weights = np.concatenate([file.accessor(names[n]) for n in sorted(names) if "WEIGHTS" in n], 1)
    weights = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)
    return np.einsum("vk,vkij->vij", weights, bones[joints.astype(np.int64)])


def _local(node: dict[str, Any]) -> np.ndarray:
    if "matrix" in node:
        return np.array(node["matrix"], np.float64).reshape(4, 4).T
    x, y, z, w = node.get("rotation", (0.0, 0.0, 0.0, 1.0))
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    matrix = np.eye(4)
    matrix[:3, :3] = turn * np.array(node.get("scale", (1.0, 1.0, 1.0)))
    matrix[:3, 3] = node.get("translation", (0.0, 0.0, 0.0))
    return matrix


def write(path: Path, model: Model) -> None:
    """One primitive per material, vertices split at every corner that needs it."""
    data, views, accessors, primitives = bytearray(), [], [], []

    def view(content: bytes) -> int:
        data.extend(b"\0" * (-len(data) % 4))
        views.append({"buffer": 0, "byteOffset": len(data), "byteLength": len(content)})
        data.extend(content)
        return len(views) - 1

    def accessor(values: np.ndarray, code: int, kind: str) -> int:
        entry = {"bufferView": view(values.tobytes()), "componentType": code, "type": kind}
        bounds = {"min": values.min(axis=0).tolist(), "max": values.max(axis=0).tolist()}
        accessors.append({**entry, "count": len(values), **bounds})
        return len(accessors) - 1

    for number in np.unique(model.material):
        chosen = model.material == number
        corners = model.positions[model.faces[chosen]].reshape(-1, 3)
        rows = np.concatenate([corners, model.uvs[chosen].reshape(-1, 2)], axis=1)
        rows, index = np.unique(rows.astype("<f4"), axis=0, return_inverse=True)
        names = {"POSITION": accessor(np.ascontiguousarray(rows[:, :3]), 5126, "VEC3")}
        if model.materials[number].pixels is not None:
            names["TEXCOORD_0"] = accessor(np.ascontiguousarray(rows[:, 3:]), 5126, "VEC2")
        flat = index.reshape(-1, 1).astype("<u4")
        primitives.append(
            {
                "attributes": names,
                "indices": accessor(flat, 5125, "SCALAR"),
                "material": int(number),
            }
        )
    document: dict[str, Any] = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": primitives}],
        "accessors": accessors,
        "materials": [],
        "textures": [],
        "images": [],
        "samplers": [],
    }
    codes = {name: code for code, name in WRAPS.items()}
    for material in model.materials:
        surface: dict[str, Any] = {"baseColorFactor": list(material.factor)}
        if material.pixels is not None:
            buffer = io.BytesIO()
            Image.fromarray(material.pixels).save(buffer, "PNG", compress_level=1)
            image = {"bufferView": view(buffer.getvalue()), "mimeType": "image/png"}
            wraps = {"wrapS": codes[material.wrap[0]], "wrapT": codes[material.wrap[1]]}
            place = len(document["images"])
            document["images"].append(image)
            document["samplers"].append(wraps)
            document["textures"].append({"source": place, "sampler": place})
            surface["baseColorTexture"] = {"index": place}
        entry: dict[str, Any] = {"pbrMetallicRoughness": surface, "doubleSided": True}
        if material.cutout:
            entry |= {"alphaMode": "MASK", "alphaCutoff": material.cutout}
        document["materials"].append(entry)
    document = {name: value for name, value in document.items() if value != []}
    document |= {"bufferViews": views, "buffers": [{"byteLength": len(data)}]}
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    data.extend(b"\0" * (-len(data) % 4))
    head = struct.pack("<III", 0x46546C67, 2, 28 + len(text) + len(data))
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text
    chunks += struct.pack("<II", len(data), 0x004E4942) + bytes(data)
    Path(path).write_bytes(head + chunks)
