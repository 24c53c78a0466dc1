"""The judge of simplified meshes: known changes must give known figures."""

import functools
import importlib.util
import json
import math
import struct
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks" / "simplify"))

import goals
from judge import glb, pictures, score, surfaces, views
from judge.model import Material, Model, bare
from judge.shading import linear, lookup, paint
from splatworks.renderers import meshes
from splatworks.stages.geometry.likeness import around
from tools import Tool, run

RNG = np.random.default_rng(7)


def square(z: float = 0.0, side: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    half = side / 2
    corners = [[-half, -half, z], [half, -half, z], [half, half, z], [-half, half, z]]
    return np.array(corners), np.array([[0, 1, 2], [0, 2, 3]])


def textured(pixels: np.ndarray, z: float = 0.0, **settings: object) -> Model:
    """A square with the whole picture on it, seen upright from +Z."""
    positions, faces = square(z)
    uv = np.array([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    model = bare(positions, faces)
    return replace(model, uvs=uv[faces], materials=(Material(pixels, **settings),))


def noise(size: int) -> np.ndarray:
    pixels = RNG.integers(0, 256, (size, size, 4), np.uint8)
    pixels[..., 3] = 255
    return pixels


def view(rgb: np.ndarray, mask: np.ndarray | None = None, depth: float = 1.0) -> views.View:
    mask = np.ones(rgb.shape[:2], bool) if mask is None else mask
    normal = np.where(mask[..., None], np.float32([0, 0, 1]), np.float32(0))
    far = np.where(mask, depth, np.inf)
    return views.View(np.where(mask[..., None], rgb, 0), mask, normal, far, 100.0)


def flat(color: tuple[float, float, float], size: int = 64) -> np.ndarray:
    return np.tile(np.float32(color), (size, size, 1))


# Surfaces


def test_a_shifted_square_is_its_shift_away() -> None:
    one, two = (views.Surface(bare(*square(z))) for z in (0.0, 0.03))
    found = surfaces.distances(one, two)
    assert found.chamfer == pytest.approx(0.03 / math.sqrt(8), rel=1e-5)
    assert found.hausdorff == pytest.approx(0.03 / math.sqrt(8), rel=1e-5)


def test_both_directions_count() -> None:
    """A far part that only the other has: no distance there, the whole distance back."""
    positions, faces = square()
    more = np.concatenate([positions, positions * 0.01 + [0, 0, 1]])
    one = views.Surface(bare(positions, faces))
    two = views.Surface(bare(more, np.concatenate([faces, faces + 4])))
    forth, back = surfaces.distances(one, two), surfaces.distances(two, one)
    assert forth.hausdorff == pytest.approx(1 / math.sqrt(8), rel=1e-3)
    assert back.hausdorff == pytest.approx(1 / 3, rel=1e-3)  # the diagonal is 3 now
    # Its share of the area, 1e-4 / (1 + 1e-4), is 1 away; the other direction adds 0.
    assert forth.chamfer == pytest.approx(0.5e-4 / math.sqrt(8), rel=0.1)


def test_samples_are_even_over_the_area() -> None:
    positions = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 0, 0], [8, 0, 0], [5, 1, 0]], float)
    points, face = surfaces.sample(bare(positions, np.array([[0, 1, 2], [3, 4, 5]])), 4000)
    assert np.bincount(face).tolist() == pytest.approx([1000, 3000], abs=1)
    np.testing.assert_allclose(points[face == 0].mean(axis=0), [1 / 3, 1 / 3, 0], atol=0.02)
    assert (points[face == 0][:, :2].sum(axis=1) <= 1 + 1e-12).all()


def test_a_large_part_that_vanished_is_named_with_its_area() -> None:
    positions, faces = square()
    small = positions * 0.3 + [0, 0, 2]  # 9 % of the square's area
    tiny = positions * 0.1 + [0, 0, -2]  # 1 %
    places = np.concatenate([positions, small, tiny])
    original = views.Surface(bare(places, np.concatenate([faces, faces + 4, faces + 8])))
    without = views.Surface(bare(places, faces))
    assert surfaces.lost_parts(original, original) == []
    assert surfaces.lost_parts(original, without) == [pytest.approx(0.09 / 1.10)]


