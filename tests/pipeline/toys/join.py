"""Puts a text and a directory of texts together."""

from dataclasses import dataclass

from splatworks.pipeline.contract import Context, replacing

from .kinds import TextDir, TextFile

VERSION = 1


@dataclass(frozen=True, slots=True)
class Inputs:
    text: TextFile
    parts: TextDir
    more: TextFile | TextDir | None = None


@dataclass(frozen=True, slots=True)
class Ramp:
    start: float = 1.0
    stop: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    between: str = "-"
    """Stands between the parts."""
    fade: Ramp = Ramp(start=0.5)
    """Nothing, but nested."""


@dataclass(frozen=True, slots=True)
class Outputs:
    text: TextFile


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    parts = [p.read_text() for p in sorted(inputs.parts.path.glob("*.txt"))]
    path = ctx.out / "joined.txt"
    with replacing(path) as temporary:
        temporary.write_text(config.between.join([inputs.text.path.read_text(), *parts]))
    path.with_suffix(".json").write_text("{}")
    return Outputs(TextFile(path))
