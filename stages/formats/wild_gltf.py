"""glTF scenes of any make to one `Model`: nodes, instances, primitives, skins.

Without a skin everything is moved into the world. With one, everything is moved into the space of
the bind pose, where skinned vertices already lie; parts that hang rigidly on a bone become
vertices of a joint of their own.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline.errors import InputError
from .gltf_document import Document
from .gltf_materials import Reader
from .gltf_rig import Skeleton, hidden, read_skeleton, world_matrices
from .model import Material, Model, joined

TRIANGLES, STRIP, FAN = 4, 5, 6


@dataclass(slots=True)
class _Parts:
    """The arrays of all primitives, still apart."""

    positions: list[np.ndarray] = field(default_factory=list)
    faces: list[np.ndarray] = field(default_factory=list)
    materials: list[int | None] = field(default_factory=list)
    normals: list[np.ndarray | None] = field(default_factory=list)
    tangents: list[np.ndarray | None] = field(default_factory=list)
    uvs: list[dict[int, np.ndarray]] = field(default_factory=list)
    colors: list[np.ndarray | None] = field(default_factory=list)
    importance: list[np.ndarray | None] = field(default_factory=list)
    joints: list[np.ndarray | None] = field(default_factory=list)
    weights: list[np.ndarray | None] = field(default_factory=list)


def read(path: Path) -> Model:
    """The whole default scene as one model. Raises InputError."""
    document = Document(path)
    try:
        return _model(document)
    except InputError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise InputError(f"{path}: broken glTF, or cut short ({problem}).") from None


def _model(document: Document) -> Model:
    nodes = document.table("nodes")
    worlds = world_matrices(document)
    unseen = hidden(document, worlds)
    drawn = [n for n in worlds if "mesh" in nodes[n] and n not in unseen]
    skeleton, remarks = read_skeleton(document, worlds, drawn)
    parts = _Parts()
    for node in drawn:
        for primitive in document.table("meshes")[nodes[node]["mesh"]]["primitives"]:
            if primitive.get("mode", TRIANGLES) not in (TRIANGLES, STRIP, FAN):
                remarks.append("points and lines are left out")
                continue
            if "POSITION" not in primitive["attributes"]:  # glTF 2.0, 3.7.2.1: not drawn.
                continue
            if primitive.get("targets"):
                remarks.append("morph targets are left out")
            _add(parts, document, primitive, node, worlds[node], skeleton)
    if not parts.faces:
        raise InputError(f"{document.path}: holds no triangles.")
    reader = Reader(document)
    used = list(dict.fromkeys(parts.materials))
    materials = tuple(reader.material(index) for index in used)
    return _joined(parts, used, materials, skeleton, tuple(dict.fromkeys(remarks)))


def _add(
    parts: _Parts,
    document: Document,
    primitive: dict[str, Any],
    node: int,
    world: np.ndarray,
    skeleton: Skeleton | None,
) -> None:
    names = primitive["attributes"]
    raw = document.floats(names["POSITION"]).astype(np.float64)
    if raw.shape[1] != 3:
        raise ValueError(f"POSITION with {raw.shape[1]} numbers")
    faces = _triangles(document, primitive, len(raw))
    matrix, joints, weights = world, None, None
    if skeleton is not None:
        matrix, joints, weights = _bound(document, names, node, skeleton, len(raw))
    if np.linalg.det(matrix[:3, :3]) < 0:
        faces = faces[:, ::-1]
    normals = document.floats(names["NORMAL"]) if "NORMAL" in names else None
    tangents = document.floats(names["TANGENT"]) if "TANGENT" in names else None
    sets = {
        int(name.removeprefix("TEXCOORD_")): document.floats(names[name])
        for name in names
        if name.startswith("TEXCOORD_") and name[9:].isdigit()
    }
    parts.positions.append(raw @ matrix[:3, :3].T + matrix[:3, 3])
    parts.faces.append(faces)
    parts.materials.append(primitive.get("material"))
    parts.normals.append(None if normals is None else _turned_normals(normals, matrix))
    parts.tangents.append(None if tangents is None else _turned_tangents(tangents, matrix))
    parts.uvs.append(sets)
    parts.colors.append(_colors(document, names))
    parts.importance.append(_importance(document, names))
    parts.joints.append(joints)
    parts.weights.append(weights)
    for values in (normals, tangents, parts.colors[-1], parts.importance[-1], *sets.values()):
        if values is not None and len(values) != len(raw):
            raise ValueError(f"an attribute of {len(values)} rows for {len(raw)} vertices")


def _triangles(document: Document, primitive: dict[str, Any], count: int) -> np.ndarray:
    if "indices" in primitive:
        indices = document.accessor(primitive["indices"])[:, 0].astype(np.int64)
    else:
        indices = np.arange(count, dtype=np.int64)
    if len(indices) and int(indices.max()) >= count:
        raise InputError(
            f"{document.path}: an index names vertex {indices.max()}, there are {count}."
        )
    mode = primitive.get("mode", TRIANGLES)
    if mode == TRIANGLES:
        if len(indices) % 3:
            raise InputError(f"{document.path}: {len(indices)} indices are no whole triangles.")
        return indices.reshape(-1, 3)
    if len(indices) < 3:
        return np.zeros((0, 3), np.int64)
    if mode == FAN:
        first = np.full(len(indices) - 2, indices[0])
        return np.stack([indices[1:-1], indices[2:], first], axis=1)
    strip = np.stack([indices[:-2], indices[1:-1], indices[2:]], axis=1)
    strip[1::2] = strip[1::2][:, [0, 2, 1]]
    return strip


def _bound(
    document: Document, names: dict[str, int], node: int, skeleton: Skeleton, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The matrix into the bind pose, and which joints move the vertices."""
    if node in skeleton.rigid:
        matrix, joint = skeleton.rigid[node]
        joints = np.zeros((count, 4), np.int64)
        joints[:, 0] = joint
        return matrix, joints, np.tile(np.float32([1, 0, 0, 0]), (count, 1))
    own = document.accessor(names["JOINTS_0"]).astype(np.int64)
    weights = document.floats(names["WEIGHTS_0"])
    of_skin = skeleton.of_skin[node]
    if len(own) and int(own.max()) >= len(of_skin):
        raise ValueError(f"JOINTS_0 names joint {own.max()}, the skin has {len(of_skin)}")
    total = weights.sum(axis=1, keepdims=True)
    weights = np.where(total > 0, weights / np.where(total > 0, total, 1), [1, 0, 0, 0])
    return np.eye(4), of_skin[own], weights.astype(np.float32)


