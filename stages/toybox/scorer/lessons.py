"""The pictures that the scorer learns from: made once, block by block, and kept in the scratch."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int, UInt8
from safetensors.torch import load_file, save_file
from torch import Tensor

from ....pipeline.contract import Context, replacing
from ..props import Prop
from . import facts
from .pictures import PER_SHAPE, block
from .train import Config

UNSAID = -1
"""Stands for a fact that a toy has not; `cross_entropy` is told to ignore it."""


class Lessons:
    """All blocks, in memory: 16 KiB per picture."""

    def __init__(self, folder: Path, config: Config) -> None:
        self._blocks = [load_file(_path(folder, number)) for number in range(config.blocks)]
        self._size = config.shapes_per_block * PER_SHAPE

    def __len__(self) -> int:
        return len(self._blocks) * self._size

    def take(
        self, numbers: Int[Tensor, " picture"]
    ) -> tuple[UInt8[Tensor, "picture row column 4"], Int[Tensor, "picture fact"]]:
        """Pixels and facts of some pictures."""
        places = [divmod(int(number), self._size) for number in numbers]
        pixels = torch.stack([self._blocks[b]["pixels"][k] for b, k in places])
        said = torch.stack([self._blocks[b]["facts"][k] for b, k in places])
        return pixels, said.long()


def make_lessons(config: Config, ctx: Context) -> Lessons:
    """Take the pictures of every block that is not there yet."""
    done = sum(_path(ctx.scratch, number).exists() for number in range(config.blocks))
    with ctx.progress("pictures for the scorer", config.blocks, done) as bar:
        for number in range(config.blocks):
            path = _path(ctx.scratch, number)
            if path.exists():
                continue
            toys, pixels = block(config.kinds, number, config.shapes_per_block, ctx.seed)
            with replacing(path) as temporary:
                said = positions(toys, config)
                save_file({"pixels": torch.from_numpy(pixels), "facts": said}, temporary)
            bar.advance()
    return Lessons(ctx.scratch, config)


def positions(toys: list[Prop], config: Config) -> Int[Tensor, "toy fact"]:
    """Facts as positions in `facts.values`, `UNSAID` where there is none."""
    known = facts.values(config.kinds)
    rows = [
        [
            known[name].index(getattr(toy, name)) if getattr(toy, name) else UNSAID
            for name in facts.NAMES
        ]
        for toy in toys
    ]
    return torch.from_numpy(np.array(rows, dtype=np.int8))


def _path(folder: Path, number: int) -> Path:
    return folder / f"pictures-{number:04d}.safetensors"
