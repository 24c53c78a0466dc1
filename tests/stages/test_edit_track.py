"""Following a film from one camera."""

import json
from pathlib import Path

import numpy as np
import pytest
from splatworks.pipeline.cli import main
from splatworks.stages.formats import cameras as camera_files
from splatworks.stages.formats import splats

from .edit_setup import camera, picture, right_shifted, two_balls, write_png
from .splat_objects import saved

HEIGHTS = (0.0, 0.12, 0.24, 0.36)


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """The right ball rises."""
    folder = tmp_path_factory.mktemp("film")
    scene, view = two_balls(150), camera(48)
    saved(scene, folder / "scene.ply")
    camera_files.save(view, folder / "cam.json")
    (folder / "frames").mkdir()
    for number, height in enumerate(HEIGHTS):
        shown = picture(right_shifted(scene, [0, height, 0]), view)
        write_png(shown, folder / "frames" / f"{number}.png")
    return folder


def words(folder: Path, out: str) -> list[str]:
    settings = ["coarse.anchors=50", "coarse.iterations=20", "next_iterations=40",
                "coarse.place_rate=0.01"]  # fmt: skip
    return ["track", str(folder / "scene.ply"), "--camera", str(folder / "cam.json"), "--frames",
            str(folder / "frames"), "--out", str(folder / out), "--fps", "10",
            *(w for s in settings for w in ("--set", f"track.{s}"))]  # fmt: skip


def test_a_ball_is_followed_and_the_other_one_stays(film: Path) -> None:
    assert main(words(film, "run")) == 0
    result = film / "run" / "latest" / "track" / "sequence"
    index = json.loads((result / "index.json").read_text("utf-8"))
    assert index["kind"] == "sequence/1"
    assert [row["time_s"] for row in index["frames"]] == pytest.approx([0, 0.1, 0.2, 0.3])
    scene = splats.load(film / "scene.ply")
    right = scene.means[:, 0] > 0
    for row, height in zip(index["frames"], HEIGHTS, strict=True):
        way = splats.load(result / row["splats"]).means - scene.means
        assert np.median(way[right, 1]) == pytest.approx(height, abs=0.03)
        assert np.abs(np.median(way[right][:, [0, 2]], axis=0)).max() < 0.05
        assert (way[~right] == 0).all(axis=1).mean() > 0.9


def test_frames_count_and_the_first_one_is_looked_at(film: Path, capsys) -> None:
    """10 comes after 9, as programs count that know no leading zeros."""
    folder = film / "counted"
    folder.mkdir()
    other = picture(two_balls(150), camera(48, azimuth_deg=90))
    for name in ("1.png", "2.tif", "10.bmp", "9.jpg"):
        write_png(other, folder / name)
    (folder / "notes.txt").write_text("no frame")
    said = words(film, "counted-run")
    said[said.index("--frames") + 1] = str(folder)
    quick = ("track.coarse.iterations=1", "track.next_iterations=1")
    assert main([*said, *(word for one in quick for word in ("--set", one))]) == 0
    err = capsys.readouterr().err
    assert err.count("Is it of this camera?") == 1
    result = film / "counted-run" / "latest" / "track" / "sequence" / "index.json"
    rows = json.loads(result.read_text("utf-8"))["frames"]
    assert [row["picture"] for row in rows] == ["1.png", "2.tif", "9.jpg", "10.bmp"]


def test_no_frames_and_no_directory_are_explained(film: Path, capsys) -> None:
    (film / "empty").mkdir()
    bad = words(film, "bad")
    bad[bad.index("--frames") + 1] = str(film / "empty")
    assert main(bad) == 2
    assert "holds no pictures" in capsys.readouterr().err
    bad[bad.index("--frames") + 1] = str(film / "absent")
    assert main(bad) == 2
    assert "no such directory" in capsys.readouterr().err
