"""Failures that are ours: the traceback goes to a file, one line to the user."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from .errors import SplatworksError
from .hashing import cache_dir


class Fault(Exception):
    """Something failed that should not; the message says where the traceback is."""


@contextmanager
def faults_in(run: Path) -> Iterator[None]:
    """Turn an unexpected error inside into a `Fault` with the traceback in `run/logs/`."""
    try:
        yield
    except (SplatworksError, Fault):
        raise
    except Exception as error:
        raise Fault(write_fault(error, run)) from error


def write_fault(error: BaseException, run: Path | None) -> str:
    """Write the traceback to a file and return the one line to show."""
    text = "".join(traceback.format_exception(error))
    where = next(iter(getattr(error, "__notes__", ())), "")
    what = f"{where + ': ' if where else ''}{type(error).__name__}: {_short(str(error))}"
    name = f"error-{datetime.now():%Y%m%d-%H%M%S}.txt"
    for folder in ([run / "logs"] if run else []) + [cache_dir() / "logs"]:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, "utf-8")
        except OSError:
            continue
        return f"{what} This is our fault, please report it with {folder / name}."
    return f"{what} This is our fault, please report it with this:\n{text}"


def say(text: str, code: int) -> int:
    """One line for the user on standard error; returns the exit code."""
    print("splatworks: " + " ".join(text.split()), file=sys.stderr, flush=True)
    return code


def _short(text: str) -> str:
    line = " ".join(text.split())
    line = line if len(line) <= 300 else line[:297] + "..."
    return line if line.endswith((".", "!", "?")) else line + "."
