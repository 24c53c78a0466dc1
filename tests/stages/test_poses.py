"""Cameras of photographs that have none: against known ones, interruption, threads, refusals."""

import ast
import importlib.util
import json
import logging
import sys
from contextlib import contextmanager
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from splatworks.pipeline.cli import main
from splatworks.pipeline.contract import Context
from splatworks.pipeline.errors import InputError, MissingError
from splatworks.stages import poses
from splatworks.stages.artifacts import PhotosDir
from splatworks.stages.formats import captures
from splatworks.stages.poses import child, photographs
from splatworks.stages.poses.pairing import ALL_UP_TO, FAR, NEXT, pairs_of
from splatworks.stages.poses.stage import find_poses

from . import speckled_corner

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import poses as benchmark  # noqa: E402

needs_colmap = pytest.mark.skipif(
    importlib.util.find_spec("pycolmap") is None, reason="pycolmap is not installed (extra colmap)"
)
COUNT = 7
STRANGERS = [f"0/stranger {k}.png" for k in range(4)]
SMALL = poses.Config(features=800, lens="pinhole", max_side_px=240)


class Killed(Exception):
    """Stands for anything that ends a process."""


def context(folder: Path, *, threads: int = 1, stop_in: str = "") -> Context:
    for name in ("out", "scratch"):
        (folder / name).mkdir(parents=True, exist_ok=True)

    @contextmanager
    def opened(title: str, total: int, done: int = 0):
        class Bar:
            def advance(self, steps: int = 1, note: str = "") -> None:
                assert steps > 0
                if title == stop_in:
                    raise Killed

        yield Bar()

    return Context(
        out=folder / "out", scratch=folder / "scratch", log=logging.getLogger("poses"),
        progress=opened, seed=2**40 + 5, device="cpu", threads=threads, memory_bytes=2**31,
    )  # fmt: skip


def run(folder: Path, work: Path, config: poses.Config = SMALL, **given) -> poses.Outputs:
    return poses.run(poses.Inputs(PhotosDir(folder)), config, context(work, **given))


@pytest.fixture(scope="module")
def known() -> list[speckled_corner.View]:
    return speckled_corner.views(COUNT)


@pytest.fixture(scope="module")
def folder(known, tmp_path_factory) -> Path:
    """Seven photographs of one place, in two formats, the last twice as large; and four of another
    place."""
    place = tmp_path_factory.mktemp("photographs") / "images"
    (place / "0").mkdir(parents=True)
    for k, view in enumerate(known):
        picture = Image.fromarray(view.pixels)
        if k == COUNT - 1:
            picture = picture.resize((640, 480), Image.Resampling.LANCZOS)
        picture.save(place / f"a photo {k}.{'png' if k % 2 else 'tif'}")
    for name, view in zip(STRANGERS, speckled_corner.views(4, look=1), strict=True):
        Image.fromarray(view.pixels).save(place / name)
    (place / "notes.txt").write_text("no photograph")
    return place.parent


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory) -> Path:
    work = tmp_path_factory.mktemp("whole")
    run(folder, work)
    return work / "out"


