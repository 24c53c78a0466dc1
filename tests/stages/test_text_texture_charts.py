"""Text to texture: where the colors go, and what of the old look stays."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from splatworks.pipeline.cli import main
from splatworks.pipeline.errors import InputError
from splatworks.stages.formats import gltf_model, wild
from splatworks.stages.formats.model import Material, Model, Rig, Texture
from splatworks.stages.geometry.appearance import Appearance, Places
from splatworks.stages.text_texture.charts import glows, kept_charts, new_charts

SIZE = 64
TURNED = ((0.0, 0.5, 0.1), (-0.5, 0.0, 0.9))
"""From uvs to picture coordinates: a quarter turn, half the size."""


def striped(positions: np.ndarray) -> np.ndarray:
    """The painted colors, smooth enough for a texel."""
    return (0.5 + 0.4 * np.sin(positions @ np.array([[3.0, 0, 1], [0, 2, 0], [1, 1, 2]]))).astype(
        np.float32
    )


def ask(positions, normals, faces):
    return striped(positions), np.ones(len(positions), bool)


def noise(channels: int, seed: int, low: int = 60, high: int = 200) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, (8, 8, channels), np.uint8)


FULL = Material(
    name="plate",
    base_color=Texture(noise(3, 0)),
    metallic_roughness=Texture(noise(3, 1)),
    metallic_factor=0.5,
    normal=Texture(np.uint8([[[150, 110, 240]]]).repeat(8, 0).repeat(8, 1)),
    occlusion=Texture(noise(3, 3)),
    emissive=Texture(noise(3, 4)),
    emissive_factor=(1.0, 0.5, 0.0),
)


def sheet(x: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A square of one metre at z = x, of 8 x 8 x 2 faces, and its uvs over all of the picture."""
    line = np.linspace(0, 1, 9)
    u, v = np.meshgrid(line, line)
    positions = np.stack([u.ravel(), 1 - v.ravel(), np.full(81, x)], axis=1)
    return positions, np.stack([u.ravel(), v.ravel()], axis=1).astype(np.float32)


def squares(uvs: list[np.ndarray], materials: tuple[Material, ...], **more) -> Model:
    """As many squares behind each other, each with its material."""
    cell = np.arange(64) // 8 * 9 + np.arange(64) % 8
    faces = np.concatenate(
        [np.stack([cell, cell + 9, cell + 1], 1), np.stack([cell + 1, cell + 9, cell + 10], 1)]
    )
    count = len(uvs)
    return Model(
        positions=np.concatenate([sheet(-k)[0] for k in range(count)]),
        faces=np.concatenate([faces + 81 * k for k in range(count)]),
        face_materials=np.repeat(np.arange(count), len(faces)),
        materials=materials,
        normals=np.tile(np.float32([0, 0, 1]), (81 * count, 1)),
        uvs=(np.concatenate(uvs),),
        **more,
    )


def own() -> np.ndarray:
    return sheet()[1]


def saved(model: Model, path: Path) -> Model:
    return wild.read(gltf_model.save(model, path))


def everywhere(model: Model) -> tuple[Places, np.ndarray]:
    """Places inside of all faces, and where they are."""
    weights = np.array([[0.6, 0.2, 0.2], [0.2, 0.6, 0.2], [0.2, 0.2, 0.6]])
    faces = np.repeat(np.arange(len(model.faces)), 3)
    weights = np.tile(weights, (len(model.faces), 1))
    points = np.einsum("pk,pkc->pc", weights, model.positions[model.faces[faces]])
    return Places(faces, weights, np.full(len(faces), 1e6)), points


def encoded(linear: np.ndarray) -> np.ndarray:
    """To sRGB, by the formula of IEC 61966-2-1."""
    small = linear <= 0.0031308
    return np.where(small, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)


def off(model: Model) -> float:
    """Largest difference between the model's colors and the painted ones."""
    places, points = everywhere(model)
    found = encoded(Appearance(model).base_color(places)[:, :3])
    return float(np.abs(found - striped(points)).max())


# --- kept charts ---


def test_all_but_the_color_is_kept_to_the_bit(tmp_path) -> None:
    old = squares([own()], (FULL,), colors=np.full((81, 4), 0.25, np.float32))
    new = saved(kept_charts(old, SIZE, 4, "square")(ask), tmp_path / "a.glb")
    np.testing.assert_array_equal(new.positions, old.positions.astype(np.float32))
    np.testing.assert_array_equal(new.faces, old.faces)
    np.testing.assert_array_equal(new.uvs[0], old.uvs[0])
    made = new.materials[0]
    for slot in ("metallic_roughness", "normal", "occlusion"):
        np.testing.assert_array_equal(getattr(made, slot).pixels, getattr(FULL, slot).pixels)
    assert (made.name, made.metallic_factor, made.roughness_factor) == ("plate", 0.5, 1.0)
    assert made.base_color.pixels.shape == (SIZE, SIZE, 3)
    assert made.emissive is None and not any(made.emissive_factor)
    assert new.colors is None
    assert off(new) < 0.02


def test_a_color_lies_where_its_picture_is_turned_to(tmp_path) -> None:
    """The layout that counts is the color picture's: its uv set, and its transform."""
    color = replace(FULL.base_color, uv_set=1, transform=TURNED)
    old = squares([own()], (replace(FULL, base_color=color),))
    old = replace(old, uvs=(old.uvs[0] * 0, old.uvs[0]))
    new = saved(kept_charts(old, SIZE, 4, "square")(ask), tmp_path / "a.glb")
    made = new.materials[0].base_color
    assert made.uv_set == 1 and np.allclose(made.transform, TURNED)
    assert off(new) < 0.03
    # A texel by hand: picture (0.35, 0.65) is uv (0.5, 0.5), the middle of the square.
    u, v = np.linalg.solve(np.array(TURNED)[:, :2], [0.35 - 0.1, 0.65 - 0.9])
    expected = striped(np.array([[u, 1 - v, 0.0]]))[0]
    found = made.pixels[int(0.65 * SIZE), int(0.35 * SIZE)] / 255
    np.testing.assert_allclose(found, expected, atol=0.03)


def test_materials_share_a_picture_unless_they_overlap(tmp_path) -> None:
    plain = Material(name="a", metallic_factor=0.0), Material(name="b", metallic_factor=0.0)
    half = own() * np.float32([0.5, 1])
    beside = squares([half, half + np.float32([0.5, 0])], plain)
    new = kept_charts(beside, SIZE, 4, "m")(ask)
    first, second = (material.base_color.pixels for material in new.materials)
    assert first is second and off(saved(new, tmp_path / "a.glb")) < 0.05
    over = squares([own(), own()], plain)
    new = kept_charts(over, SIZE, 4, "m")(ask)
    first, second = (material.base_color.pixels for material in new.materials)
    assert np.abs(first.astype(int) - second).max() > 20
    assert off(saved(new, tmp_path / "b.glb")) < 0.02


def test_a_material_without_faces_is_left_alone() -> None:
    """Also where each material has a picture of its own."""
    one, two = (Material(name=name, base_color=Texture(noise(3, k))) for k, name in enumerate("ab"))
    idle = Material(name="idle", base_color=Texture(noise(3, 8)))
    new = kept_charts(squares([own(), own()], (one, two, idle)), SIZE, 4, "m")(ask)
    assert new.materials[2] == idle and off(new) < 0.02


def test_the_old_color_does_not_tint_the_new_one() -> None:
    tinted = Material(base_color_factor=(0.2, 0.5, 0.7, 1.0), metallic_factor=0.0)
    assert off(kept_charts(squares([own()], (tinted,)), SIZE, 4, "m")(ask)) < 0.02


def test_without_a_color_another_map_says_where_faces_lie() -> None:
    bumps = Texture(np.full((8, 8, 3), 128, np.uint8), uv_set=1, transform=TURNED)
    old = squares([own()], (Material(normal=bumps, metallic_factor=0.0),))
    old = replace(old, uvs=(np.zeros_like(own()), own()))
    new = kept_charts(old, SIZE, 4, "m")(ask)
    made = new.materials[0].base_color
    assert made.uv_set == 1 and np.allclose(made.transform, TURNED) and off(new) < 0.03


