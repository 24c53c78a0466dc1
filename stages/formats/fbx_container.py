"""The binary container of FBX 7.4: a tree of named records with typed values.

A record is its end in the file, the count and size of its values, its name, the values, and the
records inside it, closed by an empty record. Values are little-endian; arrays are deflated.
There is no public specification; the layout was described by the Blender project, and the two
identifiers at either end go with the fixed time of creation that is written here.
"""

import struct
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

VERSION = 7400
MAGIC = b"Kaydara FBX Binary  \x00\x1a\x00"
CREATION_TIME = "1970-01-01 10:00:00:000"
FILE_ID = bytes.fromhex("28b32aebb624ccc2bfc8b02aa92bfcf1")
FOOT_ID = bytes.fromhex("fabcab09d0c8d466b176fb831cf7267e")
END_ID = bytes.fromhex("f85a8c6adef5d97eece90ce3758f290b")
NO_RECORD = b"\0" * 13
LARGEST_BYTES = (1 << 32) - 1
ARRAYS = {"f": "<f4", "d": "<f8", "i": "<i4", "l": "<i8", "b": "<i1"}
COMPRESSION = 4


@dataclass(frozen=True, slots=True)
class Int64:
    """An identifier; plain `int` values are 32 bits wide."""

    value: int


@dataclass(slots=True)
class Record:
    """One record: values, then records inside it."""

    name: str
    values: tuple[Any, ...] = ()
    inside: list["Record"] = field(default_factory=list)

    def add(self, name: str, *values: Any) -> "Record":
        """A new record inside this one, which is returned."""
        self.inside.append(Record(name, values))
        return self.inside[-1]


def named(name: str, kind: str) -> str:
    """How objects are called: the name, then its class."""
    return f"{name}\0\1{kind}"


def encode(records: list[Record]) -> bytes:
    """The bytes of the file. Raises ValueError beyond 4 GiB, where the offsets end."""
    out = bytearray(MAGIC + struct.pack("<I", VERSION))
    for record in records:
        _write(record, out)
    out += NO_RECORD + FOOT_ID + b"\0" * 4
    out += b"\0" * (16 - len(out) % 16)  # At least one byte.
    out += struct.pack("<I", VERSION) + b"\0" * 120 + END_ID
    if len(out) > LARGEST_BYTES:
        raise ValueError(f"an FBX file of {len(out)} bytes; at most {LARGEST_BYTES} are possible.")
    return bytes(out)


def _write(record: Record, out: bytearray) -> None:
    start = len(out)
    name = record.name.encode("ascii")
    values = b"".join(_value(value) for value in record.values)
    out += b"\0" * 12 + struct.pack("<B", len(name)) + name + values
    for one in record.inside:
        _write(one, out)
    if record.inside or not record.values:
        out += NO_RECORD
    if len(out) > LARGEST_BYTES:
        raise ValueError(f"an FBX file of more than {LARGEST_BYTES} bytes is not possible.")
    struct.pack_into("<III", out, start, len(out), len(record.values), len(values))


def _value(value: Any) -> bytes:
    if isinstance(value, bool):
        return b"C" + (b"\1" if value else b"\0")
    if isinstance(value, Int64):
        return b"L" + struct.pack("<q", value.value)
    if isinstance(value, int):
        return b"I" + struct.pack("<i", value)
    if isinstance(value, float):
        return b"D" + struct.pack("<d", value)
    if isinstance(value, str):
        data = value.encode("utf-8")
        return b"S" + struct.pack("<I", len(data)) + data
    if isinstance(value, bytes):
        return b"R" + struct.pack("<I", len(value)) + value
    if isinstance(value, np.ndarray):
        return _array(value)
    raise TypeError(f"no value of an FBX record: {value!r}")


def _array(values: np.ndarray) -> bytes:
    code = next(code for code, kind in ARRAYS.items() if np.dtype(kind) == values.dtype)
    data = zlib.compress(np.ascontiguousarray(values).reshape(-1).tobytes(), COMPRESSION)
    return code.encode() + struct.pack("<III", values.size, 1, len(data)) + data
