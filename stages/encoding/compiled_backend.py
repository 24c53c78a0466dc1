"""The compiled kernels on tensors, shared among threads.

Gradients are summed in one order, whatever the number of threads: those of the points belong to
one thread each, and so do the levels of the table.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...renderers.cpu.compiled import LANES
from ...renderers.cpu.threads import team
from . import differentiable
from .compiled_kernels import Kernels, kernels
from .differentiable import Engine, Meaning
from .settings import Level, Settings


def encode(
    points: Float[Tensor, "point dim"],
    table: Float[Tensor, "row feature"],
    settings: Settings,
    levels: Sequence[Level],
    *,
    threads: int = 1,
) -> Float[Tensor, "point width"]:
    """As `torch_backend.encode`, for float32 on the CPU."""
    for name, tensor in (("points", points), ("table", table)):
        if tensor.dtype != torch.float32 or tensor.device.type != "cpu":
            raise ValueError(
                f"the compiled encoding takes float32 on the CPU; {name} are {tensor.dtype} on "
                f"{tensor.device}. Use backend='torch' or 'auto'."
            )
    return differentiable.encode(_ENGINE, points, table, Meaning(settings, levels, threads))


def _forward(points: Tensor, table: Tensor, meaning: Meaning) -> Tensor:
    out = np.empty((len(points), meaning.settings.width), np.float32)
    columns, values, compiled = _columns(points), _array(table), _kernels(meaning)

    def share(first: int, last: int) -> None:
        for level, column in _numbers(meaning):
            compiled.forward(columns, values, *level, first, last, column, out)

    _spread(share, len(points), meaning.threads)
    return torch.from_numpy(out)


def _to_points(points: Tensor, table: Tensor, gradient: Tensor, meaning: Meaning) -> Tensor:
    columns, values, compiled = _columns(points), _array(table), _kernels(meaning)
    given, out = _array(gradient), np.zeros_like(columns)

    def share(first: int, last: int) -> None:
        for level, column in _numbers(meaning):
            compiled.to_points(columns, values, given, *level, first, last, column, out)

    _spread(share, len(points), meaning.threads)
    return torch.from_numpy(out)[:, : len(points)].t()


def _to_table(points: Tensor, table: Tensor, gradient: Tensor, meaning: Meaning) -> Tensor:
    columns, given, compiled = _columns(points), _array(gradient), _kernels(meaning)
    out = torch.zeros_like(table, memory_format=torch.contiguous_format)

    def one(level: tuple, column: int) -> None:
        compiled.to_table(columns, given, *level, column, out.numpy())

    with team(meaning.threads) as workers:
        workers.run(one, _numbers(meaning))
    return out


_ENGINE = Engine(_forward, _to_points, _to_table)


def _kernels(meaning: Meaning) -> Kernels:
    settings = meaning.settings
    return kernels(settings.dims, settings.lattice, settings.features)


def _spread(work: Callable[[int, int], None], count: int, threads: int) -> None:
    """work(first, last) over all points, ranges beginning at multiples of LANES."""
    groups = -(-count // LANES)
    with team(threads) as workers:
        shares = [(a * LANES, min(b * LANES, count)) for a, b in workers.shares(groups)]
        workers.run(work, [share for share in shares if share[0] < share[1]])


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


def _columns(points: Tensor) -> np.ndarray:
    """One row per coordinate, padded with zeros to whole groups."""
    count, dims = points.shape
    out = np.zeros((dims, -(-count // LANES) * LANES), np.float32)
    out[:, :count] = points.detach().numpy().T
    return out


def _numbers(meaning: Meaning) -> list[tuple[tuple, int]]:
    """Each level as the kernels take it, and its first column among the features."""
    settings = meaning.settings
    return [
        (_level(level, settings), number * settings.features)
        for number, level in enumerate(meaning.levels)
    ]


def _level(level: Level, settings: Settings) -> tuple[np.ndarray, np.ndarray, int, bool]:
    scalars = np.array([level.resolution, settings.skew, *level.offset], np.float32)
    factors = np.array([*level.factors, level.rows - 1], np.uint32).view(np.int32)
    return scalars, factors, level.start, not level.dense
