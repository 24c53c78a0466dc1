"""The glTF document of a .glb or .gltf file with its buffers: accessors of every layout.

`glb.py` reads what we write; here are also buffers in files and data URIs, sparse accessors,
normalized integers and matrices. No number of the file is trusted.
"""

import base64
import binascii
import json
import urllib.parse
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline.errors import InputError
from .glb import COMPONENTS, WIDTHS, read_glb
from .image_files import read_beside

EXTENSIONS = frozenset(
    {
        "KHR_texture_transform",
        "KHR_mesh_quantization",
        "KHR_materials_unlit",
        "KHR_materials_emissive_strength",
        "KHR_materials_pbrSpecularGlossiness",
        "EXT_texture_webp",
        "KHR_node_visibility",
    }
)
"""Understood when a file requires them; materials' others only add to what is drawn."""
LARGEST_JSON_BYTES = 1 << 28
MOST_VALUES = 1 << 30


class Document:
    """An opened file. Raises InputError for all that is wrong with it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.json, self._binary = read_glb(path) if _is_glb(path) else (_read_json(path), b"")
        self._buffers: dict[int, bytes] = {}
        version = str(self.json.get("asset", {}).get("version", "2.0"))
        if not version.startswith("2."):
            raise InputError(f"{path}: glTF version {version}; only version 2 is read.")
        required = set(self.json.get("extensionsRequired", []))
        unknown = sorted(n for n in required - EXTENSIONS if not n.startswith("KHR_materials_"))
        if unknown:
            raise InputError(
                f"{path}: needs the glTF extension {', '.join(unknown)}, which is not read. "
                "Save it without (compression off) and try again."
            )

    def table(self, name: str) -> list[dict[str, Any]]:
        """One of the document's arrays of objects; empty where it is absent."""
        return self.json.get(name, [])

    def accessor(self, index: int) -> np.ndarray:
        """Values as stored, one row per element (a copy)."""
        entry = self._entry("accessors", index)
        dtype, width = np.dtype(COMPONENTS[entry["componentType"]]), _width(entry["type"])
        count = entry["count"]
        if not isinstance(count, int) or not 0 <= count * width <= MOST_VALUES:
            raise InputError(f"{self.path}: accessor {index} claims {count} elements.")
        if "bufferView" in entry:
            view, start = entry["bufferView"], entry.get("byteOffset", 0)
            stride = self._entry("bufferViews", view).get("byteStride")
            values = self._rows(index, view, start, (count, width), dtype, stride)
        else:
            values = np.zeros((count, width), dtype)
        return self._sparse(index, entry, values)

    def floats(self, index: int) -> np.ndarray:
        """The same as float32; normalized integers become 0 to 1, or -1 to 1."""
        values = self.accessor(index)
        if values.dtype.kind == "f":
            return values.astype(np.float32, copy=False)
        if not self.json["accessors"][index].get("normalized", False):
            return values.astype(np.float32)
        scaled = values / np.float32(np.iinfo(values.dtype).max)
        return np.maximum(scaled, -1).astype(np.float32)

    def view(self, index: int) -> bytes:
        """The bytes of a buffer view."""
        entry = self._entry("bufferViews", index)
        data = self._buffer(entry.get("buffer", 0))
        start, length = entry.get("byteOffset", 0), entry["byteLength"]
        if start < 0 or length < 0 or start + length > len(data):
            raise InputError(
                f"{self.path}: bufferView {index} ({start} + {length} bytes) leaves its buffer of "
                f"{len(data)} bytes; broken, or cut short."
            )
        return data[start : start + length]

    def uri(self, text: str) -> bytes:
        """What a URI stands for: data inside it, or a file beside the document."""
        if text.startswith("data:"):
            head, _, body = text.partition(",")
            try:
                if head.endswith(";base64"):
                    return base64.b64decode(body, validate=False)
                return urllib.parse.unquote_to_bytes(body)
            except (binascii.Error, ValueError) as error:
                raise InputError(f"{self.path}: a broken data URI ({error}).") from None
        return read_beside(self.path.parent, urllib.parse.unquote(text), self.path)

    def _entry(self, table: str, index: Any) -> dict[str, Any]:
        entries = self.table(table)
        if not isinstance(index, int) or not 0 <= index < len(entries):
            raise InputError(f"{self.path}: names {table} {index}; there are {len(entries)}.")
        return entries[index]

    def _buffer(self, index: int) -> bytes:
        if index not in self._buffers:
            entry = self._entry("buffers", index)
            data = self.uri(entry["uri"]) if "uri" in entry else self._binary
            if len(data) < entry.get("byteLength", 0):
                raise InputError(
                    f"{self.path}: buffer {index} should have {entry['byteLength']} bytes, has "
                    f"{len(data)}; cut short."
                )
            self._buffers[index] = data
        return self._buffers[index]

    def _rows(
        self,
        index: int,
        view: int,
        start: int,
        shape: tuple[int, int],
        dtype: np.dtype,
        stride: int | None = None,
    ) -> np.ndarray:
        data = self.view(view)
        row = dtype.itemsize * shape[1]
        stride = stride or row
        needed = start + stride * (shape[0] - 1) + row if shape[0] else start
        if start < 0 or stride < row or needed > len(data):
            raise InputError(
                f"{self.path}: accessor {index} needs {needed} bytes, its view holds {len(data)}."
            )
        return np.ndarray(shape, dtype, data, start, (stride, dtype.itemsize)).copy()

    def _sparse(self, index: int, entry: dict[str, Any], values: np.ndarray) -> np.ndarray:
        sparse = entry.get("sparse")
        if not sparse:
            return values
        places, count = sparse["indices"], sparse["count"]
        kind = np.dtype(COMPONENTS[places["componentType"]])
        at = self._rows(index, places["bufferView"], places.get("byteOffset", 0), (count, 1), kind)[
            :, 0
        ]
        if count and int(at.max()) >= len(values):
            raise InputError(f"{self.path}: accessor {index} replaces element {at.max()}.")
        new = sparse["values"]
        shape = (count, values.shape[1])
        start = new.get("byteOffset", 0)
        values[at] = self._rows(index, new["bufferView"], start, shape, values.dtype)
        return values


def _width(kind: str) -> int:
    return {**WIDTHS, "MAT2": 4, "MAT3": 9, "MAT4": 16}[kind]


def _is_glb(path: Path) -> bool:
    if path.suffix.lower() == ".glb":
        return True
    with path.open("rb") as file:
        return file.read(4) == b"glTF"


def _read_json(path: Path) -> dict[str, Any]:
    if path.stat().st_size > LARGEST_JSON_BYTES:
        raise InputError(f"{path}: more than {LARGEST_JSON_BYTES} bytes of JSON.")
    try:
        document = json.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: no readable glTF ({error}).") from None
    if not isinstance(document, dict):
        raise InputError(f"{path}: no glTF; the JSON holds no object.")
    return document
