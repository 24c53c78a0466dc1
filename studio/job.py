"""Stitching beside the page: one at a time, with progress, and it can be stopped.

A preview is the same stitch with few iterations on few small pictures: a second or two, good for
judging the place, not the result. It leaves the script alone.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from ..pipeline.contract import Bar, Context
from ..pipeline.errors import InputError
from ..stages.apply.performing import performing
from ..stages.formats.edits import Stitch
from ..stages.scene.layers import Scene
from ..stages.scene.operations import Outcome

QUICK = {"iterations": (30, 30), "views": 8, "size_px": 80}
PATIENCE_S = 3.0
"""How long one waits for another that is being stopped."""
Report = Callable[[int, int, str], None]
"""Iterations done, all of them, and a note."""


class Stopped(InputError):
    """The user has stopped it."""


class Job:
    """Whether something long is at work, and a way to stop it."""

    def __init__(self) -> None:
        self._running = threading.Lock()
        self._stop = threading.Event()

    @property
    def running(self) -> bool:
        return self._running.locked()

    def stop(self) -> None:
        """Let what is at work end with `Stopped` at its next iteration."""
        self._stop.set()

    @contextmanager
    def begun(self, ctx: Context, report: Report) -> Iterator[Context]:
        """A context for the work, which reports and can be stopped. Only one at a time."""
        if not self._running.acquire(timeout=PATIENCE_S):
            raise InputError("a stitch is at work. Wait for it, or stop it")
        try:
            self._stop.clear()
            yield replace(ctx, progress=self._progress(report))
        finally:
            self._running.release()

    def preview(self, scene: Scene, edit: Stitch, ctx: Context, report: Report) -> Outcome:
        """The scene with a quick stitch."""
        with self.begun(ctx, report) as inner:
            return performing(inner)(scene, replace(edit, **QUICK))

    def _progress(self, report: Report):
        @contextmanager
        def progress(title: str, total: int, done: int = 0) -> Iterator[Bar]:
            yield _Bar(total, done, report, self._stop)

        return progress


class _Bar:
    def __init__(self, total: int, done: int, report: Report, stop: threading.Event) -> None:
        self._total, self._done, self._report, self._stop = total, done, report, stop

    def advance(self, steps: int = 1, note: str = "") -> None:
        if self._stop.is_set():
            raise Stopped("stopped, nothing has changed")
        self._done += steps
        self._report(self._done, self._total, note)