def test_beside_the_charts_their_colors_go_on() -> None:
    """And none comes from the other border of the picture."""
    half = own() * np.float32([0.5, 1])
    made = kept_charts(squares([half], (Material(),)), SIZE, 4, "m")(ask).materials[0].base_color
    inside, beside = made.pixels[:, SIZE // 2 - 1], made.pixels[:, SIZE // 2 + 8]
    assert np.abs(inside.astype(int) - beside).max() < 30
    assert made.wrap == ("clamp", "clamp")


def test_materials_that_shared_a_picture_still_do() -> None:
    one, two = noise(3, 5), noise(3, 6)
    left, right = own() * np.float32([0.4, 1]), own() * np.float32([0.4, 1]) + np.float32([0.6, 0])
    materials = (
        Material(name="a", base_color=Texture(one)),
        Material(name="b", base_color=Texture(two)),
        Material(name="c", base_color=Texture(one)),
    )
    new = kept_charts(squares([left, own(), right], materials), SIZE, 4, "m")(ask)
    first, second, third = (material.base_color.pixels for material in new.materials)
    assert first is third and first is not second and off(new) < 0.05


def test_holes_of_a_cut_out_stay(tmp_path) -> None:
    """The left half of the picture is not there; an opaque neighbor in the same picture is."""
    pixels = np.concatenate([noise(3, 7), np.full((8, 8, 1), 255, np.uint8)], axis=2)
    pixels[:, :4, 3] = 0
    cut = Material(base_color=Texture(pixels), alpha_mode="MASK", alpha_cutoff=0.8)
    half = own() * np.float32([0.5, 1])
    old = squares([half, half + np.float32([0.5, 0])], (cut, Material()))
    new = saved(kept_charts(old, SIZE, 4, "m")(ask), tmp_path / "a.glb")
    assert [material.alpha_mode for material in new.materials] == ["MASK", "OPAQUE"]
    assert new.materials[0].alpha_cutoff == 0.5  # Of covered shares, no longer of alpha.
    places, points = everywhere(new)
    there = Appearance(new).base_color(places)[:, 3] >= 0.5
    expected = points[:, 2] < -0.5  # All of the cut-out lies in the half that is not there.
    np.testing.assert_array_equal(there, expected)
    assert new.materials[1].base_color.pixels.shape[2] == 3


def test_a_mesh_without_normals_gets_some(tmp_path) -> None:
    box = trimesh.creation.box()
    old = Model(np.asarray(box.vertices), np.asarray(box.faces), np.zeros(12, np.int64))
    laid = new_charts(old, 128, 4)(ask)
    bare = replace(laid, normals=None, joints=None)
    new = saved(kept_charts(bare, 128, 4, "box")(ask), tmp_path / "a.glb")
    source = Appearance(new)
    np.testing.assert_allclose(
        new.normals[new.faces], source.face_normals[:, None].repeat(3, 1), atol=1e-6
    )
    np.testing.assert_array_equal(new.uvs[0][new.faces], bare.uvs[0][bare.faces])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda uvs: uvs % 0.5 * 2, "m.glb: faces overlap in the texture"),
        (lambda uvs: uvs + 0.3, "m.glb: texture coordinates of .* lie outside of"),
        (lambda uvs: uvs * 0, "m.glb: .* no area in the texture"),
        (None, "m.glb: has no texture coordinates to keep"),
    ],
)
def test_a_layout_that_is_no_atlas_is_refused(change, told: str) -> None:
    old = squares([own() * np.float32(0.99)], (FULL,))
    old = replace(old, uvs=() if change is None else (change(old.uvs[0]).astype(np.float32),))
    with pytest.raises(InputError, match=told) as raised:
        kept_charts(old, SIZE, 4, "m.glb")
    assert "--keep-uvs" in str(raised.value)


def test_the_material_that_does_not_fit_is_named() -> None:
    materials = Material(name="skin"), Material(name="tiles")
    old = squares([own(), own() * np.float32(3)], materials)
    with pytest.raises(InputError, match=r"m\.glb \(material tiles\): .* outside of \[0, 1\]"):
        kept_charts(old, SIZE, 4, "m.glb")


def test_the_command_refuses_before_it_works(tmp_path, capsys, monkeypatch) -> None:
    """Before the guidance model is read."""
    monkeypatch.chdir(tmp_path)
    gltf_model.save(squares([own() + np.float32(0.5)], (FULL,)), tmp_path / "m.glb")
    line = ["texture", "m.glb", "--prompt", "a ball", "--keep-uvs", "--out", "run"]
    assert main(line) == 2
    error = capsys.readouterr().err
    assert "outside of [0, 1]" in error and "Traceback" not in error and "embed" not in error
    assert not (tmp_path / "run/latest/texture").exists()


