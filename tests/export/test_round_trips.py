"""Every format through somebody else's reader: places, winding, normals, texture coordinates."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image
from splatworks.pipeline.errors import InputError
from splatworks.stages.export.hulls import convex_hull
from splatworks.stages.formats import gltf_model, srgb, wild
from splatworks.stages.formats.model import Material, Model, Rig

from .props import prop
from .readers import (
    Corners,
    fbx_corners,
    fbx_records,
    probe_fbx,
    read_glb,
    read_obj,
    read_usd,
    wanted,
)

MODEL: Model = prop()
UFBX_UP = {"y": 2, "z": 4}
UFBX_FRONT = {"y": 4, "z": 3}
"""ufbx counts +x, -x, +y, -y, +z, -z."""


def same(found: Corners, expected: Corners) -> None:
    np.testing.assert_allclose(found.sorted_rows(), expected.sorted_rows(), atol=2e-5)


@pytest.mark.parametrize(("tool", "scale"), [("any", 1.0), ("maya", 100.0), ("blender", 1.0)])
def test_obj(exported, tool: str, scale: float) -> None:
    out = exported(tool=tool, format="obj")
    found = read_obj(out / "prop.obj")
    same(found, wanted(MODEL, scale))  # Y up even for Blender, whose importer turns it.
    assert sorted(set(found.materials)) == ["Body_work_a", "Card", "Plinth"]
    assert found.materials.count("Card") == 2


def test_obj_material_through_our_reader_of_wild_files(exported) -> None:
    out = exported(format="obj")
    model = wild.read(out / "prop.obj")
    looks = {one.name: one for one in model.materials}
    body, card = looks["Body_work_a"], looks["Card"]
    assert body.normal is not None and body.emissive is not None
    assert body.metallic_roughness is not None
    assert np.array_equal(body.normal.pixels, MODEL.materials[0].normal.pixels)
    assert card.alpha_mode == "MASK"
    alpha = MODEL.materials[2].base_color.pixels[..., 3]
    assert np.array_equal(card.base_color.pixels[..., 3], alpha)
    assert card.base_color.wrap == ("clamp", "clamp")
    assert looks["Plinth"].roughness_factor == pytest.approx(0.6)
    assert np.array_equal(looks["Plinth"].base_color.pixels, MODEL.materials[1].base_color.pixels)
    # Places are shared over the seams of the texture, so that the boxes are closed.
    lines = (out / "prop.obj").read_text().splitlines()
    assert sum(line.startswith("v ") for line in lines) == 8 + 8 + 4


@pytest.mark.parametrize(
    ("tool", "up", "unit"),
    [("any", "y", 1.0), ("blender", "z", 1.0), ("unreal", "z", 0.01), ("unity", "y", 1.0),
     ("maya", "y", 0.01)],
)  # fmt: skip
def test_fbx(exported, tool: str, up: str, unit: float) -> None:
    pytest.importorskip("ufbx", reason="the independent FBX reader is not installed")
    out = exported(tool=tool, format="fbx")
    (path,) = out.glob("*.fbx")
    found = probe_fbx(path)
    assert not found["warnings"] and found["version"] == 7400
    assert found["up"] == UFBX_UP[up] and found["front"] == UFBX_FRONT[up]
    assert found["unit_meters"] == pytest.approx(unit)
    ((name, mesh),) = found["meshes"].items()
    assert name == ("SM_prop" if tool == "unreal" else "prop")
    same(fbx_corners(mesh), wanted(MODEL, 1 / unit, up))
    assert mesh["vertices"] == 20
    prefix = "M_" if tool == "unreal" else ""
    assert mesh["materials"] == [f"{prefix}{n}" for n in ("Body_work_a", "Plinth", "Card")]
    for material in found["materials"].values():
        for texture in material["textures"].values():
            assert texture["bytes"] == 0 and (out / texture["file"]).is_file()


def test_fbx_in_one_file_carries_its_pictures(exported) -> None:
    pytest.importorskip("ufbx", reason="the independent FBX reader is not installed")
    out = exported(format="fbx", file="one.fbx")
    found = probe_fbx(out / "one.fbx")
    body, card = found["materials"]["Body_work_a"], found["materials"]["Card"]
    slots = ["DiffuseColor", "EmissiveColor", "NormalMap", "ReflectionFactor", "ShininessExponent"]
    assert sorted(body["textures"]) == slots
    assert all(texture["bytes"] > 500 for texture in body["textures"].values())
    assert set(card["textures"]) == {"DiffuseColor", "TransparentColor"}
    assert card["textures"]["DiffuseColor"]["wrap"] == [1, 1]
    assert body["textures"]["DiffuseColor"]["uv_set"] == "UVMap"
    assert body["emission"] == pytest.approx(2.0)
    plinth = found["materials"]["Plinth"]
    assert plinth["shininess"] == pytest.approx(100 * (1 - 0.6) ** 2)
    # What FBX cannot connect lies beside it, and is said.
    beside = sorted(path.name for path in out.glob("*.png"))
    assert beside == ["prop_Body_work_a_Occlusion.png", "prop_Plinth_Occlusion.png"]
    assert "by hand" in " ".join(json.loads((out / "index.json").read_text())["remarks"])


@pytest.mark.parametrize(
    ("tool", "up", "unit"), [("any", "Y", 1.0), ("blender", "Z", 1.0), ("unreal", "Z", 0.01)]
)
@pytest.mark.parametrize("format", ["usda", "usd", "usdz"])
def test_usd(exported, tool: str, up: str, unit: float, format: str) -> None:
    geom = pytest.importorskip("pxr.UsdGeom", reason="usd-core is not installed")
    out = exported(tool=tool, format=format)
    (path,) = out.glob(f"*.{format}")
    found, stage, prim = read_usd(path)
    assert geom.GetStageUpAxis(stage) == up
    assert geom.GetStageMetersPerUnit(stage) == unit
    same(found, wanted(MODEL, 1 / unit, up.lower()))
    low, high = np.array(geom.Mesh(prim).GetExtentAttr().Get())
    corners = found.positions.reshape(-1, 3)
    np.testing.assert_allclose([low, high], [corners.min(0), corners.max(0)], rtol=1e-6)
    assert geom.Mesh(prim).GetDoubleSidedAttr().Get() is True
    assert prim.GetParent() == stage.GetDefaultPrim()


def test_usd_materials(exported) -> None:
    pytest.importorskip("pxr", reason="usd-core is not installed")
    from pxr import UsdShade

    out = exported(format="usda")
    _, stage, _ = read_usd(out / "prop.usda")

    def source(look: str, key: str):
        surface = UsdShade.Shader(stage.GetPrimAtPath(f"/prop/Looks/{look}/Surface"))
        entry = surface.GetInput(key)
        if not entry.HasConnectedSource():
            return entry.Get(), None, None
        info = entry.GetConnectedSources()[0][0]
        shader = UsdShade.Shader(info.source.GetPrim())
        path = shader.GetInput("file").Get().path
        assert (out / path).is_file(), "pictures are found from where the layer is"
        space = shader.GetInput("sourceColorSpace").Get()
        return path.rsplit("_", 1)[-1], info.sourceName, space

    assert source("Body_work_a", "diffuseColor") == ("BaseColor.png", "rgb", "sRGB")
    assert source("Body_work_a", "roughness") == ("ORM.png", "g", "raw")
    assert source("Body_work_a", "metallic") == ("ORM.png", "b", "raw")
    assert source("Body_work_a", "occlusion") == ("ORM.png", "r", "raw")
    assert source("Body_work_a", "normal") == ("Normal.png", "rgb", "raw")
    assert source("Body_work_a", "emissiveColor") == ("Emissive.png", "rgb", "sRGB")
    assert source("Card", "opacity") == ("BaseColor.png", "a", "sRGB")
    assert source("Card", "opacityThreshold")[0] == pytest.approx(0.4)
    assert source("Plinth", "roughness")[0] == pytest.approx(0.6)
    normal = UsdShade.Shader(stage.GetPrimAtPath("/prop/Looks/Body_work_a/normal_texture"))
    assert tuple(normal.GetInput("scale").Get()) == (2, 2, 2, 1)
    assert tuple(normal.GetInput("bias").Get()) == (-1, -1, -1, 0)
    # The plinth's occlusion lies on the second set of texture coordinates.
    reader = UsdShade.Shader(stage.GetPrimAtPath("/prop/Looks/Plinth/st1_reader"))
    assert reader.GetInput("varname").Get() == "st1"


@pytest.mark.parametrize("format", ["usda", "usdz"])
def test_usd_passes_openusds_own_validators(exported, format: str) -> None:
    pytest.importorskip("pxr", reason="usd-core is not installed")
    from pxr import Usd, UsdValidation

    registry = UsdValidation.ValidationRegistry()
    names = [entry.name for entry in registry.GetAllValidatorMetadata()]
    assert len(names) > 20
    context = UsdValidation.ValidationContext(registry.GetOrLoadValidatorsByName(names))

    def problems(path: Path) -> list[str]:
        return [one.GetMessage() for one in context.Validate(Usd.Stage.Open(str(path)))]

    out = exported(format=format, lods=True)
    assert problems(out / f"prop.{format}") == []
    if format == "usda":  # The validators do look.
        (out / "prop_textures" / "prop_Plinth_BaseColor.png").unlink()
        assert problems(out / "prop.usda")


def test_glb(exported) -> None:
    out = exported(format="glb")
    found = read_glb(out / "prop.glb")
    expected = wanted(MODEL)
    chosen = [name != "Plinth" for name in expected.materials]  # It keeps its uv transform.
    kept = Corners(*(getattr(expected, n)[chosen] for n in ("positions", "normals", "uvs")), None)
    own = [name != "Plinth" for name in found.materials]
    shown = Corners(*(getattr(found, n)[own] for n in ("positions", "normals", "uvs")), None)
    same(shown, kept)
    model = wild.read(out / "prop.glb")
    for before, after in zip(MODEL.materials, model.materials, strict=True):
        assert before.name == after.name and before.alpha_mode == after.alpha_mode
        for slot in ("base_color", "normal", "metallic_roughness", "occlusion", "emissive"):
            one, other = getattr(before, slot), getattr(after, slot)
            assert (one is None) == (other is None)
            assert one is None or np.array_equal(one.pixels, other.pixels)
    assert model.materials[1].base_color.transform == MODEL.materials[1].base_color.transform


def test_stl(exported) -> None:
    for tool, up, scale in (("any", "y", 1.0), ("blender", "z", 1.0), ("maya", "y", 100.0)):
        out = exported(tool=tool, format="stl")
        found = trimesh.load(out / "prop.stl", process=False)
        expected = wanted(MODEL, scale, up)
        corners = Corners(found.vertices[found.faces], None, None, None)
        kept = corners.sorted_rows(uvs=False, normals=False)
        rows = expected.sorted_rows(uvs=False, normals=False)
        np.testing.assert_allclose(kept, rows, rtol=1e-5, atol=2e-5)
        crossed = np.cross(found.triangles[:, 1] - found.triangles[:, 0],
                           found.triangles[:, 2] - found.triangles[:, 0])  # fmt: skip
        assert ((crossed * found.face_normals).sum(axis=1) > 0).all()


def test_ply(exported) -> None:
    out = exported(tool="blender", format="ply")
    found = trimesh.load(out / "prop.ply", process=False)
    expected = wanted(MODEL, 1.0, "z")
    rows = Corners(found.vertices[found.faces], None, None, None)
    np.testing.assert_allclose(
        rows.sorted_rows(uvs=False, normals=False),
        expected.sorted_rows(uvs=False, normals=False), atol=2e-5,
    )  # fmt: skip
    # The card's top left corner is red in its picture.
    corner = np.array([0.4, -0.3, 1.1])
    at = np.flatnonzero(np.linalg.norm(found.vertices - corner, axis=1) < 1e-5)
    assert [list(found.visual.vertex_colors[k][:3]) for k in at] == [[230, 20, 10]]


def test_levels_of_detail(exported) -> None:
    pytest.importorskip("ufbx", reason="the independent FBX reader is not installed")
    unreal = probe_fbx(exported(tool="unreal", lods=True, collision="hull") / "SM_prop.fbx")
    parents = {name: mesh["parent"] for name, mesh in unreal["meshes"].items()}
    assert parents == {
        "SM_prop_LOD0": "SM_prop", "SM_prop_LOD1": "SM_prop", "UCX_SM_prop_LOD0_00": "",
    }  # fmt: skip
    assert [len(levels) for levels in unreal["lods"]] == [2]
    assert len(unreal["meshes"]["SM_prop_LOD1"]["sizes"]) == 24
    unity = probe_fbx(exported(tool="unity", lods=True) / "prop.fbx")
    parents = {name: mesh["parent"] for name, mesh in unity["meshes"].items()}
    assert parents == {"prop_LOD0": "", "prop_LOD1": ""} and not unity["lods"]
    files = exported(tool="blender", lods=True)
    assert sorted(path.name for path in files.glob("*.glb")) == ["prop_LOD0.glb", "prop_LOD1.glb"]


def test_every_object_of_an_fbx_hangs_in_the_scene(exported) -> None:
    for settings in ({"tool": "unreal", "collision": "hull"}, {"tool": "unity"}, {"file": "a.fbx"}):
        out = exported(format="fbx", lods=True, **settings)
        (path,) = out.glob("*.fbx")
        data = path.read_bytes()
        assert data[:23] == b"Kaydara FBX Binary  \0\x1a\0" and (len(data) - 140) % 16 == 0
        tree = {name: (values, inside) for name, values, inside in fbx_records(data)}
        objects = {values[0]: (name, values) for name, values, _ in tree["Objects"][1]}
        parent_of: dict[int, set[int]] = {}
        for _, values, _ in tree["Connections"][1]:
            assert values[1] in objects and (values[2] == 0 or values[2] in objects)
            parent_of.setdefault(values[1], set()).add(values[2])
        for number in objects:
            waiting, seen = {number}, set()
            while waiting:
                seen |= waiting
                waiting = {p for one in waiting for p in parent_of.get(one, ())} - seen
            assert 0 in seen, objects[number]
        counts = {values[0]: inside[0][1][0] for name, values, inside in tree["Definitions"][1]
                  if name == "ObjectType"}  # fmt: skip
        kinds = [kind for kind, _ in objects.values()]
        assert counts == {"GlobalSettings": 1, **{kind: kinds.count(kind) for kind in kinds}}


def test_levels_of_detail_in_glb_and_usd(exported) -> None:
    import pygltflib

    path = exported(tool="web", lods=True) / "prop.glb"
    document = pygltflib.GLTF2().load(str(path))
    assert document.nodes[0].extensions["MSFT_lod"] == {"ids": [1]}
    assert document.scenes[0].nodes == [0]
    assert len(read_glb(path, 1).positions) == 24
    pytest.importorskip("pxr", reason="usd-core is not installed")
    out = exported(format="usda", lods=True)
    assert len(read_usd(out / "prop.usda")[0].positions) == 26
    assert len(read_usd(out / "prop.usda", "LOD1")[0].positions) == 24


def test_the_hull_holds_the_mesh(exported) -> None:
    pytest.importorskip("ufbx", reason="the independent FBX reader is not installed")
    found = probe_fbx(exported(tool="unreal", format="fbx", collision="hull") / "SM_prop.fbx")
    hull = np.array(found["meshes"]["UCX_SM_prop_00"]["positions"]).reshape(-1, 3, 3)
    body = trimesh.Trimesh(hull.reshape(-1, 3), np.arange(len(hull) * 3).reshape(-1, 3))
    body.merge_vertices()
    assert body.is_watertight and body.is_convex and body.volume > 0
    places = wanted(MODEL, 100.0, "z").positions.reshape(-1, 3)
    ahead = (places[None] - body.triangles[:, :1]) @ body.face_normals[..., None]
    assert ahead.max() < 1e-4
    assert np.ptp(body.vertices, axis=0) == pytest.approx(np.ptp(places, axis=0))


def test_a_hull_of_too_many_corners_is_reduced() -> None:
    ball = trimesh.creation.icosphere(4, radius=2.0)
    hull = convex_hull(np.asarray(ball.vertices))
    body = trimesh.Trimesh(hull.places, hull.faces)
    assert len(hull.places) <= 64 and body.is_watertight and body.is_convex
    assert 0.85 * ball.volume < body.volume < ball.volume
    assert convex_hull(np.asarray(ball.vertices) * [1, 0, 1]) is None
    tilted = np.asarray(ball.vertices) @ np.array([[1.0, 0, 0], [0, 1, 1], [0, 0, 0]])
    assert convex_hull(tilted) is None


def test_the_same_twice(exported) -> None:
    for format in ("fbx", "obj", "usda", "glb", "stl", "ply"):
        if format == "usda":
            pytest.importorskip("pxr", reason="usd-core is not installed")
        first, second = (exported(format=format, lods=True) for _ in "ab")
        for path in sorted(first.rglob("*.*")):
            assert path.read_bytes() == (second / path.relative_to(first)).read_bytes(), path.name


def test_normal_maps_point_where_the_tool_expects(exported) -> None:
    def green(out: Path, name: str) -> np.ndarray:
        return np.asarray(Image.open(out / name))[..., 1]

    original = MODEL.materials[0].normal.pixels[..., 1]
    unreal = exported(tool="unreal", format="fbx")
    assert np.array_equal(green(unreal, "T_prop_Body_work_a_N.png"), 255 - original)
    unity = exported(tool="unity", format="fbx")
    assert np.array_equal(green(unity, "prop_Body_work_a_Normal.png"), original)


def colored() -> Model:
    """The prop without pictures, painted at the vertices."""
    rng = np.random.default_rng(8)
    colors = np.ones((len(MODEL.positions), 4), np.float32)
    _, place = np.unique(MODEL.positions, axis=0, return_inverse=True)
    colors[:, :3] = rng.uniform(0.05, 0.9, (place.max() + 1, 3))[place.reshape(-1)]
    plain = (Material(name="paint", metallic_factor=0.0),)
    zeros = np.zeros_like(MODEL.face_materials)
    return replace(MODEL, materials=plain, face_materials=zeros, colors=colors, uvs=())


def test_vertex_colors_are_kept(exported, tmp_path: Path) -> None:
    model = colored()
    source = gltf_model.save(model, tmp_path / "painted.glb")
    wanted_srgb = np.rint(srgb.encode(model.colors[:, :3]) * 255)
    at = {tuple(np.round(p, 4)): c for p, c in zip(model.positions, wanted_srgb, strict=True)}
    found = trimesh.load(exported(source, format="ply") / "prop.ply", process=False)
    lines = (exported(source, format="obj") / "prop.obj").read_text().splitlines()
    rows = np.array([line.split()[1:] for line in lines if line.startswith("v ")], float)
    for places, colors in (
        (found.vertices, found.visual.vertex_colors[:, :3]),
        (rows[:, :3], rows[:, 3:] * 255),
    ):
        for place, color in zip(places, colors, strict=True):
            assert np.abs(color - at[tuple(np.round(place, 4))]).max() <= 1
    pytest.importorskip("pxr", reason="usd-core is not installed")
    from pxr import UsdGeom, UsdShade

    stage, prim = _usd_mesh(exported(source, format="usda") / "prop.usda")
    shown = UsdGeom.PrimvarsAPI(prim).GetPrimvar("displayColor").ComputeFlattened()
    linear = model.colors[model.faces][..., :3].reshape(-1, 3)
    np.testing.assert_allclose(np.sort(np.array(shown), 0), np.sort(linear, 0), atol=1e-6)
    surface = UsdShade.Shader(stage.GetPrimAtPath("/prop/Looks/paint/Surface"))
    assert surface.GetInput("diffuseColor").HasConnectedSource()


def _usd_mesh(path: Path):
    from pxr import Usd, UsdGeom

    stage = Usd.Stage.Open(str(path))
    return stage, next(one for one in stage.Traverse() if one.IsA(UsdGeom.Mesh))


def test_a_skeleton_stays_in_glb_and_is_missed_elsewhere(exported, tmp_path: Path) -> None:
    count = len(MODEL.positions)
    rig = Rig(
        nodes=({"name": "bone", "translation": [0.0, 0.5, 0.0]},), roots=(0,), joints=(0,),
        inverse_binds=np.eye(4, dtype=np.float32).reshape(1, 16),
    )  # fmt: skip
    weights = np.tile(np.float32([1, 0, 0, 0]), (count, 1))
    skinned = replace(MODEL, rig=rig, joints=np.zeros((count, 4), np.int64), weights=weights)
    source = gltf_model.save(skinned, tmp_path / "skinned.glb")
    model = wild.read(exported(source, format="glb", tool="web") / "prop.glb")
    assert model.rig is not None and model.rig.nodes[0]["name"] == "bone"
    out = exported(source, format="stl")
    assert "skeleton is left out" in (out / "index.json").read_text()


def test_what_lies_on_its_side_is_turned_upright(exported, tmp_path: Path) -> None:
    """The asset with +Z up, as captures are: (x, y, z) there is (x, z, -y) upright."""

    def lying(rows: np.ndarray) -> np.ndarray:
        return np.concatenate([rows[:, :1], -rows[:, 2:3], rows[:, 1:2], rows[:, 3:]], axis=1)

    changes = {"positions": lying(MODEL.positions)}
    for name in ("normals", "tangents"):
        rows = getattr(MODEL, name)
        changes[name] = None if rows is None else lying(rows)
    source = gltf_model.save(replace(MODEL, **changes), tmp_path / "lying.glb")
    same(read_obj(exported(source, format="obj", from_up="+z") / "prop.obj"), wanted(MODEL))
    rig = Rig(nodes=({"name": "bone"},), roots=(0,), joints=(0,),
              inverse_binds=np.eye(4, dtype=np.float32).reshape(1, 16))  # fmt: skip
    count = len(MODEL.positions)
    weights = np.tile(np.float32([1, 0, 0, 0]), (count, 1))
    skinned = replace(MODEL, rig=rig, joints=np.zeros((count, 4), np.int64), weights=weights)
    with pytest.raises(InputError, match="--from-up"):
        exported(gltf_model.save(skinned, tmp_path / "skinned.glb"), format="glb", from_up="+z")


def test_glb_pictures_are_limited_as_well(exported) -> None:
    model = wild.read(exported(format="glb", texture_px=16) / "prop.glb")
    for material in model.materials:
        for slot in ("base_color", "normal", "metallic_roughness", "occlusion", "emissive"):
            texture = getattr(material, slot)
            assert texture is None or max(texture.pixels.shape) == 16
    vectors = model.materials[0].normal.pixels / 255 * 2 - 1
    assert np.abs(np.linalg.norm(vectors, axis=-1) - 1).max() < 0.02


def test_renamed_materials_are_said(exported) -> None:
    remarks = (exported(format="obj") / "index.json").read_text()
    assert "is called Body_work_a" in remarks
