"""GLB: what others read from it, exact round trips, and strict reading."""

import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from splatworks.pipeline.errors import InputError
from splatworks.stages.formats import gltf, mesh_ply

CORNERS = {(0, 0): (255, 0, 0), (0, 1): (0, 255, 0), (1, 0): (0, 0, 255), (1, 1): (255, 255, 0)}
"""Color of the picture's quarter (down, right)."""
NAMES = ("positions", "faces", "normals", "uvs", "colors", "base_color")


def quad(size: int = 8) -> gltf.Mesh:
    """A square facing +Z whose picture has another color in every corner."""
    picture = np.zeros((size, size, 3), np.uint8)
    half = size // 2
    for (down, right), color in CORNERS.items():
        picture[down * half :, right * half :][:half, :half] = color
    return gltf.Mesh(
        positions=np.float32([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]),
        faces=np.array([[0, 1, 2], [0, 2, 3]]),
        normals=np.float32([[0, 0, 1]] * 4),
        uvs=np.float32([[0, 1], [1, 1], [1, 0], [0, 0]]),
        colors=np.float32([[0.1, 0.2, 0.3], [1, 1, 1], [0, 0, 0], [0.5, 0.25, 0.125]]),
        base_color=picture,
    )


def test_a_texture_keeps_its_alpha(tmp_path: Path) -> None:
    alpha = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)
    picture = np.concatenate([quad().base_color, alpha], axis=2)
    after = gltf.load(gltf.save(replace(quad(), base_color=picture), tmp_path / "a.glb"))
    np.testing.assert_array_equal(after.base_color, picture)


@pytest.mark.parametrize("dropped", [(), ("colors",), ("base_color",), NAMES[2:]])
def test_it_comes_back_bit_for_bit(tmp_path: Path, dropped: tuple[str, ...]) -> None:
    mesh = replace(quad(), **dict.fromkeys(dropped), double_sided=bool(dropped))
    path = gltf.save(mesh, tmp_path / "a.glb")
    after = gltf.load(path)
    for name in NAMES:
        np.testing.assert_array_equal(getattr(mesh, name), getattr(after, name), err_msg=name)
    assert after.double_sided == mesh.double_sided
    assert gltf.encode(after) == path.read_bytes()


def test_pygltflib_agrees_with_what_was_written(tmp_path: Path) -> None:
    pygltflib = pytest.importorskip("pygltflib")
    mesh = replace(quad(), faces=quad().faces[:1])  # Six bytes: what follows must be aligned again.
    found = pygltflib.GLTF2().load(str(gltf.save(mesh, tmp_path / "a.glb")))
    assert found.asset.version == "2.0" and found.asset.generator == "splatworks"
    primitive = found.meshes[0].primitives[0]
    position = found.accessors[primitive.attributes.POSITION]
    assert (position.min, position.max, position.count) == ([-1, -1, 0], [1, 1, 0], 4)
    assert found.accessors[primitive.indices].componentType == pygltflib.UNSIGNED_SHORT
    material = found.materials[primitive.material]
    assert material.pbrMetallicRoughness.metallicFactor == 0.0
    assert material.pbrMetallicRoughness.roughnessFactor == 1.0
    assert material.doubleSided is False
    sampler = found.samplers[found.textures[0].sampler]
    # Repeating would pull the opposite edge's colors in.
    assert sampler.wrapS == sampler.wrapT == pygltflib.CLAMP_TO_EDGE
    for view in found.bufferViews:
        assert view.byteOffset % 4 == 0
    accessor = found.accessors[primitive.attributes.TEXCOORD_0]
    view = found.bufferViews[accessor.bufferView]
    blob = found.binary_blob()
    uvs = np.frombuffer(blob, "<f4", 8, view.byteOffset).reshape(4, 2)
    np.testing.assert_array_equal(uvs, mesh.uvs)
    image = found.bufferViews[found.images[0].bufferView]
    assert blob[image.byteOffset :][:8] == b"\x89PNG\r\n\x1a\n"
    assert image.target is None


