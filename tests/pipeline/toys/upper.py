"""Makes a text upper case."""

from dataclasses import dataclass

from splatworks.pipeline.contract import Context, replacing
from splatworks.pipeline.errors import InputError

from .kinds import TextFile

VERSION = 1


@dataclass(frozen=True, slots=True)
class Inputs:
    text: TextFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    end: str = ""
    """Put behind every line."""


@dataclass(frozen=True, slots=True)
class Outputs:
    text: TextFile


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    text = inputs.text.path.read_text()
    if "bad" in text:
        raise InputError(f"{inputs.text.path} holds a bad word. Choose another.")
    if "crash" in text:
        raise ZeroDivisionError("one over nothing")
    path = ctx.out / "text.txt"
    with replacing(path) as temporary:
        temporary.write_text("".join(f"{line}{config.end}\n" for line in text.upper().split("\n")))
    return Outputs(TextFile(path))
