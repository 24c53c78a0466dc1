"""Make one step from its request. A plain function: the local runner is a loop over it, and an
executor on another machine needs nothing else."""

import errno
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .config import build, plain
from .contract import Artifact, Context, replacing
from .environment import calm
from .errors import ChangedError, ConfigError, InputError, SplatworksError, StorageError
from .face import Stage, load_stage
from .hashing import NOTES, hash_artifact
from .locks import locked
from .machine import Machine, settle
from .manifest import MANIFEST, PROVENANCE, InputRecord, Manifest, OutputRecord, record_files
from .plan import Request
from .provenance import Stopwatch, provenance
from .store import Store, remove

REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
LITTLE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Finished:
    """One step that is done."""

    request: Request
    manifest: Manifest
    reused: bool
    """It was found, not made."""


def execute(request: Request, store: Store, machine: Machine | None = None) -> Manifest:
    """Make the step, or find it made; either way it is whole, verified and in the store."""
    return obtain(request, store, machine or Machine()).manifest


def obtain(request: Request, store: Store, machine: Machine) -> Finished:
    """`execute`, saying also whether the step was made already."""
    log = logging.getLogger(f"splatworks.{request.step}")

    def waiting(who: str) -> None:
        log.warning("waiting: %s is making this step", who)

    with explained(f"step '{request.step}'", store.run), locked(store.lock(request), waiting):
        done = store.finished(request, fresh=machine.fresh)
        manifest = done.manifest if done else _make(request, store, machine, log)
        store.show(request)
        remove(store.scratch(request))
        store.point_latest(request)
    return Finished(request, manifest, reused=done is not None)


def _make(request: Request, store: Store, machine: Machine, log: logging.Logger) -> Manifest:
    where = f"step '{request.step}'"
    stage = load_stage(request.stage, request.module, where)
    if stage.version != request.version:
        raise ConfigError(
            f"{where} was planned for version {request.version} of stage {request.stage}, but"
            f" version {stage.version} is installed. Plan again."
        )
    config = build(stage.config, request.config, f"step.{request.step}.config")
    inputs = _inputs(request, stage)
    _check_inputs(request, inputs, machine)
    scratch = store.scratch(request)
    out, checkpoints = scratch / "out", scratch / "checkpoints"
    resumed = checkpoints.exists() and any(checkpoints.iterdir())
    remove(out)
    out.mkdir(parents=True)
    checkpoints.mkdir(exist_ok=True)
    with replacing(scratch / "request.json") as temporary:
        temporary.write_text(request.to_json(), "utf-8")
    calm()
    watch, device = Stopwatch(), settle(machine.device)
    ctx = Context(
        out=out,
        scratch=checkpoints,
        log=log,
        progress=machine.progress,
        seed=request.seed,
        device=device,
        threads=machine.threads,
        memory_bytes=machine.memory_bytes,
    )
    log.info("continues" if resumed else "starts")
    with _logged(log, store.run / "logs" / f"{request.label}.log"):
        outputs = stage.module.run(stage.module.Inputs(**inputs), config, ctx)
    _check_inputs(request, inputs, machine)
    manifest = _manifest(request, config, _outputs(stage, outputs, out), out)
    (out / MANIFEST).write_text(manifest.to_json(), "utf-8")
    about = provenance(
        watch,
        stage.module,
        resumed=resumed,
        step=request.step,
        config=request.config,
        device=device,
        threads=machine.threads,
        inputs={name: i.path for name, i in request.inputs.items()},
    )
    (out / PROVENANCE).write_text(json.dumps(about, indent=1) + "\n", "utf-8")
    store.publish(request, out)
    log.info("done in %.1f s", about["wall_s"])
    return manifest


def _inputs(request: Request, stage: Stage) -> dict[str, Artifact]:
    return {
        name: stage.inputs[name].artifact(record.kind, Path(record.path))
        for name, record in request.inputs.items()
    }


