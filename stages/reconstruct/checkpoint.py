"""The whole state of the loop in one file, so that it goes on exactly where it stopped."""

from dataclasses import dataclass, field, fields
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..formats import checkpoints
from ..geometry.activation import Parameters
from ..geometry.densify import Population, born
from .exposures import Table

LOG_COLUMNS = ("iteration", "psnr_db", "ssim", "gaussians")
"""Of the looks at the photographs kept aside."""


@dataclass(slots=True)
class State:
    """Everything that one iteration hands to the next. No random state: there is none."""

    population: Population
    score_sum: Float[Tensor, " n"]
    """Lengths of the image-plane gradients since the last change of the number."""
    score_count: Float[Tensor, " n"]
    iteration: int = 0
    """The next one to be done."""
    neighbors: Int[Tensor, "n k"] | None = None
    """Of each Gaussian, as last found; once surface terms hold."""
    exposures: Table | None = None
    """Of the photographs trained on, in their order; None: all are taken as they are."""
    log: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in LOG_COLUMNS})


def start(values: Parameters) -> State:
    """Before the first iteration."""
    zeros = values.logit_opacities.new_zeros(len(values.means))
    return State(born(values), zeros, zeros.clone())


def save(state: State, scratch: Path, signature: str) -> Path:
    """Write a checkpoint; the newest few are kept."""
    tensors: dict[str, Tensor] = {"score_sum": state.score_sum, "score_count": state.score_count}
    for part in ("values", "first", "second"):
        for entry in fields(Parameters):
            tensors[f"{part}.{entry.name}"] = getattr(getattr(state.population, part), entry.name)
    if state.neighbors is not None:
        tensors["neighbors"] = state.neighbors
    if state.exposures is not None:
        tensors["exposures"] = state.exposures
    for name, column in state.log.items():
        tensors[f"log.{name}"] = torch.tensor(column, dtype=torch.float64)
    metadata = {"iteration": state.iteration, "signature": signature}
    return checkpoints.save(tensors, metadata, scratch, state.iteration)


def load(scratch: Path, signature: str, device: str) -> State | None:
    """The newest readable checkpoint of this run; None where there is none."""
    found = checkpoints.newest(scratch, signature)
    if found is None:
        return None
    tensors, metadata = found
    return _restore(tensors, int(metadata["iteration"]), device)


def _restore(tensors: dict[str, Tensor], iteration: int, device: str) -> State:
    def part(name: str) -> Parameters:
        return Parameters(*(tensors[f"{name}.{e.name}"].to(device) for e in fields(Parameters)))

    return State(
        population=Population(part("values"), part("first"), part("second")),
        score_sum=tensors["score_sum"].to(device),
        score_count=tensors["score_count"].to(device),
        iteration=iteration,
        neighbors=tensors["neighbors"].to(device) if "neighbors" in tensors else None,
        exposures=tensors["exposures"].to(device) if "exposures" in tensors else None,
        log={name: tensors[f"log.{name}"].tolist() for name in LOG_COLUMNS},
    )
