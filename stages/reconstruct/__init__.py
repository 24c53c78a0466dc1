"""Gaussians from posed photographs (Kerbl et al. 2023; Kheradmand et al. 2024).

Each iteration renders one photograph's view, compares, and moves the Gaussians; from time to time
some are added and removed. Every eighth photograph is kept aside and only looked at to judge.
"""

from dataclasses import dataclass, field

from ...pipeline.contract import RUNTIME, Context
from ..artifacts import (
    CameraFile,
    CaptureDir,
    ExposuresFile,
    PictureFile,
    ReportFile,
    SplatsFile,
)
from .settings import Density, Exposures, Rates, Start, Surface, Views

VERSION = 3


@dataclass(frozen=True, slots=True)
class Inputs:
    capture: CaptureDir


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    iterations: int = 7_000
    ssim_weight: float = 0.2
    """The loss is (1 - this) L1 + this (1 - SSIM)."""
    sh_degree: int = 3
    sh_every: int = 1_000
    """Iterations after which view-dependent color gets one more degree."""
    views: Views = field(default=Views())
    start: Start = field(default=Start())
    rates: Rates = field(default=Rates())
    density: Density = field(default=Density())
    surface: Surface = field(default=Surface())
    exposures: Exposures = field(default=Exposures())
    checkpoint_every_s: float = field(default=60.0, metadata=RUNTIME)
    evaluate_every: int = field(default=1_000, metadata=RUNTIME)
    """Iterations between two looks at the photographs kept aside; 0: only at the end."""

    def __post_init__(self) -> None:
        if self.iterations < 1:
            raise ValueError(f"iterations must be at least 1, got {self.iterations}.")
        if not 0 <= self.ssim_weight <= 1:
            raise ValueError(f"ssim_weight must be in 0..1, got {self.ssim_weight}.")
        if self.sh_degree not in (0, 1, 2, 3):
            raise ValueError(f"sh_degree must be 0, 1, 2 or 3, got {self.sh_degree}.")
        if self.sh_every < 1:
            raise ValueError(f"sh_every must be at least 1, got {self.sh_every}.")
        if self.evaluate_every < 0:
            raise ValueError(f"evaluate_every must not be negative, got {self.evaluate_every}.")
        if not self.checkpoint_every_s >= 0:
            raise ValueError(
                f"checkpoint_every_s must not be negative, got {self.checkpoint_every_s}."
            )


@dataclass(frozen=True, slots=True)
class Outputs:
    splats: SplatsFile
    """In the capture's own coordinates; the sidecar says which axis points up."""
    cameras: CameraFile
    """Of the photographs, straightened and reduced; the largest group of one size."""
    report: ReportFile
    """PSNR and SSIM of each photograph kept aside, and what was missing."""
    preview: PictureFile
    """Photographs kept aside, and what was made of them."""
    exposures: ExposuresFile | None = None
    """What each photograph makes of the scene's colors; those kept aside by a fit afterwards."""


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    from .stage import reconstruct

    return reconstruct(inputs.capture.path, config, ctx)
