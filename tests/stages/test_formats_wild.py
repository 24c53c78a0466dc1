"""Meshes as found in the wild: what must be understood, and what must be refused in one line."""

import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from splatworks.pipeline.errors import InputError
from splatworks.stages.formats import image_files, wild
from splatworks.stages.formats.glb import Chunks, pack

QUAD = np.float32([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
TWO = np.uint16([0, 1, 2, 0, 2, 3])


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def document(chunks: Chunks, **more: Any) -> dict[str, Any]:
    """One quad in one node; `more` replaces parts of the document."""
    position = chunks.accessor(QUAD)
    primitive = {"attributes": {"POSITION": position}, "indices": chunks.accessor(TWO)}
    base = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [primitive]}],
    }
    return base | more


def written(path: Path, chunks: Chunks, content: dict[str, Any]) -> Path:
    path.write_bytes(pack(content, chunks))
    return path


def test_nodes_move_turn_mirror_and_repeat_their_meshes(tmp_path) -> None:
    chunks = Chunks()
    half = 0.5**0.5
    content = document(
        chunks,
        scenes=[{"nodes": [0]}],
        nodes=[
            {"children": [1, 2], "translation": [10, 0, 0]},
            {"mesh": 0, "rotation": [0, 0, half, half], "scale": [2, 1, 1]},
            {"mesh": 0, "scale": [-1, 1, 1]},
        ],
    )
    content["meshes"][0]["primitives"][0]["attributes"]["NORMAL"] = chunks.accessor(
        np.tile(np.float32([[0, 0, 1]]), (4, 1))
    )
    model = wild.read(written(tmp_path / "a.glb", chunks, content))
    # A quarter turn about z takes (2x, y) to (-y, 2x).
    turned = np.array([[10, 0, 0], [10, 2, 0], [9, 2, 0], [9, 0, 0]], float)
    np.testing.assert_allclose(model.positions[:4], turned, atol=1e-6)
    np.testing.assert_allclose(model.positions[4:], QUAD * [-1, 1, 1] + [10, 0, 0], atol=1e-6)
    corners = model.positions[model.faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (cross[:, 2] > 0).all(), "a mirrored part keeps its front"
    np.testing.assert_allclose(model.normals, np.tile([0, 0, 1], (8, 1)), atol=1e-6)


def test_what_is_switched_off_or_has_no_places_is_not_drawn(tmp_path) -> None:
    chunks = Chunks()
    off = {"extensions": {"KHR_node_visibility": {"visible": False}}}
    content = document(
        chunks,
        nodes=[
            {"mesh": 0, "children": [1, 3]},
            {"children": [2], **off},
            {"mesh": 0, "translation": [5, 0, 0]},
            {"mesh": 0, "translation": [9, 0, 0], **off},
        ],
        extensionsUsed=["KHR_node_visibility"],
    )
    content["meshes"][0]["primitives"].append({"attributes": {}})
    model = wild.read(written(tmp_path / "a.glb", chunks, content))
    np.testing.assert_array_equal(model.positions, QUAD)
    assert len(model.faces) == 2


def test_a_skeleton_is_read_as_validators_want_it(tmp_path) -> None:
    chunks = Chunks()
    bind = np.eye(4, dtype=np.float32).reshape(1, 16)
    bind[0, 15] = np.float32(1.0000001)
    content = document(
        chunks,
        scenes=[{"nodes": [0, 1]}],
        nodes=[{"mesh": 0, "skin": 0, "skeletons": [1]}, {"name": "bone", "extras": {"a": 1}}],
        skins=[{"joints": [1], "inverseBindMatrices": chunks.accessor(bind)}],
    )
    content["meshes"][0]["primitives"][0]["attributes"] |= {
        "JOINTS_0": chunks.accessor(np.zeros((4, 4), np.uint8)),
        "WEIGHTS_0": chunks.accessor(np.tile(np.float32([[1, 0, 0, 0]]), (4, 1))),
    }
    assert bind[0, 15] != 1
    rig = wild.read(written(tmp_path / "a.glb", chunks, content)).rig
    np.testing.assert_array_equal(rig.inverse_binds, np.eye(4).reshape(1, 16))
    assert rig.nodes == ({}, {"name": "bone", "extras": {"a": 1}})


def test_strips_fans_and_meshes_without_indices(tmp_path) -> None:
    chunks = Chunks()
    position = chunks.accessor(QUAD[[0, 1, 3, 2]])
    fan = chunks.accessor(QUAD)
    content = document(chunks)
    content["meshes"] = [
        {
            "primitives": [
                {"attributes": {"POSITION": position}, "mode": 5},
                {"attributes": {"POSITION": fan}, "mode": 6},
                {"attributes": {"POSITION": fan}, "mode": 1},
            ]
        }
    ]
    model = wild.read(written(tmp_path / "a.glb", chunks, content))
    assert len(model.faces) == 4 and model.remarks == ("points and lines are left out",)
    corners = model.positions[model.faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    np.testing.assert_allclose(cross, np.tile([0, 0, 1.0], (4, 1)))


def test_textures_keep_sampler_set_and_transform(tmp_path) -> None:
    chunks = Chunks()
    picture = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    content = document(chunks)
    attributes = content["meshes"][0]["primitives"][0]["attributes"]
    attributes["TEXCOORD_0"] = chunks.accessor(np.uint16(QUAD[:, :2] * 65535), normalized=True)
    attributes["TEXCOORD_1"] = chunks.accessor(QUAD[:, :2] * 3)
    attributes["COLOR_0"] = chunks.accessor(np.uint8([[255, 0, 51, 102]] * 4), normalized=True)
    moved = {"offset": [0.25, 0.5], "rotation": np.pi / 2, "scale": [2, 3], "texCoord": 1}
    content["meshes"][0]["primitives"][0]["material"] = 0
    content |= {
        "images": [{"bufferView": chunks.view(png(picture)), "mimeType": "image/png"}],
        "samplers": [{"wrapS": 33648, "wrapT": 33071, "magFilter": 9728}],
        "textures": [{"source": 0, "sampler": 0}],
        "materials": [
            {
                "alphaMode": "MASK", "alphaCutoff": 0.3, "doubleSided": True,
                "pbrMetallicRoughness": {
                    "baseColorFactor": [0.1, 0.2, 0.3, 0.4], "roughnessFactor": 0.7,
                    "baseColorTexture": {
                        "index": 0, "texCoord": 0, "extensions": {"KHR_texture_transform": moved}
                    },
                },
                "emissiveFactor": [1, 0, 0],
                "extensions": {"KHR_materials_emissive_strength": {"emissiveStrength": 4}},
            }
        ],
    }  # fmt: skip
    model = wild.read(written(tmp_path / "a.glb", chunks, content))
    (material,) = model.materials
    texture = material.base_color
    np.testing.assert_array_equal(texture.pixels, picture)
    assert texture.wrap == ("mirror", "clamp") and texture.nearest and texture.uv_set == 1
    # offset + R(scale · uv); a positive angle turns counter-clockwise, as the extension writes it.
    u, v = 0.5, 0.25
    wanted = (0.25 + np.cos(np.pi / 2) * 2 * u + np.sin(np.pi / 2) * 3 * v,
              0.5 - np.sin(np.pi / 2) * 2 * u + np.cos(np.pi / 2) * 3 * v)  # fmt: skip
    np.testing.assert_allclose(np.array(texture.transform) @ [u, v, 1], wanted)
    assert (material.alpha_mode, material.alpha_cutoff, material.double_sided) == (
        "MASK",
        0.3,
        True,
    )
    assert material.base_color_factor == (0.1, 0.2, 0.3, 0.4) and material.roughness_factor == 0.7
    assert material.emissive_strength == 4 and material.emissive_factor == (1, 0, 0)
    np.testing.assert_allclose(model.uvs[0], QUAD[:, :2])
    np.testing.assert_allclose(model.uvs[1], QUAD[:, :2] * 3)
    np.testing.assert_allclose(model.colors, np.tile([1, 0, 0.2, 0.4], (4, 1)), atol=1e-6)


def test_separate_files_data_uris_and_sparse_accessors(tmp_path) -> None:
    import base64

    chunks = Chunks()
    content = document(chunks)
    at = chunks.view(np.uint16([2]).tobytes())
    new = chunks.view(np.float32([5, 6, 7]).tobytes())
    chunks.accessors[0]["sparse"] = {
        "count": 1, "indices": {"bufferView": at, "componentType": 5123},
        "values": {"bufferView": new},
    }  # fmt: skip
    whole = content | {"accessors": chunks.accessors, "bufferViews": chunks.views}
    (tmp_path / "a b.bin").write_bytes(bytes(chunks.data))
    size = len(chunks.data)
    for uri in ("a%20b.bin", "data:;base64," + base64.b64encode(chunks.data).decode()):
        text = json.dumps(whole | {"buffers": [{"byteLength": size, "uri": uri}]})
        (tmp_path / "a.gltf").write_text(text)
        model = wild.read(tmp_path / "a.gltf")
        np.testing.assert_allclose(model.positions[2], [5, 6, 7])
        np.testing.assert_allclose(model.positions[3], QUAD[3])


OBJ = """mtllib a.mtl
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
vt 0 0
vt 1 0
vt 1 1
usemtl red
f 1/1 2/2 3/3
usemtl plain
f -4/-3 -2/-1 -1/-2
"""
MTL = """newmtl red
Kd 1 0.5 0
Pr 0.25
Pm 1
map_Kd -s 2 2 1 -clamp on tex.png
newmtl plain
Kd 0 0 1
d 0.5
"""


def test_an_obj_with_its_materials(tmp_path) -> None:
    (tmp_path / "a.obj").write_text(OBJ)
    (tmp_path / "a.mtl").write_text(MTL)
    (tmp_path / "tex.png").write_bytes(png(np.full((4, 4, 3), 7, np.uint8)))
    model = wild.read(tmp_path / "a.obj")
    named = {material.name: material for material in model.materials}
    red, plain = named["red"], named["plain"]
    assert red.base_color.wrap == ("clamp", "clamp") and red.roughness_factor == 0.25
    assert red.metallic_factor == 1 and plain.base_color_factor[3] == 0.5
    assert plain.alpha_mode == "BLEND" and red.alpha_mode == "OPAQUE"
    np.testing.assert_allclose(red.base_color_factor[1], ((0.5 + 0.055) / 1.055) ** 2.4)
    face = model.faces[model.face_materials == model.materials.index(red)][0]
    np.testing.assert_allclose(model.positions[face], QUAD[[0, 1, 2]])
    # Wavefront counts v upwards: its (1, 1) is our (1, 0), and twice that on the picture.
    rows = np.array(red.base_color.transform)
    places = np.concatenate([model.uvs[0][face], np.ones((3, 1))], axis=1) @ rows.T
    np.testing.assert_allclose(places, [[0, 1], [2, 1], [2, -1]], atol=1e-6)


def test_eight_bit_vertex_colors_become_linear(tmp_path) -> None:
    (tmp_path / "a.ply").write_text(
        "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\n"
        "property float z\nproperty uchar red\nproperty uchar green\nproperty uchar blue\n"
        "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
        "0 0 0 255 188 0\n1 0 0 255 188 0\n0 1 0 255 188 0\n3 0 1 2\n"
    )
    model = wild.read(tmp_path / "a.ply")
    wanted = [1, ((188 / 255 + 0.055) / 1.055) ** 2.4, 0, 1]
    np.testing.assert_allclose(model.colors[0], wanted, atol=1e-6)
    assert model.normals is None


def bomb(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds a few bytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (bomb(100_000, 100_000), "a picture of 100000 x 100000 px; at most 16384 px on a side"),
        (bomb(16_385, 8), "16385 x 8 px"),
        (b"no picture", "no readable picture"),
        (png(np.zeros((8, 8, 3), np.uint8))[:45], "no readable picture"),
    ],
    ids=["bomb", "wide", "text", "cut"],
)
def test_pictures_beyond_the_limits_are_refused(data: bytes, said: str) -> None:
    with pytest.raises(InputError, match=said):
        image_files.decode(data, "a.png", image_files.Budget())


def test_small_gray_palette_and_deep_pictures_are_understood() -> None:
    one = image_files.decode(png(np.uint8([[[9, 8, 7]]])), "a", image_files.Budget())
    np.testing.assert_array_equal(one, [[[9, 8, 7]]])
    deep = image_files.decode(png(np.uint16([[0, 65535, 32896]])), "a", image_files.Budget())
    np.testing.assert_array_equal(deep[0, :, 0], [0, 255, 128])
    with pytest.raises(InputError, match="hold more than 10 pixels together"):
        image_files.decode(png(np.zeros((4, 4), np.uint8)), "a", image_files.Budget(10))


def edited(change) -> Any:
    def make(path: Path) -> Path:
        chunks = Chunks()
        content = document(chunks)
        change(chunks, content)
        return written(path / "a.glb", chunks, content)

    return make


def _nan(chunks: Chunks, content: dict) -> None:
    chunks.data[0:4] = struct.pack("<f", float("nan"))


def _flat(chunks: Chunks, content: dict) -> None:
    chunks.data[0:48] = bytes(48)


def _far_index(chunks: Chunks, content: dict) -> None:
    chunks.data[48:50] = struct.pack("<H", 77)


def _circle(chunks: Chunks, content: dict) -> None:
    content["nodes"] = [{"mesh": 0, "children": [0]}]


def _empty(chunks: Chunks, content: dict) -> None:
    content["meshes"] = [{"primitives": []}]


def _past(chunks: Chunks, content: dict) -> None:
    chunks.views[0]["byteLength"] = 10**9


def _huge(chunks: Chunks, content: dict) -> None:
    chunks.accessors[0]["count"] = 10**15


def _packed(chunks: Chunks, content: dict) -> None:
    content["extensionsRequired"] = ["KHR_draco_mesh_compression"]


def _absent(chunks: Chunks, content: dict) -> None:
    content["meshes"][0]["primitives"][0]["material"] = 0
    content["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}]
    content["textures"] = [{"source": 0}]
    content["images"] = [{"uri": "gone.png"}]


def _outside(chunks: Chunks, content: dict) -> None:
    _absent(chunks, content)
    content["images"] = [{"uri": "../secret.png"}]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_nan, "1 of 4 vertices are not finite"), (_flat, "all 2 faces are degenerate"),
        (_far_index, "names vertex 77, there are 4"), (_circle, "under itself"),
        (_empty, "holds no triangles"), (_past, "leaves its buffer"), (_huge, "claims"),
        (_packed, "KHR_draco_mesh_compression"), (_absent, "'gone.png', and there is no such file"),
        (_outside, "lies outside of its folder"),
    ],
)  # fmt: skip
def test_broken_gltf_is_refused_in_one_line(tmp_path, change, said) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    (tmp_path / "secret.png").write_bytes(png(np.zeros((2, 2, 3), np.uint8)))
    with pytest.raises(InputError, match=said) as caught:
        wild.read(edited(change)(folder))
    assert "\n" not in str(caught.value) and "a.glb" in str(caught.value)