def test_parts_join_through_places_not_indices() -> None:
    positions, faces = square()
    split = bare(positions[faces].reshape(-1, 3), np.arange(6).reshape(2, 3))
    assert surfaces.parts(split).tolist() == [0, 0]


def test_every_fault_is_counted() -> None:
    positions = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0], [np.nan, 0, 0], [2, 0, 0]])
    faces = [[0, 1, 2], [2, 0, 3], [0, 1, 3], [0, 1, 5], [0, 1, 9], [0, 2, 4]]
    model = replace(bare(positions, np.array(faces)), unit=False)
    found = surfaces.faults(model)
    # [2 0 3] is [0 1 2] again, since 1 and 3 are one place; [0 1 3] and [0 1 5] have no area.
    assert found == surfaces.Faults(
        not_finite=1, bad_indices=1, degenerate=2, duplicate=1, uv_outside=True
    )
    assert len(score.sound(model).faces) == 4


# Pictures


def test_a_picture_is_like_itself() -> None:
    one = view(RNG.random((64, 64, 3), np.float32))
    found = pictures.compare([one], [one], 1.0)
    assert found == pictures.Likeness(100.0, pytest.approx(1.0), 100.0, 1.0, 0.0)


def test_overlap_of_shifted_disks() -> None:
    """Two disks of radius r, d apart, share 2 r² acos(d/2r) - d/2 √(4r² - d²)."""
    y, x = np.mgrid[:400, :400] + 0.5
    r, d = 100.0, 60.0
    masks = [np.hypot(x - 170 - shift, y - 200) < r for shift in (0, d)]
    one, two = (view(flat((1, 1, 1), 400), mask) for mask in masks)
    shared = 2 * r**2 * math.acos(d / 2 / r) - d / 2 * math.sqrt(4 * r**2 - d**2)
    found = pictures.compare([one], [two], 1.0)
    assert found.iou == pytest.approx(shared / (2 * math.pi * r**2 - shared), abs=2e-3)
    # White against middle gray where only one is: 0.5² over that share of the union.
    assert found.color_psnr_db == pytest.approx(-10 * math.log10(0.25 * (1 - found.iou)), abs=1e-6)
    # A normal of length 1 against none is (1/2)² in one of three channels.
    expected = -10 * math.log10(0.25 / 3 * (1 - found.iou))
    assert found.normal_psnr_db == pytest.approx(expected, abs=1e-6)


def test_color_error_and_structure_of_flat_pictures() -> None:
    one, two = view(flat((0.2, 0.2, 0.2))), view(flat((0.3, 0.3, 0.3)))
    found = pictures.compare([one], [two], 1.0)
    assert found.color_psnr_db == pytest.approx(20, abs=1e-4)
    ssim = (2 * 0.2 * 0.3 + 1e-4) / (0.2**2 + 0.3**2 + 1e-4)
    assert found.color_ssim == pytest.approx(ssim, abs=1e-4)


def test_structure_is_lost_by_noise() -> None:
    picture = np.repeat(RNG.random((64, 64, 1), np.float32), 3, axis=2)
    found = pictures.compare([view(picture)], [view(picture[::-1])], 1.0)
    assert abs(found.color_ssim) < 0.2


def halves(left: tuple, right: tuple) -> np.ndarray:
    picture = flat(left, 100)
    picture[:, 50:] = right
    return picture


def test_swapped_colors_bleed() -> None:
    """Both halves swapped: all but those within 3 px of the border, where the color is near."""
    red, blue = (0.9, 0.1, 0.1), (0.1, 0.1, 0.9)
    one, two = view(halves(red, blue)), view(halves(blue, red))
    assert pictures.compare([one], [one], 3.0).bleeding == 0
    assert pictures.compare([one], [two], 3.0).bleeding == pytest.approx(0.94)  # 0.01 * 3 * 100 px