# --- a new atlas ---


def test_other_maps_are_baked_anew(tmp_path) -> None:
    old = saved(squares([own(), own()], (FULL, replace(FULL, normal=None))), tmp_path / "old.glb")
    new = saved(new_charts(old, 512, 4)(ask), tmp_path / "new.glb")
    assert off(new) < 0.02 and not glows(new) and glows(old)
    places, points = everywhere(old)  # The faces are in the old order.
    np.testing.assert_allclose(everywhere(new)[1], points, atol=1e-6)
    before, after = Appearance(old), Appearance(new)
    facing = before.face_normals[places.faces]
    aslant = before.normals(places, facing)
    assert np.degrees(np.arccos(aslant[:, 2])).max() > 8
    np.testing.assert_allclose(after.normals(places, facing), aslant, atol=0.02)
    wanted = before.metallic_roughness(places)
    found = after.metallic_roughness(places)
    assert np.ptp(wanted, axis=0).min() > 0.2
    assert np.abs(found - wanted).mean() < 0.01
    np.testing.assert_allclose(after.occlusion(places), before.occlusion(places), atol=0.06)


def test_bones_stay_bound(tmp_path) -> None:
    rig = Rig(
        nodes=({"name": "a"}, {"name": "b"}), roots=(0, 1), joints=(0, 1),
        inverse_binds=np.tile(np.eye(4, dtype=np.float32).ravel(), (2, 1)),
    )  # fmt: skip
    share = sheet()[0][:, :1].astype(np.float32)
    old = squares(
        [own()], (FULL,), rig=rig, joints=np.tile([0, 1, 0, 0], (81, 1)),
        weights=np.concatenate([share, 1 - share, 0 * share, 0 * share], axis=1),
    )  # fmt: skip
    for new in (new_charts(old, 128, 4)(ask), kept_charts(old, 128, 4, "m")(ask)):
        again = saved(new, tmp_path / "new.glb")
        assert again.rig is not None and len(again.rig.joints) == 2
        np.testing.assert_allclose(again.weights[:, 0], again.positions[:, 0], atol=1e-6)


def test_old_seams_end_no_charts() -> None:
    """Two squares that meet in an edge of split vertices: one chart, painted across."""
    first = squares([own()], (Material(),))
    moved = first.positions + np.array([1.0, 0, 0])
    old = replace(
        first,
        positions=np.concatenate([first.positions, moved]),
        faces=np.concatenate([first.faces, first.faces + 81]),
        face_materials=np.zeros(256, np.int64),
        normals=np.tile(first.normals, (2, 1)),
        uvs=(np.tile(first.uvs[0], (2, 1)),),
    )
    new = new_charts(old, 128, 4)(ask)
    assert len(new.positions) == 81 + 81 - 9 and off(new) < 0.03


@pytest.mark.parametrize(
    ("material", "metallic"),
    [(Material(), 0.0), (Material(roughness_factor=0.3), 1.0), (FULL, 0.5)],
)
def test_only_what_says_so_is_metal(material: Material, metallic: float) -> None:
    old = squares([own()], (replace(material, emissive=None),))
    assert kept_charts(old, SIZE, 4, "m")(ask).materials[0].metallic_factor == metallic
    anew = new_charts(old, SIZE, 4)(ask).materials[0]
    drawn = material.metallic_roughness is not None
    assert anew.metallic_factor == (1.0 if drawn else metallic)


def test_a_cut_out_keeps_its_holes_over_a_new_atlas(tmp_path) -> None:
    pixels = np.concatenate([noise(3, 7), np.full((8, 8, 1), 255, np.uint8)], axis=2)
    pixels[:, :4, 3] = 0
    cut = Material(base_color=Texture(pixels, nearest=True), alpha_mode="MASK")
    new = saved(new_charts(squares([own()], (cut,)), 256, 4)(ask), tmp_path / "a.glb")
    places, points = everywhere(new)
    there = Appearance(new).base_color(places)[:, 3] >= 0.5
    clear = np.abs(points[:, 0] - 0.5) > 0.05
    np.testing.assert_array_equal(there[clear], points[clear, 0] > 0.5)
    solid = clear & (points[:, 0] > 0.5)
    found = encoded(Appearance(new).base_color(places)[solid, :3])
    np.testing.assert_allclose(found, striped(points[solid]), atol=0.03)
