"""A disk that fails at a chosen moment: every write, fsync, rename, link, mkdir and unlink counts.

`Faults(at, how)` calls `how` just before operation number `at`; a write is first half done.
"""

import builtins
import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

OPERATIONS = ("fsync", "replace", "rename", "mkdir", "unlink", "remove", "rmdir", "symlink")
KILLED = 77


def die() -> None:
    os._exit(KILLED)


def disk_full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def read_only() -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def refused() -> None:
    raise OSError(errno.EACCES, os.strerror(errno.EACCES))


class Faults:
    """Replaces the operations while it is entered. `at=0` only counts and records."""

    def __init__(self, at: int = 0, how: Callable[[], None] = die, *, stay: bool = False) -> None:
        self.count, self.trace = 0, list[tuple[str, str]]()
        self._at, self._how, self._stay = at, how, stay
        self._real: dict[str, Any] = {}

    def __enter__(self) -> "Faults":
        self._real = {name: getattr(os, name) for name in OPERATIONS}
        self._open = io.open
        for name in OPERATIONS:
            setattr(os, name, self._counted(name))
        io.open = builtins.open = self._opened
        return self

    def __exit__(self, *error: object) -> None:
        for name, real in self._real.items():
            setattr(os, name, real)
        io.open = builtins.open = self._open

    def hit(self, name: str, path: object) -> bool:
        """Count one operation; whether it is the one that must fail."""
        self.count += 1
        self.trace.append((name, str(path)))
        return self.count == self._at or (self._stay and 0 < self._at < self.count)

    def fail(self) -> None:
        self._how()

    def _counted(self, name: str) -> Callable[..., Any]:
        def operation(path: Any, *more: Any, **options: Any) -> Any:
            named = os.readlink(f"/proc/self/fd/{path}") if name == "fsync" else path
            # A full disk still lets go of things.
            if self.hit(name, named) and (self._how is die or name not in ("unlink", "rmdir")):
                self.fail()
            if name != "fsync":  # The real one only takes time.
                return self._real[name](path, *more, **options)

        return operation

    def _opened(self, file: Any, mode: str = "r", *more: Any, **options: Any) -> Any:
        stream = self._open(file, mode, *more, **options)
        if set(mode) & set("wax+") and not str(file).startswith("/proc"):
            return _Writer(stream, self, file)
        return stream


class _Writer:
    def __init__(self, stream: Any, faults: Faults, path: Any) -> None:
        self._stream, self._faults, self._path = stream, faults, path

    def write(self, data: Any) -> int:
        if self._faults.hit("write", self._path):
            self._stream.write(data[: len(data) // 2])
            self._stream.flush()
            self._faults.fail()
        written = self._stream.write(data)
        self._stream.flush()
        return int(written)

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def in_child(work: Callable[[], object]) -> int:
    """Run `work` in a forked child and return its exit code (0 if it came through)."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def contents(run: Path) -> dict[str, bytes]:
    """The bytes of every result that `latest/` shows, provenance aside."""
    return {
        f"{step.name}/{file.relative_to(step)}": file.read_bytes()
        for step in sorted((run / "latest").iterdir())
        for file in sorted(step.rglob("*"))
        if file.is_file() and file.name != "provenance.json"
    }


def leftovers(run: Path) -> list[str]:
    """What a clean run directory must not hold."""
    scratch = run / ".scratch"
    found = [p for p in (scratch.iterdir() if scratch.exists() else ())]
    found += [p for p in run.rglob("*.tmp")]
    return [str(p) for p in found]
