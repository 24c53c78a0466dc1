"""`pipeline stitch`: one captured object's look on another's."""

import json
from pathlib import Path
from typing import Annotated

import tyro

from ...stages import STAGES
from ..errors import InputError
from ..fault import faults_in
from ..plan import bind
from ..recipe import Recipe, Step, with_settings
from ..runner import held, run_steps
from ..store import open_store
from .options import MachineOptions, print_results


def stitch(
    target: tyro.conf.Positional[Path],
    source: tyro.conf.Positional[Path],
    /,
    *,
    out: Path,
    transform: Path | None = None,
    select_target: Path | None = None,
    select_source: Path | None = None,
    seam_only: bool = False,
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = (),
    seed: int = 0,
    store: Path | None = None,
    options: Annotated[MachineOptions, tyro.conf.arg(name="")] = MachineOptions(),  # noqa: B008
) -> int:
    """Recolor TARGET so that it goes with SOURCE where they touch; shapes stay as they are.

    Args:
        target: The splat PLY that is recolored.
        source: The splat PLY that gives the look.
        out: The run directory; the result is latest/stitch/scene.ply.
        transform: An edit script on the scenes `target` and `source` that puts them in place.
        select_target: A region (JSON): what of the target to keep.
        select_source: A region (JSON): what of the source to keep.
        seam_only: Only change the surroundings of the seam.
        set: stitch.FIELD=VALUE, a setting of the stage; may be given several times.
        seed: Another seed, another order of cameras.
        store: A directory of results shared between runs; OUT remembers it.
    """
    files = {
        "target": target,
        "source": source,
        "transform": transform,
        "select_target": select_target,
        "select_source": select_source,
    }
    given = {name: path for name, path in files.items() if path is not None}
    for path in given.values():
        if not path.is_file():
            raise InputError(f"{path}: no such file.")
    step = Step(
        name="stitch",
        stage="stitch",
        inputs={name: str(path.absolute()) for name, path in given.items()},
        config={"seam_only": seam_only},
    )
    recipe = with_settings(Recipe(steps=(step,), seed=seed), set, STAGES)
    target_store = open_store(out, store)
    machine = options.machine()
    with faults_in(target_store.run), held(target_store):
        finished = run_steps(recipe, bind(recipe, STAGES), target_store, machine)
    print_results(target_store, finished)
    folder = target_store.folder(finished[0].request) / "report"
    print(_told(json.loads((folder / "report.json").read_text("utf-8"))))
    print(f"before and after: {target_store.shown(finished[0].request) / 'report'}")
    return 0


def _told(report: dict) -> str:
    """The figures in one line."""
    before, after = report["seam_delta_e_before"], report["seam_delta_e_after"]
    return (
        f"seam of {report['boundary']:,} Gaussians: color difference {before:.1f} -> {after:.1f},"
        f" texture kept {report['texture_kept']:.0%}, palette of {len(report['palette'])} colors"
    )
