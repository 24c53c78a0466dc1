"""Follows a moving scene through the pictures of one camera: the coarse stage, frame by frame."""

from dataclasses import dataclass, field
from typing import Literal

from ...pipeline.contract import RUNTIME, Context
from ..artifacts import CameraFile, ImagesDir, SequenceDir, SplatsFile
from .settings import Coarse, Matching, Rigidity

VERSION = 4


@dataclass(frozen=True, slots=True)
class Inputs:
    splats: SplatsFile
    """The scene at rest, near to how it is in the first frame."""
    camera: CameraFile
    """One camera, which stands still."""
    frames: ImagesDir
    """PNG, JPEG, WebP, TIFF or BMP pictures; their names give the order, 10 after 9."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    fps: float = 24.0
    background: Literal["auto", "white", "black"] = "auto"
    """What the pictures have where the scene is empty."""
    next_iterations: int = 80
    """Of all frames but the first, which has those of `coarse`."""
    ssim: float = 0.25
    """Weight of SSIM against the mean absolute difference."""
    matching: Matching = field(default=Matching())
    """Patches are not looked for: a frame is never far from the one before it."""
    rigidity: Rigidity = field(default=Rigidity())
    coarse: Coarse = field(default=Coarse(iterations=150))
    """Neither limbs nor rigid groups are tried, for the same reason."""
    checkpoint_every_s: float = field(default=20.0, metadata=RUNTIME)
    preview_every_s: float = field(default=30.0, metadata=RUNTIME)

    def __post_init__(self) -> None:
        if not self.fps > 0:
            raise ValueError(f"fps must be positive, got {self.fps}.")
        for name in ("next_iterations", "ssim", "checkpoint_every_s", "preview_every_s"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}.")


@dataclass(frozen=True, slots=True)
class Outputs:
    sequence: SequenceDir
    """`index.json` and one splat PLY per frame."""


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    from .tracking import track

    return track(inputs, config, ctx)