def _check_inputs(request: Request, inputs: dict[str, Artifact], machine: Machine) -> None:
    """The key promises these inputs, so they must be these before and after."""
    for name, artifact in inputs.items():
        try:
            same = hash_artifact(artifact, fresh=machine.fresh) == request.inputs[name].hash
        except FileNotFoundError:
            raise InputError(f"input '{name}': {artifact.path} is gone.") from None
        if not same:
            raise ChangedError(
                f"input '{name}': {artifact.path} changed while it was in use. Run again."
            )


def _outputs(stage: Stage, outputs: Any, out: Path) -> dict[str, Artifact]:
    """Every declared output, made and inside the output directory. A breach is our fault."""
    found: dict[str, Artifact] = {}
    for name in NOTES:
        if (out / name).exists():
            raise RuntimeError(f"{stage.path} wrote {name}, which is the runner's own name")
    for port in stage.outputs.values():
        artifact = getattr(outputs, port.name)
        if artifact is None and not port.required:
            continue
        if not isinstance(artifact, port.classes):
            raise TypeError(f"{stage.path}: output {port.name} is {artifact!r}, not {port.kinds}")
        if not artifact.path.exists():
            raise RuntimeError(f"{stage.path}: output {port.name} was not written: {artifact.path}")
        if not artifact.path.resolve().is_relative_to(out.resolve()):
            raise RuntimeError(f"{stage.path}: output {port.name} lies outside: {artifact.path}")
        found[port.name] = artifact
    return found


def _manifest(request: Request, config: Any, outputs: dict[str, Artifact], out: Path) -> Manifest:
    return Manifest(
        schema=request.schema,
        stage=request.stage,
        version=request.version,
        key=request.key,
        config=plain(config, runtime=False),
        seed=request.seed,
        inputs={n: InputRecord(i.kind, i.hash) for n, i in request.inputs.items()},
        outputs={
            name: OutputRecord(a.kind, hash_artifact(a), a.path.relative_to(out).as_posix())
            for name, a in outputs.items()
        },
        files=record_files(out),
    )


@contextmanager
def _logged(log: logging.Logger, path: Path) -> Iterator[None]:
    """Also write the step's log to a file; a disk that refuses it does not stop the step."""
    try:
        path.parent.mkdir(exist_ok=True)
        handler: logging.Handler = _Quiet(path, encoding="utf-8")
    except OSError:
        handler = logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        handler.close()


class _Quiet(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:
        pass


@contextmanager
def explained(where: str, folder: Path) -> Iterator[None]:
    """Put the step's or file's name before messages that do not have it, and say plainly what the
    disk refused."""
    try:
        yield
    except SplatworksError as error:
        if str(error).startswith(f"{where}:"):
            raise
        raise type(error)(f"{where}: {error}") from error
    except Exception as error:
        if _out_of_memory(error):
            raise StorageError(
                f"{where}: out of memory. Close other programs or choose a smaller preset, then run"
                " the same line again."
            ) from error
        said = refusal(error, folder)
        if said:
            raise StorageError(f"{where}: {said}") from error
        error.add_note(where)
        raise


def refusal(error: Exception, folder: Path) -> str:
    """What the disk refused and what to do, or nothing if the error is of another sort.

    Libraries report a full disk in their own ways, hence the look at the text and at the disk.
    """
    number = getattr(error, "errno", None)
    path = getattr(error, "filename", None) or folder
    again = "Finished steps and the last checkpoint are kept: run the same line again."
    if number in (errno.EROFS, errno.EACCES, errno.EPERM):
        return f"{path} may not be written or read ({os.strerror(number)}). Allow it or use --out."
    full = number in REFUSALS or "No space left" in str(error) or "os error 28" in str(error)
    if not full and isinstance(error, OSError):
        full = _nothing_free(folder)
    return f"the disk of {path} is full. Free some space. {again}" if full else ""


def _out_of_memory(error: Exception) -> bool:
    """Python's own error, or torch's, which is a `RuntimeError` on the CPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and "allocate memory" in str(error)


def _nothing_free(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < LITTLE_BYTES
    except OSError:
        return False


Submit = Callable[[Request], Manifest]
"""All that an executor is."""
