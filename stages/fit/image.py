"""From a photograph to a neural field that holds it: features on simplices and a small network.

Random pixels are compared with the field (squared error in the picture's own sRGB values). The
report says how well all pixels come back.
"""

from dataclasses import dataclass, field
from typing import Literal

from ...pipeline.contract import RUNTIME, Context
from ..artifacts import FieldFile, PhotoFile, PictureFile, ReportFile

VERSION = 2


@dataclass(frozen=True, slots=True)
class Inputs:
    photo: PhotoFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    iterations: int = 1500
    batch: int = 1 << 16
    """Pixels per iteration."""
    lattice: Literal["simplex", "cubic", "kuhn"] = "simplex"
    """`cubic` is the usual hash grid, `kuhn` simplices that are less regular."""
    levels: int = 16
    table_size: int = 1 << 18
    """Most vertices per level, a power of two."""
    cell_px: float = 2.0
    """Size of the finest level's cells."""
    hidden: int = 64
    """Width of the network's two hidden layers."""
    rate: float = 0.01
    """Of Adam; falls to a tenth over the second half."""
    checkpoint_every_s: float = field(default=30.0, metadata=RUNTIME)

    def __post_init__(self) -> None:
        ranges = {
            "iterations": (1, 1_000_000),
            "batch": (1, 1 << 22),
            "cell_px": (0.25, 1024.0),
            "rate": (1e-6, 1.0),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} must lie between {low} and {high}, got {value}.")


@dataclass(frozen=True, slots=True)
class Outputs:
    field: FieldFile
    picture: PictureFile
    report: ReportFile


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    from .photograph import fit

    fitted, picture, report = fit(inputs.photo.path, config, ctx)
    return Outputs(FieldFile(fitted), PictureFile(picture), ReportFile(report))