def test_shifts_and_small_changes_do_not_bleed() -> None:
    red, blue = (0.9, 0.1, 0.1), (0.1, 0.1, 0.9)
    one = view(halves(red, blue))
    moved = view(np.roll(halves(red, blue), 2, axis=1)[:, 2:98], depth=1.0)
    cut = view(halves(red, blue)[:, 2:98])
    assert pictures.compare([cut], [moved], 3.0).bleeding == 0
    paler = view(halves((0.9, 0.3, 0.3), blue))
    assert pictures.compare([one], [paler], 3.0).bleeding == 0


def test_bleeding_is_judged_where_the_surface_is_the_same() -> None:
    red, blue = (0.9, 0.1, 0.1), (0.1, 0.1, 0.9)
    one, two = view(flat(red)), view(flat(blue), depth=1.5)
    assert pictures.compare([one], [two], 3.0).bleeding == 0
    two = view(flat(blue), depth=1.02)
    assert pictures.compare([one], [two], 3.0).bleeding == 1


# Rendering


def test_agrees_with_the_mesh_renderer() -> None:
    model = textured(noise(8))
    place = views.stand(model, 96)
    seen = score.look(views.Surface(model), _standing(model, place))
    cameras = around(views.directions(), place.radius_m, 96)
    corners = model.positions[model.faces].reshape(-1, 3).astype(np.float32)
    scene = meshes.MeshScene(
        vertices=corners,
        faces=np.arange(6).reshape(2, 3),
        uvs=model.uvs.reshape(-1, 2).astype(np.float32),
        texture=model.materials[0].pixels[..., :3],
    )
    frames = meshes.render(scene, cameras, supersample=1)
    assert sum(v.mask.sum() for v in seen) > 5000
    for k, one in enumerate(seen):
        alpha = frames.alpha[k, ..., 0].numpy() > 0
        assert (one.mask != alpha).mean() < 1e-3
        both = one.mask & alpha
        np.testing.assert_allclose(one.rgb[both], frames.rgb[k].numpy()[both], atol=2e-3)
        np.testing.assert_allclose(one.depth[both], frames.depth[k, ..., 0][both], rtol=1e-4)
        turned = np.abs((one.normal * frames.normal[k].numpy()).sum(axis=2))
        np.testing.assert_allclose(turned[both], 1, atol=1e-4)


def _standing(model: Model, place: views.Stand) -> score.Original:
    original = object.__new__(score.Original)
    original.surface, original.place = views.Surface(model), place
    return original


def test_normals_are_turned_to_the_camera() -> None:
    positions, faces = square()
    model = bare(positions, faces[:, ::-1])
    seen = score.look(views.Surface(model), _standing(model, views.stand(model, 32)))
    upper = seen[0]  # from above and the front, on +Z
    assert upper.normal[upper.mask][:, 2].min() > 0.99


def test_cut_outs_are_looked_through() -> None:
    holes = np.full((4, 4, 4), 255, np.uint8)
    holes[:, :2, 3] = 0
    front = textured(holes, 0.5, cutout=0.5)
    back = textured(np.full((4, 4, 4), (255, 0, 0, 255), np.uint8), -0.5)
    both = replace(
        front,
        positions=np.concatenate([front.positions, back.positions]),
        faces=np.concatenate([front.faces, back.faces + 4]),
        uvs=np.concatenate([front.uvs, back.uvs]),
        colors=np.concatenate([front.colors, back.colors]),
        material=np.array([0, 0, 1, 1]),
        materials=(*front.materials, *back.materials),
    )
    original = _standing(both, views.stand(both, 64))
    assert original.surface.paint.has_holes
    image = score.look(original.surface, original)[0]
    reds = (image.rgb[..., 0] > 0.9) & (image.rgb[..., 1] < 0.1)
    whites = (image.rgb > 0.9).all(axis=2)
    assert reds.sum() > 100 and whites.sum() > 100
    assert (image.depth[reds].min()) > image.depth[whites].min()
    alone = replace(front, materials=front.materials)
    seen = score.look(views.Surface(alone), original)[0]
    assert 0.3 < seen.mask.sum() / (whites.sum() + 1e-9) < 1.5


