"""What one iteration of either stage hands to the next, and how that is kept in a file.

Nothing random enters an edit, so this is all there is: killed and run again, a stage goes on with
the same bits.

Steps are those of Adam (Kingma and Ba 2015), but with one second moment per vector instead of one
per number (Ling et al. 2022, VectorAdam):

    m <- b1 m + (1 - b1) g       v <- b2 v + (1 - b2) |g|^2 / dim
    x <- x - rate (m / (1 - b1^k)) / (sqrt(v / (1 - b2^k)) + epsilon)

A single picture says next to nothing about depth. Plain Adam brings the tiny gradient along it to
the same step length as the large ones across, and drives everything off into depth.
"""

from dataclasses import dataclass, field, fields
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ...pipeline.errors import InputError
from ..formats import tensors as tensor_files
from .transport import Match, Potentials

BETAS = (0.9, 0.99)
EPSILON = 1e-12


@dataclass(slots=True)
class Value:
    """Something being optimized: its leaf, its step length at the start, and its moments."""

    leaf: Float[Tensor, "*shape"]
    rate: float
    vectors: bool
    """The last axis is a vector's; else every number stands for itself."""
    first: Float[Tensor, "*shape"]
    second: Tensor


@dataclass(slots=True)
class State:
    """Values being optimized, with all that goes with them."""

    values: dict[str, Value]
    matches: list[Match | None]
    """Per view, the last matching."""
    iteration: int = 0
    """The next one to be done."""
    losses: list[float] = field(default_factory=list)

    def __getitem__(self, name: str) -> Tensor:
        return self.values[name].leaf


def value(start: Tensor, rate: float, *, vectors: bool = True) -> Value:
    """Before the first step."""
    leaf = start.detach().clone().requires_grad_()
    first = torch.zeros_like(leaf)
    second = torch.zeros_like(leaf[..., :1] if vectors else leaf)
    return Value(leaf, rate, vectors, first, second)


def advance(state: State, loss: Float[Tensor, ""], share: float) -> None:
    """Backward, and one step of every value; `share` multiplies the rates."""
    leaves = [one.leaf for one in state.values.values()]
    gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
    state.iteration += 1
    for one, gradient in zip(state.values.values(), gradients, strict=True):
        if gradient is not None and one.rate:
            _step(one, gradient, state.iteration, share)
    state.losses.append(float(loss.detach()))


def _step(one: Value, gradient: Tensor, number: int, share: float) -> None:
    b1, b2 = BETAS
    square = gradient.square()
    if one.vectors:
        square = square.mean(dim=-1, keepdim=True)
    one.first = b1 * one.first + (1 - b1) * gradient
    one.second = b2 * one.second + (1 - b2) * square
    m, v = one.first / (1 - b1**number), one.second / (1 - b2**number)
    with torch.no_grad():
        one.leaf -= one.rate * share * m / (v.sqrt() + EPSILON)


def save(state: State, path: Path, signature: str) -> None:
    """Write everything.

    Args:
        signature: Says which run and stage this belongs to; another one's is not used.
    """
    tensors: dict[str, Tensor] = {"losses": torch.tensor(state.losses, dtype=torch.float64)}
    for name, one in state.values.items():
        tensors |= {f"{name}.{part}": getattr(one, part) for part in ("leaf", "first", "second")}
    for number, found in enumerate(state.matches):
        if found is not None:
            tensors |= {f"match.{number}.pull": found.pull, f"match.{number}.trust": found.trust}
            for entry in fields(Potentials):
                kept = getattr(found.potentials, entry.name)
                tensors[f"match.{number}.{entry.name}"] = kept
    tensor_files.save(tensors, path, {"iteration": state.iteration, "signature": signature})


def restored(state: State, path: Path, signature: str) -> bool:
    """Take over what a file holds, if it is this run's; whether it was."""
    if not path.exists():
        return False
    try:
        tensors, metadata = tensor_files.load(path)
    except InputError:
        return False  # Cut short: start again.
    if metadata.get("signature") != signature:
        return False
    for name, one in state.values.items():
        with torch.no_grad():
            one.leaf.copy_(tensors[f"{name}.leaf"])
        one.first, one.second = tensors[f"{name}.first"], tensors[f"{name}.second"]
    for number in range(len(state.matches)):
        if f"match.{number}.pull" in tensors:
            pull, trust, *potentials = (
                tensors[f"match.{number}.{name}"]
                for name in ("pull", "trust", *(e.name for e in fields(Potentials)))
            )
            state.matches[number] = Match(pull, trust, Potentials(*potentials))
    state.iteration = metadata["iteration"]
    state.losses = tensors["losses"].tolist()
    return True