def results(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@needs_colmap
def test_cameras_are_the_known_ones(whole, known) -> None:
    capture = captures.load(whole / "capture")
    assert [shot.path.name[:9] for shot in capture.shots] == [f"a photo {k}" for k in range(COUNT)]
    assert capture.up_axis == "-y" and not capture.missing
    found = np.stack([shot.world_to_camera for shot in capture.shots])
    truth = np.stack([view.world_to_camera for view in known])
    scale, rotation, shift = benchmark.similarity(
        benchmark.centers_of(found), benchmark.centers_of(truth)
    )
    centers = scale * benchmark.centers_of(found) @ rotation.T + shift
    assert np.abs(centers - benchmark.centers_of(truth)).max() < 0.02  # Of 2.5 m to the corner.
    turns = benchmark.angles_deg(found[:, :3, :3] @ rotation.T, truth[:, :3, :3])
    assert turns.max() < 0.5
    on_planes = np.sort(np.abs(scale * capture.points.positions @ rotation.T + shift), axis=1)[:, 0]
    assert len(on_planes) > 200 and np.median(on_planes) < 0.01


@needs_colmap
def test_lenses_are_those_of_the_photographs_not_of_their_reduced_copies(whole) -> None:
    shots = captures.load(whole / "capture").shots
    for shot, factor in zip(shots, [*[1] * (COUNT - 1), 2], strict=True):
        assert (shot.lens.width_px, shot.lens.height_px) == (factor * 320, factor * 240)
        assert shot.lens.center_px == (factor * 160, factor * 120)
        assert shot.lens.focal_px == pytest.approx((factor * 300, factor * 300), rel=0.02)
    assert len(json.loads((whole / "report.json").read_text())["lenses"]) == 2


@needs_colmap
def test_points_have_the_colors_of_the_photographs(whole) -> None:
    colors = captures.load(whole / "capture").points.colors.astype(float)
    bright = colors[colors[:, 0] > 40]
    np.testing.assert_allclose(
        np.median(bright / bright[:, :1], axis=0), [1, 0.94, 0.78], atol=0.02
    )


@needs_colmap
def test_observations_are_where_the_points_project_to(whole) -> None:
    """Other programs read them; in the reduced copies' pixels they would be off by a third."""
    script = """
import sys, numpy as np, pycolmap
model = pycolmap.Reconstruction(sys.argv[1])
errors = [
    np.linalg.norm(image.project_point(model.points3D[point.point3D_id].xyz) - point.xy)
    for image in model.images.values() for point in image.points2D if point.has_point3D()
]
assert len(errors) > 600, len(errors)
print(np.mean(errors), model.compute_mean_reprojection_error())
"""
    import subprocess

    words = [sys.executable, "-c", script, str(whole / "capture" / "sparse" / "0")]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    mean, stored = map(float, said.split())
    assert mean < 1.0 and stored == pytest.approx(mean, rel=0.15)  # It is a mean over points.


@needs_colmap
def test_the_largest_model_is_taken_and_the_others_left_out(
    folder, tmp_path, whole, caplog
) -> None:
    report = json.loads((whole / "report.json").read_text())
    assert report["photographs"] == COUNT + 4 and report["registered"] == COUNT
    assert report["left_out"] == STRANGERS and report["model_sizes"] == [COUNT, 4]
    assert 0 < report["reprojection_error_px"] < 1
    assert not (whole / "capture" / "images" / "0").exists()
    first = "a photo 0.tif"
    copied = (whole / "capture" / "images" / first).read_bytes()
    assert copied == (folder / "images" / first).read_bytes()


@needs_colmap
@pytest.mark.parametrize("stop_in", ["features", "compared pairs", "cameras placed"])
def test_interrupted_and_continued_with_other_threads_gives_the_same(
    folder, whole, tmp_path, caplog, stop_in
) -> None:
    caplog.set_level(logging.INFO)
    with pytest.raises(Killed):
        run(folder, tmp_path, stop_in=stop_in)
    assert not list((tmp_path / "out").iterdir())
    database = tmp_path / "scratch" / "database.db"
    done = database.stat().st_ino
    run(folder, tmp_path, threads=2)
    assert database.stat().st_ino == done, "what was done must be kept"
    assert results(tmp_path / "out") == results(whole)
    said = [record.message for record in caplog.records]
    assert any(f"{COUNT} of {COUNT + 4} photographs registered" in line for line in said)
    (left_out,) = (line for line in said if f"no cameras for 4 of {COUNT + 4}" in line)
    assert STRANGERS[0] in left_out and "Smaller models, of 4, stay aside" in left_out


def write(folder: Path, *pictures: np.ndarray) -> Path:
    folder.mkdir()
    for number, pixels in enumerate(pictures):
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


BLANK = np.full((90, 120, 3), 128, np.uint8)


@needs_colmap
@pytest.mark.parametrize(
    "pictures, said",
    [
        ([], "0 photographs"),
        ([BLANK], "1 photographs (.jpg"),
        ([BLANK] * 3, "3 of 3 photographs have nothing in them to recognize"),
        ("strangers", "no two of the 3 photographs show enough of the same"),
    ],
)
def test_photographs_without_cameras_to_be_found(tmp_path, pictures, said) -> None:
    if pictures == "strangers":
        pictures = [speckled_corner.views(1, look=look)[0].pixels for look in (1, 2, 3)]
    folder = write(tmp_path / "p", *pictures)
    with pytest.raises(InputError) as caught:
        run(folder, tmp_path / "w")
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)
    assert not list((tmp_path / "w" / "out").iterdir())