def test_perfect_colors_are_those_of_the_nearest_point() -> None:
    model = textured(noise(8))
    original = _standing(model, views.stand(model, 64))
    positions, faces = square(1e-4)
    plain = score.look(views.Surface(bare(positions, faces)), original, own_colors=False)
    own = score.look(original.surface, original)
    for a, b in zip(plain, own, strict=True):
        both = a.mask & b.mask
        if both.any():
            assert np.abs(a.rgb[both] - b.rgb[both]).mean() < 2e-3


@pytest.mark.parametrize(
    ("wrap", "columns"),
    [("repeat", [0, 1, 2, 3, 0, 1]), ("mirror", [0, 1, 2, 3, 3, 2]), ("clamp", [0, 1, 2, 3, 3, 3])],
)
def test_wrapping(wrap: str, columns: list[int]) -> None:
    """At the middles of the texels of two rows of four, on to the right and left of the picture."""
    model = textured(noise(4), wrap=(wrap, "repeat"))
    pixels = model.materials[0].pixels
    for at, column in zip(range(6), columns, strict=True):
        wide = replace(model, uvs=np.full((2, 3, 2), ((at + 0.5) / 4, 0.125)))
        found = lookup(paint(wide), np.array([0]), np.array([[0.2, 0.3, 0.5]]), np.array([1e-9]))
        np.testing.assert_allclose(found[0, :3], linear(pixels[0, column, :3] / 255), atol=1e-6)


def test_far_textures_are_averaged_in_linear_light() -> None:
    model = textured(noise(8))
    found = lookup(paint(model), np.array([0]), np.array([[0.2, 0.3, 0.5]]), np.array([99.0]))
    mean = linear(model.materials[0].pixels[..., :3] / 255).mean(axis=(0, 1))
    np.testing.assert_allclose(found[0, :3], mean, atol=1e-5)


def test_the_level_is_that_of_a_texel_per_pixel() -> None:
    """8 texels over 2 m: at 0.5 m a pixel the second level, whose texels are means of 2 x 2."""
    model = textured(noise(8))
    wide = replace(model, uvs=model.uvs * 0 + [0.125, 0.125])
    ready = replace(paint(wide), density=paint(model).density)
    found = lookup(ready, np.array([0]), np.array([[0.2, 0.3, 0.5]]), np.array([0.5]))
    mean = linear(model.materials[0].pixels[:2, :2, :3] / 255).mean(axis=(0, 1))
    np.testing.assert_allclose(found[0, :3], mean, atol=1e-5)


def test_factors_and_vertex_colors_multiply() -> None:
    model = textured(np.full((2, 2, 4), 255, np.uint8), factor=(0.5, 1.0, 0.25, 1.0))
    model = replace(model, colors=np.full((2, 3, 4), 0.5))
    found = lookup(paint(model), np.array([0]), np.array([[0.2, 0.3, 0.5]]), np.array([1e-9]))
    np.testing.assert_allclose(found[0], [0.25, 0.5, 0.125, 1])


# A whole file


def odd_one() -> Model:
    """A textured tetrahedron that looks different from every side, each face a quarter of it."""
    positions = np.array([[0, 0, 0], [1.0, 0, 0.1], [0.2, 0.8, 0], [0.1, 0.3, 0.6]])
    faces = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]])
    corner = np.array([[0.03, 0.03], [0.47, 0.03], [0.03, 0.47]])
    uvs = corner + np.array([[0, 0], [0.5, 0], [0, 0.5], [0.5, 0.5]])[:, None]
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[..., 3] = 255
    pixels[:32, :32, :3], pixels[:32, 32:, :3] = (220, 40, 30), (40, 200, 60)
    pixels[32:, :32, :3], pixels[32:, 32:, :3] = (40, 60, 220), (230, 220, 40)
    pixels[::8, :, :3] //= 3
    return replace(bare(positions, faces), uvs=uvs, materials=(Material(pixels),))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> score.Original:
    path = tmp_path_factory.mktemp("judge") / "odd.glb"
    glb.write(path, odd_one())
    return score.Original(path, size_px=96)


