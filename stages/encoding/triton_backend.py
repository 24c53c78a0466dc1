"""The Triton kernels on tensors. Triton comes with torch for CUDA; without it, `torch` is used.

The table's gradient is summed by atomic additions, whose order the device chooses: two runs differ
in the last bits. All else is in one order.
"""

import functools
import importlib.util
import os
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from . import differentiable
from .differentiable import Engine, Meaning
from .settings import Level, Settings

BLOCK = 128
"""Points per program."""


@functools.cache
def is_installed() -> bool:
    return importlib.util.find_spec("triton") is not None


def encode(
    points: Float[Tensor, "point dim"],
    table: Float[Tensor, "row feature"],
    settings: Settings,
    levels: Sequence[Level],
    *,
    threads: int = 1,
) -> Float[Tensor, "point width"]:
    """As `torch_backend.encode`, for float32 on CUDA; `threads` are the device's own affair."""
    if not is_installed():
        raise ValueError(
            "backend='triton' needs the package triton: pip install 'splatworks[triton]'. "
            "backend='torch' does without."
        )
    for name, tensor in (("points", points), ("table", table)):
        if tensor.dtype != torch.float32 or not (tensor.is_cuda or _interpreted()):
            raise ValueError(
                f"the Triton encoding takes float32 on CUDA; {name} are {tensor.dtype} on "
                f"{tensor.device}. Use backend='torch' or 'auto'."
            )
    return differentiable.encode(_ENGINE, points, table, Meaning(settings, levels, threads))


def _interpreted() -> bool:
    """Triton's own way of running kernels on the CPU, for tests."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def _kernels() -> Any:
    """Imported on use, since triton may be absent."""
    from . import triton_kernels

    return triton_kernels


def _forward(points: Tensor, table: Tensor, meaning: Meaning) -> Tensor:
    out = points.new_empty(len(points), meaning.settings.width)
    if len(points):
        _kernels().forward[_grid(points, meaning)](
            points.contiguous(), table.contiguous(), *_numbers(meaning, points.device), out,
            len(points), *_constants(meaning.settings),
        )  # fmt: skip
    return out


def _to_points(points: Tensor, table: Tensor, gradient: Tensor, meaning: Meaning) -> Tensor:
    out = torch.zeros_like(points, memory_format=torch.contiguous_format)
    if len(points):
        _kernels().to_points[_grid(points, meaning)[:1]](
            points.contiguous(), table.contiguous(), gradient.contiguous(),
            *_numbers(meaning, points.device),
            out, len(points), len(meaning.levels), *_constants(meaning.settings),
        )  # fmt: skip
    return out


def _to_table(points: Tensor, table: Tensor, gradient: Tensor, meaning: Meaning) -> Tensor:
    out = torch.zeros_like(table, memory_format=torch.contiguous_format)
    if len(points):
        _kernels().to_table[_grid(points, meaning)](
            points.contiguous(), gradient.contiguous(), *_numbers(meaning, points.device), out,
            len(points), *_constants(meaning.settings),
        )  # fmt: skip
    return out


_ENGINE = Engine(_forward, _to_points, _to_table)


def _grid(points: Tensor, meaning: Meaning) -> tuple[int, int]:
    return -(-len(points) // BLOCK), len(meaning.levels)


def _constants(settings: Settings) -> tuple[int, int, bool, int, int, int, int]:
    padded = 1 << (settings.dims - 1).bit_length()
    return (
        settings.dims, padded, settings.lattice == "cubic", settings.vertices, settings.features,
        settings.width, BLOCK,
    )  # fmt: skip


def _numbers(meaning: Meaning, device: torch.device) -> tuple[Tensor, Tensor]:
    """Per level N, F and the offsets; and factors, first row, rows, whether it is dense."""
    return _tables(meaning.settings, tuple(meaning.levels), device)


@functools.lru_cache(maxsize=64)
def _tables(
    settings: Settings, levels: tuple[Level, ...], device: torch.device
) -> tuple[Tensor, Tensor]:
    scalars = [[level.resolution, settings.skew, *level.offset] for level in levels]
    whole = [[*level.factors, level.start, level.rows, int(level.dense)] for level in levels]
    # As the same 32 bits, signed.
    bits = torch.tensor(whole).to(torch.int32)
    return torch.tensor(scalars, dtype=torch.float32, device=device), bits.to(device)
