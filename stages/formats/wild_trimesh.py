"""OBJ, PLY, STL and OFF to one `Model`, through trimesh.

trimesh reads the geometry. Materials of an OBJ are read by `mtl.py`, since trimesh keeps only
colors and one picture of them and would follow any path; the same goes for indices that name no
vertex, which it wraps around silently.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline.errors import InputError
from . import mtl
from .image_files import Budget, decode, read_beside
from .model import Material, Model, Texture, joined
from .srgb import decode as decode_color

FACE_LINES = re.compile(rb"^[ \t]*f[ \t]+([^\r\n#]*)", re.MULTILINE)
FIRST_INDEX = re.compile(rb"(?:^|[ \t])(-?\d+)")
PLY_PICTURE = re.compile(rb"^comment TextureFile[ \t]+([^\r\n]+)", re.MULTILINE)
PLY_HEADER_BYTES = 1 << 16


def read(path: Path) -> Model:
    """Raises InputError. What trimesh itself cannot make sense of is passed on in its words."""
    materials: dict[str, Material] = {}
    resolver, remarks = None, []
    data = path.read_bytes()
    if path.suffix.lower() == ".obj":
        _check_indices(path, data)
        materials, resolver, remarks = _libraries(path, data)
    parts = _load(path, resolver)
    if path.suffix.lower() == ".ply":
        materials = _ply_picture(path, data[:PLY_HEADER_BYTES])
    return replace(_joined(parts, materials), remarks=tuple(remarks))


def _load(path: Path, resolver: Any) -> list[Any]:
    import trimesh

    try:
        scene = trimesh.load_scene(path, process=False, resolver=resolver)
        parts = [part for part in scene.dump() if isinstance(part, trimesh.Trimesh)]
    except Exception as error:  # Whatever a third-party parser throws at a broken file.
        problem = f"{type(error).__name__}: {error}"
        raise InputError(f"{path}: no readable mesh ({problem}).") from None
    if not parts or not sum(len(part.faces) for part in parts):
        raise InputError(f"{path}: holds no triangles.")
    return [part for part in parts if len(part.faces)]


class _Names:
    """Gives trimesh a library with the names alone, so that it keeps parts apart by material."""

    def __init__(self, names: list[str]) -> None:
        self._text = "".join(f"newmtl {name}\n" for name in names).encode()

    def get(self, name: str) -> bytes:
        return self._text

    __getitem__ = get


def _libraries(path: Path, data: bytes) -> tuple[dict[str, Material], Any, list[str]]:
    """The materials of an OBJ by name, of all libraries that it names; and what is missing."""
    found: dict[str, Material] = {}
    remarks: list[str] = []
    budget = Budget()
    for line in re.findall(rb"^[ \t]*mtllib[ \t]+([^\r\n]+)", data, re.MULTILINE):
        name = line.decode("utf-8", errors="replace").strip()
        library = path.parent / name.replace("\\", "/").rsplit("/", 1)[-1]
        if ".." not in name and not library.is_file():
            remarks.append(f"there is no {library.name}, so that it has no materials")
            continue
        text = mtl.text_of(read_beside(path.parent, name, path), library)
        found |= mtl.read(library, text, budget)
    return found, _Names(list(found)), remarks


def _check_indices(path: Path, data: bytes) -> None:
    """Indices count from 1, or back from -1."""
    count = len(re.findall(rb"^[ \t]*v[ \t]", data, re.MULTILINE))
    for line in FACE_LINES.finditer(data):
        words = line.group(1)
        for word in FIRST_INDEX.findall(words):
            if word == b"0" or abs(int(word)) > count:
                _refuse(path, data, line.start(), word, count)
        if b"/0" in words and re.search(rb"/0(?!\d)", words):
            _refuse(path, data, line.start(), b"0", count)


def _refuse(path: Path, data: bytes, start: int, word: bytes, count: int) -> None:
    number = data.count(b"\n", 0, start) + 1
    raise InputError(
        f"{path}: line {number}: a face names index {word.decode()}; there are {count} vertices, "
        "counted from 1."
    )


def _ply_picture(path: Path, head: bytes) -> dict[str, Material]:
    """MeshLab's `comment TextureFile`."""
    head = head.partition(b"end_header")[0]
    found = PLY_PICTURE.search(head)
    if found is None:
        return {}
    name = found.group(1).decode("utf-8", errors="replace").strip()
    pixels = decode(read_beside(path.parent, name, path), f"{path}: {name}", Budget())
    return {"": Material(base_color=Texture(pixels), metallic_factor=0.0, double_sided=True)}


def _joined(parts: list[Any], named: dict[str, Material]) -> Model:
    counts = [len(part.vertices) for part in parts]
    starts = np.cumsum([0, *counts[:-1]])
    plain = Material(metallic_factor=0.0, double_sided=True)
    chosen = [_material(part, named, plain) for part in parts]
    materials = tuple(dict.fromkeys(chosen))
    uvs = [_uvs(part) for part in parts]
    colors = [_colors(part) for part in parts]
    normals = [_normals(part) for part in parts]
    coordinates = joined(uvs, counts, [0, 0])
    return Model(
        positions=np.concatenate([part.vertices for part in parts]).astype(np.float64),
        faces=np.concatenate(
            [np.asarray(part.faces, np.int64) + s for part, s in zip(parts, starts, strict=True)]
        ),
        face_materials=np.concatenate(
            [
                np.full(len(part.faces), materials.index(material), np.int64)
                for part, material in zip(parts, chosen, strict=True)
            ]
        ),
        materials=materials,
        normals=joined(normals, counts, [0, 0, 0]),
        uvs=() if coordinates is None else (coordinates,),
        colors=joined(colors, counts, [1, 1, 1, 1]),
    )


def _material(part: Any, named: dict[str, Material], plain: Material) -> Material:
    name = str(getattr(getattr(part.visual, "material", None), "name", "") or "")
    if "" in named:
        return named[""]
    return named.get(name, plain)


def _uvs(part: Any) -> np.ndarray | None:
    """trimesh's v runs up; ours runs down."""
    uv = getattr(part.visual, "uv", None)
    if uv is None or len(uv) != len(part.vertices):
        return None
    uv = np.where(np.isfinite(uv), uv, 0)
    return (uv * [1, -1] + [0, 1]).astype(np.float32)


def _colors(part: Any) -> np.ndarray | None:
    """Eight-bit sRGB to linear."""
    if part.visual.kind not in ("vertex", "face"):
        return None
    colors = np.asarray(part.visual.vertex_colors, np.float64) / 255
    linear = decode_color(colors[:, :3])
    return np.concatenate([linear, colors[:, 3:4]], axis=1).astype(np.float32)


def _normals(part: Any) -> np.ndarray | None:
    """Only those of the file: trimesh would make some up."""
    if "vertex_normals" not in part._cache:
        return None
    normals = np.asarray(part.vertex_normals, np.float32)
    return normals if len(normals) == len(part.vertices) else None