def judged(original: score.Original, model: Model, tmp_path: Path) -> dict:
    """Through a file, as the tools' results go."""
    glb.write(tmp_path / "other.glb", model)
    return score.score(original, score.load(tmp_path / "other.glb"), textured=True)


def test_an_original_scored_against_itself_is_perfect(original, tmp_path: Path) -> None:
    found = judged(original, odd_one(), tmp_path)
    assert found["color_psnr_db"] == found["normal_psnr_db"] == 100 and found["iou"] == 1
    assert found["color_ssim"] == pytest.approx(1, abs=1e-5)
    assert found["bleeding"] == 0 and found["chamfer"] < 1e-6 and found["lost_parts"] == []
    assert found["faces"] == 4 and not any(found["faults"].values())


def test_a_shifted_texture_costs_color_alone(original, tmp_path: Path) -> None:
    model = odd_one()
    found = judged(original, replace(model, uvs=model.uvs + np.array([0, 0.03])), tmp_path)
    assert 10 < found["color_psnr_db"] < 30
    assert found["normal_psnr_db"] == 100 and found["iou"] == 1


def test_a_texture_on_its_head_bleeds(original, tmp_path: Path) -> None:
    model = odd_one()
    found = judged(original, replace(model, uvs=1 - model.uvs), tmp_path)
    assert found["bleeding"] > 0.5 and found["color_psnr_db"] < 12 and found["iou"] == 1


def test_a_turned_model_costs_everything(original, tmp_path: Path) -> None:
    model = odd_one()
    turned = replace(model, positions=model.positions[:, [1, 2, 0]])
    found = judged(original, turned, tmp_path)
    assert found["color_psnr_db"] < 12 and found["normal_psnr_db"] < 14 and found["iou"] < 0.8
    assert found["chamfer"] > 0.01


def test_winding_does_not_count_but_normals_do(original, tmp_path: Path) -> None:
    model = odd_one()
    inside_out = replace(model, faces=model.faces[:, ::-1], uvs=model.uvs[:, ::-1])
    found = judged(original, inside_out, tmp_path)
    assert found["normal_psnr_db"] == 100 and found["color_psnr_db"] > 60
    dented = model.positions.copy()
    dented[3] *= 0.9
    found = judged(original, replace(model, positions=dented), tmp_path)
    assert 15 < found["normal_psnr_db"] < 40 and 0.8 < found["iou"] < 0.99


def test_a_missing_face_costs_color_but_no_silhouette(original, tmp_path: Path) -> None:
    model = odd_one()
    part = replace(
        model, faces=model.faces[1:], uvs=model.uvs[1:], colors=model.colors[1:],
        material=model.material[1:],
    )  # fmt: skip
    found = judged(original, part, tmp_path)
    # The inside of the others is seen through the hole, at another depth: no bleeding there.
    assert found["iou"] > 0.99 and found["color_psnr_db"] < 25 and found["bleeding"] < 0.05
    assert found["hausdorff"] > 5 * found["chamfer"]