@needs_colmap
def test_what_is_no_picture_is_named(tmp_path) -> None:
    folder = write(tmp_path / "p", BLANK)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    with pytest.raises(InputError, match=r"broken\.jpg: no readable picture"):
        run(folder, tmp_path / "w")


@needs_colmap
def test_when_colmap_gives_up_its_last_words_and_its_log_are_given(folder, tmp_path) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "database.db").write_bytes(b"not a database" * 100)
    with pytest.raises(InputError, match=r"COLMAP gave up \(code 1\): RuntimeError: \S") as caught:
        run(folder, tmp_path)
    log = Path(str(caught.value).rpartition(": ")[2])
    assert "in main" in log.read_text()


def test_without_pycolmap_it_is_said_before_anything_is_done(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(child, "LIBRARY", "pycolmap_that_is_not_there")
    ctx = context(tmp_path)
    with pytest.raises(MissingError, match=r"pip install 'splatworks\[colmap\]'"):
        find_poses(write(tmp_path / "p", BLANK, BLANK), SMALL, ctx)
    assert not list(ctx.scratch.iterdir())


@needs_colmap
def test_the_command(folder, tmp_path, capsys) -> None:
    words = [
        "reconstruct", str(folder), "--poses", "colmap", "--out", str(tmp_path / "run"),
        "--iterations", "8", "--max-side", "80", "--max-gaussians", "300", "--threads", "1",
        "--set", "poses.features=800", "--set", "poses.lens=pinhole",
    ]  # fmt: skip
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "Gaussians from 6 photographs" in said and "on 1 kept aside" in said
    latest = tmp_path / "run" / "latest"
    assert (latest / "reconstruct" / "splats.ply").is_file()
    assert len(captures.load(latest / "poses" / "capture").shots) == COUNT
    assert main(words) == 0
    assert capsys.readouterr().out.count("reused") == 2


def test_a_folder_without_cameras_says_how_to_find_them(folder, tmp_path, capsys) -> None:
    assert main(["reconstruct", str(folder), "--out", str(tmp_path / "run")]) == 2
    assert f"pipeline reconstruct {folder} --poses colmap" in capsys.readouterr().err


def test_only_one_file_imports_pycolmap_and_nothing_else_with_it() -> None:
    """In one process with Pillow it breaks the heap."""
    importers = []
    for path in ROOT.rglob("*.py"):
        text = "" if path.is_relative_to(ROOT / "tests") else path.read_text("utf-8")
        for node in ast.walk(ast.parse(text)) if "pycolmap" in text else ():
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if "pycolmap" in names:
                importers.append(path)
    assert importers == [ROOT / "stages" / "poses" / "colmap.py"]
    tree = ast.parse(importers[0].read_text("utf-8"))
    roots = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            roots |= {alias.name.partition(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
            roots.add(str(node.module).partition(".")[0])
    assert roots - {"pycolmap"} <= sys.stdlib_module_names


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK", "P", "I;16"])
def test_copies_are_three_colors_of_eight_bits_whatever_the_photograph(tmp_path, mode) -> None:
    red = Image.new("RGB", (200, 100), (200, 40, 40))
    if mode == "I;16":
        picture = Image.fromarray(np.full((100, 200), 20_000, np.uint16))
        wanted = (78, 78, 78)
    else:
        picture = red.convert(mode)
        wanted = (88, 88, 88) if mode == "L" else (200, 40, 40)
    if mode == "P":
        picture = red.quantize(4)
    if mode == "RGBA":
        picture.putalpha(Image.new("L", picture.size, 0))
        wanted = (0, 0, 0)
    path = tmp_path / f"a.{'tif' if mode == 'CMYK' else 'png'}"
    picture.save(path)
    made = photographs.reduce("a", path, 64, tmp_path / "copy.png")
    assert made.size_px == (200, 100) and made.copy_px == (64, 32) and made.focal_px is None
    copy = Image.open(tmp_path / "copy.png")
    assert copy.mode == "RGB" and copy.size == (64, 32)
    np.testing.assert_allclose(copy.getpixel((30, 16)), wanted, atol=2)


def with_exif(path: Path, size: tuple[int, int], **tags: object) -> photographs.Photograph:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x0110] = tags.get("model", "Telephone")
    inner = exif.get_ifd(0x8769)
    if "focal_mm" in tags:
        inner[0x920A] = tags["focal_mm"]
    if "film_mm" in tags:
        inner[0xA405] = tags["film_mm"]
    Image.new("RGB", size).save(path, exif=exif)
    return photographs.reduce(path.name, path, 1000, path.with_suffix(".copy.png"))


def test_the_focal_length_in_exif_is_that_of_the_diagonal(tmp_path) -> None:
    """50 mm on 36 x 24 mm see the same angles as 50 / 36 of the width in pixels."""
    made = with_exif(tmp_path / "a.jpg", (360, 240), film_mm=50)
    assert made.focal_px == pytest.approx(50 / 36 * 360)
    assert made.size_px == (360, 240), "as stored, not turned"


def test_photographs_share_a_camera_by_size_and_focal_length(tmp_path) -> None:
    size = (64, 48)
    a = with_exif(tmp_path / "a.jpg", size, focal_mm=4.5, film_mm=28)
    assert a.camera == with_exif(tmp_path / "b.jpg", size, focal_mm=4.5, film_mm=28).camera
    others = [
        with_exif(tmp_path / "c.jpg", (48, 64), focal_mm=4.5, film_mm=28),
        with_exif(tmp_path / "d.jpg", size, focal_mm=9.0, film_mm=28),
        with_exif(tmp_path / "e.jpg", size, focal_mm=4.5, film_mm=56),
        with_exif(tmp_path / "f.jpg", size, focal_mm=4.5, film_mm=28, model="Another"),
        with_exif(tmp_path / "g.jpg", size, focal_mm=0.0, film_mm=0),
    ]
    assert len({a.camera, *(other.camera for other in others)}) == 6
    assert others[-1].focal_px is None


def test_photographs_lie_in_images_or_in_the_folder(tmp_path) -> None:
    for name in (
        "b.JPG",
        "a.png",
        "images/deep/d.webp",
        "images/c.jpeg",
        "images_4/c.jpeg",
        "e.md",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    names = [name for name, _ in photographs.list_photographs(tmp_path)]
    assert names == ["c.jpeg", "deep/d.webp"]
    for path in (tmp_path / "images").rglob("*.*"):
        path.unlink()
    with pytest.raises(InputError, match="images: 0 photographs"):
        photographs.list_photographs(tmp_path)
    (tmp_path / "images").rename(tmp_path / "other")
    assert [name for name, _ in photographs.list_photographs(tmp_path)] == ["a.png", "b.JPG"]
    with pytest.raises(InputError, match="no such directory"):
        photographs.list_photographs(tmp_path / "nothing")


def test_pairs() -> None:
    assert pairs_of(5, "auto") == pairs_of(5, "all") == list(combinations(range(5), 2))
    count = 1_000
    found = pairs_of(count, "auto")
    assert found == pairs_of(count, "sequence") == sorted(set(found))
    assert all(0 <= a < b < count for a, b in found)
    assert {(a, a + step) for a in range(count - NEXT) for step in range(1, NEXT + 1)} <= {*found}
    assert (0, 986) in found and len(found) < count * NEXT + FAR**2 / 2
    assert len(pairs_of(ALL_UP_TO, "auto")) == ALL_UP_TO * (ALL_UP_TO - 1) / 2
    assert len(pairs_of(ALL_UP_TO + 1, "auto")) < len(pairs_of(ALL_UP_TO, "auto"))


def test_the_benchmark_takes_back_a_known_similarity() -> None:
    rng = np.random.default_rng(1)
    points = rng.normal(size=(9, 3))
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    scale, rotation, shift = benchmark.similarity(points, 2.5 * points @ turn.T + [1, 2, 3])
    np.testing.assert_allclose(scale, 2.5)
    np.testing.assert_allclose(rotation, turn, atol=1e-12)
    np.testing.assert_allclose(shift, [1, 2, 3], atol=1e-12)
    mirrored = points * [1, 1, -1]
    assert np.linalg.det(benchmark.similarity(points, mirrored)[1]) == pytest.approx(1)
    small = np.radians(0.01)
    about_z = np.array(
        [[np.cos(small), -np.sin(small), 0], [np.sin(small), np.cos(small), 0], [0, 0, 1]]
    )
    np.testing.assert_allclose(benchmark.angles_deg(about_z[None] @ turn, turn[None]), 0.01)


def test_settings_out_of_range() -> None:
    for change in ({"max_side_px": 10}, {"features": 3}):
        with pytest.raises(ValueError, match="must be at least"):
            replace(SMALL, **change)
