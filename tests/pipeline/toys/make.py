"""Makes a text from its settings."""

from dataclasses import dataclass, field

from splatworks.pipeline.contract import RUNTIME, Context, replacing

from .kinds import TextFile

VERSION = 1


@dataclass(frozen=True, slots=True)
class Inputs:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    word: str = "word"
    """What to write."""
    times: int = 3
    """How often."""
    log_every: int = field(default=50, metadata=RUNTIME)
    """Shapes nothing."""

    def __post_init__(self) -> None:
        if self.times < 1:
            raise ValueError(f"times must be positive, got {self.times}.")


@dataclass(frozen=True, slots=True)
class Outputs:
    text: TextFile


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    path = ctx.out / "text.txt"
    with replacing(path) as temporary:
        temporary.write_text(f"{config.word} {ctx.seed}\n" * config.times)
    return Outputs(TextFile(path))
