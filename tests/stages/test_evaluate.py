"""`pipeline evaluate` on what is known by hand."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from splatworks.pipeline.cli import main
from splatworks.pipeline.errors import InputError
from splatworks.renderers import cpu, meshes
from splatworks.stages import evaluate
from splatworks.stages.artifacts import CaptureDir, MeshFile, SplatsFile
from splatworks.stages.evaluate import Config
from splatworks.stages.evaluate.distances import compare, spread
from splatworks.stages.formats import gltf
from splatworks.stages.formats.srgb import decode, encode
from splatworks.stages.geometry.activation import activate
from splatworks.stages.geometry.components import Surface, edge_counts
from splatworks.stages.geometry.isosurface import isosurface
from splatworks.stages.geometry.psnr import exposed, psnr_db

from . import photo_folders
from .splat_objects import context, raw, saved, sphere


def ball(radius: float, resolution: int = 48) -> Surface:
    """Around the origin."""
    found = isosurface(lambda p: np.linalg.norm(2 * p - 1, axis=1) / 2 - radius / 2, resolution)
    return Surface(found.positions * 2.0 - 1, found.faces)


def square(height: float, side: float = 1.0) -> Surface:
    corners = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], float) * side
    return Surface(np.add(corners, [0, 0, height]), np.array([[0, 1, 2], [0, 2, 3]]))


def written(surface: Surface, path: Path, color=None) -> Path:
    colors = None
    if color is not None:
        colors = np.tile(decode(np.array(color)), (len(surface.positions), 1)).astype(np.float32)
    mesh = gltf.Mesh(surface.positions.astype(np.float32), surface.faces, colors=colors)
    return gltf.save(mesh, path)


def judged(folder: Path, inputs: evaluate.Inputs, **settings) -> dict:
    made = evaluate.run(inputs, Config(**settings), context(folder))
    return json.loads(made.report.path.read_text())


# --- distances ---


def test_a_surface_is_nowhere_away_from_itself() -> None:
    found = compare(ball(0.7), ball(0.7), samples=2000, thresholds_m=[1e-5], seed=0)
    assert found.chamfer_m < 1e-6 and found.f1 == (1.0,) and found.normals > 0.9999


def test_shells_are_as_far_apart_as_their_radii() -> None:
    found = compare(ball(0.7), ball(0.65), samples=4000, thresholds_m=[0.04, 0.06], seed=0)
    assert found.there.mean_m == pytest.approx(0.05, abs=1e-3)
    assert found.back.mean_m == pytest.approx(0.05, abs=1e-3)
    assert found.f1[0] < 0.01 and found.f1[1] == 1.0
    assert found.normals > 0.99


def test_completeness_and_accuracy_are_told_apart() -> None:
    """A quarter of a square is accurate; three quarters of the whole are missing."""
    found = compare(
        square(0, 0.5), square(0, 1.0), samples=20_000, thresholds_m=[1e-4, 0.2], seed=1
    )
    assert found.there.mean_m < 1e-7 and found.there.within[0] == 1.0
    assert found.back.within[0] == pytest.approx(0.25, abs=0.01)
    # The mean distance of the rest to the quarter: twice 1/2 x 1/2 x 1/4, once of the corner.
    corner = 0.25 * 0.5 * (math.sqrt(2) + math.log(1 + math.sqrt(2))) / 3
    assert found.back.mean_m == pytest.approx(2 * 0.25 * 0.25 + corner, abs=3e-3)
    assert found.chamfer_m == pytest.approx(found.back.mean_m / 2, abs=1e-6)
    share = found.back.within[0]
    assert found.f1[0] == pytest.approx(2 * share / (1 + share))


def test_normals_count_without_sign() -> None:
    turned = Surface(square(0).positions, square(0).faces[:, ::-1])
    across = Surface(square(0).positions[:, [2, 0, 1]], square(0).faces)
    assert compare(square(0), turned, samples=500, thresholds_m=[1.0], seed=0).normals == 1
    assert compare(square(0), across, samples=500, thresholds_m=[1.0], seed=0).normals < 1e-9


def test_distances_survive_a_place_far_away() -> None:
    """Embree counts in float32; a kilometre off, a tenth of a millimetre would be lost."""
    far = [1000.0, -2000.0, 500.0]
    one, two = (Surface(square(h).positions + far, square(h).faces) for h in (0.0, 0.001))
    found = compare(one, two, samples=500, thresholds_m=[0.01], seed=0)
    assert found.there.mean_m == pytest.approx(0.001, rel=1e-3)


def test_points_are_spread_by_area() -> None:
    two = Surface(
        np.concatenate([square(0).positions, square(5, 3.0).positions]),
        np.concatenate([square(0).faces, square(5).faces + 4]),
    )
    points, normals = spread(two, 20_000, 0)
    assert (points[:, 2] > 1).mean() == pytest.approx(0.9, abs=0.01)
    np.testing.assert_allclose(np.abs(normals), np.tile([0, 0, 1], (20_000, 1)), atol=1e-12)
    low = points[points[:, 2] < 1, :2]
    np.testing.assert_allclose(low.mean(axis=0), 0.5, atol=0.02)
    np.testing.assert_allclose(low.var(axis=0), 1 / 12, atol=0.005)


def test_edges_are_counted() -> None:
    assert edge_counts(square(0).faces) == (4, 0)
    assert edge_counts(np.concatenate([square(0).faces, [[0, 2, 1]]]))[1] == 1
    assert edge_counts(ball(0.7, 16).faces) == (0, 0)
    assert edge_counts(np.zeros((0, 3), int)) == (0, 0)


# --- the stage ---


def test_the_report_of_a_mesh(tmp_path) -> None:
    one, two = written(ball(0.7), tmp_path / "a.glb"), written(ball(0.65), tmp_path / "b.glb")
    found = judged(tmp_path / "run", evaluate.Inputs(MeshFile(one), MeshFile(two)), samples=2000)
    assert found["surface"]["watertight"] and found["surface"]["components"] == 1
    assert found["surface"]["boundary_edges"] == 0 and "photographs" not in found
    told = found["reference"]
    assert told["diagonal_m"] == pytest.approx(2 * 0.65 * math.sqrt(3), rel=0.01)
    assert told["chamfer_m"] == pytest.approx(0.05, abs=1e-3)
    assert [each["share_of_diagonal"] for each in told["f1"]] == list(Config().thresholds)
    assert told["f1"][-1]["f1"] == 1 and told["f1"][0]["f1"] < 0.01
    open_ = written(square(0), tmp_path / "c.glb")
    found = judged(tmp_path / "open", evaluate.Inputs(MeshFile(open_)))
    assert found["surface"]["boundary_edges"] == 4 and not found["surface"]["watertight"]


def test_seams_are_no_borders(tmp_path) -> None:
    """A cube with corners split three ways, as a texture's charts do."""
    import trimesh

    box = trimesh.creation.box()
    split = Surface(box.vertices[box.faces].reshape(-1, 3), np.arange(36).reshape(-1, 3))
    path = written(split, tmp_path / "box.glb")
    found = judged(tmp_path / "run", evaluate.Inputs(MeshFile(path)))["surface"]
    assert found["watertight"] and found["components"] == 1 and found["vertices"] == 8


