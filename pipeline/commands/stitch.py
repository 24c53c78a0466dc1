"""`pipeline stitch`: one captured object's look on another's."""

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import tyro

from ..errors import InputError
from ..execute import explained
from ..recipe import Step
from ..store import Store
from .gather import gather
from .options import MachineOptions
from .single import run_single


def stitch(
    target: tyro.conf.Positional[Path],
    source: tyro.conf.Positional[Path],
    /,
    *,
    out: Path,
    then: Annotated[tuple[Path, ...], tyro.conf.UseAppendAction] = (),
    transform: Path | None = None,
    select_target: Path | None = None,
    select_source: Path | None = None,
    seam_only: bool = False,
    tidy: bool = False,
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
        then: A further part, recolored after those before it; may be given several times.
        transform: An edit script on the scenes `target`, `source` (and `part3`, ...) that puts them
            in place.
        select_target: A region (JSON): what of the target to keep.
        select_source: A region (JSON): what of the source to keep.
        seam_only: Only change the surroundings of the seam.
        tidy: Also mend the target's shape at the cut: spikes, strays, gaps.
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
    for path in (*given.values(), *then):
        if not path.is_file():
            raise InputError(f"{path}: no such file.")
    step = Step(
        name="stitch",
        stage="stitch",
        inputs={name: str(path.absolute()) for name, path in given.items()},
        config={"seam_only": seam_only, "tidy": tidy},
    )
    begun = time.perf_counter()
    target_store, finished = run_single(
        step,
        out=out,
        set=set,
        seed=seed,
        store=store,
        options=options,
        prepare=lambda run, alone: _with_more(alone, then, run),
    )
    folder = target_store.folder(finished[0].request) / "report"
    report = json.loads((folder / "report.json").read_text("utf-8"))
    for seam in (report, *report["then"]):
        print(_told(seam))
    print(f"took {time.perf_counter() - begun:.1f} s")
    print(f"before and after: {target_store.shown(finished[0].request) / 'report'}")
    return 0


def _with_more(step: Step, parts: Sequence[Path], target: Store) -> Step:
    """With the further parts, if any, as an input."""
    if not parts:
        return step
    folder = target.run / "inputs" / "then"
    with explained(str(folder), target.run):
        gather(parts, folder)
    return replace(step, inputs={**step.inputs, "then": f"scenes/1:{folder.absolute()}"})


def _told(seam: dict) -> str:
    """The figures of one seam in one line."""

    def change(name: str) -> str:
        before, after = (seam[f"{name}_{when}"] for when in ("before", "after"))
        return "not seen" if before is None else f"{before:.1f} -> {after:.1f}"

    step = change("visible_step")
    if seam["visible_step_before"] is not None and seam["visible_step_beside"] is not None:
        step += f" ({seam['visible_step_beside']:.1f} beside it)"
    mended = ""
    if "pruned" in seam:
        mended = f", {seam['pruned']} pruned, {seam['shrunk']} shrunk, {seam['added']} added"
    return (
        f"{seam['part']}: seam of {seam['boundary']:,} Gaussians, color difference"
        f" {change('seam_delta_e')}, step in pictures {step}, texture kept"
        f" {seam['texture_kept']:.0%}, palette of {len(seam['palette'])} colors{mended}"
    )
