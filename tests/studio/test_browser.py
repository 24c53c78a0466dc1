"""The studio in a real browser: what a person does there is on disk, and can be replayed."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from splatworks.pipeline.cli import main
from splatworks.stages.formats import splats

from ..stages import scene_setup as made
from .browsing import Tab, chromium, program, wait
from .scenes import files

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


def redness(colors: np.ndarray) -> int:
    """How many pixels are red, as the ball is."""
    red, green, blue = np.moveaxis(colors, -1, 0)
    return int(((red > 120) & (green < 70) & (blue < 70)).sum())


def blueness(colors: np.ndarray) -> int:
    """How many pixels are blue, as the torus is before it is stitched."""
    red, _, blue = np.moveaxis(colors, -1, 0)
    return int((blue > red + 60).sum())


def test_two_scenes_from_the_first_look_to_the_saved_file(browser: Any, tmp_path: Path) -> None:
    scenes, out = files(tmp_path / "in"), tmp_path / "out"
    with program(scenes, out) as studio:
        tab = Tab(browser, studio.url)
        wait(lambda: redness(tab.colors(tmp_path / "1-first.png")) > 3000, "a picture of the ball")

        tab.take("rectangle")
        tab.choose("Takes", "everything")
        tab.drag((0.45, 0.1), (0.98, 0.95))
        (select,) = studio.until(1)
        assert (select["shape"], select["layer"], select["how"]) == ("rectangle", "torus", "set")
        width, height = select["camera"]["size_px"]
        box = tab.canvas.bounding_box()
        assert abs(width / height / (box["width"] / box["height"]) - 1) < 0.01
        assert np.allclose(np.divide(select["corner"], (width, height)), (0.45, 0.1), atol=0.01)
        tab.sees(" in torus")
        tab.colors(tmp_path / "2-selected.png")

        tab.take("look")
        tab.open("Move")
        tab.fill("Shift", 0.1, 0.05, 0)
        tab.fill("Turn deg", 0, 0, 15)
        tab.press("Move")
        move = studio.until(2)[1]
        assert move["translation"] == [0.1, 0.05, 0] and move["of"] == "selection"
        assert np.allclose(move["rotation"], [np.cos(np.pi / 24), 0, 0, np.sin(np.pi / 24)])
        tab.colors(tmp_path / "3-moved.png")
        tab.press("Undo (2)")
        studio.until(1)
        tab.press("Redo (1)")
        studio.until(2)

        tab.open("Stitch")
        tab.press("Stitch")
        assert studio.until(3)[2]["source"] == "ball"
        tab.sees("color difference")
        wait(lambda: blueness(tab.colors(tmp_path / "rest.png")) < 5000, "the stitched torus")
        tab.page.screenshot(path=str(tmp_path / "4-stitched.png"))

        tab.open("Edit")
        tab.press("delete")
        studio.until(4)
        tab.press("Undo (4)")
        studio.until(3)

        tab.open("Save")
        tab.press("Save as one PLY")
        wait((out / "scene.edits.json").exists, "the saved file")
        tab.page.screenshot(path=str(tmp_path / "5-saved.png"))
        code, said = studio.stop()
        assert code == 0 and "goes on from there" in said
    again = tmp_path / "again.ply"
    words = ["apply", str(out / "scene.edits.json"), *map(str, scenes), "--out", str(again)]
    assert main(words) == 0
    assert again.read_bytes() == (out / "scene.ply").read_bytes()
    assert len(splats.load(again)) == 2 * len(splats.load(scenes[0]))


@pytest.mark.slow
def test_every_tool_of_the_pointer(browser: Any, tmp_path: Path) -> None:
    with program(files(tmp_path / "in"), tmp_path / "out") as studio:
        tab = Tab(browser, studio.url)
        tab.take("lasso")
        tab.drag((0.6, 0.2), (0.9, 0.3), (0.9, 0.8), (0.6, 0.8))
        lasso = studio.until(1)[0]
        assert lasso["shape"] == "lasso" and len(lasso["points"]) >= 4
        width, height = lasso["camera"]["size_px"]
        assert np.allclose(np.divide(lasso["points"][0], (width, height)), (0.6, 0.2), atol=0.02)
        tab.sees(" in torus")
        tab.colors(tmp_path / "lasso.png")

        tab.take("brush")
        tab.drag((0.7, 0.4), (0.8, 0.5), key="Shift")
        brush = studio.until(2)[1]
        assert (brush["shape"], brush["how"]) == ("brush", "add")
        tab.sees(" in torus")

        tab.take("click")
        box = tab.canvas.bounding_box()
        tab.page.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + 0.5 * box["height"])
        assert len(studio.until(3)[2]["points"]) == 1
        tab.sees(" in torus")

        tab.take("sphere")
        tab.fill("Sphere", 0.2)
        tab.page.wait_for_timeout(1500)
        tab.colors(tmp_path / "sphere.png")
        tab.press("Select inside")
        sphere = studio.until(4)[3]
        assert (sphere["shape"], sphere["radius"]) == ("sphere", 0.2)
        tab.take("box")
        tab.press("Select inside")
        assert studio.until(5)[4]["size"] == [0.5, 0.5, 0.5]

        tab.unfold("By a property")
        tab.choose("Property", "x")
        thumb = tab.page.locator(".multi-slider-thumb").locator("visible=true").first
        thumb.scroll_into_view_if_needed()
        at = thumb.bounding_box()
        tab.page.mouse.move(at["x"] + at["width"] / 2, at["y"] + at["height"] / 2)
        tab.page.mouse.down()
        tab.page.mouse.move(at["x"] + 100, at["y"] + at["height"] / 2, steps=5)
        tab.page.mouse.up()
        tab.page.wait_for_timeout(1500)
        tab.page.screenshot(path=str(tmp_path / "histogram.png"))
        tab.press("Select range")
        chosen = studio.until(6)[5]
        assert (chosen["shape"], chosen["property"]) == ("range", "x")
        assert 0 < chosen["low"] < 0.5 and "high" not in chosen


@pytest.mark.slow
def test_the_live_preview_leaves_the_script_alone(browser: Any, tmp_path: Path) -> None:
    with program(files(tmp_path / "in"), tmp_path / "out") as studio:
        tab = Tab(browser, studio.url)
        tab.open("Stitch")
        tab.check("Live preview")
        tab.sees("preview: torus stitched to ball")
        wait(lambda: redness(tab.colors(tmp_path / "preview.png")) > 8000, "a red torus")
        assert studio.edits() == []
        tab.choose("To go with", "torus")
        tab.sees("source must be another layer than torus")
        tab.choose("Works on", "all")
        tab.choose("To go with", "ball")
        tab.open("Move")
        tab.fill("Shift", 5, 0, 0)
        tab.press("Move")
        tab.sees("do not meet")
        studio.until(1)


@pytest.mark.slow
def test_the_gizmo_moves_what_is_selected(browser: Any, tmp_path: Path) -> None:
    with program(files(tmp_path / "in"), tmp_path / "out") as studio:
        tab = Tab(browser, studio.url)
        tab.choose("Works on", "all")
        wait(lambda: redness(tab.colors(tmp_path / "gizmo.png")) > 3000, "a picture of the ball")
        tab.page.wait_for_timeout(2000)
        colors = tab.colors(tmp_path / "gizmo.png")
        # The arrow along y is the green one; it is grasped at its upper end.
        red, green, blue = np.moveaxis(colors, -1, 0)
        rows, columns = np.nonzero((green > red + 60) & (green > blue + 60))
        assert len(rows) > 20, "no gizmo"
        height, width = colors.shape[:2]
        top = rows < np.quantile(rows, 0.1) + 1
        at = columns[top].mean() / width, (rows[top].mean() + 3) / height
        tab.drag(at, (at[0], at[1] - 0.06), (at[0], at[1] - 0.12))
        (move,) = studio.until(1)
        assert move["edit"] == "move" and move["of"] == "all"
        x, y, z = move["translation"]
        assert y > 0.02 and abs(x) < 1e-6 and abs(z) < 1e-6
        tab.colors(tmp_path / "gizmo-moved.png")


@pytest.mark.slow
def test_what_goes_wrong_is_said_in_the_page(browser: Any, tmp_path: Path) -> None:
    with program(files(tmp_path / "in"), tmp_path / "out") as studio:
        tab = Tab(browser, studio.url)
        tab.open("Edit")
        tab.press("delete")
        tab.sees("nothing is selected in layer torus")
        tab.unfold("Any edit")
        tab.fill("Line", '{"edit": "explode"}')
        tab.press("Run line")
        tab.sees("no edit 'explode'")
        tab.open("Save")
        tab.fill("Name", "../../stolen")
        tab.press("Save as one PLY")
        tab.sees("can not name a layer")
        assert not list(tmp_path.rglob("stolen*"))

        tab.open("View")
        tab.press("Download view")
        wait((tmp_path / "out" / "view.camera.json").exists, "the view")
        tab.open("Select")
        tab.unfold("By a painted mask")
        large = tmp_path / "large.png"
        with large.open("wb") as file:
            file.truncate(200_000_000)
        for path, said in (
            (large, "200.0 MB are too many"),
            (files(tmp_path / "other", 10)[0], "no picture that can be read"),
        ):
            send(tab, path)
            tab.sees(said)
        assert studio.edits() == []
        view = np.asarray(Image.open(tmp_path / "out" / "view.png"))
        mask = np.zeros_like(view)
        mask[:, view.shape[1] // 2 :] = 255
        Image.fromarray(mask).save(tmp_path / "mask.png")
        send(tab, tmp_path / "mask.png")
        assert studio.until(1)[0]["shape"] == "masks"
        tab.page.screenshot(path=str(tmp_path / "errors.png"))


def send(tab: Tab, path: Path) -> None:
    with tab.page.expect_file_chooser() as chooser:
        tab.press("Send the mask")
    chooser.value.set_files(str(path))


@pytest.mark.slow
def test_two_browsers_and_a_killed_studio(browser: Any, tmp_path: Path) -> None:
    """What one does the other sees; nothing is lost by `kill -9`."""
    scenes, out = files(tmp_path / "in"), tmp_path / "out"
    with program(scenes, out) as studio:
        one, two = Tab(browser, studio.url), Tab(browser, studio.url)
        one.press("all")
        two.sees("Undo (1)")
        two.open("Edit")
        two.press("Recolor")
        one.sees("Undo (2)")
        studio.until(2)
        one.open("Stitch")
        one.press("Stitch")
        scratch = out / ".scratch"
        wait(lambda: scratch.is_dir() and any(scratch.iterdir()), "a stitch at work")
        two.open("Select")
        two.press("none")
        two.sees("another edit is at work")
        os.kill(studio.process.pid, signal.SIGKILL)
        studio.process.wait()
    with program(scenes, out) as studio:
        tab = Tab(browser, studio.url)
        tab.sees("Undo (2)")
        assert not scratch.exists()
        tab.press("Undo (2)")
        assert studio.until(1)[0]["edit"] == "select"
        tab.open("View")
        for mode in ("depth", "normals", "centers"):
            tab.choose("Show", mode)
            tab.page.wait_for_timeout(3000)
            tab.colors(tmp_path / f"{mode}.png")


@pytest.mark.slow
def test_scenes_of_other_degrees_and_scales(browser: Any, tmp_path: Path) -> None:
    """Degree 3 and a hundred times as large beside degree 0: seen, edited, merged, saved."""
    scenes, out = files(tmp_path / "in"), tmp_path / "out"
    large = made.cloud(400, 3)
    shift = np.log(100).astype(np.float32)
    large = replace(large, means=100 * large.means, log_scales=large.log_scales + shift)
    scenes[1] = splats.save(large, tmp_path / "in" / "large.ply")
    with program(scenes, out) as studio:
        tab = Tab(browser, studio.url)
        gray = np.array([46, 46, 46])
        canvas = tmp_path / "large.png"
        wait(lambda: (np.abs(tab.colors(canvas) - gray).max(axis=2) > 40).mean() > 0.05, "splats")
        tab.choose("Layer", "large")
        tab.choose("Works on", "all")
        tab.open("Move")
        tab.fill("Shift", 9000, 0, 0)
        tab.fill("Turn deg", 0, 90, 0)
        tab.press("Move")
        assert studio.until(1)[0]["layer"] == "large"
        tab.open("Stitch")
        tab.choose("Recolor", "large")
        tab.choose("To go with", "torus")
        tab.press("Stitch")
        tab.sees("do not meet")
        tab.open("Edit")
        tab.press("Merge all layers")
        assert studio.until(2)[1]["edit"] == "merge"
        tab.open("Save")
        tab.press("Save as one PLY")
        wait((out / "scene.edits.json").exists, "the saved file")
        tab.page.screenshot(path=str(tmp_path / "merged.png"))
    again = tmp_path / "again.ply"
    words = ["apply", str(out / "scene.edits.json"), *map(str, scenes), "--out", str(again)]
    assert main(words) == 0 and again.read_bytes() == (out / "scene.ply").read_bytes()
    assert splats.load(again).sh.shape == (400 + len(splats.load(scenes[0])), 16, 3)
