"""Training a field on a loss, interruptible at any time, to the same result."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ...pipeline.contract import Context
from ...pipeline.errors import InputError
from ..formats import tensors
from .field import Field
from .optimizer import FieldAdam

FINAL_SHARE = 0.1
"""Of the rate, reached at the end; it falls over the second half."""
MOMENTS = ("exp_avg", "exp_avg_sq", "step")
KEPT = 2


@dataclass(frozen=True, slots=True)
class Schedule:
    iterations: int
    rate: float
    checkpoint_every_s: float
    signature: str
    """Of all that shapes the result; another one's checkpoint is not used."""


def train(
    field: Field,
    loss: Callable[[int], Tensor],
    note: Callable[[float], str],
    schedule: Schedule,
    ctx: Context,
) -> None:
    """Adam on the field's parameters, in place.

    Args:
        loss: Of one iteration, given its number alone.
        note: What the progress bar says of a mean loss.
    """
    optimizer = FieldAdam(field.groups(schedule.rate))
    first = _load(field, optimizer, schedule, ctx.scratch)
    if first:
        ctx.log.info("continuing at iteration %d of %d", first, schedule.iterations)
    saved, smooth = time.monotonic(), None
    with ctx.progress("fit", schedule.iterations, done=first) as bar:
        for iteration in range(first, schedule.iterations):
            value = step(field, optimizer, loss, schedule, iteration)
            smooth = value if smooth is None else 0.95 * smooth + 0.05 * value
            bar.advance(note=note(smooth))
            if time.monotonic() - saved > schedule.checkpoint_every_s:
                _save(field, optimizer, schedule, iteration + 1, ctx.scratch)
                saved = time.monotonic()


def step(
    field: Field,
    optimizer: torch.optim.Optimizer,
    loss: Callable[[int], Tensor],
    schedule: Schedule,
    iteration: int,
) -> float:
    """One iteration; returns its loss."""
    late = max(0.0, 2 * iteration / schedule.iterations - 1)
    for group in optimizer.param_groups:
        group["lr"] = schedule.rate * FINAL_SHARE**late
    optimizer.zero_grad(set_to_none=True)
    value = loss(iteration)
    if not torch.isfinite(value):
        raise InputError(
            f"fit: the loss of iteration {iteration} is not finite. Lower the rate (now "
            f"{schedule.rate:g})."
        )
    value.backward()
    optimizer.step()
    return value.item()


def _save(
    field: Field, optimizer: torch.optim.Optimizer, schedule: Schedule, done: int, scratch: Path
) -> None:
    found = {f"value.{name}": value for name, value in field.named_parameters()}
    for name, parameter in field.named_parameters():
        for moment in MOMENTS:
            found[f"{moment}.{name}"] = optimizer.state[parameter][moment]
    metadata = {"done": done, "signature": schedule.signature}
    tensors.save(found, scratch / f"checkpoint-{done:07d}.safetensors", metadata)
    for old in _checkpoints(scratch)[:-KEPT]:
        old.unlink()


def _load(field: Field, optimizer: torch.optim.Optimizer, schedule: Schedule, scratch: Path) -> int:
    """Take over the newest readable checkpoint of this run; returns how much is done."""
    for path in reversed(_checkpoints(scratch)):
        try:
            found, metadata = tensors.load(path)
        except InputError:
            continue  # The one before it is there for this.
        if metadata.get("signature") != schedule.signature:
            continue
        with torch.no_grad():
            for name, parameter in field.named_parameters():
                parameter.copy_(found[f"value.{name}"])
                optimizer.state[parameter].update({m: found[f"{m}.{name}"] for m in MOMENTS})
        return int(metadata["done"])
    return 0


def _checkpoints(scratch: Path) -> list[Path]:
    return sorted(scratch.glob("checkpoint-*.safetensors"))


def signature(version: int, config: dict, seed: int) -> str:
    """Of a run: everything but what only concerns its course."""
    shaping = {k: v for k, v in config.items() if k != "checkpoint_every_s"}
    return json.dumps({"version": version, "seed": seed, **shaping}, sort_keys=True)
