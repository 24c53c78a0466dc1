"""What a stage and the runner agree on. The only part of `pipeline` that stages may import,
together with `errors`. Standard library only.

A stage is a module with `VERSION: int`, `Inputs`, `Config`, `Outputs` and
`run(inputs, config, ctx) -> Outputs`; see `docs/stages.md`. Importing it must be cheap: heavy
libraries are imported inside `run`.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from logging import Logger
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Protocol

RUNTIME: Mapping[str, bool] = MappingProxyType({"runtime": True})
"""`field(metadata=RUNTIME)` marks a setting that does not shape the result (not in the key)."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A typed handle to a file or directory; subclasses set `kind`, such as `splats/1`."""

    path: Path

    kind: ClassVar[str] = ""

    @classmethod
    def companions(cls, path: Path) -> tuple[Path, ...]:
        """Files that belong to `path` if they stand beside it; they are part of its hash."""
        return ()


class Bar(Protocol):
    """One progress bar while it is shown."""

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Move on by `steps`; `note` is a short remark such as the current loss."""
        ...


class Progress(Protocol):
    """Opens a progress bar: `with ctx.progress("distill", 600) as bar: ...`."""

    def __call__(self, title: str, total: int, done: int = 0) -> AbstractContextManager[Bar]:
        """`done` counts the steps that an earlier, interrupted run has finished."""
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """All that a stage may know about the run it is part of."""

    out: Path
    """An empty directory; every output artifact lies inside it."""
    scratch: Path
    """For checkpoints: survives an interruption, is deleted when the step is done."""
    log: Logger
    progress: Progress
    seed: int
    """Already specific to this step; feed it to `stages.randomness.generator`."""
    device: str
    """`cpu` or `cuda`."""
    threads: int
    """How many threads the stage may keep busy."""
    memory_bytes: int
    """How much memory the stage may plan with."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file so that it is either absent, or whole and on disk.

    Yields a temporary name beside `path`; on success it is flushed and renamed over `path`,
    on any failure it is removed.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sync(path: Path) -> None:
    """Flush one file, or one directory's list of names, to the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open a directory; its renames are journaled.
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
