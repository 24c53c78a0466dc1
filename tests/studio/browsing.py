"""`pipeline studio` as a program, and a real Chromium on its page."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from splatworks.studio.tools import HINTS

WAIT_S = 90.0
"""A machine that is busy, drawing without a GPU, is slow."""
FLAGS = (
    "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist",
    "--no-sandbox",
)  # fmt: skip


@dataclass(frozen=True)
class Program:
    """A running studio."""

    process: subprocess.Popen[str]
    url: str
    folder: Path

    def edits(self) -> list[dict[str, Any]]:
        """What is on disk."""
        return json.loads((self.folder / "edits.json").read_text("utf-8"))["edits"]

    def until(self, count: int) -> list[dict[str, Any]]:
        """Wait for so many edits on disk."""
        wait(lambda: len(self.edits()) == count, f"{count} edits, there are {self.edits()}")
        return self.edits()

    def stop(self) -> tuple[int, str]:
        """Ctrl-C; the exit code and what it said."""
        self.process.send_signal(signal.SIGINT)
        said, _ = self.process.communicate(timeout=WAIT_S)
        return self.process.returncode, said


@contextmanager
def program(scenes: list[Path], folder: Path, *words: str) -> Iterator[Program]:
    command = [sys.executable, "-m", "splatworks.pipeline.cli", "studio", *map(str, scenes)]
    process = subprocess.Popen(
        [*command, "--out", str(folder), "--port", "0", "--threads", "1", *words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            found = re.search(r"http://\S+", line)
            if found:
                yield Program(process, found[0], folder)
                return
        raise AssertionError(f"the studio did not start: {''.join(said)}")
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def chromium() -> Iterator[Any]:
    """Debian's browser, driven by Playwright."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if found is None:
        pytest.skip("there is no Chromium; on Debian: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=list(FLAGS))
        yield browser
        browser.close()


class Tab:
    """One open page, by the words on its controls."""

    def __init__(self, browser: Any, url: str) -> None:
        self.page = browser.new_page(viewport={"width": 900, "height": 560})
        self.page.set_default_timeout(1000 * WAIT_S)
        self.page.goto(url)
        self.page.get_by_text("Undo (", exact=False).wait_for()
        self.canvas = self.page.locator("canvas").last
        note = self.page.locator(
            ".mantine-Notification-closeButton"
        )  # About drawing without a GPU.
        if note.count():
            note.first.click()

    def open(self, tab: str) -> None:
        self.page.get_by_role("tab", name=tab, exact=True).click()

    def unfold(self, folder: str) -> None:
        self.page.get_by_text(folder, exact=True).click()

    def press(self, button: str) -> None:
        self.page.get_by_role("button", name=button, exact=True).click()

    def choose(self, control: str, option: str) -> None:
        self.row(control).locator("input").first.click()
        self.page.get_by_role("option", name=option, exact=True).locator("visible=true").click()

    def take(self, tool: str) -> None:
        """A tool, once the page has it."""
        self.choose("Tool", tool)
        self.sees(HINTS[tool])

    def fill(self, control: str, *values: float | str) -> None:
        for index, value in enumerate(values):
            field = self.row(control).locator("input").nth(index)
            field.fill(str(value))
            field.press("Tab")

    def check(self, control: str) -> None:
        self.row(control).locator("input").first.click()

    def row(self, control: str) -> Any:
        """The line of the control with that label."""
        label = self.page.get_by_text(control, exact=True).locator("visible=true").last
        return label.locator("xpath=ancestor::div[.//input][1]")

    def drag(self, *places: tuple[float, float], key: str | None = None) -> None:
        """Over the canvas, in fractions of it."""
        box = self.canvas.bounding_box()
        points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in places]
        mouse = self.page.mouse
        if key:
            self.page.keyboard.down(key)
        mouse.move(*points[0])
        self.page.wait_for_timeout(150)
        mouse.down()
        for point in points[1:]:
            mouse.move(*point, steps=8)
            self.page.wait_for_timeout(80)
        mouse.up()
        if key:
            self.page.keyboard.up(key)

    def sees(self, text: str) -> None:
        self.page.get_by_text(text, exact=False).locator("visible=true").first.wait_for()

    def colors(self, path: Path) -> Any:
        """Pixels of the canvas, 0 to 255; the picture stays at `path`."""
        import numpy as np
        from PIL import Image

        box = self.canvas.bounding_box()
        self.page.screenshot(path=str(path), clip=box)
        return np.asarray(Image.open(path).convert("RGB")).astype(int)


def wait(done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not done():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.1)