def test_what_cannot_be_read_is_the_tools_fault(tmp_path: Path) -> None:
    whole = tmp_path / "whole.glb"
    glb.write(whole, odd_one())
    data = whole.read_bytes()
    lost = replace(odd_one(), positions=np.full((4, 3), np.nan))
    broken = {
        "empty": b"", "cut": data[: len(data) // 3], "text": b"no such mesh", "head": data[:12],
        "json": data[:20] + b"{" * (len(data) - 20),
    }  # fmt: skip
    for name, content in broken.items():
        (tmp_path / f"{name}.glb").write_bytes(content)
        with pytest.raises(glb.Unreadable, match=f"{name}.glb"):
            score.load(tmp_path / f"{name}.glb")
    glb.write(tmp_path / "nan.glb", lost)
    with pytest.raises(glb.Unreadable, match="none of its 4 faces"):
        score.load(tmp_path / "nan.glb")


def test_faults_of_the_judge_are_no_rows(original, tmp_path: Path, monkeypatch) -> None:
    """A tool that writes garbage gets a row that says so; a judge that breaks gets none."""
    source = tmp_path / "in" / "odd.glb"
    source.parent.mkdir()
    glb.write(source, odd_one())
    copy = "import shutil, sys; shutil.copy(sys.argv[1], sys.argv[2])"
    good = Tool("x", (sys.executable, "-c", copy, "IN", "OUT"), True)
    write = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_bytes(b'glTF')"
    bad = Tool("x", (sys.executable, "-c", write, "OUT"), True)
    missing = [(source, "good", good, 1.0), (source, "bad", bad, 1.0)]
    monkeypatch.setattr(score, "Original", functools.partial(score.Original, size_px=32))
    bench = _program()
    assert bench.work(missing, tmp_path, math.inf) == []
    rows = {p.stem: json.loads(p.read_text()) for p in tmp_path.glob("rows/odd/*.json")}
    assert rows["good-1"]["error"] is None and rows["good-1"]["iou"] == 1
    assert "not readable" in rows["bad-1"]["error"] and "iou" not in rows["bad-1"]
    for path in tmp_path.glob("rows/odd/*.json"):
        path.unlink()

    def break_down(*_: object) -> None:
        raise KeyError("a mistake of the judge's own")

    monkeypatch.setattr(surfaces, "lost_parts", break_down)
    assert bench.work(missing, tmp_path, math.inf) == ["good odd 1"]
    assert [p.stem for p in tmp_path.glob("rows/odd/*.json")] == ["bad-1"]


def test_figures_that_are_not_finite_are_faults_of_the_judge(original, monkeypatch) -> None:
    monkeypatch.setattr(surfaces, "distances", lambda *_: surfaces.Distances(math.nan, 1.0))
    with pytest.raises(ArithmeticError, match="not finite"):
        score.score(original, odd_one(), textured=True)


def _program():
    place = Path(__file__).resolve().parents[2] / "benchmarks" / "simplify" / "__main__.py"
    spec = importlib.util.spec_from_file_location("simplify_benchmark", place)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Files


def test_writing_and_reading(tmp_path: Path) -> None:
    model = textured(noise(4), wrap=("mirror", "clamp"), factor=(0.5, 0.25, 1.0, 1.0), cutout=0.5)
    glb.write(tmp_path / "a.glb", model)
    back = glb.read(tmp_path / "a.glb")
    np.testing.assert_array_equal(back.positions[back.faces], model.positions[model.faces])
    np.testing.assert_array_equal(back.uvs, model.uvs)
    np.testing.assert_array_equal(back.materials[0].pixels, model.materials[0].pixels)
    assert replace(back.materials[0], pixels=None) == replace(model.materials[0], pixels=None)
    assert back.unit


def test_nodes_and_texture_transforms_are_applied(tmp_path: Path) -> None:
    glb.write(tmp_path / "a.glb", textured(noise(4)))
    file = glb.File(tmp_path / "a.glb")
    node = {"mesh": 0, "scale": [-2, 1, 1], "translation": [0, 0, 5]}
    half = math.sqrt(0.5)
    file.document["nodes"] = [{"children": [1], "rotation": [0, half, 0, half]}, node]
    change = {"offset": [0.5, 0.25], "rotation": math.pi / 2, "scale": [2.0, 3.0]}
    surface = file.document["materials"][0]["pbrMetallicRoughness"]
    surface["baseColorTexture"]["extensions"] = {"KHR_texture_transform": change}
    _rewrite(tmp_path / "b.glb", file)
    plain, moved = glb.read(tmp_path / "a.glb"), glb.read(tmp_path / "b.glb")
    # A quarter turn about +Y takes +Z to +X and +X to -Z.
    x, y, z = plain.positions.T
    np.testing.assert_allclose(moved.positions, np.stack([z + 5, y, 2 * x], axis=1), atol=1e-6)
    # Mirrored, so wound the other way, to look to the same side again.
    np.testing.assert_array_equal(moved.faces, plain.faces[:, ::-1])
    # KHR_texture_transform turns counter-clockwise in its own (u, v): (u, v) -> (v, -u).
    u, v = plain.uvs[..., 0] * 2, plain.uvs[..., 1] * 3
    expected = np.stack([v + 0.5, -u + 0.25], axis=-1)
    np.testing.assert_allclose(moved.uvs, expected[:, ::-1], atol=1e-6)


def test_skinned_meshes_are_posed_by_their_bones_alone(tmp_path: Path) -> None:
    glb.write(tmp_path / "a.glb", textured(noise(4)))
    file, plain = glb.File(tmp_path / "a.glb"), glb.read(tmp_path / "a.glb")
    count = len(plain.positions)
    document = file.document

    def add(values: np.ndarray, code: int, kind: str) -> int:
        content = values.tobytes()
        start = len(file.binary)
        file.binary += content + bytes(-len(content) % 4)
        view = {"buffer": 0, "byteOffset": start, "byteLength": len(content), "byteStride": 0}
        document["bufferViews"].append(view)
        entry = {"bufferView": len(document["bufferViews"]) - 1, "componentType": code}
        document["accessors"].append({**entry, "type": kind, "count": len(values)})
        return len(document["accessors"]) - 1

    # Two bones: one half a metre along x, its bind pose at y = 2; one as it was bound.
    bind = np.eye(4, dtype="<f4")[None].repeat(2, axis=0)
    bind[0, 3, 1] = -2.0  # Column-major: the translation is the last row.
    share = np.linspace(0, 1, count, dtype="<f4")
    names = document["meshes"][0]["primitives"][0]["attributes"]
    names["JOINTS_0"] = add(np.tile(np.uint8([0, 1, 0, 0]), (count, 1)), 5121, "VEC4")
    weights = np.stack([share, 1 - share, 0 * share, 0 * share], axis=1)
    names["WEIGHTS_0"] = add(weights, 5126, "VEC4")
    document["skins"] = [{"joints": [1, 2], "inverseBindMatrices": add(bind, 5126, "MAT4")}]
    document["nodes"] = [
        {"mesh": 0, "skin": 0, "translation": [100, 100, 100]},
        {"translation": [0.5, 2, 0]},
        {},
    ]
    document["scenes"] = [{"nodes": [0, 1, 2]}]
    document["buffers"][0]["byteLength"] = len(file.binary)
    _rewrite(tmp_path / "b.glb", file)
    posed = glb.read(tmp_path / "b.glb")
    np.testing.assert_allclose(
        posed.positions, plain.positions + 0.5 * share[:, None] * [1, 0, 0], atol=1e-6
    )
    np.testing.assert_array_equal(posed.faces, plain.faces)


def _rewrite(path: Path, file: glb.File) -> None:
    text = json.dumps(file.document).encode()
    text += b" " * (-len(text) % 4)
    binary = file.binary
    head = struct.pack("<III", 0x46546C67, 2, 28 + len(text) + len(binary))
    head += struct.pack("<II", len(text), 0x4E4F534A) + text
    path.write_bytes(head + struct.pack("<II", len(binary), 0x004E4942) + binary)


# Tools and goals


def test_a_tool_that_fails_is_a_row_not_a_stop(tmp_path: Path) -> None:
    line = (sys.executable, "-c", "import sys; sys.exit('no such mesh')")
    took = run(Tool("x", line, False), tmp_path, 10, tmp_path / "out.glb")
    assert took.error is not None and "no such mesh" in took.error
    silent = run(Tool("x", (sys.executable, "-c", ""), False), tmp_path, 10, tmp_path / "out.glb")
    assert silent.error == "wrote nothing"


def test_time_and_memory_are_those_of_the_tool(tmp_path: Path) -> None:
    code = (
        "import sys, json, pathlib, time\n"
        "room = bytearray(200 << 20)\n"
        "end = time.process_time() + 0.3\n"
        "while time.process_time() < end: pass\n"
        "pathlib.Path(sys.argv[1]).write_text('x'); print(json.dumps({'seconds': 0.25}))"
    )
    tool = Tool("x", (sys.executable, "-c", code, "OUT"), False)
    took = run(tool, tmp_path, 10, tmp_path / "out.glb")
    assert took.error is None and took.core_s == 0.25
    assert 0.3 <= took.total_s < 5
    assert 200 << 20 <= took.peak_bytes < 400 << 20


def row(**changes: object) -> goals.Row:
    base = {
        "error": None, "faces": 100, "asked": 100, "color_psnr_db": 30.0, "normal_psnr_db": 20.0,
        "iou": 0.99, "chamfer": 0.001, "bleeding": 0.0, "lost_parts": [], "faults": {"nan": 0},
        "mesh": "a", "ratio": 0.1, "validator_errors": 0, "core_s": 1.0, "total_s": 1.0,
    }  # fmt: skip
    return base | changes


def all_rows(**ours: object) -> dict:
    rows = {}
    for ratio in (0.5, 0.1, 0.05, 0.02, 0.01):
        rows["ours", "a", ratio] = row(color_psnr_db=34.0, ratio=ratio, **ours)
        rows["ours_geometry", "a", ratio] = row(ratio=ratio)
        worse = {"normal_psnr_db": 18.5, "chamfer": 0.002, "core_s": 1.6}
        rows["meshlab", "a", ratio] = row(ratio=ratio, **worse)
        rows["peer", "a", ratio] = row(ratio=ratio)
    return rows


def test_all_goals_can_pass() -> None:
    assert [str(g) for g in goals.check(all_rows(), ["a"], ["peer"]) if not g.passed] == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"faces": 103}, "reached"),
        ({"iou": 0.8}, "IoU"),
        ({"bleeding": 0.0011}, "bleeding"),
        ({"lost_parts": [0.03]}, "lost"),
        ({"normal_psnr_db": 19.4}, "normal"),
        ({"chamfer": 0.0018}, "Chamfer"),
        ({"faults": {"nan": 1}}, "sound"),
        ({"validator_errors": 1}, "validator"),
        ({"total_s": 6.0}, "whole command"),
    ],
)
def test_goals_fail(change: dict, words: str) -> None:
    failed = [g.text for g in goals.check(all_rows(**change), ["a"], ["peer"]) if not g.passed]
    assert failed and all(words in text for text in failed)


def test_color_goals_fail() -> None:
    rows = all_rows()
    for key, value in rows.items():
        if key[0] == "ours":
            rows[key] = value | {"color_psnr_db": 30.4}
    failed = [g.text for g in goals.check(rows, ["a"], ["peer"]) if not g.passed]
    assert len(failed) == 4 + 4 + 1  # the peer, MeshLab's geometry, and 33 dB at 50 %


def test_a_peer_that_stopped_early_is_not_compared() -> None:
    rows = all_rows()
    for key, value in rows.items():
        if key[0] == "peer":
            rows[key] = value | {"color_psnr_db": 60.0, "faces": 111}
    assert all(g.passed for g in goals.check(rows, ["a"], ["peer"]))


def test_missing_rows_fail() -> None:
    rows = {key: value for key, value in all_rows().items() if key[1:] != ("a", 0.02)}
    failed = [g.text for g in goals.check(rows, ["a"], ["peer"]) if not g.passed]
    assert any(text.startswith("2%") for text in failed)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
