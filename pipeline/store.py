"""Finished and unfinished steps on disk.

    runs/mushroom/
      recipe.json              what was asked, every setting written out
      inputs/prompt.json
      shape-4be0c1d2e3f4/      a finished step: its outputs, manifest.json, provenance.json
      latest/shape             link to the newest result of each step
      .scratch/mesh-…/         an unfinished step: request.json, checkpoints/, out/
      .locks/  logs/

A step directory appears by one rename after everything in it is on disk: one that exists is
complete. With a shared store the results live there, named by stage and key, and the run
directory links to them; `recipe.json` names the store.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .contract import replacing, sync
from .errors import ChangedError, InputError, StorageError
from .manifest import read_manifest, verify
from .plan import Done, Request
from .recipe import read_store

SHARED_KEY_SHOWN = 24
LATEST = "latest"
SCRATCH = ".scratch"
TRASH = "trash-"


@dataclass(frozen=True, slots=True)
class Store:
    """Where the steps of one run are kept."""

    run: Path
    shared: Path | None = None

    @property
    def run_lock(self) -> Path:
        return self.run / ".locks" / "run.lock"

    @property
    def _root(self) -> Path:
        return self.run if self.shared is None else self.shared

    def _name(self, request: Request) -> str:
        if self.shared is None:
            return request.label
        return f"{request.stage}-{request.key[:SHARED_KEY_SHOWN]}"

    def folder(self, request: Request) -> Path:
        """The step directory as the run shows it; a link if the store is shared."""
        return self.run / request.label

    def home(self, request: Request) -> Path:
        """The step directory itself."""
        return self._root / self._name(request)

    def scratch(self, request: Request) -> Path:
        return self._root / SCRATCH / self._name(request)

    def lock(self, request: Request) -> Path:
        return self._root / ".locks" / f"{self._name(request)}.lock"

    def finished(self, request: Request, *, fresh: bool = False) -> Done | None:
        """The step if it is done, verified; `ChangedError` if it was altered since."""
        folder = self.folder(request)
        if not folder.is_dir():  # Or a link into a shared store that was cleared.
            folder = self.home(request)
        if not folder.is_dir():
            return None
        manifest = read_manifest(folder)
        if manifest.key != request.key:
            raise ChangedError(
                f"{folder} holds another result (key {manifest.key[:12]}…, expected"
                f" {request.key[:12]}…). Delete {folder} to have it made again."
            )
        verify(folder, manifest, fresh=fresh)
        return Done(self.folder(request), manifest)

    def publish(self, request: Request, out: Path) -> None:
        """Make the finished directory `out` the result of the step, in one instant."""
        sync_tree(out)
        home = self.home(request)
        if home.is_symlink():
            home.unlink()  # The run had a shared store once, which was cleared.
        os.rename(out, home)
        sync(home.parent)

    def show(self, request: Request) -> None:
        """Put a result from the shared store into the run directory: a link, or a copy."""
        folder, home = self.folder(request), self.home(request)
        if folder.exists():
            return
        try:
            link(folder, home.absolute())
        except OSError as error:
            if not _linkless(error):
                raise
            copy = self.run / SCRATCH / f"copy-{folder.name}"
            remove(copy)
            shutil.copytree(home, copy)
            sync_tree(copy)
            os.rename(copy, folder)
            sync(self.run)

    def point_latest(self, request: Request) -> None:
        """Let `latest/STEP` name the result of this request: a link, or a file with its name."""
        latest = self.run / LATEST / request.step
        target = Path("..") / request.label
        latest.parent.mkdir(exist_ok=True)
        try:
            if os.readlink(latest) == str(target):
                return
        except OSError:
            pass
        try:
            link(latest, target)
        except OSError as error:
            if not _linkless(error):
                raise
            with replacing(latest) as temporary:
                temporary.write_text(str(target), "utf-8")

    def latest(self) -> dict[str, Path]:
        """Step name to the directory of its newest result."""
        found: dict[str, Path] = {}
        folder = self.run / LATEST
        for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
            if entry.name.startswith("."):
                continue
            try:
                target = os.readlink(entry) if entry.is_symlink() else entry.read_text("utf-8")
            except (OSError, UnicodeDecodeError):
                continue
            path = self.run / Path(target).name
            if path.is_dir():
                found[entry.name] = path
        return found

    def shown(self, request: Request) -> Path:
        """The path that a person should be told: under `latest/` where links work."""
        latest = self.run / LATEST / request.step
        return latest if latest.is_symlink() else self.folder(request)

    def results(self) -> Iterator[Path]:
        """Every step directory of the run."""
        for path in sorted(self.run.iterdir()):
            if path.is_dir() and (path / "manifest.json").exists() and path.name != LATEST:
                yield path


def open_store(run: Path, given: Path | None = None) -> Store:
    """The store of a run: `given`, else the one that the run was last made with, else its own.

    The run directory itself as `given` goes back to its own.
    """
    shared = given or read_store(run)
    if shared is None or os.path.realpath(shared) == os.path.realpath(run):
        return Store(run)
    if given is not None and shared.exists() and not shared.is_dir():
        raise InputError(f"--store {shared} is a file, expected a directory.")
    if given is None and not shared.is_dir():
        raise StorageError(
            f"{run} keeps its results in the store {shared}, which is not there. Bring it back, or"
            f" make them anew: pipeline run {run} --store {run} (or another directory)."
        )
    return Store(run, shared)


def link(path: Path, target: Path) -> None:
    """Make `path` a symbolic link to `target`, replacing an old one in one instant."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    os.symlink(target, temporary, target_is_directory=True)
    try:
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def _linkless(error: OSError) -> bool:
    """Whether links cannot be made here at all: FAT, or Windows without the privilege."""
    cannot = (errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL)
    return error.errno in cannot or os.name == "nt"


def sync_tree(folder: Path) -> None:
    """Flush every file and every list of names below `folder` to the disk."""
    for current, _, files in os.walk(folder, topdown=False):
        for file in files:
            sync(Path(current) / file)
        sync(Path(current))


def remove(path: Path) -> None:
    """Delete a directory that nobody may take for a whole one, even if we are killed midway."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def sweep(run: Path) -> None:
    """Remove what killed processes left behind. Call only while holding the run's lock."""
    for folder in (run, run / LATEST, run / "inputs"):
        for stray in folder.glob(".*.tmp"):
            remove(stray)
    for pattern in (f"{TRASH}*", "copy-*"):
        for stray in (run / SCRATCH).glob(pattern):
            remove(stray)