def test_trimesh_sees_every_corner_in_its_color(tmp_path: Path) -> None:
    """v is not flipped: an independent reader finds the picture's quarters where they belong."""
    scene = trimesh.load_scene(gltf.save(replace(quad(), colors=None), tmp_path / "a.glb"))
    (part,) = scene.dump()
    for (down, right), color in CORNERS.items():
        point = np.array([right - 0.5, 0.5 - down, 0])
        _, _, face = trimesh.proximity.closest_point_naive(part, [point])
        weights = trimesh.triangles.points_to_barycentric(part.triangles[face], [point])
        uv = (weights[:, :, None] * part.visual.uv[part.faces[face]]).sum(axis=1)
        found = trimesh.visual.color.uv_to_color(uv, part.visual.material.baseColorTexture)
        assert tuple(found[0][:3]) == color


def test_vertex_colors_of_the_ply_come_from_the_right_corner(tmp_path: Path) -> None:
    mesh = quad(64)
    path = mesh_ply.save(mesh, tmp_path / "a.ply")
    found = trimesh.load(path, process=False)
    for position, color in zip(found.vertices, found.visual.vertex_colors, strict=True):
        assert tuple(color[:3]) == CORNERS[(int(position[1] < 0), int(position[0] > 0))]
    again = gltf.load(path)
    assert len(again.faces) == 2
    np.testing.assert_array_equal(again.positions[again.faces], mesh.positions[mesh.faces])


def test_linear_vertex_colors_are_encoded_in_the_ply() -> None:
    """The two pieces of IEC 61966-2-1, and their ends."""
    colors = np.float32([[0.214] * 3, [0.002] * 3, [0, 1, 0.0031308], [1, 0, 0]])
    mesh = replace(quad(), base_color=None, colors=colors)
    wanted = [[0.5] * 3, [0.02584] * 3, [0, 1, 0.04045], [1, 0, 0]]
    np.testing.assert_allclose(mesh_ply.vertex_colors(mesh), wanted, atol=1e-4)


def test_vertex_colors_are_read_between_the_texels() -> None:
    """Texel centres at +0.5, the border repeated: a picture of two rows and three columns."""
    picture = np.zeros((2, 3, 3), np.uint8)
    picture[..., 0] = [[0, 51, 102], [153, 204, 255]]
    uvs = np.float32([[0.5 / 3, 0.25], [1 / 3, 0.25], [0.6, 0.5], [1, 0.95]])
    found = mesh_ply.vertex_colors(replace(quad(), uvs=uvs, base_color=picture))
    np.testing.assert_allclose(found[:, 0], [0, 0.1, 0.26 + 0.3, 1], atol=1e-6)
    assert not found[:, 1:].any()


def test_where_charts_meet_the_ply_has_one_vertex_with_the_mean(tmp_path: Path) -> None:
    """Two triangles at a right angle along an edge whose vertices are split."""
    mesh = gltf.Mesh(
        positions=np.float32([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 0], [0, 0, -1]]),
        faces=np.array([[0, 1, 2], [3, 4, 5]]),
        normals=np.float32([[0, 0, 1]] * 3 + [[0, -1, 0]] * 3),
        colors=np.float32([[0.6, 0, 0]] * 3 + [[0, 0, 0.22]] * 3),  # sRGB 203.4 and 129.1
    )
    found = trimesh.load(mesh_ply.save(mesh, tmp_path / "a.ply"), process=False)
    places = {tuple(p): k for k, p in enumerate(found.vertices.tolist())}
    assert len(found.vertices) == len(places) == 4
    half = 0.5**0.5
    raw = found.metadata["_ply_raw"]["vertex"]["data"]
    normals = np.stack([raw[name] for name in ("nx", "ny", "nz")], axis=-1).reshape(-1, 3)
    colors = found.visual.vertex_colors
    for place, normal, color in [
        ((0, 0, 0), (0, -half, half), (102, 0, 65)),
        ((1, 0, 0), (0, -half, half), (102, 0, 65)),
        ((0, 1, 0), (0, 0, 1), (203, 0, 0)),
        ((0, 0, -1), (0, -1, 0), (0, 0, 129)),
    ]:
        np.testing.assert_allclose(normals[places[place]], normal, atol=1e-6)
        assert tuple(colors[places[place]][:3]) == color


