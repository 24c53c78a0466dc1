"""The stage `surface`, `pipeline mesh`, and the six extractors on a sphere of splats."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from splatworks.pipeline.cli import main
from splatworks.pipeline.errors import InputError
from splatworks.stages import surface
from splatworks.stages.artifacts import CameraFile, CaptureDir, SplatsFile
from splatworks.stages.formats import cameras as camera_files
from splatworks.stages.formats import gltf, splats
from splatworks.stages.geometry.activation import activate
from splatworks.stages.geometry.components import Surface, report
from splatworks.stages.surface import Config, Poisson, Preview, Sampling, Tets, Tsdf, Views, poisson
from splatworks.stages.surface.extractors import EXTRACTORS, extractor
from splatworks.stages.surface.points import Points
from splatworks.stages.surface.shapes import shapes_of
from splatworks.stages.surface.stage import SMOOTHING
from splatworks.stages.surface.task import Region, Task

from . import photo_folders
from .splat_objects import RADIUS_M, context, joined, saved, sphere

COUNT = 1500
WIDTH_M = RADIUS_M * math.sqrt(4 * math.pi / COUNT)
"""Of one splat, its standard deviation."""
SMALL = Config(
    views=Views(count=12, size_px=80),
    sampling=Sampling(points=15_000),
    poisson=Poisson(depth=6),
    tsdf=Tsdf(voxels=48),
    tets=Tets(max_gaussians=600),
    preview=Preview(resolution=48),
    target_faces=6_000,
)
OFF_M = {
    # (mean, spread) of the radius, in splat widths; the level lies outside by the formula.
    "poisson": (0.1, 0.1),
    "sugar": (0.6, 0.2),
    "tsdf": (0.15, 0.15),
    "tsdf-contracted": (0.15, 0.15),
    "tets": (0.25, 0.35),
    "preview": (1.2, 0.3),
}


def run(inputs: surface.Inputs, config: Config, folder: Path, threads: int = 1):
    """Mesh and report."""
    made = surface.run(inputs, config, context(folder, threads))
    return gltf.load(made.mesh.path), json.loads(made.report.path.read_text())


def ball(folder: Path, scene: splats.RawSplats | None = None) -> surface.Inputs:
    folder.mkdir(exist_ok=True)
    return surface.Inputs(saved(scene or sphere(COUNT), folder / "splats.ply"))


def test_every_method_is_listed_and_tried() -> None:
    assert set(EXTRACTORS) == set(OFF_M)


@pytest.mark.parametrize("method", sorted(OFF_M))
def test_a_sphere_comes_back_with_its_colors(method, tmp_path) -> None:
    mesh, said = run(ball(tmp_path), replace(SMALL, method=method), tmp_path / "run")
    radii = np.linalg.norm(mesh.positions, axis=1)
    far, spread = OFF_M[method]
    # The preview is a shell with an inner side: only its outer one is of interest.
    outer = radii > RADIUS_M if method == "preview" else np.ones(len(radii), bool)
    assert abs(radii[outer].mean() - RADIUS_M) < far * WIDTH_M
    assert radii[outer].std() < spread * WIDTH_M
    assert said["method"] == method and said["faces"] == len(mesh.faces) <= 6_000
    assert said["views"] == 12 and said["up_axis"] == "+y"
    outward = (mesh.normals * mesh.positions).sum(axis=1) / radii
    assert np.median(outward[outer]) > 0.95
    front = mesh.colors[mesh.positions[:, 2] > 0.75 * RADIUS_M].mean(axis=0)
    right = mesh.colors[mesh.positions[:, 0] > 0.75 * RADIUS_M].mean(axis=0)
    linear = np.array([0.9, 0.1, 0.1]) ** 2.2, np.array([0.1, 0.8, 0.2]) ** 2.2
    np.testing.assert_allclose(front, linear[0], atol=0.05)
    np.testing.assert_allclose(right, linear[1], atol=0.05)


def test_the_level_set_is_outside_of_the_ridge(tmp_path) -> None:
    radii = {}
    for method in ("sugar", "poisson"):
        mesh, _ = run(ball(tmp_path), replace(SMALL, method=method), tmp_path / method)
        radii[method] = np.linalg.norm(mesh.positions, axis=1).mean()
    thickness = WIDTH_M / 10
    assert radii["sugar"] - radii["poisson"] > 1.0 * thickness


@pytest.mark.parametrize("method", ["poisson", "tsdf", "tets"])
def test_bytes_do_not_depend_on_threads(method, tmp_path) -> None:
    config = replace(SMALL, method=method)
    for threads in (1, 2):
        run(ball(tmp_path), config, tmp_path / str(threads), threads)
    one, two = ((tmp_path / str(k) / "out/mesh.glb").read_bytes() for k in (1, 2))
    assert one == two


def test_a_capture_and_its_camera_file_look_alike(tmp_path) -> None:
    """The ball of the photographs, as splats; cameras from the folder, and from a file."""
    folder = photo_folders.nerfstudio(tmp_path / "capture", count=16)
    scene = replace(sphere(COUNT, 0.32, center=(0, -0.05, 0)), sidecar=splats.Sidecar(up_axis="+z"))
    inputs = ball(tmp_path, scene)
    config = replace(SMALL, method="tsdf", tsdf=Tsdf(voxels=128), min_part_faces=20)
    file = CameraFile(camera_files.save(photo_folders.cameras(16), tmp_path / "somewhere.json"))
    made = {}
    for name, given in (
        ("capture", replace(inputs, capture=CaptureDir(folder))),
        ("file", replace(inputs, cameras=file)),
    ):
        mesh, said = run(given, config, tmp_path / name)
        radii = np.linalg.norm(mesh.positions - [0, -0.05, 0], axis=1)
        # A pixel is 0.03 wide here; at silhouettes a fringe of about that width is left.
        assert abs(np.median(radii) - 0.32) < 0.01 and np.percentile(radii, 90) < 0.36
        assert said["views"] == 16
        assert said["up_axis"] == "+z", "stays where the photographs' cameras are"
        made[name] = len(mesh.faces)
    assert abs(made["capture"] - made["file"]) < 0.05 * made["file"]


def test_a_room_seen_from_inside_has_a_foreground_and_a_background(tmp_path) -> None:
    """Cameras around the ball see a far shell behind it: contracted space and Poisson have both."""
    shell = sphere(4000, 6.0)
    scene = joined(sphere(COUNT, 0.32), shell)
    file = CameraFile(camera_files.save(photo_folders.cameras(16, 64), tmp_path / "c.json"))
    inputs = replace(ball(tmp_path, scene), cameras=file)
    config = replace(
        SMALL, tsdf=Tsdf(voxels=96), target_faces=None,
        poisson=Poisson(background_reach=8.0, drop_share=0.05),
    )  # fmt: skip
    for method in ("tsdf-contracted", "poisson"):
        mesh, _ = run(inputs, replace(config, method=method), tmp_path / method)
        radii = np.linalg.norm(mesh.positions, axis=1)
        assert (radii < 0.5).sum() > 200 and ((radii > 4.5) & (radii < 7)).sum() > 200
    mesh, _ = run(inputs, replace(config, method="tsdf"), tmp_path / "plain")
    assert np.linalg.norm(mesh.positions, axis=1).max() < 4.5, "plain space ends at the cameras"


@pytest.mark.parametrize(
    ("method", "is_object", "given", "wanted"),
    [
        # (octree depth or None for what fits the Gaussians, dropped share, levels coarser)
        ("poisson", True, Poisson(), [(None, 0.0, 0)]),
        ("poisson", False, Poisson(), [(None, 0.0, 1)] * 2),
        ("poisson", False, Poisson(depth=7, drop_share=0.2), [(7, 0.2, 0)] * 2),
        ("sugar", True, Poisson(), [(10, 0.0, 0)]),
        ("sugar", False, Poisson(), [(10, 0.1, 0)] * 2),
        ("backdrop", False, Poisson(drop_share=0.2), [(None, 0.0, 2)] * 2),
        ("backdrop", False, Poisson(depth=7), [(7, 0.0, 2)] * 2),
    ],
)
def test_how_fine_poisson_is(method, is_object, given, wanted, tmp_path, monkeypatch) -> None:
    rng = np.random.default_rng(0)
    places, ways = rng.uniform(-2, 2, (4000, 3)), np.tile([0.0, 0.0, 1.0], (4000, 1))
    points = Points(places, ways, np.zeros(4000, np.int64))
    found = []

    def reconstruct(task, part, depth, drop_share, coarser):
        found.append((depth, drop_share, coarser))
        return Surface(np.eye(3), np.array([[0, 1, 2]]))

    monkeypatch.setattr(poisson, "surface_points", lambda *_: points)
    monkeypatch.setattr(poisson, "_surface", reconstruct)
    scene = activate(sphere(40))
    region = Region(np.zeros(3), 1.0, is_object)
    task = Task(scene, shapes_of(scene), [], region, Config(poisson=given), context(tmp_path))
    if method == "backdrop":
        poisson.coarse_from_ridge(task, points, levels=2)
    else:
        extractor(method)(task)
    assert found == wanted


def test_a_level_coarser_is_a_quarter_of_the_faces(tmp_path) -> None:
    ways = np.random.default_rng(1).normal(size=(6000, 3))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    points = Points(0.4 * ways, ways, np.zeros(6000, np.int64))
    scene = activate(sphere(40))
    region = Region(np.zeros(3), 1.0, is_object=True)
    task = Task(scene, shapes_of(scene), [], region, Config(), context(tmp_path))
    fine, coarse, coarsest = (
        len(poisson._surface(task, points, 6, 0.0, levels).faces) for levels in (0, 1, 4)
    )
    assert 3 < fine / coarse < 5 and coarsest == coarse, "5 is the shallowest"


def test_captured_scenes_are_smoothed_and_objects_are_not(tmp_path) -> None:
    inputs = ball(tmp_path)
    file = CameraFile(camera_files.save(photo_folders.cameras(16), tmp_path / "somewhere.json"))
    config = replace(SMALL, method="tsdf", tsdf=Tsdf(voxels=96), target_faces=None, backdrop=False)

    def roughness(inputs: surface.Inputs, smoothing: int | None) -> float:
        """Mean angle between faces that share an edge, in degrees."""
        mesh, _ = run(
            inputs, replace(config, smoothing=smoothing), tmp_path / f"{id(inputs)}-{smoothing}"
        )
        shape = trimesh.Trimesh(mesh.positions, mesh.faces, process=False)
        return float(np.degrees(shape.face_adjacency_angles.mean()))

    captured = replace(inputs, cameras=file)
    raw, usual = roughness(captured, 0), roughness(captured, None)
    assert usual < 0.6 * raw and usual == roughness(captured, SMOOTHING)
    assert roughness(inputs, None) == roughness(inputs, 0) > roughness(inputs, 5)


# --- bad input ---


def test_what_cannot_be_meshed_is_explained(tmp_path) -> None:
    faint = replace(sphere(400, opacity=0.02))
    with pytest.raises(InputError, match="opacity"):
        run(ball(tmp_path, faint), SMALL, tmp_path / "faint")
    thin = sphere(400, opacity=0.06)
    with pytest.raises(InputError, match="too faint"):
        run(ball(tmp_path, replace(thin, log_scales=thin.log_scales - 3)), SMALL, tmp_path / "thin")
    inputs = ball(tmp_path)
    file = CameraFile(camera_files.save(photo_folders.cameras(4), tmp_path / "c.json"))
    away = ball(tmp_path / "away", sphere(400, center=(0, 900, 0)))
    with pytest.raises(InputError, match="these are not their cameras"):
        run(replace(away, cameras=file), SMALL, tmp_path / "away/run")
    with pytest.raises(InputError, match="not both"):
        both = replace(inputs, cameras=file, capture=CaptureDir(tmp_path))
        run(both, SMALL, tmp_path / "both")
    with pytest.raises(InputError, match="fewer than"):
        run(inputs, replace(SMALL, min_part_faces=900_000), tmp_path / "parts")
    with pytest.raises(InputError, match=r"reaches 4\.\d+, nowhere 9"):
        high = replace(SMALL, method="preview", preview=Preview(resolution=16, level=9.0))
        run(ball(tmp_path, sphere(60)), high, tmp_path / "level")
    one = camera_files.save(photo_folders.cameras(1), tmp_path / "one.json")
    with pytest.raises(InputError, match="at least 2"):
        run(replace(inputs, cameras=CameraFile(one)), SMALL, tmp_path / "one")


def test_files_that_are_no_splats(tmp_path) -> None:
    whole = saved(sphere(50), tmp_path / "whole.ply").path.read_bytes()
    body = whole.index(b"end_header\n") + 11
    empty = whole[:body].replace(b"element vertex 50", b"element vertex 0")
    broken = bytearray(whole)
    broken[body : body + 4] = np.float32(np.nan).tobytes()
    for name, content in {"empty": empty, "broken": bytes(broken), "text": b"hello"}.items():
        path = tmp_path / f"{name}.ply"
        path.write_bytes(content)
        with pytest.raises(InputError, match=name):
            run(surface.Inputs(SplatsFile(path)), SMALL, tmp_path / name)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Config(target_faces=2), "target_faces"),
        (lambda: Views(count=1), "count"),
        (lambda: Views(alpha_threshold=float("nan")), "alpha_threshold"),
        (lambda: Sampling(level=0.0), "level"),
        (lambda: Poisson(depth=99), "depth"),
        (lambda: Poisson(drop_share=1.0), "drop_share"),
        (lambda: Tsdf(voxels=1), "voxels"),
        (lambda: Tets(bisections=-1), "bisections"),
        (lambda: Preview(resolution=4), "resolution"),
    ],
)
def test_settings_out_of_range_are_named(make, field) -> None:
    with pytest.raises(ValueError, match=field):
        make()


# --- the command ---


def quick(*words: str) -> list[str]:
    settings = ("views.count=8", "views.size_px=48", "preview.resolution=24")
    return [
        "mesh",
        *words,
        "--threads",
        "1",
        *(w for s in settings for w in ("--set", f"mesh.{s}")),
    ]


def test_the_command_makes_a_mesh_and_says_what(tmp_path, capsys) -> None:
    scene = str(saved(sphere(400), tmp_path / "s.ply").path)
    out = tmp_path / "run"
    assert main(quick(scene, "--method", "preview", "--out", str(out))) == 0
    said = capsys.readouterr().out
    assert "faces" in said and "8 views" in said and "mesh.glb" in said
    assert len(gltf.load(out / "latest/mesh/mesh.glb").faces) > 100
    assert main(quick(scene, "--method", "preview", "--out", str(out))) == 0
    assert "reused" in capsys.readouterr().out


def test_cameras_beside_the_splats_are_taken(tmp_path, capsys) -> None:
    scene = str(saved(sphere(400, 0.32, (0, -0.05, 0)), tmp_path / "s.ply").path)
    camera_files.save(photo_folders.cameras(5), tmp_path / "cameras.json")
    words = [scene, "--method", "preview", "--target-faces", "300"]
    assert main(quick(*words, "--out", str(tmp_path / "one"))) == 0
    said = capsys.readouterr().out
    assert "looking from the cameras in" in said and "5 views" in said
    assert main(quick(*words, "--around", "--out", str(tmp_path / "two"))) == 0
    assert "8 views" in capsys.readouterr().out
    assert len(gltf.load(tmp_path / "two/latest/mesh/mesh.glb").faces) <= 300


def test_fused_is_what_generate_does(tmp_path) -> None:
    scene = str(saved(sphere(800), tmp_path / "s.ply").path)
    small = ("views=8", "render_size_px=48", "resolution=24", "smoothing_iterations=1")
    settings = [word for one in small for word in ("--set", f"mesh.{one}")]
    out = tmp_path / "run"
    words = ["mesh", scene, "--method", "fused", "--target-faces", "900", "--out", str(out)]
    assert main([*words, *settings, "--threads", "1"]) == 0
    mesh = gltf.load(out / "latest/mesh/mesh.glb")
    assert report(Surface(mesh.positions, mesh.faces)).watertight and len(mesh.faces) <= 900


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["gone.ply"], "no such file"),
        (["s.ply", "--capture", "gone"], "no such directory"),
        (["s.ply", "--camera-file", "gone.json"], "no such file"),
        (["s.ply", "--around", "--camera-file", "c.json"], "one of"),
        (["s.ply", "--method", "fused", "--camera-file", "c.json"], "takes no cameras"),
    ],
)
def test_wrong_lines_are_one_line(words, told, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    saved(sphere(20), tmp_path / "s.ply")
    camera_files.save(photo_folders.cameras(3), tmp_path / "c.json")
    assert main(["mesh", *words, "--out", "run"]) == 2
    said = capsys.readouterr().err.strip()
    assert told in said and "\n" not in said
    assert not Path("run").exists()
