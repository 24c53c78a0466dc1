"""Cameras of photographs that have none, by COLMAP: features, matching, mapping, on the CPU.

The largest model that hangs together is taken, as a capture in COLMAP's layout with the photographs
that are in it. Needs the extra `colmap`.
"""

from dataclasses import dataclass
from typing import Literal

from ...pipeline.contract import Context
from ..artifacts import CaptureDir, PhotosDir, ReportFile

VERSION = 1

Lens = Literal["pinhole", "simple-radial", "radial", "opencv", "opencv-fisheye"]
Pairs = Literal["auto", "all", "sequence"]


@dataclass(frozen=True, slots=True)
class Inputs:
    photographs: PhotosDir


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    max_side_px: int = 1_600
    """Features are looked for in copies whose longer side is reduced to this."""
    features: int = 4_096
    """At most so many per photograph."""
    lens: Lens = "opencv"
    """COLMAP's camera model. Photographs of one size and focal length (EXIF) share one."""
    pairs: Pairs = "auto"
    """Which are compared: all with all; in a sequence, each with the next ten and with some far
    ones; or, by default, all up to 200 photographs and a sequence above."""

    def __post_init__(self) -> None:
        if self.max_side_px < 64:
            raise ValueError(f"max_side_px must be at least 64, got {self.max_side_px}.")
        if self.features < 100:
            raise ValueError(f"features must be at least 100, got {self.features}.")


@dataclass(frozen=True, slots=True)
class Outputs:
    capture: CaptureDir
    """`images/` with the photographs as they were, `sparse/0/` with COLMAP's binary model, for
    their full sizes; -y is up by its convention, and its unit is arbitrary."""
    report: ReportFile
    """Which photographs were registered, the lenses, the reprojection error."""


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    from .stage import find_poses

    return find_poses(inputs.photographs.path, config, ctx)