def test_many_vertices_take_wide_indices(tmp_path: Path) -> None:
    for count, code in ((65_534, 5123), (65_535, 5125)):
        mesh = gltf.Mesh(np.zeros((count, 3), np.float32), np.array([[0, 1, count - 1]]))
        data = gltf.save(mesh, tmp_path / "a.glb").read_bytes()
        document = json.loads(data[20 : 20 + struct.unpack_from("<I", data, 12)[0]])
        index = document["meshes"][0]["primitives"][0]["indices"]
        assert document["accessors"][index]["componentType"] == code
        assert gltf.load(tmp_path / "a.glb").faces[0, 2] == count - 1


def test_normals_are_written_with_length_one(tmp_path: Path) -> None:
    normals = np.float32([[0, 0, 2], [0, 3, 4], [0, 0, 0], [0, 0, 1]])
    after = gltf.load(gltf.save(replace(quad(), normals=normals), tmp_path / "a.glb"))
    np.testing.assert_allclose(after.normals, [[0, 0, 1], [0, 0.6, 0.8], [0, 1, 0], [0, 0, 1]])


def test_a_foreign_scene_is_flattened(tmp_path: Path) -> None:
    scene = trimesh.Scene()
    matrix = trimesh.transformations.translation_matrix([0, 5, 0])
    scene.add_geometry(trimesh.creation.box(), transform=matrix)
    scene.add_geometry(trimesh.creation.box())
    path = tmp_path / "scene.glb"
    scene.export(path)
    mesh = gltf.load(path)
    assert len(mesh.faces) == 24
    middles = np.sort(mesh.positions[mesh.faces].mean(axis=1)[:, 1])
    np.testing.assert_allclose(middles[[0, 11, 12, 23]], [-0.5, 0.5, 4.5, 5.5])


def test_several_textures_are_refused(tmp_path: Path) -> None:
    (part,) = trimesh.load_scene(gltf.save(replace(quad(), colors=None), tmp_path / "a.glb")).dump()
    scene = trimesh.Scene([part, part.copy().apply_translation([3, 0, 0])])
    scene.export(tmp_path / "b.glb")
    with pytest.raises(InputError, match="2 textured parts"):
        gltf.load(tmp_path / "b.glb")


def test_a_foreign_textured_file_keeps_its_corners(tmp_path: Path) -> None:
    scene = trimesh.load_scene(gltf.save(replace(quad(), colors=None), tmp_path / "a.glb"))
    scene.apply_transform(trimesh.transformations.translation_matrix([1, 0, 0]))
    scene.export(tmp_path / "b.glb")
    after = gltf.load(tmp_path / "b.glb")
    np.testing.assert_allclose(after.positions, quad().positions + np.float32([1, 0, 0]))
    np.testing.assert_allclose(after.uvs, quad().uvs, atol=1e-6)
    np.testing.assert_array_equal(after.base_color[..., :3], quad().base_color)


def container(document: dict, binary: bytes) -> bytes:
    """A GLB by hand."""
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    binary += bytes(-len(binary) % 4)
    total = 28 + len(text) + len(binary)
    head = struct.pack("<IIIII", 0x46546C67, 2, total, len(text), 0x4E4F534A)
    return head + text + struct.pack("<II", len(binary), 0x004E4942) + binary