def capture_of(folder: Path, picture) -> Path:
    """A nerfstudio folder whose photographs are `picture(camera)`, "height width 3"."""
    photo_folders.nerfstudio(folder)
    views = photo_folders.cameras(12)
    for k in range(12):
        one = type(views)(
            views.world_to_camera[k : k + 1], views.focal_px[k : k + 1],
            views.center_px[k : k + 1], views.width_px, views.height_px,
        )  # fmt: skip
        pixels = (np.clip(picture(one), 0, 1) * 255).round().astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"images/{k:03d}.png")
    return folder


def test_splats_against_photographs_of_themselves(tmp_path) -> None:
    scene = sphere(800, 0.3)

    def picture(camera):
        return cpu.render(activate(scene), camera).rgb[0].numpy()

    folder = CaptureDir(capture_of(tmp_path / "capture", picture))
    subject = SplatsFile(saved(scene, tmp_path / "s.ply").path)
    found = judged(tmp_path / "run", evaluate.Inputs(subject, capture=folder))
    told = found["photographs"]
    assert found["subject"] == "splats" and "surface" not in found
    assert [each["name"] for each in told["each"]] == ["000.png", "008.png"]
    assert told["psnr_db"] > 55 and told["ssim"] > 0.999
    faded = raw(
        scene.means, np.exp(scene.log_scales), scene.quaternions, np.full(800, 0.95),
        np.full((800, 3), 0.5),
    )  # fmt: skip
    other = SplatsFile(saved(faded, tmp_path / "gray.ply").path)
    worse = judged(tmp_path / "gray", evaluate.Inputs(other, capture=folder), hold_out_every=0)
    assert worse["photographs"]["psnr_db"] < 20 and len(worse["photographs"]["each"]) == 12


def test_a_mesh_against_photographs_of_itself(tmp_path) -> None:
    surface, color = ball(0.3), (0.2, 0.6, 0.9)
    path = written(surface, tmp_path / "ball.glb", color)
    mesh = gltf.load(path)
    scene = meshes.MeshScene(mesh.positions, mesh.faces, vertex_colors=mesh.colors)

    def picture(camera):
        return meshes.render(scene, camera, supersample=2).rgb[0].numpy()

    folder = CaptureDir(capture_of(tmp_path / "capture", picture))
    inputs = evaluate.Inputs(MeshFile(path), capture=folder)
    told = judged(tmp_path / "run", inputs)["photographs"]
    assert told["psnr_db"] > 50 and 0.05 < told["covered"] < 0.6
    # The capture says +z is up: a mesh that says +y is up is seen from elsewhere.
    moved = Surface(np.add(surface.positions, [0, 0.2, 0]), surface.faces)
    inputs = evaluate.Inputs(MeshFile(written(moved, tmp_path / "m.glb", color)), capture=folder)
    turned = judged(tmp_path / "turned", inputs, mesh_up="+y")["photographs"]
    lifted = Surface(np.add(surface.positions, [0, 0, 0.2]), surface.faces)
    inputs = evaluate.Inputs(MeshFile(written(lifted, tmp_path / "l.glb", color)), capture=folder)
    wanted = judged(tmp_path / "lifted", inputs)["photographs"]
    assert turned["psnr_db"] == pytest.approx(wanted["psnr_db"], abs=0.05)
    assert turned["psnr_db"] < told["psnr_db"] - 10


