"""Models through GLB and back: materials, several primitives, skeletons."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from splatworks.stages.formats import gltf_model, wild
from splatworks.stages.formats.glb import Chunks, pack, read_glb
from splatworks.stages.formats.model import Material, Model, Texture

MESHES = Path(__file__).parents[3] / "shared" / "data" / "meshes"
SQUARE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], float)
FACES = np.array([[0, 1, 2], [0, 2, 3]])


def rich() -> Model:
    rng = np.random.default_rng(0)

    def picture(channels: int) -> np.ndarray:
        return rng.integers(0, 256, (4, 4, channels)).astype(np.uint8)

    packed = Texture(picture(3), ("clamp", "clamp"))
    first = Material(
        name="first", base_color=Texture(picture(4), ("mirror", "clamp")), alpha_mode="MASK",
        base_color_factor=(0.5, 1.0, 1.0, 1.0), alpha_cutoff=0.25, metallic_roughness=packed,
        occlusion=packed, occlusion_strength=0.5, normal=Texture(picture(3), uv_set=1),
        normal_scale=2.0, double_sided=True,
    )  # fmt: skip
    moved = Texture(picture(3), nearest=True, transform=((0.0, 2.0, 0.5), (-3.0, 0.0, 0.25)))
    second = Material(
        name="second", emissive=moved, emissive_factor=(1.0, 0.5, 0.0), emissive_strength=5.0,
        metallic_factor=0.25, roughness_factor=0.75, alpha_mode="BLEND", unlit=True,
    )  # fmt: skip
    return Model(
        positions=SQUARE,
        faces=FACES,
        face_materials=np.array([1, 0]),
        materials=(first, second),
        normals=np.tile(np.float32([0, 0, 1]), (4, 1)),
        tangents=np.tile(np.float32([1, 0, 0, -1]), (4, 1)),
        uvs=tuple(rng.uniform(size=(4, 2)).astype(np.float32) for _ in range(2)),
        colors=rng.uniform(size=(4, 4)).astype(np.float32),
    )


def test_everything_comes_back(tmp_path) -> None:
    model = rich()
    found = wild.read(gltf_model.save(model, tmp_path / "a.glb"))
    named = {material.name: material for material in found.materials}
    for wanted in model.materials:
        got = named[wanted.name]
        for field in Material.__dataclass_fields__:
            before, after = getattr(wanted, field), getattr(got, field)
            if isinstance(before, Texture):
                np.testing.assert_array_equal(before.pixels, after.pixels)
                np.testing.assert_allclose(before.transform, after.transform, atol=1e-12)
                assert (before.wrap, before.nearest, before.uv_set) == (
                    after.wrap, after.nearest, after.uv_set)  # fmt: skip
            else:
                assert before == after, field
    corners = {
        found.materials[kind].name: found.positions[face]
        for kind, face in zip(found.face_materials, found.faces, strict=True)
    }
    np.testing.assert_allclose(corners["second"], SQUARE[FACES[0]])
    for name in ("normals", "tangents", "colors"):
        np.testing.assert_allclose(getattr(found, name)[:4], getattr(model, name))
    np.testing.assert_allclose(found.uvs[1][:4], model.uvs[1])


def test_shared_pictures_are_written_once_and_bytes_repeat(tmp_path) -> None:
    path = gltf_model.save(rich(), tmp_path / "a.glb")
    document, _ = read_glb(path)
    assert len(document["images"]) == 4 and len(document["textures"]) == 4
    one, two = document["materials"][:2]
    surface = (one if one["name"] == "first" else two)["pbrMetallicRoughness"]
    occlusion = (one if one["name"] == "first" else two)["occlusionTexture"]
    assert surface["metallicRoughnessTexture"]["index"] == occlusion["index"]
    assert path.read_bytes() == gltf_model.encode(rich())


def test_what_viewers_would_refuse_is_not_written() -> None:
    from dataclasses import replace

    model = rich()
    with pytest.raises(ValueError, match="not finite"):
        gltf_model.encode(replace(model, positions=np.full((4, 3), np.nan)))
    with pytest.raises(ValueError, match="name vertices up to 7"):
        gltf_model.encode(replace(model, faces=FACES + 4))


def skinned(path: Path) -> Path:
    """A strip on two bones, and a plate that hangs on the second; bind pose is not the rest."""
    chunks = Chunks()
    strip = np.float32([[0, 0, 0], [1, 0, 0], [1, 2, 0], [0, 2, 0]])
    binds = np.tile(np.eye(4, dtype=np.float32), (2, 1, 1))
    binds[1, 3, 1] = -1  # Column-major: moves by -1 along y.
    animation = {
        "samplers": [{"input": chunks.accessor(np.float32([[0], [1]])),
                      "output": chunks.accessor(np.int16([[0, 0, 0, 32767], [0, 0, 23170, 23170]]),
                                                normalized=True)}],
        "channels": [{"sampler": 0, "target": {"node": 1, "path": "rotation"}}],
    }  # fmt: skip
    attributes = {
        "POSITION": chunks.accessor(strip),
        "JOINTS_0": chunks.accessor(np.uint8([[0, 1, 0, 0]] * 4)),
        "WEIGHTS_0": chunks.accessor(np.float32([[1, 0, 0, 0]] * 2 + [[0, 1, 0, 0]] * 2)),
    }
    content = {
        "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [2, 0]}],
        "nodes": [
            {"children": [1], "name": "root"},
            {"children": [3], "translation": [0, 1, 5], "name": "tip"},
            {"mesh": 0, "skin": 0, "translation": [99, 0, 0]},
            {"mesh": 1, "translation": [0, 1, 0], "name": "plate"},
        ],
        "meshes": [{"primitives": [{"attributes": attributes}]},
                   {"primitives": [{"attributes": {"POSITION": chunks.accessor(strip)}}]}],
        "skins": [{"joints": [0, 1], "inverseBindMatrices": chunks.accessor(binds.reshape(2, 16))}],
        "animations": [animation],
    }  # fmt: skip
    for mesh in content["meshes"]:
        mesh["primitives"][0]["indices"] = chunks.accessor(np.uint16([0, 1, 2, 0, 2, 3]))
    path.write_bytes(pack(content, chunks))
    return path


def posed(model: Model, tip_rotation_deg: float) -> np.ndarray:
    """Skinning by the definition, with the bone `tip` turned about z."""
    rig = model.rig
    angle = np.radians(tip_rotation_deg)
    parents = {c: k for k, node in enumerate(rig.nodes) for c in node.get("children", [])}

    def world(node: int) -> np.ndarray:
        entry, local = rig.nodes[node], np.eye(4)
        local[:3, 3] = entry.get("translation", (0, 0, 0))
        if entry.get("name") == "tip":
            local[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        return (world(parents[node]) if node in parents else np.eye(4)) @ local

    matrices = [world(joint) @ bind.reshape(4, 4).T.astype(float)
                for joint, bind in zip(rig.joints, rig.inverse_binds, strict=True)]  # fmt: skip
    points = np.concatenate([model.positions, np.ones((len(model.positions), 1))], axis=1)
    moved = np.einsum("jab,vb->vja", np.array(matrices), points)[:, :, :3]
    chosen = np.take_along_axis(moved, model.joints[:, :, None], axis=1)
    return (chosen * model.weights[..., None]).sum(axis=1)


def test_skins_and_parts_on_bones_move_as_before(tmp_path) -> None:
    model = wild.read(skinned(tmp_path / "a.glb"))
    assert model.rig is not None and len(model.positions) == 8
    # At rest the strip's upper end is moved by the bone, the plate by its node.
    rest = posed(model, 0)
    np.testing.assert_allclose(rest[:4], [[0, 0, 0], [1, 0, 0], [1, 2, 5], [0, 2, 5]], atol=1e-6)
    np.testing.assert_allclose(rest[4], [0, 2, 5], atol=1e-6)
    # Turned by 90 degrees about (0, 1, 5): (1, 2) goes to (-1, 2), the plate with it.
    turned = posed(model, 90)
    np.testing.assert_allclose(turned[2], [-1, 2, 5], atol=1e-6)
    np.testing.assert_allclose(turned[5], [-1, 2, 5], atol=1e-6)
    again = wild.read(gltf_model.save(model, tmp_path / "b.glb"))
    for degrees in (0, 90):
        before = posed(model, degrees)[model.faces]
        np.testing.assert_allclose(posed(again, degrees)[again.faces], before, atol=1e-5)
    document, _ = read_glb(tmp_path / "b.glb")
    (animation,) = document["animations"]
    output = document["accessors"][animation["samplers"][0]["output"]]
    assert output["normalized"] and output["componentType"] == 5122
    assert document["nodes"][animation["channels"][0]["target"]["node"]]["name"] == "tip"


@pytest.mark.slow
@pytest.mark.parametrize("make", ["rich", "skinned"])
def test_the_khronos_validator_finds_no_error(tmp_path, make) -> None:
    """Needs node and the npm package gltf-validator, found through NODE_PATH."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    model = rich() if make == "rich" else wild.read(skinned(tmp_path / "source.glb"))
    path = gltf_model.save(model, tmp_path / "a.glb")
    script = (
        "const v = require('gltf-validator'), fs = require('fs');"
        f"v.validateBytes(new Uint8Array(fs.readFileSync({str(path)!r})))"
        ".then(r => console.log(JSON.stringify(r.issues)))"
    )
    done = subprocess.run(["node", "-e", script], capture_output=True, text=True)
    if "Cannot find module" in done.stderr:
        pytest.skip("npm package gltf-validator is not installed")
    issues = json.loads(done.stdout)
    assert issues["numErrors"] == 0, issues["messages"]