def test_a_foreign_layout_is_read(tmp_path: Path) -> None:
    """Vertices interleaved behind a gap, colors with alpha in bytes, 16-bit uvs, byte indices."""
    positions = np.float32([[0, 1, 2], [3, 4, 5], [6, 7, 9], [-1, 0.5, 2]])
    colors = np.uint8([[0, 200, 255, 9], [1, 128, 127, 9], [255, 255, 255, 9], [7, 8, 9, 9]])
    uvs = np.uint16([[0, 65_535], [40_000, 1], [65_535, 0], [32_768, 256]])
    rows = zip(positions, colors, uvs, strict=True)
    binary = b"\xee" * 8 + b"".join(p.tobytes() + c.tobytes() + t.tobytes() for p, c, t in rows)
    indices = bytes([0, 1, 2, 2, 3, 0])

    def accessor(view: int, start: int, code: int, count: int, kind: str) -> dict:
        found = {"bufferView": view, "byteOffset": start, "componentType": code}
        return found | {
            "count": count,
            "type": kind,
            "normalized": kind != "SCALAR" and code < 5126,
        }

    document = {
        "asset": {"version": "2.0"},
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{
            "attributes": {"POSITION": 0, "COLOR_0": 1, "TEXCOORD_0": 2}, "indices": 3}]}],
        "accessors": [
            accessor(0, 8, 5126, 4, "VEC3"), accessor(0, 20, 5121, 4, "VEC4"),
            accessor(0, 24, 5123, 4, "VEC2"), accessor(1, 0, 5121, 6, "SCALAR")],
        "bufferViews": [
            {"buffer": 0, "byteLength": len(binary), "byteStride": 20},
            {"buffer": 0, "byteOffset": len(binary), "byteLength": len(indices)}],
        "buffers": [{"byteLength": len(binary) + len(indices)}],
    }  # fmt: skip
    (tmp_path / "a.glb").write_bytes(container(document, binary + indices))
    mesh = gltf.load(tmp_path / "a.glb")
    np.testing.assert_array_equal(mesh.positions, positions)
    np.testing.assert_array_equal(mesh.faces, [[0, 1, 2], [2, 3, 0]])
    np.testing.assert_allclose(mesh.colors, colors[:, :3] / 255.0, rtol=1e-6)
    np.testing.assert_allclose(mesh.uvs, uvs / 65_535.0, rtol=1e-6)


@pytest.mark.parametrize("suffix", ["obj", "ply", "stl"])
def test_other_formats_are_read(tmp_path: Path, suffix: str) -> None:
    trimesh.creation.icosphere(1).export(tmp_path / f"a.{suffix}")
    assert len(gltf.load(tmp_path / f"a.{suffix}").faces) == 80


def rewritten(data: bytes, change) -> bytes:
    """The same GLB with another JSON chunk."""
    length = struct.unpack_from("<I", data, 12)[0]
    document = json.loads(data[20 : 20 + length])
    change(document)
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    rest = data[20 + length :]
    head = struct.pack("<IIIII", 0x46546C67, 2, 20 + len(text) + len(rest), len(text), 0x4E4F534A)
    return head + text + rest


def as_strip(document: dict) -> None:
    document["meshes"][0]["primitives"][0]["mode"] = 5


def test_a_triangle_strip_is_not_read_as_a_list(tmp_path: Path) -> None:
    """0 1 3 2 is a strip that covers the square; the indices after it are degenerate."""
    square = replace(quad(), colors=None, faces=np.array([[0, 1, 3], [2, 2, 2]]))
    (tmp_path / "a.glb").write_bytes(rewritten(gltf.encode(square), as_strip))
    mesh = gltf.load(tmp_path / "a.glb")
    a, b, c = np.moveaxis(mesh.positions[mesh.faces], 1, 0)
    np.testing.assert_allclose(np.cross(b - a, c - a)[:, 2].sum() / 2, 4, rtol=1e-6)


