"""The compiled kernels as a differentiable function."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...renderers.cpu.compiled import LANES
from ...renderers.cpu.threads import team
from . import torch_backend
from .compiled_kernels import kernels
from .settings import Level, Settings


def encode(
    points: Float[Tensor, "point dim"],
    table: Float[Tensor, "row feature"],
    settings: Settings,
    levels: Sequence[Level],
    *,
    threads: int = 1,
) -> Float[Tensor, "point width"]:
    """As `torch_backend.encode`, for float32 on the CPU.

    Gradients are summed in one order, whatever the number of threads. A gradient that is to be
    differentiated again is computed by the torch backend.
    """
    for name, tensor in (("points", points), ("table", table)):
        if tensor.dtype != torch.float32 or tensor.device.type != "cpu":
            raise ValueError(
                f"the compiled encoding takes float32 on the CPU; {name} are {tensor.dtype} on "
                f"{tensor.device}. Use backend='torch' or 'auto'."
            )
    return _Encode.apply(points, table, settings, levels, threads)  # type: ignore[return-value]


class _Encode(torch.autograd.Function):
    @staticmethod
    def forward(ctx, points, table, settings, levels, threads):
        ctx.save_for_backward(points, table)
        ctx.meaning = settings, levels, threads
        out = np.empty((len(points), settings.width), np.float32)
        compiled = kernels(settings.dims, settings.lattice, settings.features)
        columns, values = _columns(points), table.detach().contiguous().numpy()

        def share(first: int, last: int) -> None:
            for number, level in enumerate(levels):
                compiled.forward(
                    columns, values, *_numbers(settings, level), first, last,
                    number * settings.features, out,
                )  # fmt: skip

        _spread(share, len(points), threads)
        return torch.from_numpy(out)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[override]
        points, table = ctx.saved_tensors
        settings, levels, threads = ctx.meaning
        wanted = ctx.needs_input_grad[:2]
        if torch.is_grad_enabled():  # The caller will differentiate what we return.
            found = torch_backend.gradients(points, table, gradient, settings, levels, wanted)
            return *found, None, None, None
        given = gradient.contiguous().numpy()
        columns = _columns(points)
        to_points = to_table = None
        if wanted[0]:
            to_points = _to_points(columns, table, given, settings, levels, threads)
        if wanted[1]:
            to_table = _to_table(columns, table, given, settings, levels, threads)
        return to_points, to_table, None, None, None


def _to_table(columns, table, given, settings, levels, threads) -> Tensor:
    out = torch.zeros_like(table)
    compiled = kernels(settings.dims, settings.lattice, settings.features)

    def one(number: int) -> None:
        compiled.to_table(
            columns, given, *_numbers(settings, levels[number]), number * settings.features,
            out.numpy(),
        )  # fmt: skip

    with team(threads) as workers:
        workers.run(one, [(number,) for number in range(len(levels))])
    return out


def _to_points(columns, table, given, settings, levels, threads) -> Tensor:
    out = np.zeros_like(columns)
    compiled = kernels(settings.dims, settings.lattice, settings.features)
    values = table.detach().contiguous().numpy()

    def share(first: int, last: int) -> None:
        for number, level in enumerate(levels):
            compiled.to_points(
                columns, values, given, *_numbers(settings, level), first, last,
                number * settings.features, out,
            )  # fmt: skip

    _spread(share, len(given), threads)
    return torch.from_numpy(out)[:, : len(given)].t()


def _spread(work: Callable[[int, int], None], count: int, threads: int) -> None:
    """work(first, last) over all points, ranges beginning at multiples of LANES."""
    groups = -(-count // LANES)
    with team(threads) as workers:
        shares = [(a * LANES, min(b * LANES, count)) for a, b in workers.shares(groups)]
        workers.run(work, [share for share in shares if share[0] < share[1]])


def _columns(points: Tensor) -> np.ndarray:
    """One row per coordinate, padded with zeros to whole groups."""
    count, dims = points.shape
    out = np.zeros((dims, -(-count // LANES) * LANES), np.float32)
    out[:, :count] = points.detach().numpy().T
    return out


def _numbers(settings: Settings, level: Level) -> tuple[np.ndarray, np.ndarray, int, bool]:
    """A level as the kernels take it."""
    scalars = np.array([level.resolution, settings.skew, *level.offset], np.float32)
    factors = np.array([*level.factors, level.rows - 1], np.uint32).view(np.int32)
    return scalars, factors, level.start, not level.dense
