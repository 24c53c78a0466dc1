"""Pictures of a splat scene, each with its camera beside it."""

from dataclasses import dataclass
from typing import Literal

from ...pipeline.contract import Context
from ..artifacts import CameraFile, ImagesDir, SplatsFile

VERSION = 1


@dataclass(frozen=True, slots=True)
class Inputs:
    splats: SplatsFile
    camera: CameraFile | None = None
    """Where to look from; from around the scene where absent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    orbit: int = 8
    """Cameras around the scene."""
    width_px: int = 512
    height_px: int = 512
    elevation_deg: float = 15.0
    """How far above the horizon the orbit lies."""
    background: Literal["white", "black", "transparent"] = "white"

    def __post_init__(self) -> None:
        if not 1 <= self.orbit <= 10_000:
            raise ValueError(f"orbit must lie between 1 and 10000, got {self.orbit}.")
        for name in ("width_px", "height_px"):
            if not 1 <= getattr(self, name) <= 16_384:
                raise ValueError(f"{name} must lie in 1..16384, got {getattr(self, name)}.")
        if not -90 <= self.elevation_deg <= 90:
            raise ValueError(f"elevation_deg must lie in -90..90, got {self.elevation_deg}.")


@dataclass(frozen=True, slots=True)
class Outputs:
    images: ImagesDir
    """000.png, 001.png, ... with 000.camera.json, ... and `cameras.json` with all of them."""


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    from .stills import render

    return render(inputs, config, ctx)
