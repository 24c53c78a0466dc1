"""The preview stage: what is shown, and the figure that compares."""

import json
import logging
import math
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import trimesh
from PIL import Image
from splatworks.pipeline.errors import InputError
from splatworks.stages import preview
from splatworks.stages.artifacts import LodsDir, MeshFile, SplatsFile, TexturedMeshFile
from splatworks.stages.formats import gltf
from splatworks.stages.preview.contact import Row, beside, contact_sheet
from splatworks.stages.preview.likeness import CEILING_DB, likeness, over, psnr_db
from splatworks.stages.preview.shots import orbit, shoot, stage

from .splat_objects import RADIUS_M, context, saved, sphere

SMALL = preview.Config(views=4, size_px=64, frames=6, turntable_size_px=48)


def psnr_by_loop(first: np.ndarray, second: np.ndarray, gray: float) -> float:
    """The definition, one number at a time."""
    total, count = 0.0, 0
    for row in range(first.shape[0]):
        for column in range(first.shape[1]):
            for channel in range(3):
                a = first[row, column, channel] + (1 - first[row, column, 3]) * gray
                b = second[row, column, channel] + (1 - second[row, column, 3]) * gray
                total, count = total + (float(a) - float(b)) ** 2, count + 1
    return 10 * math.log10(1 / (total / count))