def test_every_truncation_of_a_glb_is_refused(tmp_path) -> None:
    whole = edited(lambda chunks, content: None)(tmp_path).read_bytes()
    for length in range(0, len(whole), 37):
        (tmp_path / "b.glb").write_bytes(whole[:length])
        with pytest.raises(InputError):
            wild.read(tmp_path / "b.glb")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.obj", OBJ.replace("2/2", "9/2"), "line 10: a face names index 9; there are 4"),
        ("a.obj", OBJ.replace("2/2", "0/2"), "index 0"),
        ("a.obj", OBJ.replace("-4/-3", "-5/-3"), "index -5"),
        ("a.obj", "v 0 0 0\n", "a.obj"), ("a.stl", "solid x\nendsolid x\n", "a.stl"),
        ("a.off", "OFF\n0 0 0\n", "a.off"), ("a.xyz", "", "a mesh ends in"),
        ("a.obj", OBJ.replace("a.mtl", "../a.mtl"), "lies outside of its folder"),
    ],
)  # fmt: skip
def test_broken_text_files_are_refused(tmp_path, name, text, said) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    for place in (tmp_path, folder):
        (place / "a.mtl").write_text("newmtl red\nnewmtl plain\n")
    (folder / name).write_text(text)
    with pytest.raises(InputError, match=said):
        wild.read(folder / name)


