"""Binding, whole: what comes out, interruption, refusals, the commands, meshes from elsewhere."""

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from splatworks.pipeline.cli import main
from splatworks.pipeline.errors import ConfigError, InputError
from splatworks.renderers.meshes import MeshScene
from splatworks.renderers.projection import view_points
from splatworks.stages import bound
from splatworks.stages.artifacts import (
    CameraFile,
    CaptureDir,
    ExposuresFile,
    SplatsFile,
    TexturedMeshFile,
)
from splatworks.stages.bound import Rates, Views, matching
from splatworks.stages.bound.first_look import first_look
from splatworks.stages.bound.loop import coefficients_at
from splatworks.stages.bound.start import welded
from splatworks.stages.bound.views import View, moved
from splatworks.stages.formats import bindings, cameras, exposures, gltf, pictures, splats, wild
from splatworks.stages.formats.photos import Target
from splatworks.stages.geometry.exposure import Exposure
from splatworks.stages.geometry.likeness import one_by_one
from splatworks.stages.scene.affine import carried
from splatworks.stages.scene.placing import frame_transform

from . import photo_folders as made
from . import striped_ball
from .splat_objects import sphere
from .test_formats_gltf_model import skinned
from .test_reconstruct import Killed, context, results

SMALL = bound.Config(
    per_face=3,
    iterations=40,
    sh_degree=1,
    views=Views(renders=10, render_size_px=48, hold_out_every=5),
    rates=Rates(vertices=1e-3, vertices_final=1e-4, sh=0.03, log_scales=0.02),
    checkpoint_every_s=0.0,
)
RADIUS = 0.4


