"""Doing something once a thing has come to rest."""

import threading
import time
from collections.abc import Callable

REST_S = 0.2


class Rest:
    """Runs `work` in a thread of its own whenever nothing has stirred for a while.

    `work` is given a function that says whether it is still wanted: what takes long asks before it
    shows its result. It must not raise.
    """

    def __init__(self, work: Callable[[Callable[[], bool]], None], rest_s: float = REST_S) -> None:
        self._work, self._rest_s = work, rest_s
        self._changed = threading.Condition()
        self._due: float | None = None
        self._turn = 0
        self._closed = False
        threading.Thread(target=self._run, daemon=True).start()

    def stir(self, *, at_once: bool = False) -> None:
        """What is at work is out of date; begin again after a rest, or at once."""
        with self._changed:
            self._turn += 1
            self._due = time.monotonic() + (0 if at_once else self._rest_s)
            self._changed.notify()

    def close(self) -> None:
        """End the thread after what is at work."""
        with self._changed:
            self._closed = True
            self._turn += 1
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._closed and (self._due is None or self._due > time.monotonic()):
                    left = None if self._due is None else self._due - time.monotonic()
                    self._changed.wait(left)
                if self._closed:
                    return
                self._due, turn = None, self._turn
            self._work(lambda turn=turn: self._turn == turn)
