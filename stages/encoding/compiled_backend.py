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
    columns, values, compiled = _columns(points), _array(table), _kernels(meaning)
    out = np.empty((meaning.settings.width, columns.shape[1]), np.float32)

    def share(first: int, last: int) -> None:
        for level, column in _numbers(meaning):
            compiled.forward(columns, values, *level, first, last, column, out)

    _spread(share, columns.shape[1], meaning.threads)
    return torch.from_numpy(out)[:, : len(points)].t()


def _to_points(points: Tensor, table: Tensor, gradient: Tensor, meaning: Meaning) -> Tensor:
    columns, values, compiled = _columns(points), _array(table), _kernels(meaning)
    given, out = _columns(gradient), np.zeros_like(columns)

    def share(first: int, last: int) -> None:
        for level, column in _numbers(meaning):
            compiled.to_points(columns, values, given, *level, first, last, column, out)

    _spread(share, columns.shape[1], meaning.threads)
    return torch.from_numpy(out)[:, : len(points)].t()


def _to_table(points: Tensor, table: Tensor, gradient: Tensor, meaning: Meaning) -> Tensor:
    columns, given, compiled = _columns(points), _columns(gradient), _kernels(meaning)
    out = torch.zeros_like(table, memory_format=torch.contiguous_format)

    def one(level: tuple, column: int) -> None:
        compiled.to_table(columns, given, *level, column, out.numpy())

    workers = team(meaning.threads)
    workers.run(one, _numbers(meaning))
    return out


_ENGINE = Engine(_forward, _to_points, _to_table)


def _kernels(meaning: Meaning) -> Kernels:
    settings = meaning.settings
    return kernels(settings.dims, settings.lattice, settings.features)


def _spread(work: Callable[[int, int], None], count: int, threads: int) -> None:
    """work(first, last) over all points, in ranges of whole groups."""
    workers = team(threads)
    shares = [(a * LANES, b * LANES) for a, b in workers.shares(count // LANES)]
    workers.run(work, [share for share in shares if share[0] < share[1]])


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


def _columns(values: Tensor) -> np.ndarray:
    """One row per number, points side by side, padded with zeros to whole groups."""
    count, numbers = values.shape
    rows = values.detach().t()
    if count % LANES == 0:
        return rows.contiguous().numpy()
    out = torch.zeros(numbers, -(-count // LANES) * LANES)
    out[:, :count] = rows
    return out.numpy()


def _numbers(meaning: Meaning) -> list[tuple[tuple, int]]:
    """Each level as the kernels take it, and its first column among the features."""
    settings = meaning.settings
    return [
        (_level(level, settings), number * settings.features)
        for number, level in enumerate(meaning.levels)
    ]


def _level(level: Level, settings: Settings) -> tuple[tuple, tuple, int, bool]:
    numbers = tuple(float(v) for v in (level.resolution, settings.skew, *level.offset))
    return numbers, (*level.factors, level.rows - 1), level.start, not level.dense
