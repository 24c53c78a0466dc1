"""Takes over the look of one captured object on another where they touch.

The target's colors change, its shape and opacity do not; the source stays as it is. After Gao et
al. 2024 (3D Gaussian Stitching, arXiv 2408.15708); `docs/stitching.md` says what is theirs and
what is ours.
"""

from dataclasses import dataclass

from ...pipeline.contract import Context
from ..artifacts import EditsFile, PreviewDir, RegionFile, SplatsFile

VERSION = 1


@dataclass(frozen=True, slots=True)
class Inputs:
    target: SplatsFile
    """Is recolored."""
    source: SplatsFile
    """Gives the look."""
    transform: EditsFile | None = None
    """An edit script on the scenes `target` and `source` that puts the parts in place."""
    select_target: RegionFile | None = None
    """What of the target to keep; by default all."""
    select_source: RegionFile | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    beta: float = 0.05
    """Near enough for a seam, as a fraction of the size of both."""
    tau: float = 0.95
    """Less opaque Gaussians are no part of the seam."""
    neighbors: int = 8
    """K."""
    amplitude: float = 1.0
    """Of the shift between a place and where it takes its color from, in sizes of both."""
    gamma: float = 10.0
    """How quickly that shift changes with the distance from the seam."""
    color_weight: float = 1.0
    gradient_weight: float = 2.0
    palette_weight: float = 2.0
    iterations: tuple[int, int] = (300, 300)
    """Without and with the source's palette."""
    rate: float = 0.03
    """Step length for SH degree 0, a twentieth of it for the others; falls to a tenth."""
    views: int = 32
    size_px: int = 160
    """Of the square pictures that are compared."""
    seam_only: bool = False
    """Only change what is nearer to the seam than `seam_width`; no palette."""
    seam_width: float = 0.1
    """As a fraction of the size of both."""

    def __post_init__(self) -> None:
        positive = ("beta", "rate", "seam_width", "neighbors", "views")
        for name in positive:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}.")
        for name in ("amplitude", "gamma", "color_weight", "gradient_weight", "palette_weight"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}.")
        if not 0 <= self.tau < 1:
            raise ValueError(f"tau must lie in [0, 1), got {self.tau}.")
        if min(self.iterations) < 0 or not sum(self.iterations):
            raise ValueError(f"iterations must be at least one, got {self.iterations}.")
        if not 16 <= self.size_px <= 1024:
            raise ValueError(f"size_px must lie between 16 and 1024, got {self.size_px}.")


@dataclass(frozen=True, slots=True)
class Outputs:
    splats: SplatsFile
    """Target and source in one."""
    target: SplatsFile
    """The recolored target alone."""
    report: PreviewDir
    """`report.json` and the pictures `before-after.png`."""


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    from .work import stitch

    return stitch(inputs, config, ctx)
