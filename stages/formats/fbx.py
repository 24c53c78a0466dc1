"""FBX 7.4 binary: meshes with materials and pictures, levels of detail, collision hulls.

Own writer, since assimp's binary files are broken and going through Blender would need Blender.
Geometry, axes and units are in the file's own frame, so that no node is turned or scaled.
Materials: `fbx_materials.py`.
"""

from pathlib import Path
from typing import Literal

import numpy as np

from ...pipeline.contract import replacing
from .asset import Asset, Hull, Level, indexed
from .fbx_container import CREATION_TIME, FILE_ID, VERSION, Int64, Record, encode, named
from .fbx_materials import Materials
from .fbx_objects import Objects, properties
from .gltf import GENERATOR

Lods = Literal["group", "names"]
"""A LodGroup node, or sibling meshes called NAME_LOD0, NAME_LOD1, … (Unity)."""

SCREEN_SHARES = (50.0, 25.0, 12.5, 6.25, 3.125, 1.5)
"""Percent of the screen's height below which the next level is shown."""


def save(asset: Asset, path: Path, *, embed: bool, lods: Lods = "group") -> list[Path]:
    """Write the file, and the pictures beside it unless they are embedded. Returns the files."""
    path = Path(path)
    data = to_bytes(asset, embed=embed, lods=lods)
    connected = {one.picture.file for level in asset.levels for look in level.looks
                 for one in look.maps.values()} if embed else set()  # fmt: skip
    written = [path]
    for picture in asset.pictures():
        if picture.file not in connected:
            written.append(path.parent / picture.file)
            with replacing(written[-1]) as temporary:
                temporary.write_bytes(picture.data)
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    return written


def to_bytes(asset: Asset, *, embed: bool, lods: Lods = "group") -> bytes:
    """The bytes of the file."""
    objects = Objects()
    materials = Materials(objects, embed=embed)
    parent, grouped = 0, len(asset.levels) > 1 and lods == "group"
    if grouped:
        parent = _group(asset, objects)
    for number, level in enumerate(asset.levels):
        name = asset.name if len(asset.levels) == 1 else f"{asset.name}_LOD{number}"
        node = _mesh(name, level, objects, materials)
        objects.connect(node, parent)
    for number, hull in enumerate(asset.hulls):
        base = asset.name if len(asset.levels) == 1 else f"{asset.name}_LOD0"
        objects.connect(_hull(f"UCX_{base}_{number:02d}", hull, objects), 0)
    return encode(
        [
            _header(),
            Record("FileId", (FILE_ID,)),
            Record("CreationTime", (CREATION_TIME,)),
            Record("Creator", (GENERATOR,)),
            _settings(asset),
            _documents(),
            Record("References"),
            objects.definitions(),
            objects.records(),
            objects.connections(),
            Record("Takes", (), [Record("Current", ("",))]),
        ]
    )


def _header() -> Record:
    head = Record("FBXHeaderExtension")
    head.add("FBXHeaderVersion", 1003)
    head.add("FBXVersion", VERSION)
    head.add("EncryptionType", 0)
    time = head.add("CreationTimeStamp")
    time.add("Version", 1000)
    parts = {"Year": 1970, "Month": 1, "Day": 1, "Hour": 10, "Minute": 0, "Second": 0}
    for name, value in {**parts, "Millisecond": 0}.items():
        time.add(name, value)
    head.add("Creator", GENERATOR)
    scene = head.add("SceneInfo", named("GlobalInfo", "SceneInfo"), "UserData")
    scene.add("Type", "UserData")
    scene.add("Version", 100)
    return head


def _settings(asset: Asset) -> Record:
    """Axes as 0, 1, 2 for x, y, z. With z up the front is -Y, with y up it is +Z."""
    up, front, sign = (1, 2, 1) if asset.up == "y" else (2, 1, -1)
    centimeters = asset.meters_per_unit * 100.0
    settings = Record("GlobalSettings")
    settings.add("Version", 1000)
    settings.inside.append(
        properties(
            ("UpAxis", "int", up),
            ("UpAxisSign", "int", 1),
            ("FrontAxis", "int", front),
            ("FrontAxisSign", "int", sign),
            ("CoordAxis", "int", 0),
            ("CoordAxisSign", "int", 1),
            ("OriginalUpAxis", "int", -1),
            ("OriginalUpAxisSign", "int", 1),
            ("UnitScaleFactor", "double", centimeters),
            ("OriginalUnitScaleFactor", "double", centimeters),
            ("AmbientColor", "ColorRGB", (0.0, 0.0, 0.0)),
            ("DefaultCamera", "KString", "Producer Perspective"),
            ("TimeMode", "enum", 11),
            ("TimeSpanStart", "KTime", 0),
            ("TimeSpanStop", "KTime", 46186158000),
            ("CustomFrameRate", "double", 24.0),
        )
    )
    return settings


def _documents() -> Record:
    documents = Record("Documents")
    documents.add("Count", 1)
    document = documents.add("Document", Int64(999_999), "", "Scene")
    document.inside.append(properties(("ActiveAnimStackName", "KString", "")))
    document.add("RootNode", Int64(0))
    return documents


