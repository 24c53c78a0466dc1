"""Progress bars on a terminal, sparse plain lines elsewhere (log files, CI, ssh without a tty)."""

import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .contract import Bar

QUIET_S = 10.0
"""Plain lines of one bar are at least this far apart."""
SHORT_S = 3.0
"""What took less is not worth a closing line."""


class Terminal:
    """Shows bars and log lines on standard error without tearing each other."""

    def __init__(self, *, fancy: bool | None = None) -> None:
        self._fancy = sys.stderr.isatty() if fancy is None else fancy
        self._live: Any = None
        self._open = 0
        self._lock = threading.Lock()

    @contextmanager
    def progress(self, title: str, total: int, done: int = 0) -> Iterator[Bar]:
        """See `contract.Progress`."""
        if self._fancy:
            with self._rich(title, total, done) as bar:
                yield bar
            return
        plain = PlainBar(title, total, done, self.line)
        try:
            yield plain
        finally:
            plain.close()

    def line(self, text: str) -> None:
        with self._lock:
            if self._live is not None:
                self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)
            else:
                print(text, file=sys.stderr, flush=True)

    @contextmanager
    def _rich(self, title: str, total: int, done: int) -> Iterator[Bar]:
        from rich import progress
        from rich.console import Console

        with self._lock:
            if self._live is None:
                self._live = progress.Progress(
                    progress.TextColumn("{task.description}", markup=False),
                    progress.BarColumn(),
                    progress.MofNCompleteColumn(),
                    progress.TimeElapsedColumn(),
                    progress.TextColumn("left"),
                    progress.TimeRemainingColumn(),
                    progress.TextColumn("{task.fields[note]}", markup=False),
                    console=Console(stderr=True),
                    transient=True,
                )
                self._live.start()
            self._open += 1
        task = self._live.add_task(title, total=total, completed=done, note="")
        try:
            yield _RichBar(self._live, task)
        finally:
            with self._lock:
                self._live.remove_task(task)
                self._open -= 1
                if self._open == 0:
                    self._live.stop()
                    self._live = None


class _RichBar:
    def __init__(self, live: Any, task: Any) -> None:
        self._live, self._task = live, task

    def advance(self, steps: int = 1, note: str = "") -> None:
        more = {"note": note} if note else {}
        self._live.update(self._task, advance=steps, **more)


class PlainBar:
    """At most one line in ten seconds, with percent and time left."""

    def __init__(self, title: str, total: int, done: int, line: Any, clock: Any = time.monotonic):
        self._title, self._total, self._done, self._first = title, total, done, done
        self._line, self._clock = line, clock
        self._start = self._last = clock()
        self._lock = threading.Lock()

    def advance(self, steps: int = 1, note: str = "") -> None:
        with self._lock:
            self._done += steps
            now = self._clock()
            if now - self._last < QUIET_S:
                return
            self._last = now
            text = f"{self._title}: {self._done}/{self._total}"
            if self._total:
                text += f" ({100 * self._done // self._total} %)"
            made = self._done - self._first
            if made > 0:
                left = (now - self._start) / made * max(0, self._total - self._done)
                text += f", {duration(left)} left"
        self._line(text + (f", {note}" if note else ""))

    def close(self) -> None:
        took = self._clock() - self._start
        if took >= SHORT_S:
            self._line(f"{self._title}: {self._done}/{self._total} in {duration(took)}")


class LogLines(logging.Handler):
    """Log records as `splatworks: step: text` lines above the bars."""

    def __init__(self, terminal: Terminal) -> None:
        super().__init__()
        self._terminal = terminal

    def emit(self, record: logging.LogRecord) -> None:
        where = record.name.removeprefix("splatworks").lstrip(".")
        level = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        self._terminal.line(f"{where + ': ' if where else ''}{level}{record.getMessage()}")


def prepare_terminal() -> Terminal:
    """Bars and log lines for commands that run steps."""
    terminal = Terminal()
    log = logging.getLogger("splatworks")
    for old in [h for h in log.handlers if isinstance(h, LogLines)]:
        log.removeHandler(old)
    log.addHandler(LogLines(terminal))
    log.setLevel(logging.INFO)
    log.propagate = False
    return terminal


def duration(seconds: float) -> str:
    """`8 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def size(count: float) -> str:
    """`812 B`, `3.4 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError
