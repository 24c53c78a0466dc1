"""The whole state of the loop in one file, so that it goes on exactly where it stopped."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ..formats import checkpoints
from ..geometry.activation import Parameters
from ..geometry.densify import Population, born

LOG_COLUMNS = ("loss", "clipped_share", "nonfinite_share", "gaussians", "skipped")


@dataclass(frozen=True, slots=True)
class Copy:
    """The learned copy of the model that loss `vsd` compares with; three alike sets of tensors."""

    values: Mapping[str, Tensor]
    first: Mapping[str, Tensor]
    """Adam's moments."""
    second: Mapping[str, Tensor]


@dataclass(slots=True)
class State:
    """Everything that one iteration hands to the next. No random state: there is none."""

    population: Population
    score_sum: Float[Tensor, " n"]
    """Lengths of the image-plane gradients since the last change of the number."""
    score_count: Float[Tensor, " n"]
    iteration: int = 0
    """The next one to be done."""
    adam_steps: int = 0
    bad_in_row: int = 0
    clip_samples: list[float] = field(default_factory=list)
    """Percentiles from which the threshold will be calibrated."""
    clip_threshold: float | None = None
    copy: Copy | None = None
    log: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in LOG_COLUMNS})


def start(values: Parameters, copy: Copy | None = None) -> State:
    """Before the first iteration."""
    zeros = values.logit_opacities.new_zeros(len(values.means))
    return State(born(values), zeros, zeros.clone(), copy=copy)


def save(state: State, scratch: Path, signature: str) -> Path:
    """Write a checkpoint; the newest few are kept.

    Args:
        signature: Says which run this belongs to; another one's checkpoint is not used.
    """
    tensors: dict[str, Tensor] = {"score_sum": state.score_sum, "score_count": state.score_count}
    for part in ("values", "first", "second"):
        for entry in fields(Parameters):
            tensors[f"{part}.{entry.name}"] = getattr(getattr(state.population, part), entry.name)
    for name, column in state.log.items():
        tensors[f"log.{name}"] = torch.tensor(column, dtype=torch.float64)
    if state.copy is not None:
        for part in ("values", "first", "second"):
            for name, value in getattr(state.copy, part).items():
                tensors[f"copy.{part}.{name}"] = value
    tensors["clip_samples"] = torch.tensor(state.clip_samples, dtype=torch.float64)
    metadata = {
        "iteration": state.iteration,
        "adam_steps": state.adam_steps,
        "bad_in_row": state.bad_in_row,
        "clip_threshold": state.clip_threshold,
        "signature": signature,
    }
    return checkpoints.save(tensors, metadata, scratch, state.iteration)


def load(scratch: Path, signature: str, device: str) -> State | None:
    """The newest readable checkpoint of this run; None where there is none."""
    found = checkpoints.newest(scratch, signature)
    if found is None:
        return None
    tensors, metadata = found
    return _restore(tensors, metadata, device)


def _restore(tensors: dict[str, Tensor], metadata: dict, device: str) -> State:
    def part(name: str) -> Parameters:
        return Parameters(*(tensors[f"{name}.{e.name}"].to(device) for e in fields(Parameters)))

    return State(
        population=Population(part("values"), part("first"), part("second")),
        score_sum=tensors["score_sum"].to(device),
        score_count=tensors["score_count"].to(device),
        iteration=metadata["iteration"],
        adam_steps=metadata["adam_steps"],
        bad_in_row=metadata["bad_in_row"],
        clip_samples=tensors["clip_samples"].tolist(),
        clip_threshold=metadata["clip_threshold"],
        copy=_restore_copy(tensors, device),
        log={name: tensors[f"log.{name}"].tolist() for name in LOG_COLUMNS},
    )


def _restore_copy(tensors: dict[str, Tensor], device: str) -> Copy | None:
    def part(name: str) -> dict[str, Tensor]:
        start = f"copy.{name}."
        return {
            key.removeprefix(start): value.to(device)
            for key, value in tensors.items()
            if key.startswith(start)
        }

    values = part("values")
    return Copy(values, part("first"), part("second")) if values else None
