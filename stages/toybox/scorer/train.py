"""Stage `toybox-train-scorer`: teaches an independent network to tell what a picture shows.

It learns from pictures of its own (`pictures.py`), so that a result which pleases the prior is
judged by somebody who never saw what the prior saw.
"""

from dataclasses import dataclass, field

from ....pipeline.contract import RUNTIME, Context
from .. import catalog
from ..kinds import ScorerDir

VERSION = 1


@dataclass(frozen=True, slots=True)
class Inputs:
    """Nothing: toys and pictures are made here, and by other random choices than elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The network and how long it learns."""

    kinds: tuple[str, ...] = catalog.KINDS
    """What there is to tell apart."""
    channels: tuple[int, ...] = (24, 48, 96, 160)
    """Per level (32, 16, 8 and 4 pixels wide). Multiples of 8."""
    width: int = 96
    """Of the vectors that pictures and words become."""
    blocks: int = 44
    """Of pictures, made before the training begins."""
    shapes_per_block: int = 120
    """Eight pictures are made of each shape, each in other colors."""
    steps: int = 5_000
    batch: int = 64
    """Pictures per step. Even."""
    learning_rate: float = 1.5e-3
    """At its peak; a cosine brings it to 0."""
    warmup_steps: int = 100
    ema: float = 0.998
    """Longest decay of the moving average that is kept."""
    judged_per_kind: int = 12
    """Held-out toys per kind that the ceiling is measured on, from eight sides each."""
    save_every_s: float = field(default=60.0, metadata=RUNTIME)
    """Time between checkpoints."""

    def __post_init__(self) -> None:
        if len(self.kinds) < 2 or len(set(self.kinds)) < len(self.kinds):
            raise ValueError(f"kinds must be two or more, each once, got {self.kinds}.")
        for kind in self.kinds:
            if kind not in catalog.KINDS:
                raise ValueError(f"kinds has {kind!r}; there are {', '.join(catalog.KINDS)}.")
        if not 2 <= len(self.channels) <= 5 or any(c < 8 or c % 8 for c in self.channels):
            raise ValueError(f"channels must be 2 to 5 multiples of 8, got {self.channels}.")
        counts = ("width", "blocks", "shapes_per_block", "steps", "warmup_steps", "judged_per_kind")
        for name in counts:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if self.batch < 2 or self.batch % 2:
            raise ValueError(f"batch must be even and positive, got {self.batch}.")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}.")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema must be in [0, 1), got {self.ema}.")


@dataclass(frozen=True, slots=True)
class Outputs:
    scorer: ScorerDir


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    from .loop import train_scorer

    return Outputs(ScorerDir(train_scorer(config, ctx)))
