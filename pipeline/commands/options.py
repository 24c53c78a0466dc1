"""Options that several commands share."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ..errors import ConfigError
from ..machine import Machine, cores, settle
from ..manifest import Manifest
from ..progress import prepare_terminal
from ..runner import Finished
from ..store import Store

NAMES_SHOWN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineOptions:
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where numbers are crunched. `auto` takes CUDA if it works, else the CPU."""
    threads: int | None = None
    """How many threads stages may keep busy; by default all cores. Does not change results."""
    verify: bool = False
    """Hash every file again instead of trusting sizes and times."""

    def machine(self) -> Machine:
        if self.threads is not None and self.threads < 1:
            raise ConfigError(f"--threads {self.threads}: expected 1 or more.")
        if self.device == "cuda":
            settle("cuda")
        return Machine(
            device=self.device,
            threads=self.threads or cores(),
            progress=prepare_terminal().progress,
            fresh=self.verify,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions(MachineOptions):
    until: str | None = None
    """Stop after this step."""
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """STEP.FIELD=VALUE, a setting of a step; may be given several times."""
    store: Path | None = None
    """A directory of results shared between runs. The run directory remembers it; the run directory
    itself goes back to keeping its own."""


def print_results(store: Store, finished: list[Finished]) -> None:
    """The run directory and where each result lies."""
    print(f"{store.run}")
    for one in finished:
        state = "reused" if one.reused else "made"
        shown = store.shown(one.request)
        paths = [_told(shown, o.path, one.manifest) for o in one.manifest.outputs.values()]
        print(f"  {one.request.step:12}{state:8}{'  '.join(paths or [str(shown)])}")


def _told(step: Path, output: str, manifest: Manifest) -> str:
    """Where an output lies; of a directory also what is in it, if that can be taken in."""
    if output in manifest.files:
        return str(step / output)
    start = "" if output == "." else f"{output}/"
    inside = (name.removeprefix(start) for name in manifest.files if name.startswith(start))
    names = sorted({first + slash for first, slash, _ in (name.partition("/") for name in inside)})
    said = ", ".join(names) if len(names) <= NAMES_SHOWN else f"{len(names)} files"
    return f"{step / output}{os.sep} ({said})"
