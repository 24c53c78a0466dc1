"""Takes over the look of one captured object on another where they touch.

The target's colors change, its shape and opacity do not; the source stays as it is. After Gao et
al. 2024 (3D Gaussian Stitching, arXiv 2408.15708); `docs/stitching.md` says what is theirs and
what is ours.
"""

from dataclasses import dataclass, field
from typing import Literal

from ...pipeline.contract import RUNTIME, Context
from ..artifacts import EditsFile, PreviewDir, RegionFile, ScenesDir, SplatsFile

VERSION = 3


@dataclass(frozen=True, slots=True)
class Inputs:
    target: SplatsFile
    """Is recolored."""
    source: SplatsFile
    """Gives the look."""
    then: ScenesDir | None = None
    """More parts, called `part3`, `part4`, ...: each is recolored after those before it, to go
    with all that is there by then. One that meets nothing yet waits for those after it."""
    transform: EditsFile | None = None
    """An edit script on the scenes `target`, `source`, `part3`, ... that puts them in place."""
    select_target: RegionFile | None = None
    """What of the target to keep; by default all."""
    select_source: RegionFile | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Of the losses; that of the boundary is 1."""

    color: float = 0.0
    """Colors from the seam inwards. The paper: 1, by which they spread at all. From `poisson` they
    have spread before, and it would only draw towards colors of far places of the seam."""
    gradient: float = 2.0
    """Texture."""
    palette: float = 0.2
    """The source's tone. The paper: 2."""

    def __post_init__(self) -> None:
        for name in ("color", "gradient", "palette"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    beta: float = 0.05
    """Near enough for a seam, as a fraction of the size of both."""
    tau: float = 0.95
    """Less opaque Gaussians are no part of the seam."""
    neighbors: int = 8
    """K."""
    start: Literal["poisson", "original"] = "poisson"
    """`poisson`: the boundary takes the source's look at once and holds it, the others begin with
    what keeps the differences between neighbors. `original`: as in the paper."""
    amplitude: float = 1.0
    """Of the shift between a place and where it takes its color from, in sizes of both."""
    gamma: float = 10.0
    """How quickly that shift changes with the distance from the seam."""
    weights: Weights = Weights()
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

    tidy: bool = False
    """Also mend the target's shape at the cut (see `tidy.py`)."""
    checkpoint_every_s: float = field(default=20.0, metadata=RUNTIME)

    def __post_init__(self) -> None:
        for name in ("beta", "rate", "seam_width", "neighbors", "views"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}.")
        for name in ("amplitude", "gamma", "checkpoint_every_s"):
            if not getattr(self, name) >= 0:
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
    """All parts in one."""
    target: SplatsFile
    """The recolored target alone."""
    report: PreviewDir
    """`report.json` and the pictures `before-after.png`."""
    parts: ScenesDir | None = None
    """With `then`: every part by itself."""


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    from .work import stitch

    return stitch(inputs, config, ctx)