def test_material_paths_stay_inside_the_folder(tmp_path) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    (tmp_path / "tex.png").write_bytes(png(np.zeros((2, 2, 3), np.uint8)))
    (folder / "a.obj").write_text(OBJ)
    (folder / "a.mtl").write_text(MTL.replace("tex.png", "../tex.png"))
    with pytest.raises(InputError, match="lies outside of its folder"):
        wild.read(folder / "a.obj")
    (folder / "link.png").symlink_to(tmp_path / "tex.png")
    (folder / "a.mtl").write_text(MTL.replace("tex.png", "link.png"))
    with pytest.raises(InputError, match="outside"):
        wild.read(folder / "a.obj")
    # A path of the author's disk is looked for by its name, which must not lead out either.
    (folder / "a.mtl").write_text(MTL.replace("tex.png", "C:\\art\\link.png"))
    with pytest.raises(InputError, match="no such file"):
        wild.read(folder / "a.obj")
    (folder / "link.png").unlink()
    (folder / "link.png").write_bytes((tmp_path / "tex.png").read_bytes())
    assert wild.read(folder / "a.obj").materials[0].name in ("red", "plain")


def test_a_missing_library_is_a_remark_a_missing_picture_is_not(tmp_path) -> None:
    (tmp_path / "a.obj").write_text(OBJ)
    assert "no a.mtl" in wild.read(tmp_path / "a.obj").remarks[0]
    (tmp_path / "a.mtl").write_text(MTL)
    with pytest.raises(InputError, match=r"tex\.png"):
        wild.read(tmp_path / "a.obj")
