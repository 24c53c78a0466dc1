"""The copy of the model that loss `vsd` trains beside the Gaussians."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..geometry.adam import adam_step
from ..guidance import low_rank
from ..guidance.protocol import Guidance
from ..randomness import generator
from .checkpoint import Copy


def new_copy(guidance: Guidance, rank: int, seed: int) -> Copy:
    """Before its first lesson it answers as the model does."""
    values = low_rank.start(guidance, rank, generator(seed, "copy"))
    zeros = {name: torch.zeros_like(value) for name, value in values.items()}
    return Copy(values, zeros, dict(zeros))


def taught(
    copy: Copy, lessons: Sequence[Mapping[str, Tensor]], *, steps_before: int, rate: float
) -> Copy:
    """One step of Adam on the sum of all gradients, added in order."""
    steps = {}
    for name, value in copy.values.items():
        gradient = lessons[0][name]
        for lesson in lessons[1:]:
            gradient = gradient + lesson[name]
        steps[name] = adam_step(
            value,
            gradient,
            copy.first[name],
            copy.second[name],
            steps_before=steps_before,
            rate=rate,
        )
    return Copy(
        {name: step.value for name, step in steps.items()},
        {name: step.first for name, step in steps.items()},
        {name: step.second for name, step in steps.items()},
    )
