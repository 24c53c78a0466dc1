"""The state of one optimization in a file, so that it goes on exactly where it stopped."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ...pipeline.errors import InputError
from ..formats import tensors as tensor_files

NAMES = ("sh", "first", "second")


@dataclass(slots=True)
class State:
    """What one iteration hands to the next. No random state: there is none."""

    sh: Float[Tensor, "n coefficient 3"]
    first: Float[Tensor, "n coefficient 3"]
    """Mean of the gradients."""
    second: Float[Tensor, "n coefficient 3"]
    """Mean of their squares."""
    iteration: int = 0
    """The next one to be done."""


def begun(sh: Float[Tensor, "n coefficient 3"]) -> State:
    """Before the first iteration."""
    return State(sh, torch.zeros_like(sh), torch.zeros_like(sh))


def save(state: State, path: Path, signature: str) -> Path:
    """Write a checkpoint over the one before.

    Args:
        signature: Says which run this belongs to; another one's checkpoint is not used.
    """
    tensors = {name: getattr(state, name) for name in NAMES}
    metadata = {"iteration": state.iteration, "signature": signature}
    return tensor_files.save(tensors, path, metadata)


def load(path: Path, signature: str, device: str) -> State | None:
    """The checkpoint of this run; None where there is none that can be read."""
    try:
        tensors, metadata = tensor_files.load(path, NAMES)
    except InputError:
        return None
    if metadata.get("signature") != signature:
        return None
    sh, first, second = (tensors[name].to(device) for name in NAMES)
    return State(sh, first, second, metadata["iteration"])
