"""Many runs of `pipeline generate`, as a user would type them: a few at a time, resumable.

Each run is a process of its own on one thread. What is finished is not made again (the command
itself sees to that), so the line that started a list also continues it.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from splatworks.pipeline.commands.generate import slug
from splatworks.pipeline.store import Store

STOPPED = -1
"""Code of a run that was stopped, or not begun, because the time was up."""


@dataclass(frozen=True, slots=True)
class Job:
    """One line of `pipeline generate`."""

    prompt: str
    run: Path
    preset: str
    seed: int = 0
    settings: Sequence[str] = ()
    """`STEP.FIELD=VALUE` each."""
    guidance: str = "toybox"
    store: Path | None = None
    """Where results that several runs have in common are kept."""

    @property
    def words(self) -> list[str]:
        """The command's words after `pipeline`."""
        line = ["generate", self.prompt, "--preset", self.preset, "--seed", str(self.seed)]
        line += ["--guidance", self.guidance, "--threads", "1", "--out", str(self.run)]
        line += [] if self.store is None else ["--store", str(self.store)]
        return [*line, *(word for setting in self.settings for word in ("--set", setting))]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job went."""

    job: Job
    code: int
    """Exit status of the command, or `STOPPED`."""
    said: str
    """The last line that it wrote, where it failed."""


def run_all(jobs: Sequence[Job], *, at_once: int, minutes: float | None = None) -> list[Ended]:
    """Run the jobs in order, some at once, and say how each went.

    Args:
        minutes: When these are over, runs in work are interrupted and no other is begun.
    """
    end = time.monotonic() + (float("inf") if minutes is None else 60 * minutes)
    running: set[subprocess.Popen[bytes]] = set()

    def one(job: Job) -> Ended:
        ended = _run(job, end, running)
        state = {0: "done", STOPPED: "stopped"}.get(ended.code, "failed")
        print(f"{state:8} {job.run}  {ended.said}", flush=True)
        return ended

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with ThreadPoolExecutor(at_once) as pool:
            try:
                return list(pool.map(one, jobs))
            except BaseException:
                for process in list(running):
                    process.terminate()
                raise
    finally:
        signal.signal(signal.SIGTERM, before)


def unfinished(ended: Sequence[Ended]) -> bool:
    """Whether runs are still to be made or continued; says so."""
    waiting = sum(one.code == STOPPED for one in ended)
    if waiting:
        print(f"{len(ended) - waiting} of {len(ended)} runs are made. Repeat the line.")
    return waiting > 0


def _run(job: Job, end: float, running: set[subprocess.Popen[bytes]]) -> Ended:
    left = end - time.monotonic()
    if left <= 0:
        return Ended(job, STOPPED, "not begun")
    log = job.run.with_name(job.run.name + ".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    line = [sys.executable, "-m", "splatworks.pipeline.cli", *job.words]
    with log.open("ab") as file:
        process = subprocess.Popen(line, stdout=file, stderr=file, env=one_thread())
        running.add(process)
        try:
            code = process.wait(None if left == float("inf") else left)
        except subprocess.TimeoutExpired:
            process.terminate()
            process.wait()
            code = STOPPED
        running.discard(process)
    said = log.read_text("utf-8", errors="replace").strip().splitlines()
    return Ended(job, code, said[-1] if code and said else "")


def one_thread() -> dict[str, str]:
    """The environment, with every library kept to one thread."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    return os.environ | dict.fromkeys(names, "1")


def steps_of(run: Path) -> dict[str, dict[str, Any]]:
    """What every finished step of a run noted about itself (`provenance.json`), in order."""
    found = {
        name: json.loads((folder / "provenance.json").read_text("utf-8"))
        for name, folder in Store(run).latest().items()
    }
    return dict(sorted(found.items(), key=lambda item: item[1]["finished"]))


def seconds_of(run: Path) -> dict[str, float]:
    """Wall seconds per step. Of a step that was interrupted, its last stretch only."""
    return {name: noted["wall_s"] for name, noted in steps_of(run).items()}


def interrupted(run: Path) -> list[str]:
    """The steps whose seconds are not all, because they were continued."""
    return [name for name, noted in steps_of(run).items() if noted["resumed"]]


def machine_of(runs: Sequence[Path]) -> dict[str, Any]:
    """What the runs were made with; several values where they differ."""
    noted = [step for run in runs for step in steps_of(run).values()]

    def all_of(read: Callable[[Mapping[str, Any]], Any]) -> Any:
        values = list(dict.fromkeys(str(read(step)) for step in noted))
        return values[0] if len(values) == 1 else values

    return {
        "platform": all_of(lambda step: step["platform"]),
        "cores": os.cpu_count(),
        "python": all_of(lambda step: step["python"]),
        "torch": all_of(lambda step: step["versions"].get("torch")),
        "commit": all_of(lambda step: step["commit"]),
    }


def read_list(path: Path, name: str) -> list[str]:
    """The prompts under the heading `## NAME` of a file that `--prompts` also takes, or all of a
    file without headings."""
    lists: dict[str, list[str]] = {}
    current = everything = []
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("## "):
            current = lists.setdefault(line.removeprefix("## ").strip(), [])
        elif line.strip() and not line.startswith("#"):
            current.append(line.strip())
    if lists and name not in lists:
        raise SystemExit(f"{path} has no list '{name}'; it has: {', '.join(lists)}.")
    return lists.get(name, everything)


def name_of(prompt: str, seed: int) -> str:
    """The run directory: as `pipeline generate --prompts` calls it, with seeds other than 0."""
    return slug(prompt) + (f"-seed{seed}" if seed else "")


def add_options(parser: argparse.ArgumentParser, *, preset: str, names: str) -> None:
    """What all of these benchmarks can be told."""
    prompts = Path(__file__).parents[1] / "docs" / "gallery_prompts.txt"
    parser.add_argument("--prompts", type=Path, default=prompts)
    parser.add_argument("--list", default=names, help="which of its lists")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--preset", default=preset)
    parser.add_argument("--guidance", default="toybox")
    parser.add_argument("--set", nargs="*", default=[], help="STEP.FIELD=VALUE, for all runs")
    parser.add_argument("--jobs", type=int, default=2, help="runs at once, one thread each")
    parser.add_argument("--minutes", type=float, help="stop then; the same line continues")


def save_sheet(sheet: np.ndarray, path: Path) -> None:
    """With 256 colors: a third of the size, and no difference to be seen."""
    image = Image.fromarray((sheet * 255).round().astype(np.uint8))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
