"""Locks between processes: a file held open. The system releases them however a process ends.

Lock files are empty, tiny and left in place: deleting one while somebody waits for it would let
two in.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

POLL_S = 0.2


@contextmanager
def locked(path: Path, waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock `path`; if somebody else does, call `waiting(who)` once and wait."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _opened(path) as handle:
        if not _try(handle):
            waiting(_holder(path))
            while not _try(handle):
                time.sleep(POLL_S)
        _sign(path, handle)
        try:
            yield
        finally:
            _release(handle)


@contextmanager
def locked_at_once(path: Path) -> Iterator[bool]:
    """Hold the lock `path` if it is free; yields whether it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _opened(path) as handle:
        held = _try(handle)
        try:
            yield held
        finally:
            if held:
                _release(handle)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield handle
    finally:
        os.close(handle)


# The byte far behind the name of the holder is locked, so that the name can be read by others.
_BYTE = 1 << 20

if os.name == "nt":
    import msvcrt

    def _try(handle: int) -> bool:
        os.lseek(handle, _BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _release(handle: int) -> None:
        os.lseek(handle, _BYTE, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _release(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_UN)


def _sign(path: Path, handle: int) -> None:
    """Note who holds the lock. Only for the message, so a full disk does not matter."""
    try:
        os.ftruncate(handle, 0)
        os.lseek(handle, 0, os.SEEK_SET)
        os.write(handle, f"process {os.getpid()}".encode())
    except OSError:
        pass


def _holder(path: Path) -> str:
    try:
        return path.read_text("ascii").strip() or "another process"
    except (OSError, UnicodeDecodeError):
        return "another process"
