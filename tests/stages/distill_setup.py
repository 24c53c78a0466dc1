"""What the tests of distillation share: small settings, contexts, inputs."""

import logging
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

from splatworks.pipeline.contract import Context
from splatworks.renderers import cpu
from splatworks.stages import distill
from splatworks.stages.artifacts import GuidanceDir, PromptFile, SplatsFile
from splatworks.stages.distill import checkpoint, loop, questions
from splatworks.stages.distill.ramp import Ramp
from splatworks.stages.distill.settings import Density, Guide, Noise
from splatworks.stages.formats import prompts, splats
from splatworks.stages.geometry.activation import Parameters, deactivate
from splatworks.stages.shape.blob import blob

NAMES = [entry.name for entry in fields(Parameters)]
SMALL = distill.Config(
    iterations=24,
    guide=Guide(scale=1.0),
    noise=Noise(max=Ramp(start=0.6, stop=0.2), min=Ramp(start=0.1, stop=0.02)),
    density=Density(every=6, max_gaussians=220, grow_share=0.3),
    checkpoint_every_s=0.0,
)


class Killed(Exception):
    """Stands for anything that ends a process."""


def progress(stop_at: int = -1, seen: list[str] | None = None):
    """A bar that raises after `stop_at` iterations."""

    @contextmanager
    def opened(title: str, total: int, done: int = 0):
        class Bar:
            position = done

            def advance(self, steps: int = 1, note: str = "") -> None:
                self.position += steps
                if seen is not None:
                    seen.append(note)
                if self.position == stop_at:
                    raise Killed

        yield Bar()

    return opened


def context(folder: Path, *, threads: int = 1, stop_at: int = -1, seen=None) -> Context:
    for name in ("out", "scratch"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return Context(
        out=folder / "out", scratch=folder / "scratch", log=logging.getLogger("distill"),
        progress=progress(stop_at, seen), seed=5, device="cpu", threads=threads,
        memory_bytes=2**30,
    )  # fmt: skip


def write_inputs(folder: Path, model: Path, gaussians: int = 150) -> distill.Inputs:
    start = deactivate(blob(gaussians, 0.5, seed=0))
    raw = splats.RawSplats(**{name: getattr(start, name).numpy() for name in NAMES})
    splats.save(raw, folder / "start.ply")
    prompts.save(prompts.Prompt("a striped ball"), folder / "prompt.json")
    return distill.Inputs(
        PromptFile(folder / "prompt.json"), GuidanceDir(model), SplatsFile(folder / "start.ply")
    )


def make_task(guidance, config=SMALL, prompt: str = "a striped ball") -> questions.Task:
    return questions.Task(guidance, prompt, "", config, seed=5, device="cpu")


def make_work(guidance, config=SMALL) -> loop.Work:
    return loop.Work(make_task(guidance, config), config, cpu.render)


class Embedded(dict):
    """The condition of any text, made when it is asked for."""

    def __init__(self, guidance) -> None:
        super().__init__()
        self.guidance = guidance

    def __missing__(self, text: str):
        return self.guidance.embed([text])


def make_state(count: int = 60) -> checkpoint.State:
    return checkpoint.start(deactivate(blob(count, 0.5, seed=0)))
