"""Splats from one file format to another, upright by another axis if asked for, and from
nerfstudio's training coordinates back to the capture's."""

from dataclasses import dataclass
from typing import Literal

from ...pipeline.contract import Context
from ..artifacts import DataparserFile, SplatsFile, TransformsFile

VERSION = 2

Axis = Literal["+x", "-x", "+y", "-y", "+z", "-z"]
Format = Literal["ply", "compressed-ply", "splat", "spz"]


@dataclass(frozen=True, slots=True)
class Inputs:
    splats: SplatsFile
    """`.ply` (plain or compressed), `.splat` or `.spz`, by its ending."""
    dataparser: DataparserFile | None = None
    """Of the nerfstudio run that exported the splats: they go back to the capture's coordinates."""
    transforms: TransformsFile | None = None
    """Of the capture that it was trained on, for what ns-process-data did to it before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    format: Format = "ply"
    up: Axis | None = None
    """Turn the scene so that this axis points up; by default it stays (an SPZ file is +y always).
    """
    from_up: Axis | None = None
    """Which axis points up in the input, where its sidecar does not say so."""


@dataclass(frozen=True, slots=True)
class Outputs:
    splats: SplatsFile


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    from .convert import convert

    return Outputs(SplatsFile(convert(inputs, config, ctx)))
