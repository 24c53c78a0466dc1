"""Looking at the result: turntables, a contact sheet, and one figure for how alike they are.

The mesh is read back from its file and shown beside the splats it came from, from the same
cameras, as it will look elsewhere; the PSNR between the two (`geometry/likeness.py`) is logged.
"""

from dataclasses import dataclass

from ...pipeline.contract import Context
from ..artifacts import LodsDir, MeshFile, PreviewDir, SplatsFile, TexturedMeshFile

VERSION = 3


@dataclass(frozen=True, slots=True)
class Inputs:
    splats: SplatsFile
    mesh: TexturedMeshFile | MeshFile
    lods: LodsDir | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    views: int = 8
    """Columns of the contact sheet: from around the object, the front first, at several heights."""
    size_px: int = 256
    """Width and height of one picture of the contact sheet."""
    frames: int = 48
    """Frames of a turntable, one turn; 0 for none."""
    turntable_size_px: int = 256
    """Height of the turntables, and width of each of their two halves."""
    fps: float = 16.0
    """Frames per second."""
    elevation_deg: float = 15.0
    """From how far above a turntable looks."""
    background: float = 0.9
    """Gray behind everything, 0 black to 1 white (sRGB)."""

    def __post_init__(self) -> None:
        ranges = {
            "views": (1, 64),
            "size_px": (16, 2048),
            "turntable_size_px": (16, 2048),
            "frames": (0, 1000),
            "fps": (1.0, 60.0),
            "elevation_deg": (-89.0, 89.0),
            "background": (0.0, 1.0),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} must lie between {low} and {high}, got {value}.")


@dataclass(frozen=True, slots=True)
class Outputs:
    preview: PreviewDir


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    from .show import show

    return Outputs(preview=PreviewDir(show(inputs, config, ctx)))
