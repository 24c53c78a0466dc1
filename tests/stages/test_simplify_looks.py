"""What a simplified mesh looks like: maps against what they stand for, from disk to disk."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from splatworks.stages.formats import gltf_model, wild
from splatworks.stages.formats.model import Material, Model, Rig, Texture
from splatworks.stages.geometry.appearance import Appearance, Places
from splatworks.stages.geometry.components import Surface
from splatworks.stages.geometry.decimation import simplify
from splatworks.stages.simplify.clothe import Look, _size_px, _unwrapped, clothe
from splatworks.stages.simplify.front import in_front
from splatworks.stages.simplify.keep import charts, keep_uvs
from splatworks.stages.simplify.vertices import blend_weights, fit, lattice

from ..geometry_decimation.shapes import moved, plate, together


def ball(subdivisions: int = 4, **more) -> Model:
    shape = trimesh.creation.icosphere(subdivisions)
    return of(np.asarray(shape.vertices), np.asarray(shape.faces, np.int64), **more)


def of(positions: np.ndarray, faces: np.ndarray, **more) -> Model:
    kinds = more.pop("face_materials", np.zeros(len(faces), np.int64))
    return Model(positions.astype(float), faces, kinds, **more)


def made(model: Model, target: int, look: Look, tmp_path: Path) -> Model:
    """Simplified, written, read."""
    decimation = simplify(Surface(model.positions, model.faces), targets=[target])
    level = clothe(Appearance(model), decimation, 0, look, 1)
    return wild.read(gltf_model.save(level, tmp_path / "level.glb"))


def everywhere(model: Model, steps: int = 5) -> tuple[Places, np.ndarray]:
    """Places spread over all faces, and where they are."""
    weights = lattice(steps)
    faces = np.repeat(np.arange(len(model.faces)), len(weights))
    barycentrics = np.tile(weights, (len(model.faces), 1))
    corners = model.positions[model.faces[faces]]
    positions = np.einsum("pc,pcx->px", barycentrics, corners)
    return Places(faces, barycentrics, np.full(len(faces), 1e9)), positions


def test_detail_of_the_full_mesh_goes_into_the_normal_map(tmp_path) -> None:
    """320 faces light like a ball of 5120."""
    model = made(ball(), 320, Look(512), tmp_path)
    places, positions = everywhere(model)
    source = Appearance(model)
    found = source.normals(places, positions)
    wanted = positions / np.linalg.norm(positions, axis=1, keepdims=True)
    off = np.degrees(np.arccos(np.clip((found * wanted).sum(axis=1), -1, 1)))
    assert off.mean() < 0.8 and np.quantile(off, 0.99) < 2.5
    flat = source.face_normals[places.faces]
    bare = np.degrees(np.arccos(np.clip((flat * wanted).sum(axis=1), -1, 1)))
    assert bare.mean() > 4, "the faces themselves are far off"


def test_two_materials_become_maps(tmp_path) -> None:
    """Red shiny metal above, dull blue below, glowing."""
    model = ball(3)
    upper = model.positions[model.faces].mean(axis=1)[:, 1] > 0
    red = Material(base_color_factor=(1.0, 0.0, 0.0, 1.0), roughness_factor=0.25)
    blue = Material(base_color_factor=(0.0, 0.0, 1.0, 1.0), metallic_factor=0.0,
                    emissive_factor=(0.0, 0.5, 0.0), emissive_strength=4.0)  # fmt: skip
    model = of(model.positions, model.faces, face_materials=np.where(upper, 0, 1),
               materials=(red, blue))  # fmt: skip
    level = made(model, 300, Look(256, normal_map=False), tmp_path)
    places, positions = everywhere(level)
    source = Appearance(level)
    far = np.abs(positions[:, 1]) > 0.25
    above = positions[far, 1] > 0
    here = Places(places.faces[far], places.barycentrics[far], places.texels_per_m[far])
    color, surface, glow = (
        source.base_color(here), source.metallic_roughness(here), source.emissive(here)
    )  # fmt: skip
    np.testing.assert_allclose(color[:, 0], above, atol=0.02)
    np.testing.assert_allclose(color[:, 2], ~above, atol=0.02)
    np.testing.assert_allclose(surface[:, 0], np.where(above, 0.25, 1), atol=0.02)
    np.testing.assert_allclose(surface[:, 1], above, atol=0.02)
    np.testing.assert_allclose(glow[:, 1], np.where(above, 0, 2), atol=0.05)


def test_what_is_the_same_everywhere_stays_a_factor(tmp_path) -> None:
    plain = Material(base_color_factor=(0.25, 0.5, 0.75, 1.0), metallic_factor=0.5, unlit=True)
    level = made(ball(3, materials=(plain,)), 100, Look(256, normal_map=False), tmp_path)
    (material,) = level.materials
    assert material.base_color is None and material.base_color_factor == (0.25, 0.5, 0.75, 1.0)
    assert material.metallic_factor == 0.5 and material.unlit and not level.uvs


def grid(count: int) -> tuple[np.ndarray, np.ndarray]:
    """A unit square in the plane z = 0."""
    axis = np.linspace(0, 1, count + 1)
    x, y = np.meshgrid(axis, axis)
    positions = np.column_stack([x.reshape(-1), y.reshape(-1), np.zeros(x.size)])
    a = (np.arange(count)[:, None] * (count + 1) + np.arange(count)).reshape(-1)
    b, c, d = a + 1, a + count + 2, a + count + 1
    return positions, np.concatenate([np.column_stack([a, b, c]), np.column_stack([a, c, d])])


def test_cut_outs_keep_their_coverage(tmp_path) -> None:
    """Discs over 30 % of a sheet, baked far coarser than they were painted."""
    side = 512
    y, x = (np.mgrid[:side, :side] + 0.5) / 32 % 1 - 0.5
    pixels = np.full((side, side, 4), 200, np.uint8)
    pixels[..., 3] = np.where(x**2 + y**2 < 0.3 / np.pi, 255, 0)
    share = (pixels[..., 3] > 0).mean()
    positions, faces = grid(20)
    leaf = Material(base_color=Texture(pixels), alpha_mode="MASK", double_sided=True)
    model = of(positions, faces, materials=(leaf,),
               uvs=((positions[:, :2] * [1, -1] + [0, 1]).astype(np.float32),))  # fmt: skip
    level = made(model, 40, Look(64, normal_map=False), tmp_path)
    assert {m.alpha_mode for m in level.materials} <= {"MASK", "OPAQUE"}
    places, _ = everywhere(level, 40)
    corners = level.positions[level.faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]),
                          axis=1)[places.faces]  # fmt: skip
    covered = Appearance(level).base_color(places)[:, 3] >= 0.5
    # Read between texels, discs of a few texels come out smaller: 0.271 for any number of faces.
    assert (covered * area).sum() / area.sum() == pytest.approx(share, abs=0.04)


def test_glass_and_its_frame_are_sharp_against_each_other(tmp_path) -> None:
    """Strips of both in turn, hardly bent at the edges between them: no texel is a mixture."""
    positions, faces = grid(32)
    strip = 8 * positions[:, 0]
    bent = positions + np.column_stack([0 * positions[:, :2], 0.01 * np.abs(strip % 2 - 1)])
    kinds = (8 * positions[faces].mean(axis=1)[:, 0]).astype(int) % 2
    materials = (Material(), Material(alpha_mode="BLEND", base_color_factor=(1.0, 1.0, 1.0, 0.2)))
    model = of(bent, faces, face_materials=kinds, materials=materials)
    level = made(model, 32, Look(64, normal_map=False), tmp_path)
    places, positions = everywhere(level, 20)
    alpha = Appearance(level).base_color(places)[:, 3]
    wanted = np.where((8 * positions[:, 0]).astype(int) % 2, 0.2, 1.0)
    assert np.quantile(np.abs(alpha - wanted), 0.99) < 0.02


def test_a_thin_plate_keeps_its_two_colors(tmp_path) -> None:
    """Red above, blue below, thinner than the error: as colors of vertices."""
    positions, faces = grid(30)
    wave = positions + np.column_stack([0 * positions[:, :2], 0.02 * np.sin(9 * positions[:, 0])])
    under = wave - [0, 0, 0.004]
    both = np.concatenate([wave, under])
    count = len(positions)
    all_faces = np.concatenate([faces, faces[:, ::-1] + count])
    colors = np.ones((2 * count, 4), np.float32)
    colors[:count, 1:3] = 0
    colors[count:, :2] = 0
    model = of(both, all_faces, colors=colors)
    level = made(model, 120, Look(256, normal_map=False, vertex_colors=False), tmp_path)
    places, _ = everywhere(level)
    found = Appearance(level).base_color(places)
    up = Appearance(level).face_normals[places.faces][:, 2] > 0
    wrong = np.where(up, found[:, 2], found[:, 0]) > 0.5
    assert up.any() and (~up).any() and wrong.mean() < 0.01


def test_thin_plates_keep_their_colors_in_maps(tmp_path) -> None:
    """Two plates with rims, one close above the other: neither side of a coarse face shows what
    lies behind it, although collapses have run around the rims and rays find both sheets."""
    cells, gap = 46, 0.01
    one = plate(cells, 0.005)
    both = together(one, moved(one, [0, 0, gap]))
    sheet = 2 * cells * cells
    number = np.arange(len(both.faces)) % len(one.faces)
    paint = np.float32([[1, 0, 0, 1], [0, 0, 1, 1], [0, 1, 0, 1]])  # above, below, rims
    colors = paint[np.minimum(number // sheet, 2)]
    positions = both.positions[both.faces].reshape(-1, 3)
    faces = np.arange(len(positions)).reshape(-1, 3)
    level = made(
        of(positions, faces, colors=np.repeat(colors, 3, axis=0)), 176, Look(256), tmp_path
    )
    places, _ = everywhere(level)
    found = Appearance(level).base_color(places)
    up = Appearance(level).face_normals[places.faces][:, 2]
    wrong = np.where(up > 0, found[:, 2], found[:, 0]) > 0.5
    assert (up > 0.5).any() and (up < -0.5).any() and wrong[np.abs(up) > 0.5].mean() < 0.005


def test_a_part_in_front_is_seen_unless_it_is_there_itself() -> None:
    """A small sheet 1 cm above a large one, and a coarse sheet that has swallowed both."""
    positions, faces = grid(2)
    small = positions * 0.5 + [0.25, 0.25, 0.01]
    original = Surface(np.concatenate([positions, small]), np.concatenate([faces, faces + 9]))
    points = np.array([[0.4, 0.4, 0.02], [0.1, 0.1, 0.02], [0.6, 0.6, 0.02]])
    up = np.tile([0.0, 0, 2.0], (3, 1))
    mapped = points * [1, 1, 0]
    coarse = Surface(positions + np.array([0, 0, 0.02]), faces)
    found, ids, weights = in_front(original, coarse, points, up, mapped, 0.03)
    assert found.tolist() == [True, False, True] and (ids[found] >= 8).all()
    where = np.einsum("pc,pcx->px", weights, original.positions[original.faces[ids]])
    np.testing.assert_allclose(where[found], points[found] - [0, 0, 0.01], atol=1e-5)
    nearer, _, _ = in_front(original, coarse, points, up, mapped, 0.005)
    assert not nearer.any(), "out of reach"
    down, _, _ = in_front(original, coarse, points, -up, mapped, 0.03)
    assert not down.any(), "looks the other way"
    own = Surface(
        np.concatenate([coarse.positions, small + np.array([0, 0, 0.015])]), original.faces
    )
    shown, _, _ = in_front(original, own, points, up, mapped, 0.03)
    assert not shown.any(), "the coarse mesh still has the part"


def test_vertex_colors_of_a_linear_field_are_exact(tmp_path) -> None:
    positions, faces = grid(24)
    field = np.column_stack([positions[:, 0], positions[:, 1], 0.5 + 0 * positions[:, 0]])
    colors = np.concatenate([field, np.ones((len(field), 1))], axis=1).astype(np.float32)
    bumpy = positions + np.column_stack(
        [0 * positions[:, :2], 0.001 * np.sin(40 * positions[:, 0] * positions[:, 1])]
    )
    level = made(of(bumpy, faces, colors=colors), 60, Look(None, vertex_colors=True), tmp_path)
    wanted = np.column_stack([level.positions[:, :2], 0.5 + 0 * level.positions[:, 0]])
    np.testing.assert_allclose(level.colors[:, :3], np.clip(wanted, 0, 1), atol=0.01)


def test_tiling_uvs_are_kept(tmp_path) -> None:
    """A sheet with uvs from 0 to 6: the same linear map on the coarse mesh, same textures."""
    positions, faces = grid(24)
    bumpy = positions + np.column_stack(
        [0 * positions[:, :2], 0.001 * np.sin(40 * positions[:, 0] * positions[:, 1])]
    )
    uvs = (positions[:, :2] @ np.array([[6.0, 1.0], [-1.0, 4.0]])).astype(np.float32)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    model = of(bumpy, faces, uvs=(uvs,), materials=(Material(base_color=Texture(pixels)),))
    decimation = simplify(Surface(model.positions, model.faces), targets=[60])
    level = keep_uvs(Appearance(model), decimation, 0, 1)
    level = wild.read(gltf_model.save(level, tmp_path / "a.glb"))
    wanted = level.positions[:, :2] @ np.array([[6.0, 1.0], [-1.0, 4.0]])
    np.testing.assert_allclose(level.uvs[0], wanted, atol=0.05)
    np.testing.assert_array_equal(level.materials[0].base_color.pixels, pixels)
    assert level.materials[0].base_color.wrap == ("repeat", "repeat")


def test_charts_end_at_seams_and_materials() -> None:
    positions, faces = grid(4)
    kinds = (positions[faces].mean(axis=1)[:, 0] > 0.5).astype(np.int64)
    uvs = positions[:, :2].astype(np.float32)
    pair = (Material(name="a"), Material(name="b"))
    found = charts(of(positions, faces, uvs=(uvs,), face_materials=kinds, materials=pair))
    assert len(np.unique(found)) == 2 and ((found == found[0]) == (kinds == kinds[0])).all()


def test_weights_of_three_corners_are_merged_and_cut_to_four() -> None:
    joints = np.array([[[0, 1, 0, 0], [1, 2, 0, 0], [3, 4, 5, 0]]])
    weights = np.float32([[[0.5, 0.5, 0, 0], [1.0, 0, 0, 0], [0.6, 0.3, 0.1, 0]]])
    share = np.array([[0.5, 0.25, 0.25]])
    found, values = blend_weights(joints, weights, share)
    assert found[0].tolist() == [1, 0, 3, 4]
    wanted = np.array([0.25 + 0.25, 0.25, 0.15, 0.075])
    np.testing.assert_allclose(values[0], wanted / wanted.sum(), atol=1e-6)


def test_a_rig_survives_and_weights_stay_smooth(tmp_path) -> None:
    """A tube bent by two bones, weights linear along it."""
    tube = trimesh.creation.cylinder(0.1, 2.0, sections=16)
    for _ in range(3):
        tube = tube.subdivide()
    positions = np.asarray(tube.vertices)
    share = np.clip(positions[:, 2] / 2 + 0.5, 0, 1).astype(np.float32)
    joints = np.tile([0, 1, 0, 0], (len(positions), 1))
    weights = np.column_stack([1 - share, share, 0 * share, 0 * share]).astype(np.float32)
    rig = Rig(({"name": "a", "children": [1]}, {"name": "b"}), (0,), (0, 1),
              np.tile(np.eye(4, dtype=np.float32).reshape(1, 16), (2, 1)))  # fmt: skip
    model = of(positions, np.asarray(tube.faces, np.int64), joints=joints, weights=weights, rig=rig)
    level = made(model, 200, Look(128), tmp_path)
    assert level.rig is not None and [n["name"] for n in level.rig.nodes[:2]] == ["a", "b"]
    second = np.where(level.joints == 1, level.weights, 0).sum(axis=1)
    np.testing.assert_allclose(second, np.clip(level.positions[:, 2] / 2 + 0.5, 0, 1), atol=0.03)
    np.testing.assert_allclose(level.weights.sum(axis=1), 1, atol=1e-5)
    _, place = np.unique(level.positions, axis=0, return_inverse=True)
    for group in np.unique(place.reshape(-1)):
        assert np.ptp(level.weights[place.reshape(-1) == group], axis=0).max() == 0


def test_a_fit_of_linear_values_is_exact_and_none_is_undetermined() -> None:
    corners = np.tile([0, 1, 2], (20, 1))
    weights = np.random.default_rng(0).dirichlet([1, 1, 1], 20)
    values = weights @ np.array([[1.0], [5.0], [-2.0]])
    found = fit(corners, weights, values, np.ones(20), 4)
    np.testing.assert_allclose(found[:3, 0], [1, 5, -2], atol=0.15)
    assert np.isfinite(found).all()


def test_threads_change_no_byte(tmp_path) -> None:
    model = ball(3)
    decimation = simplify(Surface(model.positions, model.faces), targets=[200])
    source = Appearance(model)
    files = [gltf_model.encode(clothe(source, decimation, 0, Look(256), n)) for n in (1, 4)]
    assert files[0] == files[1]


MESHES = Path(os.environ.get("SPLATWORKS_MESHES", "")) if "SPLATWORKS_MESHES" in os.environ else (
    next((p / "shared/data/meshes" for p in Path(__file__).resolve().parents
          if (p / "shared/data/meshes").is_dir()), Path("absent"))
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(not MESHES.is_dir(), reason="needs the meshes of SPLATWORKS_MESHES")
@pytest.mark.parametrize("ratio", [0.1, 0.01])
def test_meshes_of_the_wild_come_out_sound(tmp_path, ratio) -> None:
    for path in sorted(MESHES.glob("*.glb")):
        source = wild.read(path)
        target = max(int(len(source.faces) * ratio), 4)
        level = made(source, target, Look(512), tmp_path)
        assert 0.99 * target - 2 <= len(level.faces) <= target, path.name
        assert all(np.isfinite(uv).all() and uv.min() >= 0 and uv.max() <= 1 for uv in level.uvs)
        document = (tmp_path / "level.glb").read_bytes()
        assert json.loads(document[20 : 20 + int.from_bytes(document[12:16], "little")])


def test_a_picture_is_as_large_as_the_input_is_dense() -> None:
    """0.64 of the texels asked for are enough, and charts cover about 0.55 of a picture."""
    for area_m2, size in ((0.5, 64), (2.1, 64), (2.3, 128), (8.7, 128), (9.0, 256), (1e6, 512)):
        look = Look(None, texels_per_m=40.0, smallest_px=64, largest_px=512)
        assert _size_px(look, area_m2) == size
    assert _size_px(Look(100, texels_per_m=40.0), 1e6) == 100


def test_a_picture_of_many_crumbs_is_larger() -> None:
    """400 triangles that hang together nowhere fit into 128 pixels, but mostly as gutters."""
    positions, faces = grid(20)
    crumbs = Surface(3 * positions[faces[::2]].reshape(-1, 3), np.arange(1200).reshape(-1, 3))
    look = Look(None, texels_per_m=30.0, smallest_px=64, largest_px=1024)
    assert _unwrapped(Surface(positions, faces), look, 64).size_px == 64
    assert _unwrapped(crumbs, look, 64).size_px > 128
    assert _unwrapped(crumbs, replace(look, texture_px=128), 128).size_px == 128
