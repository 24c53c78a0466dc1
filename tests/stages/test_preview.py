"""The preview stage: what is shown and stated."""

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
from splatworks.stages.geometry.activation import activate
from splatworks.stages.geometry.likeness import around, likeness, pair
from splatworks.stages.preview.contact import Row, beside, contact_sheet
from splatworks.stages.preview.shots import shoot

from .splat_objects import RADIUS_M, context, saved, sphere

SMALL = preview.Config(views=4, size_px=64, frames=6, turntable_size_px=48)


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
    psnr_db = index["likeness"]["psnr_db"]
    errors = [10 ** (-view["psnr_db"] / 10) for view in index["views"]]
    assert psnr_db == pytest.approx(-10 * math.log10(sum(errors) / 4)) and 12 < psnr_db < 45
    assert index["likeness"]["silhouette_overlap"] > 0.9
    assert f"{psnr_db:.2f} dB PSNR (4 views)" in log
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
    scene = pair(activate(sphere()), ball())
    cameras = around([(0.0, 0.0), (90.0, 0.0)], scene.radius_m, 48)
    shots = shoot(scene, cameras, _quiet(), "views")
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
    inside = pair(activate(sphere()), turned)
    shot = shoot(inside, around([(0.0, 0.0)], inside.radius_m, 32), _quiet(), "views")[0]
    assert shot.clay[16, 16, 0] > 3 * shot.clay[16, 16, 1]


def test_place_and_size_do_not_matter() -> None:
    center = np.array([3.0, -1.0, 2.0], np.float32)
    moved = gltf.Mesh(ball(0.1).positions + center, ball(0.1).faces)
    scene = pair(activate(sphere(radius_m=0.1, center=center)), moved)
    shot = shoot(scene, around([(0.0, 0.0)], scene.radius_m, 48), _quiet(), "views")[0]
    assert likeness([(shot.splats, shot.mesh)]).silhouette_overlap > 0.85


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
     ("elevation_deg", 90.0)],
)  # fmt: skip
def test_settings_out_of_range_are_named(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        preview.Config(**{field: value})
