"""Runs a stage's iterations with progress, checkpoints and previews, which change no result."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...pipeline.contract import Context
from ...pipeline.errors import InputError
from . import state as states
from .state import State


@dataclass(frozen=True, slots=True)
class Pace:
    """When to save and to show."""

    signature: str
    """Of the run; a checkpoint of another one is not used."""
    checkpoint_every_s: float
    preview_every_s: float


def finish(
    title: str,
    state: State,
    iterations: int,
    step: Callable[[State], None],
    show: Callable[[State], None],
    pace: Pace,
    ctx: Context,
) -> None:
    """Do the remaining iterations, after those that an interrupted run has done."""
    path: Path = ctx.scratch / f"{title}.safetensors"
    if states.restored(state, path, pace.signature):
        ctx.log.info("%s: continuing at iteration %d of %d", title, state.iteration, iterations)
    saved = shown = time.monotonic()
    early = True
    with ctx.progress(title, iterations, done=state.iteration) as bar:
        while state.iteration < iterations:
            step(state)
            loss = state.losses[-1]
            if loss != loss or loss in (float("inf"), float("-inf")):
                raise InputError(
                    f"{title}: iteration {state.iteration} is not finite. Lower the rates, or the "
                    f"weights of matching and rigidity."
                )
            bar.advance(note=f"loss {loss:.4f}")
            now = time.monotonic()
            if now - saved >= pace.checkpoint_every_s:
                states.save(state, path, pace.signature)
                saved = now
            if now - shown >= (pace.preview_every_s if not early else pace.preview_every_s / 2):
                show(state)
                shown, early = now, False
    states.save(state, path, pace.signature)