def random_picture(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    alpha = rng.random((7, 9, 1))
    return np.concatenate([rng.random((7, 9, 3)) * alpha, alpha], axis=-1)


def test_psnr_matches_the_definition() -> None:
    first, second = random_picture(0), random_picture(1)
    found = likeness(first, second, 0.7)
    assert found.psnr_db == pytest.approx(psnr_by_loop(first, second, 0.7), abs=1e-9)
    inside = (first[..., 3] > 0.5) | (second[..., 3] > 0.5)
    strip = [picture[inside][None] for picture in (first, second)]
    assert found.psnr_silhouette_db == pytest.approx(psnr_by_loop(*strip, 0.7), abs=1e-9)
    both = (first[..., 3] > 0.5) & (second[..., 3] > 0.5)
    assert found.silhouette_overlap == pytest.approx(both.sum() / inside.sum())


def test_psnr_of_known_pairs() -> None:
    gray = np.full((4, 4, 3), 0.5)
    assert psnr_db((gray - (gray + 0.1)) ** 2) == pytest.approx(20.0)
    assert psnr_db(np.zeros((4, 4, 3))) == CEILING_DB
    opaque = np.concatenate([gray, np.ones((4, 4, 1))], axis=-1)
    empty = np.zeros((4, 4, 4))
    assert likeness(opaque, empty, 0.5).psnr_db == CEILING_DB  # gray before gray
    assert likeness(opaque, empty, 1.0).psnr_db == pytest.approx(-20 * math.log10(0.5))
    assert likeness(opaque, empty, 1.0).silhouette_overlap == 0
    assert likeness(empty, empty, 1.0).psnr_silhouette_db == CEILING_DB
    np.testing.assert_allclose(over(empty, 0.3), 0.3)


def ball(radius: float = RADIUS_M) -> gltf.Mesh:
    """The colors of `splat_objects.sphere` on the vertices."""
    shape = trimesh.creation.icosphere(4, radius)
    normals = np.asarray(shape.vertices, np.float32) / radius
    srgb = np.where(
        normals[:, 2:] > 0.6, [[0.9, 0.1, 0.1]],
        np.where(normals[:, :1] > 0.6, [[0.1, 0.8, 0.2]], [[0.15, 0.2, 0.9]]),
    )  # fmt: skip
    return gltf.Mesh(
        np.asarray(shape.vertices, np.float32),
        np.asarray(shape.faces, np.int64),
        normals=normals.astype(np.float32),
        colors=(((srgb + 0.055) / 1.055) ** 2.4).astype(np.float32),
    )


@pytest.fixture(scope="module")
def shown(tmp_path_factory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("preview")
    splats = saved(sphere(), folder / "splats.ply")
    lods = folder / "lods"
    lods.mkdir()
    gltf.save(ball(), folder / "mesh.glb")
    gltf.save(ball(), lods / "lod0.glb")
    (lods / "index.json").write_text(json.dumps({"lods": [{"file": "lod0.glb"}]}))
    ctx = context(folder, threads=2)
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    ctx.log.setLevel(logging.INFO)
    ctx.log.addHandler(handler)
    inputs = preview.Inputs(splats, TexturedMeshFile(folder / "mesh.glb"), LodsDir(lods))
    made = preview.run(inputs, SMALL, ctx)
    ctx.log.removeHandler(handler)
    return made.preview.path, "\n".join(lines)


def test_films_have_all_their_frames(shown) -> None:
    with Image.open(shown[0] / "turntable.webp") as film:
        assert film.n_frames == 6 and film.size == (96, 48)
    frames, _ = imageio_ffmpeg.count_frames_and_secs(str(shown[0] / "turntable.mp4"))
    assert frames == 6


def test_the_index_says_how_alike_they_are(shown) -> None:
    folder, log = shown
    index = json.loads((folder / "index.json").read_text())
    assert index["kind"] == "preview/1" and len(index["views"]) == 4
    mean = sum(view["psnr_db"] for view in index["views"]) / 4
    assert index["psnr_db"] == pytest.approx(mean) and 12 < mean < 45
    assert index["silhouette_overlap"] > 0.9
    assert f"PSNR {mean:.2f} dB" in log
    assert index["mesh"]["faces"] == 5120 and index["mesh"]["watertight"]
    assert index["splats"] == 2500
    for name in index["files"]:
        assert (folder / name).stat().st_size > 0
    assert {"contact_sheet.png", "turntable.mp4", "turntable.webp", "cameras.json"} <= set(
        index["files"]
    )


def test_the_contact_sheet_holds_every_picture(shown) -> None:
    sheet = np.asarray(Image.open(shown[0] / "contact_sheet.png").convert("RGB")).astype(int)
    assert sheet.shape[1] > 4 * 64 and sheet.shape[0] > 4 * 64
    red = (sheet[..., 0] > 180) & (sheet[..., 1] < 90)
    green = (sheet[..., 1] > 150) & (sheet[..., 0] < 90)
    assert red.sum() > 500 and green.sum() > 500


def test_both_are_seen_from_the_same_side_and_the_front_is_first() -> None:
    from splatworks.stages.geometry.activation import activate

    scene = stage(activate(sphere()), ball())
    shots = shoot(scene, orbit([0.0, 90.0], 0.0, scene.radius_m, 40.0, 48), _quiet(), "views")
    for shot, wanted in zip(shots, ([0.9, 0.1, 0.1], [0.1, 0.8, 0.2]), strict=True):
        for picture in (shot.splats, shot.mesh):
            assert picture.shape == (48, 48, 4)
            np.testing.assert_allclose(picture[24, 24, :3], wanted, atol=0.04)
            assert picture[24, 24, 3] > 0.95 and picture[0, 0, 3] < 0.05
        clay = shot.clay
        assert 0.4 < clay[24, 24, 0] <= 1 and clay[14, 14, 0] > clay[34, 34, 0]
        assert (clay[..., :3] <= clay[..., 3:] + 1e-6).all()
    # An inside-out mesh is shown as such.
    turned = gltf.Mesh(ball().positions, ball().faces[:, ::-1])
    inside = stage(activate(sphere()), turned)
    shot = shoot(inside, orbit([0.0], 0.0, inside.radius_m, 40.0, 32), _quiet(), "views")[0]
    assert shot.clay[16, 16, 0] > 3 * shot.clay[16, 16, 1]


def test_place_and_size_do_not_matter() -> None:
    from splatworks.stages.geometry.activation import activate

    center = np.array([3.0, -1.0, 2.0], np.float32)
    moved = gltf.Mesh(ball(0.1).positions + center, ball(0.1).faces)
    scene = stage(activate(sphere(radius_m=0.1, center=center)), moved)
    shot = shoot(scene, orbit([0.0], 0.0, scene.radius_m, 40.0, 48), _quiet(), "views")[0]
    assert likeness(shot.splats, shot.mesh, 0.9).silhouette_overlap > 0.85


def _quiet():
    from types import SimpleNamespace

    from .splat_objects import silent

    return SimpleNamespace(progress=silent, threads=1)


def test_sheets_and_pairs_are_laid_out() -> None:
    black = np.zeros((40, 40, 3))
    sheet = contact_sheet(
        [Row("row", [black] * 3, ["a", "b", "c"])], ["1", "2", "3"], "x", "y", 1.0
    )
    assert (sheet.sum(axis=-1) == 0).sum() >= 3 * 1600
    assert beside(black, black + 1, ("left", "right")).shape == (40, 80, 3)


def test_no_films_are_made_when_none_are_wanted(tmp_path) -> None:
    gltf.save(ball(), tmp_path / "mesh.glb")
    inputs = preview.Inputs(saved(sphere(), tmp_path / "s.ply"), MeshFile(tmp_path / "mesh.glb"))
    config = preview.Config(views=1, size_px=32, frames=0)
    folder = preview.run(inputs, config, context(tmp_path)).preview.path
    assert not list(folder.glob("turntable*"))


def test_garbage_is_an_input_error(tmp_path) -> None:
    good = saved(sphere(300), tmp_path / "good.ply")
    gltf.save(ball(), tmp_path / "good.glb")
    mesh = TexturedMeshFile(tmp_path / "good.glb")
    for name in ("bad.ply", "bad.glb"):
        (tmp_path / name).write_bytes(b"nonsense" * 20)
    lods = tmp_path / "lods"
    lods.mkdir()
    (lods / "index.json").write_text('{"lods": [{"file": "../good.glb"}]}')
    cases = {
        "bad.ply": preview.Inputs(SplatsFile(tmp_path / "bad.ply"), mesh),
        "bad.glb": preview.Inputs(good, TexturedMeshFile(tmp_path / "bad.glb")),
        "index.json": preview.Inputs(good, mesh, LodsDir(lods)),
    }
    for name, inputs in cases.items():
        with pytest.raises(InputError, match=name):
            preview.run(inputs, SMALL, context(tmp_path / f"run-{name}"))


@pytest.mark.parametrize(
    ("field", "value"),
    [("views", 0), ("size_px", 4), ("frames", -1), ("fps", 0.0), ("background", 1.5),
     ("fovy_deg", 0.0)],
)  # fmt: skip
def test_settings_out_of_range_are_named(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        preview.Config(**{field: value})
