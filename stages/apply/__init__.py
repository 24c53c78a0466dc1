"""Replays an edit script on captured scenes.

Undoing is replaying less: `upto` stops after so many edits. A scene that no edit has changed comes
out byte for byte as it went in.
"""

from dataclasses import dataclass
from typing import Literal

from ...pipeline.contract import Context
from ..artifacts import EditsFile, ScenesDir, SplatsFile

VERSION = 1


@dataclass(frozen=True, slots=True)
class Inputs:
    script: EditsFile
    scenes: SplatsFile | ScenesDir
    """As many as the script names, in its order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    parts: Literal["one", "each"] = "one"
    """All layers in one PLY, or one PLY for each."""
    upto: int | None = None
    """Only the first so many edits; by default all."""

    def __post_init__(self) -> None:
        if self.upto is not None and self.upto < 0:
            raise ValueError(f"upto must not be negative, got {self.upto}.")


@dataclass(frozen=True, slots=True)
class Outputs:
    splats: SplatsFile | None = None
    """With `parts = "one"`."""
    scenes: ScenesDir | None = None
    """With `parts = "each"`."""


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    from .replay import replay

    return replay(inputs, config, ctx)
