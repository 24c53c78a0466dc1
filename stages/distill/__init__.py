"""Score distillation: Gaussians whose pictures from all sides look right to a diffusion model.

Each iteration renders a few views, lets the guidance model say in which direction each picture
should change, clips that direction pixel by pixel, and moves the Gaussians accordingly.
"""

from dataclasses import dataclass, field

from ...pipeline.contract import RUNTIME, Context
from ..artifacts import GuidanceDir, PromptFile, SplatsFile, TensorsFile
from .settings import (
    Clipping,
    Density,
    Guide,
    ImageTerms,
    Inversion,
    Looks,
    Loss,
    LowRank,
    Noise,
    Rates,
    Weight,
    Wishes,
    check_sides,
)

VERSION = 3


@dataclass(frozen=True, slots=True)
class Inputs:
    prompt: PromptFile
    guidance: GuidanceDir
    splats: SplatsFile
    """Where to start, in the standard frame: front to +Z, within 0.5 m of the origin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    iterations: int = 400
    loss: Loss = "x0"
    weight: Weight = "one"
    """How a noise level counts; formulas in `losses.py`."""
    guide: Guide = field(default=Guide())
    noise: Noise = field(default=Noise())
    views: Looks = field(default=Looks())
    clip: Clipping = field(default=Clipping())
    image: ImageTerms = field(default=ImageTerms())
    inversion: Inversion = field(default=Inversion())
    """Of the losses `ism` and `sdi`."""
    low_rank: LowRank = field(default=LowRank())
    """Of the loss `vsd`."""
    rates: Rates = field(default=Rates())
    density: Density = field(default=Density())
    wishes: Wishes = field(default=Wishes())
    checkpoint_every_s: float = field(default=20.0, metadata=RUNTIME)

    def __post_init__(self) -> None:
        check_sides(self.guide, self.views)
        if self.iterations < 1:
            raise ValueError(f"iterations must be at least 1, got {self.iterations}.")
        if not self.checkpoint_every_s >= 0:
            raise ValueError(
                f"checkpoint_every_s must not be negative, got {self.checkpoint_every_s}."
            )


@dataclass(frozen=True, slots=True)
class Outputs:
    splats: SplatsFile
    log: TensorsFile
    """Per iteration: loss, share of clipped pixels, number of Gaussians, and more; as metadata
    `clip_threshold` and `clipped_share`, that of the whole run."""
    conditions: TensorsFile
    """What the model made of each text."""


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    from .stage import run as run_stage

    splats, log, conditions = run_stage(
        inputs.prompt.path, inputs.guidance.path, inputs.splats.path, config, ctx
    )
    return Outputs(
        splats=SplatsFile(splats), log=TensorsFile(log), conditions=TensorsFile(conditions)
    )
