"""A picture is taken from the page, changed, sent back, and the layer follows while one looks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from splatworks.pipeline.cli import main

from .browsing import Program, Tab, chromium, program, wait
from .scenes import files

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


def downloaded(tab: Tab, path: Path) -> np.ndarray:
    """The view of the torus alone, as the browser has saved it."""
    tab.choose("Layer", "ball")
    tab.open("View")
    tab.check("Show this layer")
    tab.choose("Layer", "torus")
    tab.choose("Picture", "coarse")
    with tab.page.expect_download() as download:
        tab.press("Download view")
    download.value.save_as(path)
    return np.asarray(Image.open(path))


def send(tab: Tab, pixels: np.ndarray, path: Path) -> None:
    Image.fromarray(pixels).save(path)
    with tab.page.expect_file_chooser() as chooser:
        tab.press("Send the retouched picture")
    chooser.value.set_files(str(path))


def frames(tab: Tab, count: int, folder: Path) -> list[tuple[bytes, np.ndarray]]:
    """So many different pictures as they form: the panel's, and the canvas at that time."""
    found: list[tuple[bytes, np.ndarray]] = []
    image = tab.page.locator("img:visible").last

    def more() -> bool:
        shown = image.get_attribute("src") if image.count() else None
        if shown and shown.encode() not in [one for one, _ in found]:
            tab.page.screenshot(path=str(folder / f"forming-{len(found)}.png"))
            canvas = tab.colors(folder / f"canvas-{len(found)}.png")
            found.append((shown.encode(), canvas))
        return len(found) >= count

    wait(more, f"{count} pictures, there were {len(found)}")
    return found


def lower_half(pixels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Where no messages are, at the canvas's size."""
    image = Image.fromarray(pixels.astype(np.uint8)).resize((shape[1], shape[0]))
    return np.asarray(image).astype(int)[shape[0] // 2 :]


def test_a_retouched_view_forms_and_can_be_stopped(browser: Any, tmp_path: Path) -> None:
    with program(files(tmp_path / "in"), tmp_path / "out") as studio:
        tab = Tab(browser, studio.url)
        view = downloaded(tab, tmp_path / "view.png")
        assert view.tobytes() == np.asarray(Image.open(studio.folder / "view.png")).tobytes()
        away = view.shape[1] // 12
        shifted = np.zeros_like(view)
        shifted[:, away:] = view[:, :-away]
        tab.choose("Changed", "geometry")
        send(tab, shifted, tmp_path / "shifted.png")
        (_, first), *_, (_, last) = frames(tab, 4, tmp_path)
        before, wanted = lower_half(view, first.shape), lower_half(shifted, first.shape)
        begun, ended = (lower_half(canvas, first.shape) for canvas in (first, last))
        change = np.abs(wanted - before).mean()
        # A fast machine is nearly there when the first picture is seen.
        off = min(np.abs(begun - before).mean(), np.abs(begun - wanted).mean())
        assert off < 0.7 * change, "the canvas shows it, in its place"
        assert np.abs(ended - wanted).mean() < 0.5 * change
        tab.press("Stop the change")
        tab.sees("stopped, nothing has changed")
        assert studio.edits() == [] and not list((studio.folder / ".scratch").iterdir())
        wait(lambda: tab.colors(tmp_path / "stopped.png")[-9, 9].min() > 20, "the scene again")
        assert not tab.page.get_by_text("That did not work").count()


def test_what_became_of_it_is_undone_and_replayed(browser: Any, tmp_path: Path) -> None:
    scenes, out = files(tmp_path / "in"), tmp_path / "out"
    with program(scenes, out) as studio:
        tab = Tab(browser, studio.url)
        view = downloaded(tab, tmp_path / "view.png")
        painted = view.copy()
        half = view.shape[1] // 2
        painted[:, half:] = view[:, half:, ::-1]
        tab.choose("Changed", "texture")
        send(tab, painted, tmp_path / "painted.png")
        assert frames(tab, 1, tmp_path)
        retouched(tab, studio)
        tab.press("Undo (1)")
        studio.until(0)
        tab.press("Redo (1)")
        retouched(tab, studio)
        tab.page.wait_for_timeout(3000)
        tab.page.screenshot(path=str(tmp_path / "retouched.png"))
        tab.open("Save")
        tab.press("Save as one PLY")
        wait((out / "scene.edits.json").exists, "the saved file")
        assert studio.stop()[0] == 0
    again = tmp_path / "again.ply"
    words = ["apply", str(out / "scene.edits.json"), *map(str, scenes), "--out", str(again)]
    assert main([*words, "--threads", "1"]) == 0
    assert again.read_bytes() == (out / "scene.ply").read_bytes()


def retouched(tab: Tab, studio: Program) -> None:
    (edit,) = studio.until(1)
    assert (edit["edit"], edit["layer"], edit["what"]) == ("retouch", "torus", "texture")
    tab.page.get_by_role("button", name="Undo (1)").wait_for()
