"""The GLB container: a JSON chunk and a binary chunk, accessors in and out.

Reading trusts no number of the file: every length is compared with what is there.
"""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline.errors import InputError

MAGIC, VERSION = 0x46546C67, 2
JSON_CHUNK, BINARY_CHUNK = 0x4E4F534A, 0x004E4942
ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963
COMPONENTS = {
    5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4",
}  # fmt: skip
CODES = {np.dtype(name): code for code, name in COMPONENTS.items()}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
NAMES = {width: name for name, width in WIDTHS.items()}


class Chunks:
    """The binary chunk while it grows, with its buffer views and accessors."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def view(self, data: bytes, target: int | None = None) -> int:
        """Append bytes, aligned to 4. Returns the buffer view's index."""
        self.data += b"\0" * (-len(self.data) % 4)
        entry = {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(data)}
        self.views.append(entry if target is None else {**entry, "target": target})
        self.data += data
        return len(self.views) - 1

    def accessor(
        self, values: np.ndarray, target: int | None = None, *, normalized: bool = False
    ) -> int:
        """Append an array, one row per element. Returns the accessor's index."""
        rows = values.reshape(len(values), -1)
        self.accessors.append(
            {
                "bufferView": self.view(np.ascontiguousarray(rows).tobytes(), target),
                "componentType": CODES[values.dtype],
                "count": len(rows),
                "type": NAMES[rows.shape[1]],
                # Of the stored values, in their own precision: validators compare exactly.
                "min": rows.min(axis=0).tolist(),
                "max": rows.max(axis=0).tolist(),
                **({"normalized": True} if normalized else {}),
            }
        )
        return len(self.accessors) - 1


def pack(document: dict[str, Any], chunks: Chunks) -> bytes:
    """The whole file."""
    document = {
        **document,
        "accessors": chunks.accessors,
        "bufferViews": chunks.views,
        "buffers": [{"byteLength": len(chunks.data)}],
    }
    text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode("utf-8")
    text += b" " * (-len(text) % 4)
    binary = bytes(chunks.data) + b"\0" * (-len(chunks.data) % 4)
    total = 12 + 8 + len(text) + 8 + len(binary)
    head = struct.pack("<III", MAGIC, VERSION, total)
    return b"".join(
        [head, struct.pack("<II", len(text), JSON_CHUNK), text,
         struct.pack("<II", len(binary), BINARY_CHUNK), binary]
    )  # fmt: skip


def read_glb(path: Path) -> tuple[dict[str, Any], bytes]:
    """The JSON document and the binary chunk of a GLB file."""
    data = path.read_bytes()
    if data[:4] != struct.pack("<I", MAGIC):
        raise InputError(f"{path}: no GLB file (starts with {data[:4]!r}, expected b'glTF').")
    if len(data) < 20:
        raise InputError(f"{path}: no GLB file (cut off after {len(data)} bytes).")
    _, version, total = struct.unpack_from("<III", data)
    if version != VERSION:
        raise InputError(f"{path}: glTF version {version}; only version 2 is read.")
    if total != len(data):
        raise InputError(f"{path}: the header promises {total} bytes, found {len(data)}.")
    chunks: dict[int, bytes] = {}
    offset = 12
    while offset + 8 <= total:
        length, kind = struct.unpack_from("<II", data, offset)
        if offset + 8 + length > total:
            raise InputError(f"{path}: the chunk at byte {offset} is longer than the file.")
        chunks.setdefault(kind, data[offset + 8 : offset + 8 + length])
        offset += 8 + length
    try:
        document = json.loads(chunks[JSON_CHUNK])
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: the JSON chunk can not be read ({error}).") from None
    if not isinstance(document, dict):
        raise InputError(f"{path}: the JSON chunk holds no object.")
    return document, chunks.get(BINARY_CHUNK, b"")


def read_view(document: dict[str, Any], binary: bytes, index: int) -> bytes:
    """The bytes of one buffer view. Raises ValueError where it leaves the buffer."""
    view = document["bufferViews"][index]
    start, length = view.get("byteOffset", 0), view["byteLength"]
    if view.get("buffer", 0) != 0 or start < 0 or length < 0 or start + length > len(binary):
        raise ValueError(f"bufferView {index} ({start} + {length}) leaves the {len(binary)} bytes")
    return binary[start : start + length]


def read_accessor(document: dict[str, Any], binary: bytes, index: int) -> np.ndarray:
    """A copy of the values, one row per element. Raises ValueError or KeyError if broken."""
    accessor = document["accessors"][index]
    if "sparse" in accessor or "bufferView" not in accessor:
        raise ValueError(f"accessor {index} is sparse or empty, which is not supported")
    dtype = np.dtype(COMPONENTS[accessor["componentType"]])
    width, count = WIDTHS[accessor["type"]], accessor["count"]
    view = document["bufferViews"][accessor["bufferView"]]
    data = read_view(document, binary, accessor["bufferView"])
    start = accessor.get("byteOffset", 0)
    stride = view.get("byteStride", dtype.itemsize * width)
    needed = start + stride * (count - 1) + dtype.itemsize * width
    if count < 1 or start < 0 or stride < dtype.itemsize * width or needed > len(data):
        raise ValueError(f"accessor {index} needs {needed} bytes, its view holds {len(data)}")
    rows = np.ndarray((count, width), dtype, data, start, (stride, dtype.itemsize))
    return rows.copy()
