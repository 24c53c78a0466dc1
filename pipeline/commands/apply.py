"""`pipeline apply`: an edit script on captured scenes."""

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from ...stages import STAGES
from ..contract import replacing
from ..errors import ConfigError, InputError
from ..execute import Finished, explained
from ..fault import faults_in
from ..machine import Machine
from ..plan import bind
from ..recipe import Recipe, Step
from ..runner import held, run_steps
from ..store import Store, open_store
from .gather import gather
from .options import MachineOptions, print_results

SIDECAR = '"kind": "splats-sidecar/1"'


def apply(
    script: tyro.conf.Positional[Path],
    scenes: tyro.conf.Positional[tuple[Path, ...]],
    /,
    *,
    out: Path,
    each: bool = False,
    upto: int | None = None,
    store: Path | None = None,
    options: Annotated[MachineOptions, tyro.conf.arg(name="")] = MachineOptions(),  # noqa: B008
) -> int:
    """Replay an edit script. A scene that no edit has changed comes out byte for byte.

    Args:
        script: An edit script (JSON).
        scenes: Splat PLYs, as many as the script names, in its order.
        out: A file NAME.ply for the result, or a run directory.
        each: One PLY per layer instead of all in one; OUT must be a directory.
        upto: Only the first so many edits.
        store: A directory of results shared between runs; OUT remembers it.
    """
    if not scenes:
        raise ConfigError("apply: give at least one SCENE.ply.")
    if upto is not None and upto < 0:
        raise ConfigError(f"--upto {upto}: expected 0 or more.")
    for path in (script, *scenes):
        if not path.is_file():
            raise InputError(f"{path}: no such file.")
    config = {"parts": "each" if each else "one", "upto": upto}
    machine = options.machine()
    if out.suffix.lower() != ".ply":
        target = open_store(out, store)
        print_results(target, _run(script, scenes, config, target, machine))
        return 0
    if each or store is not None:
        raise ConfigError(f"--out {out} is a file; --each and --store need a directory.")
    _check_target(out, scenes)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".apply-") as folder:
        target = open_store(Path(folder), None)
        (finished,) = _run(script, scenes, config, target, machine)
        _copy(target.folder(finished.request) / "scene.ply", out)
    print(out)
    return 0


def _run(
    script: Path, scenes: Sequence[Path], config: dict[str, object], store: Store, machine: Machine
) -> list[Finished]:
    with faults_in(store.run), held(store):
        given = f"splats/1:{scenes[0].absolute()}"
        if len(scenes) > 1:
            folder = store.run / "inputs" / "scenes"
            with explained(str(folder), store.run):
                gather(scenes, folder)
            given = f"scenes/1:{folder.absolute()}"
        step = Step(
            name="apply",
            stage="apply",
            inputs={"script": str(script.absolute()), "scenes": given},
            config=config,
        )
        recipe = Recipe(steps=(step,))
        return run_steps(recipe, bind(recipe, STAGES), store, machine)


def _check_target(out: Path, scenes: Sequence[Path]) -> None:
    """Nobody loses a file by what is written."""
    if not out.parent.is_dir():
        raise InputError(f"--out {out}: there is no directory {out.parent}.")
    if out.is_dir():
        raise InputError(f"--out {out} is a directory; name a file in it or another directory.")
    if any(out.exists() and out.samefile(scene) for scene in scenes):
        raise InputError(f"--out {out} is a scene to be read. Choose another name.")
    beside = out.with_suffix(".json")
    if beside.exists() and SIDECAR not in beside.read_text("utf-8", errors="replace"):
        raise InputError(
            f"--out {out}: {beside.name} stands where its sidecar belongs but is none. Rename one."
        )


def _copy(made: Path, out: Path) -> None:
    """The PLY, and its sidecar or none."""
    sidecar, beside = made.with_suffix(".json"), out.with_suffix(".json")
    if sidecar.exists():
        with replacing(beside) as temporary:
            shutil.copyfile(sidecar, temporary)
    elif beside.exists():
        os.unlink(beside)
    with replacing(out) as temporary:
        shutil.copyfile(made, temporary)
