"""The head of a binary PLY file, read strictly, and its vertex table.

Only what splat files need: one fixed-size `vertex` element at the start of the body. The size
that the header promises is compared with the file before anything is allocated.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...pipeline.errors import InputError

LONGEST_HEADER = 1 << 16
TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1",
    "short": "<i2", "int16": "<i2", "ushort": "<u2", "uint16": "<u2",
    "int": "<i4", "int32": "<i4", "uint": "<u4", "uint32": "<u4",
    "float": "<f4", "float32": "<f4", "double": "<f8", "float64": "<f8",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Header:
    """Where the vertex table lies in the file and what its columns are."""

    path: Path
    count: int
    types: dict[str, str]
    """NumPy type by property name, in file order."""
    offset: int
    """First byte of the body."""

    def rows(self, path: Path) -> np.ndarray:
        """The vertex table as a structured array."""
        dtype = np.dtype(list(self.types.items()))
        return np.fromfile(path, dtype, count=self.count, offset=self.offset)


def read_header(path: Path) -> Header:
    """Read and check the head of a PLY; the body is measured, not read."""
    text, offset = _split(path)
    elements = _elements(path, text.split("\n"))
    name, count, types = elements[0]
    if name != "vertex":
        raise InputError(
            f"{path}: the first element is '{name}', expected 'vertex'. A compressed splat PLY? "
            f"Convert it to an uncompressed one, for example with splat-transform."
        )
    header = Header(path, count, types, offset)
    _check_length(header, exact=len(elements) == 1)
    return header


def vertical_axis(path: Path) -> str | None:
    """ "x", "y" or "z" where a comment says so, as nerfstudio's exporter does; else None."""
    try:
        with path.open("rb") as file:
            head = file.read(LONGEST_HEADER)
    except OSError:
        return None
    head = head[: head.find(b"end_header")] if head.startswith(b"ply") else b""
    found = re.search(rb"^comment Vertical Axis: ([xyz])\s*$", head, re.MULTILINE)
    return found[1].decode() if found else None


def _split(path: Path) -> tuple[str, int]:
    """The header's text and the body's offset."""
    try:
        with path.open("rb") as file:
            start = file.read(LONGEST_HEADER)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None
    except OSError as error:
        raise InputError(f"{path}: can not be read ({error.strerror}).") from None
    if start[:4] not in (b"ply\n", b"ply\r"):
        raise InputError(f"{path}: no PLY file (starts with {start[:4]!r}, expected b'ply').")
    end = start.find(b"\nend_header")
    stop = start.find(b"\n", end + 1)
    if end < 0 or stop < 0:
        raise InputError(f"{path}: no line 'end_header' in the first {len(start)} bytes.")
    try:
        return start[:end].decode("ascii"), stop + 1
    except UnicodeDecodeError:
        raise InputError(f"{path}: the header holds bytes that are not ASCII.") from None


def _elements(path: Path, lines: list[str]) -> list[tuple[str, int, dict[str, str]]]:
    """Name, count and property types of every element; at least one."""
    elements: list[tuple[str, int, dict[str, str]]] = []
    encoding = None
    for line in lines[1:]:
        words = line.split()
        if not words or words[0] in ("comment", "obj_info"):
            continue
        if words[0] == "format" and len(words) == 3:
            encoding = words[1]
        elif words[0] == "element" and len(words) == 3:
            elements.append((words[1], _count(path, words[2]), {}))
        elif words[0] == "property" and elements:
            _add_property(path, elements, words)
        else:
            raise InputError(f"{path}: the header line {line[:60]!r} makes no sense.")
    if encoding != "binary_little_endian":
        raise InputError(
            f"{path}: the format is {encoding}, expected binary_little_endian. Convert it: open "
            f"it in SuperSplat or Blender and save it as binary PLY."
        )
    if not elements:
        raise InputError(f"{path}: the header declares no element.")
    return elements


def _add_property(
    path: Path, elements: list[tuple[str, int, dict[str, str]]], words: list[str]
) -> None:
    element, _, types = elements[-1]
    if words[1:2] == ["list"]:
        if len(elements) == 1:
            raise InputError(f"{path}: element '{element}' has a list property; splats have none.")
        return
    if len(words) != 3 or words[1] not in TYPES:
        raise InputError(f"{path}: unknown property type in {' '.join(words)[:60]!r}.")
    if words[2] in types:
        raise InputError(f"{path}: element '{element}' declares property {words[2]} twice.")
    types[words[2]] = TYPES[words[1]]


def _count(path: Path, word: str) -> int:
    if not (word.isascii() and word.isdigit()):
        raise InputError(f"{path}: the header gives {word[:30]!r} as an element's count.")
    return int(word)


def _check_length(header: Header, *, exact: bool) -> None:
    size = np.dtype(list(header.types.items())).itemsize
    expected, found = header.count * size, header.path.stat().st_size - header.offset
    if found < expected or (exact and found > expected):
        problem = "cut short" if found < expected else "longer than its header says"
        raise InputError(
            f"{header.path}: {problem}: the header promises {header.count} Gaussians of {size} "
            f"bytes = {expected} bytes of body, found {found}."
        )
