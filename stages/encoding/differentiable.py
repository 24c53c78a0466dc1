"""Kernels as one differentiable function, whatever machine they are for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from . import torch_backend
from .settings import Level, Settings


@dataclass(frozen=True, slots=True)
class Meaning:
    """What is computed, apart from the numbers."""

    settings: Settings
    levels: Sequence[Level]
    threads: int


@dataclass(frozen=True, slots=True)
class Engine:
    """Kernels for one kind of device. All take (points, table, [gradient,] meaning)."""

    forward: Callable[[Tensor, Tensor, Meaning], Tensor]
    to_points: Callable[[Tensor, Tensor, Tensor, Meaning], Tensor]
    to_table: Callable[[Tensor, Tensor, Tensor, Meaning], Tensor]


def encode(
    engine: Engine,
    points: Float[Tensor, "point dim"],
    table: Float[Tensor, "row feature"],
    meaning: Meaning,
) -> Float[Tensor, "point width"]:
    """Features with gradients by the engine.

    A gradient that is to be differentiated again is computed by the torch backend instead.
    """
    return _Encode.apply(points, table, engine, meaning)  # type: ignore[return-value]


class _Encode(torch.autograd.Function):
    @staticmethod
    def forward(ctx, points, table, engine, meaning):
        ctx.save_for_backward(points, table)
        ctx.engine, ctx.meaning = engine, meaning
        return engine.forward(points.detach(), table.detach(), meaning)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[override]
        points, table = ctx.saved_tensors
        engine, meaning = ctx.engine, ctx.meaning
        wanted = ctx.needs_input_grad[:2]
        if torch.is_grad_enabled():  # The caller will differentiate what we return.
            found = torch_backend.gradients(
                points, table, gradient, meaning.settings, meaning.levels, wanted
            )
        else:
            found = [
                compute(points, table, gradient, meaning) if want else None
                for compute, want in zip((engine.to_points, engine.to_table), wanted, strict=True)
            ]
        return *found, None, None
