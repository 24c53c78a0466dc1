"""Score distillation: Gaussians whose pictures from all sides look right to a diffusion model.

Each iteration renders a few views, lets the guidance model say in which direction each picture
should change, clips that direction pixel by pixel, and moves the Gaussians accordingly.
"""

import math
from dataclasses import dataclass, field

from ...pipeline.contract import RUNTIME, Context
from ..artifacts import GuidanceDir, PromptFile, SplatsFile, TensorsFile
from .ramp import Ramp
from .settings import Clipping, Density, Loss, Method, Rates, Weight, Wishes

VERSION = 1


@dataclass(frozen=True, slots=True)
class Inputs:
    prompt: PromptFile
    guidance: GuidanceDir
    splats: SplatsFile
    """Where to start, in the standard frame: front to +Z, within 0.5 m of the origin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    iterations: int = 400
    views_per_step: int = 4
    loss: Loss = "x0"
    weight: Weight = "one"
    """How a noise level counts; formulas in `losses.py`."""
    guidance_scale: float = 7.5
    """uncond + scale * (text - uncond); 1 is none, and saves half the network's time."""
    method: Method = "apg"
    """`apg` projects the guidance so that high scales do not over-saturate."""
    noise_max: Ramp = field(default=Ramp(start=0.98, stop=0.3))
    """Highest noise level of an iteration, as a share of the schedule."""
    noise_min: Ramp = field(default=Ramp(start=0.3, stop=0.02))
    clip: Clipping = field(default=Clipping())
    rates: Rates = field(default=Rates())
    density: Density = field(default=Density())
    wishes: Wishes = field(default=Wishes())
    close_up_share: float = 0.2
    """Share of the views that are close-ups, where the model has words for these."""
    elevation_weights: tuple[float, ...] = ()
    """How often each elevation word of the model is used; empty: all equally."""
    checkpoint_every_s: float = field(default=20.0, metadata=RUNTIME)

    def __post_init__(self) -> None:
        for name in ("iterations", "views_per_step"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if not math.isfinite(self.guidance_scale):
            raise ValueError(f"guidance_scale must be finite, got {self.guidance_scale}.")
        for end in ("start", "stop"):
            low, high = getattr(self.noise_min, end), getattr(self.noise_max, end)
            if not 0 <= low <= high <= 1:
                raise ValueError(
                    f"noise_min.{end} and noise_max.{end} must be ordered in 0..1, "
                    f"got {low}, {high}."
                )
        if not 0 <= self.close_up_share <= 1:
            raise ValueError(f"close_up_share must be in 0..1, got {self.close_up_share}.")
        weights = self.elevation_weights
        if weights and not (min(weights) >= 0 and 0 < sum(weights) < math.inf):
            raise ValueError(f"elevation_weights must be >= 0 and not all zero, got {weights}.")
        if not self.checkpoint_every_s >= 0:
            raise ValueError(
                f"checkpoint_every_s must not be negative, got {self.checkpoint_every_s}."
            )


@dataclass(frozen=True, slots=True)
class Outputs:
    splats: SplatsFile
    log: TensorsFile
    """Per iteration: loss, share of clipped pixels, number of Gaussians, and more."""


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    from .stage import run as run_stage

    splats, log = run_stage(
        inputs.prompt.path, inputs.guidance.path, inputs.splats.path, config, ctx
    )
    return Outputs(splats=SplatsFile(splats), log=TensorsFile(log))