def _turned_normals(normals: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    linear = matrix[:3, :3]
    # The cofactor matrix turns normals, and unlike the inverse exists for flat scales too.
    cofactor = np.stack(
        [np.cross(linear[1], linear[2]), np.cross(linear[2], linear[0]),
         np.cross(linear[0], linear[1])]
    )  # fmt: skip
    sign = -1.0 if np.linalg.det(linear) < 0 else 1.0
    return _unit(normals.astype(np.float64) @ (sign * cofactor).T)


def _turned_tangents(tangents: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    linear = matrix[:3, :3]
    sign = -1.0 if np.linalg.det(linear) < 0 else 1.0
    direction = _unit(tangents[:, :3].astype(np.float64) @ linear.T)
    return np.concatenate([direction, sign * tangents[:, 3:4]], axis=1).astype(np.float32)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Zero and what is not finite become zero: the part has no direction there."""
    vectors = np.where(np.isfinite(vectors).all(axis=1, keepdims=True), vectors, 0)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(length > 0, length, 1)).astype(np.float32)


def _colors(document: Document, names: dict[str, int]) -> np.ndarray | None:
    if "COLOR_0" not in names:
        return None
    colors = document.floats(names["COLOR_0"])
    opaque = np.ones((len(colors), 4 - colors.shape[1]), np.float32)
    return np.concatenate([colors, opaque], axis=1)


def _importance(document: Document, names: dict[str, int]) -> np.ndarray | None:
    """A custom attribute, as modelling tools export those whose names begin with `_`."""
    if "_IMPORTANCE" not in names:
        return None
    values = document.floats(names["_IMPORTANCE"])
    if values.shape[1] != 1 or not (np.isfinite(values) & (values > 0)).all():
        raise InputError(f"{document.path}: _IMPORTANCE must be one positive number per vertex.")
    return values


def _joined(
    parts: _Parts,
    used: list[int | None],
    materials: tuple[Material, ...],
    skeleton: Skeleton | None,
    remarks: tuple[str, ...],
) -> Model:
    counts = [len(positions) for positions in parts.positions]
    starts = np.cumsum([0, *counts[:-1]])
    number = {material: index for index, material in enumerate(used)}
    of_face = [
        np.full(len(faces), number[material], np.int64)
        for faces, material in zip(parts.faces, parts.materials, strict=True)
    ]
    sets = max((max(uvs, default=-1) for uvs in parts.uvs), default=-1) + 1

    return Model(
        positions=np.concatenate(parts.positions),
        faces=np.concatenate([f + s for f, s in zip(parts.faces, starts, strict=True)]),
        face_materials=np.concatenate(of_face),
        materials=materials,
        normals=joined(parts.normals, counts, [0, 0, 0]),
        tangents=joined(parts.tangents, counts, [0, 0, 0, 0]),
        uvs=tuple(joined([uvs.get(k) for uvs in parts.uvs], counts, [0, 0]) for k in range(sets)),  # type: ignore[arg-type]
        colors=joined(parts.colors, counts, [1, 1, 1, 1]),
        importance=joined(parts.importance, counts, [1]),
        joints=None if skeleton is None else np.concatenate(parts.joints),  # type: ignore[arg-type]
        weights=None if skeleton is None else np.concatenate(parts.weights),  # type: ignore[arg-type]
        rig=None if skeleton is None else skeleton.rig,
        remarks=remarks,
    )
