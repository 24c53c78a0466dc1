"""Runs COLMAP as a process beside this one, shows how far it is, and ends with it."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...pipeline.contract import Context, Progress, replacing
from ...pipeline.errors import InputError, MissingError

LIBRARY = "pycolmap"
ADVICE = "pip install 'splatworks[colmap]' (or pip install pycolmap)"
TITLES = {
    "features": "features",
    "pairs": "compared pairs",
    "cameras": "cameras placed",
}
LONGEST_QUOTE = 300


def check_installed() -> None:
    """Raise MissingError in one line where there is no pycolmap. Does not import it."""
    if importlib.util.find_spec(LIBRARY) is None:
        raise MissingError(f"cameras of photographs are found by {LIBRARY}. Install it: {ADVICE}.")


def run_colmap(job: dict[str, Any], ctx: Context) -> dict[str, Any]:
    """Do the job, see `colmap.Job`; what is done already in its work directory is kept.

    Raises InputError with the last words of COLMAP's log where it gives up.
    """
    work = Path(job["work"])
    path = work / "job.json"
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(job), "utf-8")
    found = work / "found.json"
    found.unlink(missing_ok=True)
    log = work / "colmap.log"
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.colmap", str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C is ours; we end it.
        )
    try:
        assert process.stdout is not None
        _show(map(json.loads, process.stdout), ctx.progress)
        code = process.wait()
    finally:
        process.kill()  # It catches softer signals and may hang on them.
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
    if code or not found.is_file():
        raise InputError(f"COLMAP gave up (code {code}): {_last_words(log)} The whole log: {log}")
    return json.loads(found.read_text("utf-8"))


def _show(said: Iterator[dict[str, Any]], progress: Progress) -> None:
    """One bar after the other."""
    line = next(said, None)
    while line is not None:
        part, done = line["part"], 0
        with progress(TITLES[part], line["total"]) as bar:
            while line is not None and line["part"] == part:
                if line["done"] > done:
                    bar.advance(line["done"] - done)
                    done = line["done"]
                line = next(said, None)


def _last_words(log: Path) -> str:
    """The last line that is no place in a stack."""
    lines = (line.strip() for line in log.read_text("utf-8", "replace").splitlines())
    said = [line for line in lines if line and not line.startswith(("@", "***", "PC:"))]
    return said[-1][-LONGEST_QUOTE:] if said else "nothing was said."