def ball_mesh(path: Path, subdivisions: int = 2, radius: float = RADIUS) -> Path:
    trimesh.creation.icosphere(subdivisions, radius=radius).export(path)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """A ball as splats and as a mesh."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("ball")
    splats.save(sphere(1500, RADIUS), folder / "ball.ply")
    ball_mesh(folder / "ball.glb")
    return folder


@pytest.fixture(scope="module")
def inputs(files) -> bound.Inputs:
    return bound.Inputs(TexturedMeshFile(files / "ball.glb"), splats=SplatsFile(files / "ball.ply"))


@pytest.fixture(scope="module")
def whole(inputs, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    bound.run(inputs, SMALL, context(folder))
    return folder / "out"


def test_what_comes_out(whole, files) -> None:
    assert set(results(whole)) == {
        "splats.ply", "mesh.glb", "binding.safetensors", "report.json", "preview.png"
    }  # fmt: skip
    made_of = splats.load(whole / "splats.ply")
    assert len(made_of) == 320 * 3 and made_of.sh.shape[1] == 4
    report = json.loads((whole / "report.json").read_text())
    assert report["views"] == 8 and len(report["kept_aside"]) == 2
    assert report["psnr_db"] > 15 and report["pixels_that_count"] == 1
    mesh = gltf.load(whole / "mesh.glb")
    assert len(mesh.faces) == 320 and mesh.colors is not None
    first = gltf.load(files / "ball.glb")
    shift = np.linalg.norm(mesh.positions[mesh.faces] - first.positions[first.faces], axis=2)
    assert 0 < shift.max() < 0.1 * RADIUS, "faces keep their order; vertices have moved a little"
    binding = bindings.load(whole / "binding.safetensors")
    assert np.array_equal(binding.vertices.numpy()[binding.faces], mesh.positions[mesh.faces])
    assert np.bincount(binding.owner.numpy()).tolist() == [3] * 320
    middles = mesh.positions[mesh.faces].mean(axis=1)
    assert np.allclose(made_of.means.reshape(320, 3, 3).mean(axis=1), middles, atol=1e-6)


@pytest.mark.parametrize("stop_at", [1, 23, 40])
def test_interrupted_and_continued_gives_the_same(inputs, whole, tmp_path, stop_at) -> None:
    with pytest.raises(Killed):
        bound.run(inputs, SMALL, context(tmp_path, stop_at=stop_at))
    assert not list((tmp_path / "out").iterdir())
    bound.run(inputs, SMALL, context(tmp_path, threads=2))
    assert results(tmp_path / "out") == results(whole)


def test_refining_helps_on_views_never_seen(inputs, whole, tmp_path) -> None:
    bound.run(inputs, replace(SMALL, iterations=1), context(tmp_path))
    first = json.loads((tmp_path / "out" / "report.json").read_text())["psnr_db"]
    assert json.loads((whole / "report.json").read_text())["psnr_db"] > first + 1


def test_photographs_count_where_the_mesh_is(tmp_path) -> None:
    """The capture shows a ball with a nose before a gray wall; the mesh is the ball alone."""
    folder = made.nerfstudio(tmp_path / "c", 12, behind=0.4)
    (center, radius), _ = striped_ball.PARTS
    ball = trimesh.creation.icosphere(2, radius=radius)
    ball.apply_translation(center)
    ball.export(tmp_path / "ball.ply")
    given = bound.Inputs(TexturedMeshFile(tmp_path / "ball.ply"), capture=CaptureDir(folder))
    bound.run(given, replace(SMALL, iterations=60), context(tmp_path))
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert 0.05 < report["pixels_that_count"] < 0.35
    assert len(report["kept_aside"]) == 3 and report["psnr_db"] > 15
    assert splats.load(tmp_path / "out" / "splats.ply").sidecar.up_axis == "+z"


def test_known_exposures_are_taken_back(tmp_path) -> None:
    """Photographs that were changed, with the list of how, are as good as they were before."""
    plain = made.nerfstudio(tmp_path / "plain", 12, behind=0.4)
    changed = tmp_path / "changed"
    shutil.copytree(plain, changed)
    random, listed = np.random.default_rng(0), {}
    for path in sorted((changed / "images").iterdir()):
        gain, offset = random.uniform(0.6, 1.0, 3), random.uniform(0.0, 0.15, 3)
        pictures.save(gain * pictures.load(path)[..., :3] + offset, path)
        listed[f"images/{path.name}"] = Exposure(
            torch.from_numpy(gain).float(), torch.from_numpy(offset).float()
        )
    exposures.save(exposures.Exposures(listed, {}), tmp_path / "exposures.json")
    center, radius = striped_ball.PARTS[0]
    ball = trimesh.creation.icosphere(2, radius=radius)
    ball.apply_translation(center)
    ball.export(tmp_path / "ball.ply")
    mesh, found = TexturedMeshFile(tmp_path / "ball.ply"), []
    for number, (folder, known) in enumerate(((plain, None), (changed, True), (changed, None))):
        file = ExposuresFile(tmp_path / "exposures.json") if known else None
        inputs = bound.Inputs(mesh, capture=CaptureDir(folder), exposures=file)
        bound.run(inputs, replace(SMALL, iterations=60), context(tmp_path / str(number)))
        raw = splats.load(tmp_path / str(number) / "out" / "splats.ply")
        report = json.loads((tmp_path / str(number) / "out" / "report.json").read_text())
        found.append((raw.sh[:, 0].mean(axis=0), report["psnr_db"]))
    (as_was, best), (taken_back, good), (ignored, bad) = found
    assert np.abs(taken_back - as_was).max() < 0.1 * np.abs(ignored - as_was).max()
    assert good > best - 0.5 and bad < best - 2


def test_a_mesh_that_was_turned_upright_fits_the_capture_again(tmp_path) -> None:
    folder = made.nerfstudio(tmp_path / "c", 8)
    (center, radius), _ = striped_ball.PARTS
    upright = frame_transform(splats.Sidecar(up_axis="+z"), splats.Sidecar())
    found = []
    for frame in ("same", "upright"):
        ball = trimesh.creation.icosphere(2, radius=radius)
        ball.apply_translation(center)
        if frame == "upright":
            ball.apply_transform(upright)
        ball.export(tmp_path / f"{frame}.ply")
        config = replace(
            SMALL, iterations=10, views=replace(SMALL.views, mesh_frame=frame, hold_out_every=4)
        )
        given = bound.Inputs(
            TexturedMeshFile(tmp_path / f"{frame}.ply"), capture=CaptureDir(folder)
        )
        bound.run(given, config, context(tmp_path / frame))
        found.append(splats.load(tmp_path / frame / "out" / "splats.ply"))
    assert found[1].sidecar.up_axis == "+y"
    scores = [
        json.loads((tmp_path / frame / "out" / "report.json").read_text())["psnr_db"]
        for frame in ("same", "upright")
    ]
    assert scores[0] == pytest.approx(scores[1], abs=0.3), "the cameras have turned along"
    there = carried(found[0], upright)
    # Equal vertices are joined in the order of their places, so compare the clouds.
    assert np.allclose(there.means.mean(axis=0), found[1].means.mean(axis=0), atol=1e-3)
    assert np.allclose(np.ptp(there.means, axis=0), np.ptp(found[1].means, axis=0), atol=5e-3)


def test_a_crack_between_rays_is_no_color(tmp_path) -> None:
    """The mesh has a slit that only the rays through pixel centres meet."""
    view = one_by_one(striped_ball.cameras([(0, 0)], 9))[0]
    z, w = 1.8 - float(view.focal_px[0, 0]), 1e-3  # One unit is a pixel at this distance.
    places = [[-9, -9, z], [-w, -9, z], [-w, 9, z], [w, -9, z], [9, -9, z], [9, 9, z], [w, 9, z]]
    faces = np.array([[0, 1, 2], [3, 4, 5], [3, 5, 6]])
    scene = MeshScene(np.float32(places), faces)
    target = Target(view, torch.full((3, 9, 9), 0.7), None, None)
    found = first_look(scene, [View("0", False, target)])
    assert found.colors[1:] == pytest.approx(0.7)
    assert not found.views[0].counts[0, :, 4].any() and found.views[0].counts[0, :, 5:].all()
    aside = View("1", True, replace(target, rgb=torch.zeros(3, 9, 9)))
    again = first_look(scene, [View("0", False, target), aside])
    assert np.array_equal(again.colors, found.colors), "views kept aside give no color"


def test_smoothness_smooths(inputs, tmp_path) -> None:
    angles = []
    for weight in (0.0, 3.0):
        folder = tmp_path / str(weight)
        rates = replace(SMALL.rates, vertices=3e-3)
        bound.run(inputs, replace(SMALL, smoothness=weight, rates=rates), context(folder))
        mesh = trimesh.load_mesh(folder / "out" / "mesh.glb")
        angles.append(float(1 - np.cos(mesh.face_adjacency_angles).mean()))
    assert angles[1] < 0.95 * angles[0]


def test_cameras_for_the_splats_may_be_given(files, tmp_path) -> None:
    views = striped_ball.cameras([(45 * k, 20) for k in range(8)], 40)
    cameras.save(views, tmp_path / "c.json")
    given = bound.Inputs(
        TexturedMeshFile(files / "ball.glb"), splats=SplatsFile(files / "ball.ply"),
        camera=CameraFile(tmp_path / "c.json"),
    )  # fmt: skip
    bound.run(given, replace(SMALL, iterations=5), context(tmp_path))
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["views"] == 6 and len(report["kept_aside"]) == 2


def test_cameras_move_along_with_the_units_and_the_up_axis() -> None:
    """They stay rigid, and see every point where it was, so much closer as units are smaller."""
    seen = striped_ball.cameras([(30, 20), (200, -10)], 40)
    matrix = frame_transform(splats.Sidecar(up_axis="+z", meters_per_unit=0.25), splats.Sidecar())
    after = moved(seen, matrix)
    turns = after.world_to_camera[:, :3, :3]
    assert torch.allclose(turns @ turns.mT, torch.eye(3).expand(2, 3, 3), atol=1e-5)
    points = torch.rand(20, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    there = points @ torch.from_numpy(matrix[:3, :3]).float().T
    wanted = 0.25 * view_points(points, seen.world_to_camera)
    assert torch.allclose(view_points(there, after.world_to_camera), wanted, atol=1e-5)


def test_degrees_open_one_at_a_time() -> None:
    config = bound.Config(iterations=100, sh_share=0.2)
    assert [coefficients_at(config, k) for k in (0, 19, 20, 40, 60, 99)] == [1, 1, 4, 9, 16, 16]


def test_degrees_that_are_closed_are_not_learned(inputs, tmp_path) -> None:
    bound.run(inputs, replace(SMALL, iterations=3, sh_share=1.0), context(tmp_path))
    sh = splats.load(tmp_path / "out" / "splats.ply").sh
    assert sh.shape[1] == 4 and not sh[:, 1:].any() and sh[:, 0].any()


def test_triangles_without_area_carry_nothing_and_are_said(files, tmp_path, caplog) -> None:
    ball = trimesh.creation.icosphere(2, radius=RADIUS)
    faces = np.concatenate([ball.faces[:5], [[0, 1, 1]], ball.faces[5:]])
    trimesh.Trimesh(ball.vertices, faces, process=False).export(tmp_path / "b.glb")
    given = bound.Inputs(
        TexturedMeshFile(tmp_path / "b.glb"), splats=SplatsFile(files / "ball.ply")
    )
    bound.run(given, replace(SMALL, iterations=2), context(tmp_path))
    assert any("1 of 321 triangles have no area (first: 5)" in r.message for r in caplog.records)
    binding = bindings.load(tmp_path / "out" / "binding.safetensors")
    assert 5 not in binding.owner.tolist() and len(binding.faces) == 321


def test_seams_are_joined(tmp_path) -> None:
    ball = trimesh.creation.icosphere(1)
    trimesh.Trimesh(
        ball.vertices[ball.faces].reshape(-1, 3), np.arange(240).reshape(-1, 3), process=False
    ).export(tmp_path / "soup.ply")
    surface = welded(tmp_path / "soup.ply", logging.getLogger("bind"))
    assert len(surface.positions) == 42
    assert np.allclose(surface.positions[surface.faces], ball.vertices[ball.faces], atol=1e-6)


# --- meshes from elsewhere ---


def corners_of(mesh: trimesh.Trimesh) -> torch.Tensor:
    return torch.from_numpy(np.array(mesh.vertices[mesh.faces]))


@pytest.fixture
def posed() -> tuple[trimesh.Trimesh, trimesh.Trimesh]:
    """A mesh, and another pose of it."""
    rest = trimesh.creation.icosphere(2)
    moved = rest.copy()
    moved.vertices = rest.vertices * [1, 1.5, 1] + 0.3 * np.sin(3 * rest.vertices[:, ::-1])
    return rest, moved


def found(path: Path, rest: trimesh.Trimesh) -> np.ndarray:
    log = logging.getLogger("bind")
    return matching.posed_corners(path, corners_of(rest), np.array(rest.faces), log).numpy()


@pytest.mark.parametrize("ending", ["glb", "obj", "ply", "stl"])
def test_any_writer_that_keeps_the_order_of_triangles_will_do(tmp_path, posed, ending) -> None:
    """An STL has no vertices at all: every corner stands alone."""
    rest, moved = posed
    moved.export(tmp_path / f"m.{ending}")
    assert np.abs(found(tmp_path / f"m.{ending}", rest) - corners_of(moved).numpy()).max() < 1e-6


def test_split_and_shuffled_vertices_do_not_matter(tmp_path, posed) -> None:
    rest, moved = posed
    order = np.random.default_rng(0).permutation(3 * len(rest.faces))
    soup = moved.vertices[moved.faces].reshape(-1, 3)
    places = np.empty_like(soup)
    places[order] = soup
    trimesh.Trimesh(places, order.reshape(-1, 3), process=False).export(tmp_path / "m.glb")
    assert np.abs(found(tmp_path / "m.glb", rest) - corners_of(moved).numpy()).max() < 1e-6


def test_shuffled_and_turned_triangles_are_found_by_their_vertices(tmp_path, posed) -> None:
    rest, moved = posed
    rng = np.random.default_rng(0)
    faces = np.array([np.roll(face, rng.integers(3)) for face in rng.permutation(moved.faces)])
    other = trimesh.Trimesh(moved.vertices, faces, process=False)
    other.export(tmp_path / "m.ply")
    assert np.abs(found(tmp_path / "m.ply", rest) - corners_of(moved).numpy()).max() < 1e-6


def test_another_topology_is_said(tmp_path, posed) -> None:
    rest, moved = posed
    other = trimesh.creation.icosphere(1)
    other.export(tmp_path / "fewer.glb")
    with pytest.raises(InputError, match="has 80 triangles, the bound mesh has 320"):
        found(tmp_path / "fewer.glb", rest)
    rng = np.random.default_rng(0)
    soup = moved.vertices[rng.permutation(moved.faces)].reshape(-1, 3)
    trimesh.Trimesh(soup, np.arange(960).reshape(-1, 3), process=False).export(tmp_path / "s.glb")
    with pytest.raises(InputError, match="vertices come apart"):
        found(tmp_path / "s.glb", rest)


def test_a_skeleton_is_said(tmp_path) -> None:
    """Its triangles are as many, but at rest."""
    path = skinned(tmp_path / "m.glb")
    model = wild.read(path)
    rest = torch.from_numpy(model.positions[model.faces])
    with pytest.raises(InputError, match="holds a skeleton"):
        matching.posed_corners(path, rest, np.array(model.faces), logging.getLogger("bind"))


# --- the commands ---


@pytest.fixture(scope="module")
def bound_run(files, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run") / "run"
    words = [
        "bind", str(files / "ball.glb"), "--splats", str(files / "ball.ply"), "--out", str(out),
        "--iterations", "12", "--per-face", "1", "--set", "bind.views.renders=6",
        "--set", "bind.views.render_size_px=40", "--threads", "1",
    ]  # fmt: skip
    assert main(words) == 0
    return out


def test_a_mesh_at_rest_gives_the_same_bytes(bound_run, tmp_path, capsys) -> None:
    made_of = bound_run / "latest" / "bind"
    words = ["pose", str(bound_run), "--mesh", str(made_of / "mesh.glb")]
    assert main([*words, "--out", str(tmp_path / "same.ply")]) == 0
    assert (tmp_path / "same.ply").read_bytes() == (made_of / "splats.ply").read_bytes()
    assert str(tmp_path / "same.ply") in capsys.readouterr().out
    assert [p.name for p in tmp_path.iterdir()] == ["same.ply"]


def test_a_moved_mesh_takes_its_splats_along(bound_run, tmp_path) -> None:
    made_of = bound_run / "latest" / "bind"
    mesh = gltf.load(made_of / "mesh.glb")
    gltf.save(replace(mesh, positions=mesh.positions + np.float32([0, 2, 0])), tmp_path / "up.glb")
    file = made_of / "binding.safetensors"
    assert main(["pose", str(file), "--mesh", str(tmp_path / "up.glb"), "--out",
                 str(tmp_path / "up.ply")]) == 0  # fmt: skip
    moved, first = splats.load(tmp_path / "up.ply"), splats.load(made_of / "splats.ply")
    assert np.allclose(moved.means, first.means + np.float32([0, 2, 0]), atol=1e-6)


@pytest.mark.parametrize(
    "words, said",
    [
        (["bind", "ball.glb", "--out", "run"], "either --capture DIR or --splats"),
        (["bind", "no.glb", "--splats", "ball.ply", "--out", "run"], "no.glb: no such file"),
        (["bind", "ball.ply", "--splats", "ball.ply", "--out", "run"], "holds no triangles"),
        (["bind", "photo.png", "--splats", "ball.ply", "--out", "run"], "a mesh ends in"),
        (["bind", "ball.glb", "--splats", "ball.glb", "--out", "run"], "ball.glb"),
        (["bind", "ball.glb", "--capture", "no", "--out", "run"], "no: no such directory"),
        (["bind", "ball.glb", "--capture", ".", "--camera", "c", "--out", "run"], "--camera goes"),
        (["bind", "nan.ply", "--splats", "ball.ply", "--out", "run"], "not finite"),
        (["bind", "flat.ply", "--splats", "ball.ply", "--out", "run"], "degenerate"),
        (["bind", "ball.glb", "--splats", "ball.ply", "--out", "run", "--set",
          "bind.views.renders=1"], "renders must be in"),
        (["bind", "ball.glb", "--splats", "ball.ply", "--out", "run",
          "--exposures", "ball.ply"], "are of photographs"),
        (["pose", "ball.ply", "--mesh", "ball.glb", "--out", "x.ply"], "no readable safetensors"),
        (["pose", "BOUND", "--mesh", "nan.ply", "--out", "x.ply"], "not finite"),
        (["pose", "BOUND", "--mesh", "ball.glb", "--out", "x.spz"], "must end in .ply"),
        (["pose", "BOUND", "--mesh", "ball.ply", "--out", "x.ply"], "holds no triangles"),
        (["pose", "BOUND", "--mesh", "small.ply", "--out", "x.ply"], "the bound mesh has 320"),
        (["pose", "BOUND", "--mesh", "flat.ply", "--out", "x.ply"], "degenerate"),
        (["pose", "BOUND", "--mesh", "ball.glb", "--out", "no/x.ply"], "no directory"),
        (["pose", ".", "--mesh", "ball.glb", "--out", "x.ply"], "no such file"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(
    files, bound_run, tmp_path, monkeypatch, capsys, words, said
) -> None:
    for name in ("ball.glb", "ball.ply"):
        (tmp_path / name).write_bytes((files / name).read_bytes())
    ball = trimesh.creation.icosphere(2)
    for name, vertices in (
        ("nan.ply", np.where(np.arange(162)[:, None] == 9, np.nan, ball.vertices)),
        ("flat.ply", np.ones((162, 1)) * [1.0, 2, 3]),
    ):
        lines = ["ply", "format ascii 1.0", "element vertex 162", "property float x",
                 "property float y", "property float z", "element face 320",
                 "property list uchar int vertex_indices", "end_header"]  # fmt: skip
        lines += [" ".join(map(str, row)) for row in vertices.tolist()]
        lines += ["3 " + " ".join(map(str, row)) for row in ball.faces.tolist()]
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    trimesh.creation.icosphere(1).export(tmp_path / "small.ply")
    Image.new("RGB", (4, 4)).save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    assert main([str(bound_run) if word == "BOUND" else word for word in words]) == 2
    text = capsys.readouterr().err
    assert said in text and "Traceback" not in text
    assert not (tmp_path / "x.ply").exists()


def test_what_is_there_stays_when_posing_fails(bound_run, tmp_path, capsys) -> None:
    (tmp_path / "x.ply").write_bytes(b"mine")
    trimesh.creation.icosphere(1).export(tmp_path / "small.ply")
    words = ["pose", str(bound_run), "--mesh", str(tmp_path / "small.ply")]
    assert main([*words, "--out", str(tmp_path / "x.ply")]) == 2
    assert (tmp_path / "x.ply").read_bytes() == b"mine"


def test_a_mesh_out_of_sight_is_said(files, tmp_path) -> None:
    ball = trimesh.creation.icosphere(1, radius=0.1)
    ball.apply_translation([0, 50, 0])
    ball.export(tmp_path / "far.ply")
    cameras.save(striped_ball.cameras([(45, 20), (90, 20)], 40), tmp_path / "c.json")
    given = bound.Inputs(
        TexturedMeshFile(tmp_path / "far.ply"), splats=SplatsFile(files / "ball.ply"),
        camera=CameraFile(tmp_path / "c.json"),
    )  # fmt: skip
    with pytest.raises(InputError, match="no view shows the mesh"):
        bound.run(given, SMALL, context(tmp_path))


def test_one_of_capture_and_splats(inputs, tmp_path) -> None:
    with pytest.raises(ConfigError, match="either"):
        bound.run(replace(inputs, splats=None), SMALL, context(tmp_path))


def test_what_cannot_fit_is_refused(inputs, tmp_path) -> None:
    tight = replace(context(tmp_path), memory_bytes=100_000)
    with pytest.raises(InputError, match="Gaussians would need"):
        bound.run(inputs, SMALL, tight)
