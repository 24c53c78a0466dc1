"""nerfstudio's commands, run as processes of its own environment."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ...pipeline.errors import InputError, MissingError
from ...renderers.open3d_import import libusb

PYTHON = "NERFSTUDIO_PYTHON"
MODULES = {"ns-train": "nerfstudio.scripts.train", "ns-export": "nerfstudio.scripts.exporter"}
LONGEST_QUOTE = 300


def command(name: str) -> list[str]:
    """How `ns-train` or `ns-export` is called here. Raises MissingError where there is none."""
    python = os.environ.get(PYTHON)
    if python:
        if shutil.which(python) is None:
            raise MissingError(f"{PYTHON} is {python}, which is no program.")
        return [python, "-m", MODULES[name]]
    found = shutil.which(name)
    if found is None:
        raise MissingError(
            f"{name} is not on the PATH. Make nerfstudio an environment of its own "
            f"(docs/nerfstudio.md) and set {PYTHON} to its Python."
        )
    return [found]


def environment() -> dict[str, str]:
    """Ours, with libusb loaded first: ns-export's Open3D wants it, and bare machines lack it."""
    found = libusb() if sys.platform == "linux" else None
    if found is None:
        return dict(os.environ)
    before = os.environ.get("LD_PRELOAD")
    return {**os.environ, "LD_PRELOAD": f"{found}:{before}" if before else found}


def call(name: str, words: Sequence[str], log: Path) -> None:
    """Run to the end, all that is said into `log`. Raises InputError with its last line else."""
    with log.open("ab") as said:
        process = subprocess.Popen(
            [*command(name), *words],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env=environment(),
            start_new_session=True,  # Ctrl-C is ours; we end it.
        )
    try:
        code = process.wait()
    finally:
        process.kill()
        process.wait()
    if code:
        lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines()]
        last = next((line for line in reversed(lines) if line), "nothing was said.")
        raise InputError(f"{name} ended with {code}: {last[-LONGEST_QUOTE:]} The whole log: {log}")
