"""Exported files through independent readers, all to one shape: corners of faces."""

import json
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from splatworks.stages.formats.model import Model

FBX = Path(__file__).with_name("fbx_probe.py")


@dataclass
class Corners:
    """What an importer sees, per corner of a face. Texture coordinates have v up."""

    positions: np.ndarray
    normals: np.ndarray | None
    uvs: np.ndarray | None
    materials: list[str] | None
    """Of every face."""

    def sorted_rows(self, *, uvs: bool = True, normals: bool = True) -> np.ndarray:
        """All faces in an order that does not depend on the file's, each from its least corner,
        so that the winding stays."""
        parts = [self.positions]
        if normals:
            parts.append(self.normals)
        if uvs:
            parts.append(self.uvs)
        rows = np.concatenate(parts, axis=-1)
        turned = []
        for face in np.round(rows, 5) + 0.0:
            first = min(range(3), key=lambda k: tuple(face[k]))
            turned.append(np.roll(face, -first, axis=0).reshape(-1))
        return np.array(sorted(map(tuple, turned)))


def wanted(model: Model, scale: float = 1.0, up: str = "y") -> Corners:
    """What a sound file must hold, from the definition and not from the exporter's code."""
    turn = np.eye(3) if up == "y" else np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    uvs = np.zeros((len(model.faces), 3, 2))
    for number, material in enumerate(model.materials):
        chosen = model.face_materials == number
        texture = material.base_color
        (a, b, x), (c, d, y) = texture.transform
        own = model.uvs[texture.uv_set][model.faces[chosen]].astype(float)
        uvs[chosen, :, 0] = a * own[..., 0] + b * own[..., 1] + x
        uvs[chosen, :, 1] = 1 - (c * own[..., 0] + d * own[..., 1] + y)
    names = [model.materials[k].name for k in model.face_materials]
    return Corners(
        model.positions[model.faces] @ turn.T * scale,
        model.normals[model.faces] @ turn.T,
        uvs,
        names,
    )


def read_obj(path: Path) -> Corners:
    """By the definition of the format, word for word: trimesh turns the indices around."""
    tables: dict[str, list[list[float]]] = {"v": [], "vt": [], "vn": []}
    faces, names, current = [], [], ""
    for line in path.read_text("utf-8").splitlines():
        key, *words = line.split()
        if key in tables:
            tables[key].append([float(word) for word in words])
        elif key == "usemtl":
            current = words[0]
        elif key == "f":
            faces.append([[int(number) - 1 for number in word.split("/")] for word in words])
            names.append(current)
    places, uvs, normals = (np.array(tables[key]) for key in ("v", "vt", "vn"))
    index = np.array(faces)
    return Corners(places[index[..., 0]], normals[index[..., 2]], uvs[index[..., 1]], names)


def probe_fbx(path: Path) -> dict:
    done = subprocess.run([sys.executable, str(FBX), str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def fbx_records(data: bytes, start: int = 27) -> list[tuple[str, list, list]]:
    """The tree of a binary FBX 7.4 as it lies there: (name, values, records inside).

    Arrays and raw bytes are skipped. ufbx mends what it can; this does not.
    """
    found = []
    while True:
        end, count, length, width = struct.unpack_from("<IIIB", data, start)
        if end == 0:
            assert data[start : start + 13] == bytes(13)
            return found
        name = data[start + 13 : start + 13 + width].decode()
        at = start + 13 + width
        values = []
        after = at + length
        for _ in range(count):
            kind = chr(data[at])
            at += 1
            if kind in "CIDL":
                code = {"C": "<?", "I": "<i", "D": "<d", "L": "<q"}[kind]
                values.append(struct.unpack_from(code, data, at)[0])
                at += struct.calcsize(code)
            elif kind in "SR":
                size = struct.unpack_from("<I", data, at)[0]
                values.append(data[at + 4 : at + 4 + size].decode() if kind == "S" else None)
                at += 4 + size
            else:
                values.append(None)
                at += 12 + struct.unpack_from("<III", data, at)[2]
        assert at == after, name
        inside = fbx_records(data, at) if at < end else []
        found.append((name, values, inside))
        start = end


def fbx_corners(entry: dict) -> Corners:
    assert set(entry["sizes"]) == {3}
    names = [entry["materials"][k] for k in entry["face_materials"]]
    return Corners(
        np.array(entry["positions"]).reshape(-1, 3, 3),
        np.array(entry["normals"]).reshape(-1, 3, 3),
        np.array(entry["uvs"]["UVMap"]).reshape(-1, 3, 2),
        names,
    )


def read_usd(path: Path, variant: str | None = None) -> tuple[Corners, object, object]:
    """The corners of the one mesh, its stage and its prim."""
    from pxr import Usd, UsdGeom, UsdShade

    stage = Usd.Stage.Open(str(path))
    root = stage.GetDefaultPrim()
    if variant is not None:
        root.GetVariantSets().GetVariantSet("LOD").SetVariantSelection(variant)
    (prim,) = [one for one in stage.Traverse() if one.IsA(UsdGeom.Mesh)]
    mesh = UsdGeom.Mesh(prim)
    faces = np.array(mesh.GetFaceVertexIndicesAttr().Get()).reshape(-1, 3)
    primvars = UsdGeom.PrimvarsAPI(prim)
    names = [""] * len(faces)
    bound = UsdShade.MaterialBindingAPI(prim).ComputeBoundMaterial()[0]
    if bound:
        names = [bound.GetPrim().GetName()] * len(faces)
    for subset in UsdGeom.Subset.GetAllGeomSubsets(mesh):
        own = UsdShade.MaterialBindingAPI(subset.GetPrim()).ComputeBoundMaterial()[0]
        for index in subset.GetIndicesAttr().Get():
            names[index] = own.GetPrim().GetName()
    corners = Corners(
        np.array(mesh.GetPointsAttr().Get())[faces].astype(float),
        np.array(primvars.GetPrimvar("normals").ComputeFlattened()).reshape(-1, 3, 3),
        np.array(primvars.GetPrimvar("st").ComputeFlattened()).reshape(-1, 3, 2),
        names,
    )
    return corners, stage, prim


def read_glb(path: Path, mesh: int = 0) -> Corners:
    """By pygltflib and plain NumPy; v is turned up."""
    import pygltflib

    document = pygltflib.GLTF2().load(str(path))
    blob = document.binary_blob()

    def values(index: int) -> np.ndarray:
        accessor = document.accessors[index]
        view = document.bufferViews[accessor.bufferView]
        kind = {5123: "<u2", 5125: "<u4", 5126: "<f4"}[accessor.componentType]
        width = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}[accessor.type]
        flat = np.frombuffer(blob, kind, accessor.count * width, view.byteOffset or 0)
        return flat.reshape(-1, width)

    rows: list[list[np.ndarray]] = [[], [], []]
    names: list[str] = []
    for primitive in document.meshes[mesh].primitives:
        faces = values(primitive.indices).reshape(-1, 3)
        attributes = primitive.attributes
        found = (attributes.POSITION, attributes.NORMAL, attributes.TEXCOORD_0)
        for kind, index in enumerate(found):
            rows[kind].append(values(index)[faces].astype(float))
        names += [document.materials[primitive.material].name] * len(faces)
    positions, normals, uvs = (np.concatenate(part) for part in rows)
    return Corners(positions, normals, uvs * [1, -1] + [0, 1], names)
