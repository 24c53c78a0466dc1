"""What a capture is, whichever program left it: photographs, their cameras and a few points."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float64, UInt8

from ...pipeline.errors import InputError
from .lens import Lens
from .splats import Axis


@dataclass(frozen=True, slots=True)
class Shot:
    """One photograph."""

    path: Path
    lens: Lens
    world_to_camera: Float64[np.ndarray, "4 4"]
    mask: Path | None = None
    """White where the photograph counts."""
    held_out: bool | None = None
    """Whether the capture itself keeps it for testing; None: it does not say."""


@dataclass(frozen=True, slots=True)
class Points:
    """What was triangulated along with the cameras."""

    positions: Float[np.ndarray, "n 3"]
    colors: UInt8[np.ndarray, "n 3"]
    """sRGB."""


@dataclass(frozen=True, slots=True)
class Capture:
    shots: tuple[Shot, ...]
    """Those whose files are there, in the order of their names."""
    missing: tuple[str, ...]
    """Names of listed photographs that are not there."""
    points: Points | None
    up_axis: Axis
    """By the convention of the program; nobody knows for sure."""
    white_behind: bool = False
    """Pictures with alpha are meant to stand on white."""


def sort_out(shots: Sequence[Shot]) -> tuple[tuple[Shot, ...], tuple[str, ...]]:
    """Photographs that are there, by name, and the names of the others."""
    there = sorted((s for s in shots if s.path.is_file()), key=lambda shot: str(shot.path))
    missing = sorted(shot.path.name for shot in shots if not shot.path.is_file())
    return tuple(there), tuple(missing)


def inside(folder: Path, name: str, owner: Path) -> Path:
    """The file that a capture names; never one outside of its folder."""
    path = folder / name.replace("\\", "/")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{owner}: names {name!r}, which lies outside of {folder}.")
    return path