def test_exposures_of_the_photographs_are_told(tmp_path) -> None:
    path = written(ball(0.3), tmp_path / "ball.glb", (0.2, 0.3, 0.4))
    mesh = gltf.load(path)
    scene = meshes.MeshScene(mesh.positions, mesh.faces, vertex_colors=mesh.colors)
    # In the order of the photographs; the first and the ninth are looked at.
    factors = iter([1.6, *[1.0] * 7, 0.5, *[1.0] * 3])

    def picture(camera):
        frames = meshes.render(scene, camera, supersample=2)
        return encode(decode(frames.rgb[0].numpy()) * next(factors))

    folder = CaptureDir(capture_of(tmp_path / "capture", picture))
    told = judged(tmp_path / "run", evaluate.Inputs(MeshFile(path), capture=folder))["photographs"]
    assert [one["exposure"] for one in told["each"]] == pytest.approx([1.6, 0.5], rel=0.02)
    assert told["covered_psnr_db"] < 25 and told["exposed_psnr_db"] > 40


def test_the_exposure_is_the_best_of_many() -> None:
    rng = np.random.default_rng(4)
    one = torch.from_numpy(rng.random((3, 20, 30)))
    other = (one * 0.8 + 0.1 * torch.from_numpy(rng.random((3, 20, 30)))).clamp(0, 1)
    counts = torch.zeros(1, 20, 30)
    counts[:, 3:17, 5:] = 1
    other[:, 0] = 0  # Does not count.
    fitted, factor = exposed(one, other, counts)
    best = psnr_db(fitted, other, counts)
    for nearby in (0.97, 1.03):
        changed = torch.from_numpy(encode(decode(one.numpy()) * factor * nearby))
        assert psnr_db(changed, other, counts) < best


def test_what_cannot_be_judged_is_explained(tmp_path) -> None:
    mesh = MeshFile(written(square(0), tmp_path / "m.glb"))
    scene = SplatsFile(saved(sphere(20), tmp_path / "s.ply").path)
    nothing = tmp_path / "nothing.obj"
    nothing.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\n")
    folder = CaptureDir(photo_folders.nerfstudio(tmp_path / "capture"))
    away = Surface(square(0).positions + 1000, square(0).faces)
    far = MeshFile(written(away, tmp_path / "far.glb"))
    for inputs, told in (
        (evaluate.Inputs(scene), "give a capture"),
        (evaluate.Inputs(scene, reference=mesh, capture=folder), "have no surface"),
        (evaluate.Inputs(MeshFile(nothing)), "nothing.obj"),
        (evaluate.Inputs(mesh, reference=MeshFile(nothing)), "nothing.obj"),
        (evaluate.Inputs(far, capture=folder), "sees any of it"),
    ):
        with pytest.raises(InputError, match=told):
            judged(tmp_path / f"run{told[:4]}{id(inputs)}", inputs)


@pytest.mark.parametrize(
    "settings",
    [{"samples": 1}, {"thresholds": ()}, {"thresholds": (2.0,)}, {"hold_out_every": 1},
     {"max_side_px": 2}],
)  # fmt: skip
def test_settings_out_of_range_are_named(settings) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        Config(**settings)


# --- the command ---


def test_the_command_prints_a_table(tmp_path, capsys) -> None:
    one, two = written(ball(0.7), tmp_path / "a.glb"), written(ball(0.69), tmp_path / "b.glb")
    words = ["evaluate", str(one), "--reference", str(two), "--out", str(tmp_path / "run")]
    assert main([*words, "--set", "evaluate.samples=1000"]) == 0
    said = capsys.readouterr().out
    for name in ("watertight", "boundary edges", "Chamfer", "normal consistency", "F1 at 1.0%"):
        assert name in said
    assert (tmp_path / "run/latest/evaluate/report.json").is_file()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["gone.glb"], "gone.glb: no such file"),
        (["m.glb", "--reference", "gone.glb"], "--reference gone.glb"),
        (["m.glb", "--capture", "gone"], "--capture gone"),
        (["m.glb", "--mesh-up=+y"], "give --capture"),
    ],
)
def test_wrong_lines_are_one_line(words, told, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    written(square(0), tmp_path / "m.glb")
    assert main(["evaluate", *words, "--out", "run"]) == 2
    said = capsys.readouterr().err.strip()
    assert told in said and "\n" not in said
