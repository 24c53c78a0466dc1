"""`gc`: delete results that neither the recipe of the run nor `latest/` uses."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import StorageError
from .history import abandoned, examine_run, older_results
from .locks import locked_at_once
from .store import SCRATCH, TRASH, Store, open_store, remove, sweep


@dataclass(frozen=True, slots=True)
class Garbage:
    path: Path
    size: int


def garbage(run: Path, table: Mapping[str, str]) -> list[Garbage]:
    """What `gc` would delete."""
    store = open_store(run)
    states = examine_run(run, table)
    paths = [*older_results(states, store), *abandoned(states, store)]
    return [Garbage(path, size_of(path)) for path in paths]


def collect(run: Path, table: Mapping[str, str]) -> list[Garbage]:
    """Delete it. A result is renamed away first, so that a half-deleted one never looks whole."""
    found = garbage(run, table)
    with locked_at_once(Store(run).run_lock) as ours:
        if not ours:
            raise StorageError(f"{run} is in use by another process. Wait for it or stop it.")
        sweep(run)
        for item in found:
            if item.path.is_symlink() or item.path.parent.name == SCRATCH:
                remove(item.path)
                continue
            trash = run / SCRATCH / f"{TRASH}{item.path.name}"
            trash.parent.mkdir(exist_ok=True)
            remove(trash)
            os.rename(item.path, trash)
            remove(trash)
    return found


def size_of(path: Path) -> int:
    """Bytes of all files below `path`; a link into a shared store counts nothing."""
    if path.is_symlink():
        return 0
    if path.is_file():
        return path.stat().st_size
    return sum(f.stat().st_size for f in path.rglob("*") if f.is_file() and not f.is_symlink())
