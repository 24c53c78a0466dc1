"""What all pages of one studio share: the scene, its edits, and the folder they are kept in.

The script is on disk after every edit, so neither a lost connection nor a killed process loses
work: opening the same scenes in the same folder continues.
"""

import logging
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..pipeline.contract import Context, Progress, replacing
from ..pipeline.errors import InputError, StorageError
from ..pipeline.machine import memory, silent
from ..stages.apply.performing import performing
from ..stages.apply.replay import in_one
from ..stages.edit.moving import Show
from ..stages.formats import edits as scripts
from ..stages.formats.edits import Edit, Retouch, Script, Stitch, check_name
from ..stages.scene.layers import Scene, save
from ..stages.scene.operations import Outcome
from ..stages.scene.session import Session, opened
from .job import Job, Report

SCRIPT, SCRATCH = "edits.json", ".scratch"
LONGEST_STEM = 60
PATIENCE_S = 5.0
"""How long an edit waits for another one before it is refused."""


class Workspace:
    """Safe to call from several threads; one edit at a time.

    A `Scene` never changes, so whoever only looks takes `scene` and needs no lock.
    """

    def __init__(self, session: Session, folder: Path, ctx: Context) -> None:
        self.folder = folder
        self.ctx = ctx
        """For what takes long: threads, and room for scratch files."""
        self.job = Job()
        self._session = session
        self._lock = threading.Lock()
        self._watching: list[Callable[[], None]] = []

    @property
    def scene(self) -> Scene:
        """As it is now."""
        return self._session.scene

    @property
    def counts(self) -> tuple[int, int]:
        """How many edits can be undone, and how many done again."""
        return len(self._session.edits), len(self._session.undone)

    @property
    def script_path(self) -> Path:
        return self.folder / SCRIPT

    def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed` after every change, before the next one, in the thread that made it."""
        self._watching.append(changed)

    def do(self, edit: Edit) -> Outcome:
        """One more edit, on disk when this returns. If it fails, nothing has happened."""
        with self._alone():
            outcome = self._session.do(edit)
            self._keep()
        return outcome

    def do_long(self, edit: Stitch | Retouch, report: Report, show: Show | None = None) -> Outcome:
        """`do` with a report on how far it is; `job.stop()` ends it, and nothing has happened.

        Other edits are refused meanwhile; looking is not. `show` is given pictures of a retouched
        view as it forms.
        """
        with self._alone(), self.job.begun(self.ctx, report) as ctx:
            usual = self._session.perform
            self._session.perform = performing(ctx, show)
            try:
                outcome = self._session.do(edit)
            finally:
                self._session.perform = usual
            self._keep()
        return outcome

    def undo(self) -> bool:
        """Take the last edit back; False where there is none."""
        return self._step(self._session.undo)

    def redo(self) -> bool:
        """Do the edit that was last taken back; False where there is none."""
        return self._step(self._session.redo)

    def save_scene(self, name: str, *, each: bool = False) -> list[Path]:
        """Write all layers as NAME.ply, or each as NAME-LAYER.ply, and NAME.edits.json beside.

        That script and the scenes give the same bytes by `pipeline apply`. Nothing is overwritten:
        a name in use gets a number. Returns what was written, the script last.
        """
        try:
            check_name(name)
        except ValueError as error:
            raise InputError(f"save: {error}") from None
        with self._alone():
            scene, script = self.scene, self._session.script()
        layers = scene.layers if each else (in_one(scene),)
        ends = [f"-{layer.name}" for layer in layers] if each else [""]
        stem = self._free(name, [f"{end}.ply" for end in ends])
        paths = [
            save(layer, self.folder / f"{stem}{end}.ply")
            for layer, end in zip(layers, ends, strict=True)
        ]
        return [*paths, scripts.save(script, self.folder / f"{stem}.edits.json")]

    def keep_file(self, name: str, ending: str, content: bytes) -> Path:
        """Put a file such as a screenshot into the folder, under a name that is free."""
        path = self.folder / f"{self._free(name, [ending])}{ending}"
        with replacing(path) as temporary:
            temporary.write_bytes(content)
        return path

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._lock.acquire(timeout=0.1 if self.job.running else PATIENCE_S):
            raise InputError("another edit is at work. Wait for it, or stop the stitch")
        try:
            yield
        finally:
            self._lock.release()

    def _step(self, step: Callable[[], bool]) -> bool:
        with self._alone():
            moved = step()
            if moved:
                self._keep()
        return moved

    def _keep(self) -> None:
        """Write the script, and tell who watches, who see the change even if that fails."""
        try:
            self._session.save_script(self.script_path)
        except OSError as error:
            raise StorageError(
                f"{self.script_path}: the edit is done, but could not be written down"
                f" ({error.strerror}). Free space or allow it; the next edit writes all."
            ) from None
        finally:
            for changed in self._watching:
                changed()

    def _free(self, name: str, endings: Sequence[str]) -> str:
        """`name`, or the first of name-2, name-3, … for which no such file exists."""
        number = 1
        while True:
            stem = name if number == 1 else f"{name}-{number}"
            files = [self.folder / f"{stem}{ending}" for ending in (*endings, ".edits.json")]
            beside = [path.with_suffix(".json") for path in files if path.suffix == ".ply"]
            if not any(path.exists() for path in (*files, *beside)):
                return stem
            number += 1


def open_workspace(
    paths: Sequence[Path], folder: Path, script: Path | None = None, *, threads: int,
    progress: Progress = silent,
) -> tuple[Workspace, int]:  # fmt: skip
    """Open scenes for editing, and how many edits were there already.

    Args:
        paths: Splat PLYs, one layer each, named like their files.
        folder: Keeps the script and all that is saved. If it holds a script of the same scenes,
            editing goes on from there.
        script: Begin with these edits instead; only for a folder without a script.
        threads: How many may work on pictures and stitches.
        progress: Shows the stitches among those edits.
    """
    kept, names = folder / SCRIPT, layer_names(paths)
    if script is not None and kept.exists():
        raise InputError(
            f"{kept}: there are edits already. Leave {script.name} out to go on with these, or"
            " choose another --out."
        )
    start = script or (kept if kept.exists() else None)
    edits: Sequence[Edit] = ()
    if start is not None:
        found = scripts.load(start)
        if len(found.scenes) != len(names) or (script is None and found.scenes != names):
            raise InputError(
                f"{start}: is for the scenes {', '.join(found.scenes)}, got {', '.join(names)}."
                " Give those, or choose another --out."
            )
        names, edits = found.scenes, found.edits
    folder.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    session = Session(opened(names, paths), perform=performing(_context(folder, threads, progress)))
    _replay(session, edits, str(start))
    ctx = _context(folder, threads, silent)
    session.perform = performing(ctx)
    workspace = Workspace(session, folder, ctx)
    session.save_script(workspace.script_path)
    return workspace, len(edits)


def layer_names(paths: Sequence[Path]) -> tuple[str, ...]:
    """The files' names without ending, as layers can be called; equal ones get numbers."""
    names: list[str] = []
    for path in paths:
        stem = "".join(c if c.isalnum() or c in " _.-+()" else "_" for c in path.stem)
        stem = stem.strip(". -")[:LONGEST_STEM].strip(". -") or "scene"
        taken = {name.lower() for name in names}
        free = (f"{stem}-{n}" if n > 1 else stem for n in range(1, len(names) + 2))
        names.append(next(name for name in free if name.lower() not in taken))
    Script(tuple(names))  # Checks the names once more.
    return tuple(names)


def _sweep(folder: Path) -> None:
    """Remove what a killed studio has left half done."""
    shutil.rmtree(folder / SCRATCH, ignore_errors=True)
    for path in folder.iterdir():
        if re.fullmatch(r"\..+\.\d+\.tmp", path.name):
            path.unlink(missing_ok=True)


def _context(folder: Path, threads: int, progress: Progress) -> Context:
    """What a stage needs to run for the studio."""
    return Context(
        out=folder,
        scratch=folder / SCRATCH,
        log=logging.getLogger("splatworks.studio"),
        progress=progress,
        seed=0,
        device="cpu",
        threads=threads,
        memory_bytes=memory(),
    )


def _replay(session: Session, edits: Sequence[Edit], where: str) -> None:
    for number, edit in enumerate(edits, 1):
        try:
            session.do(edit)
        except InputError as error:
            name = type(edit).__name__.lower()
            raise InputError(f"{where}: edit {number} ({name}): {error}.") from None