def _group(asset: Asset, objects: Objects) -> int:
    """A LodGroup node, and the attribute that says when to change levels."""
    node = _node(asset.name, "LodGroup", objects)
    count = len(asset.levels)
    attribute = objects.add("NodeAttribute", named(asset.name, "NodeAttribute"), "LodGroup")
    shares = [SCREEN_SHARES[min(k, len(SCREEN_SHARES) - 1)] for k in range(count - 1)]
    attribute.record.inside.append(
        properties(
            ("ThresholdsUsedAsPercentage", "bool", 1),
            ("MinMaxDistance", "bool", 0),
            ("MinDistance", "double", -100.0),
            ("MaxDistance", "double", 100.0),
            ("WorldSpace", "bool", 0),
            *(
                (f"Thresholds|Level{k}", "Distance", (share, "cm"))
                for k, share in enumerate(shares)
            ),
            *((f"DisplayLevels|Level{k}", "enum", 0) for k in range(count)),
        )
    )
    attribute.record.add("Version", 101)
    objects.connect(attribute.id, node)
    objects.connect(node, 0)
    return node


def _node(name: str, kind: str, objects: Objects, *, double_sided: bool = False) -> int:
    """A node that stands where its parent stands."""
    node = objects.add("Model", named(name, "Model"), kind)
    node.record.add("Version", 232)
    node.record.inside.append(
        properties(
            ("InheritType", "enum", 1),
            ("ScalingMax", "Vector3D", (0.0, 0.0, 0.0)),
            ("DefaultAttributeIndex", "int", 0),
            ("Lcl Translation", "Lcl Translation", (0.0, 0.0, 0.0)),
            ("Lcl Rotation", "Lcl Rotation", (0.0, 0.0, 0.0)),
            ("Lcl Scaling", "Lcl Scaling", (1.0, 1.0, 1.0)),
        )
    )
    node.record.add("Shading", True)
    node.record.add("Culling", "CullingOff" if double_sided else "CullingOnCCW")
    return node.id


def _mesh(name: str, level: Level, objects: Objects, materials: Materials) -> int:
    double_sided = any(look.double_sided for look in level.looks)
    node = _node(name, "Mesh", objects, double_sided=double_sided)
    geometry = _geometry(name, level.places, level.faces, objects)
    record = geometry.record
    layers = [Record("Layer", (number,)) for number in range(max(1, len(level.layers)))]
    for layer in layers:
        layer.add("Version", 100)
    _element(layers[0], "LayerElementNormal", 0)
    normals = record.add("LayerElementNormal", 0)
    _described(normals, 101, "", "ByPolygonVertex", "Direct")
    normals.add("Normals", level.normals.astype("<f8"))
    for number, layer in enumerate(level.layers):
        _element(layers[number], "LayerElementUV", number)
        uvs, index = indexed(layer)
        entry = record.add("LayerElementUV", number)
        _described(entry, 101, uv_name(number), "ByPolygonVertex", "IndexToDirect")
        entry.add("UV", (uvs * [1, -1] + [0, 1]).astype("<f8"))
        entry.add("UVIndex", index.astype("<i4"))
    if level.colors is not None:
        _element(layers[0], "LayerElementColor", 0)
        colors, index = indexed(level.colors)
        entry = record.add("LayerElementColor", 0)
        _described(entry, 101, "Color", "ByPolygonVertex", "IndexToDirect")
        entry.add("Colors", colors.astype("<f8"))
        entry.add("ColorIndex", index.astype("<i4"))
    _element(layers[0], "LayerElementMaterial", 0)
    entry = record.add("LayerElementMaterial", 0)
    _described(entry, 101, "", "ByPolygon", "IndexToDirect")
    entry.add("Materials", level.face_looks.astype("<i4"))
    record.inside += layers
    objects.connect(geometry.id, node)
    for look in level.looks:
        objects.connect(materials.add(look), node)
    return node


def uv_name(number: int) -> str:
    """What a layer of texture coordinates is called."""
    return "UVMap" if number == 0 else f"UVMap{number}"


def _hull(name: str, hull: Hull, objects: Objects) -> int:
    node = _node(name, "Mesh", objects)
    objects.connect(_geometry(name, hull.places, hull.faces, objects).id, node)
    return node


def _geometry(name: str, places: np.ndarray, faces: np.ndarray, objects: Objects):
    geometry = objects.add("Geometry", named(name, "Geometry"), "Mesh")
    geometry.record.add("GeometryVersion", 124)
    geometry.record.add("Vertices", places.astype("<f8"))
    # The last corner of a polygon is marked by its complement.
    corners = faces.astype("<i4") ^ np.array([0, 0, -1], "<i4")
    geometry.record.add("PolygonVertexIndex", corners)
    return geometry


def _described(entry: Record, version: int, name: str, mapping: str, reference: str) -> None:
    entry.add("Version", version)
    entry.add("Name", name)
    entry.add("MappingInformationType", mapping)
    entry.add("ReferenceInformationType", reference)


def _element(layer: Record, kind: str, number: int) -> None:
    entry = layer.add("LayerElement")
    entry.add("Type", kind)
    entry.add("TypedIndex", number)