def set_count(document: dict) -> None:
    document["accessors"][0]["count"] = 10**9


def set_offset(document: dict) -> None:
    document["bufferViews"][0]["byteOffset"] = -4


def set_index(document: dict) -> None:
    document["accessors"][document["meshes"][0]["primitives"][0]["indices"]]["count"] = 5


def set_length(document: dict) -> None:
    document["bufferViews"][-1]["byteLength"] += 8


def set_stride(document: dict) -> None:
    document["bufferViews"][0]["byteStride"] = 4


def set_start(document: dict) -> None:
    document["accessors"][0]["byteOffset"] = 4


def set_sparse(document: dict) -> None:
    document["accessors"][0]["sparse"] = {"count": 1}


def drop_positions(document: dict) -> None:
    del document["meshes"][0]["primitives"][0]["attributes"]["POSITION"]


REFUSED = {
    "magic": (lambda d: b"PK" + d[2:], "no GLB file"),
    "stump": (lambda d: d[:10], "cut off after 10 bytes"),
    "version": (lambda d: d[:4] + b"\1\0\0\0" + d[8:], "glTF version 1"),
    "cut": (lambda d: d[:-7], r"promises \d+ bytes, found \d+"),
    "chunk": (lambda d: d[:12] + b"\xff\xff\xff\x7f" + d[16:], "longer than the file"),
    "json": (lambda d: d[:20] + b"]" + d[21:], "JSON chunk can not be read"),
    "count": (lambda d: rewritten(d, set_count), "accessor 0 needs"),
    "offset": (lambda d: rewritten(d, set_offset), "leaves the"),
    "length": (lambda d: rewritten(d, set_length), "leaves the"),
    "stride": (lambda d: rewritten(d, set_stride), "accessor 0 needs"),
    "start": (lambda d: rewritten(d, set_start), "accessor 0 needs 52 bytes, its view holds 48"),
    "sparse": (lambda d: rewritten(d, set_sparse), "accessor 0 is sparse"),
    "ragged": (lambda d: rewritten(d, set_index), "broken GLB"),
    "no positions": (lambda d: rewritten(d, drop_positions), "POSITION"),
    "picture": (lambda d: d.replace(b"\x89PNG", b"XPNG"), "broken GLB"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_file_is_refused_with_its_name(tmp_path: Path, name: str) -> None:
    change, message = REFUSED[name]
    path = gltf.save(quad(), tmp_path / "a.glb")
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(InputError, match=message) as caught:
        gltf.load(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_bad_values_are_refused_both_ways(tmp_path: Path) -> None:
    wrong = {
        "face": replace(quad(), faces=np.array([[0, 1, 4]])),
        "nan": replace(quad(), positions=np.float32([[np.nan, 0, 0]] * 4)),
        "rows": replace(quad(), uvs=np.zeros((3, 2), np.float32)),
        "no uvs": replace(quad(), uvs=None),
        "empty": replace(quad(), faces=np.zeros((0, 3), int)),
    }
    for mesh in wrong.values():
        with pytest.raises(ValueError, match="mesh"):
            gltf.save(mesh, tmp_path / "a.glb")
    assert not list(tmp_path.iterdir())
    data = gltf.encode(quad()).replace(struct.pack("<f", 0.125), struct.pack("<f", np.inf))
    (tmp_path / "a.glb").write_bytes(data)
    with pytest.raises(InputError, match=r"mesh.colors has 4 rows .* 1 of them not finite"):
        gltf.load(tmp_path / "a.glb")


def test_text_that_is_no_mesh_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.obj").write_text("hello")
    (tmp_path / "a.ply").write_text("ply\nformat ascii 1.0\nelement vertex 5\n")
    for name in ("a.obj", "a.ply", "missing.glb"):
        with pytest.raises(InputError, match=name):
            gltf.load(tmp_path / name)
