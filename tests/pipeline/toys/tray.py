"""Its output is its whole directory."""

from dataclasses import dataclass

from splatworks.pipeline.contract import Context

from .kinds import TextDir, TextFile

VERSION = 1


@dataclass(frozen=True, slots=True)
class Inputs:
    text: TextFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    names: tuple[str, ...] = ("a.txt", "b/c.txt", "b/d.txt")


@dataclass(frozen=True, slots=True)
class Outputs:
    parts: TextDir


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    for name in config.names:
        path = ctx.out / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(inputs.text.path.read_bytes() + name.encode())
    return Outputs(TextDir(ctx.out))
