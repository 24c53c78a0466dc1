"""Gaussians by one of nerfstudio's own methods, trained and exported in its environment.

For splatfacto and its relatives, which need CUDA. nerfstudio is found by NERFSTUDIO_PYTHON, the
Python of its environment, else as `ns-train` on the PATH.
"""

from dataclasses import dataclass

from ...pipeline.contract import Context
from ..artifacts import CaptureDir, SplatsFile

VERSION = 1


@dataclass(frozen=True, slots=True)
class Inputs:
    capture: CaptureDir
    """One that nerfstudio reads by itself: with a `transforms.json`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    method: str = "splatfacto"
    """As ns-train lists them; one whose model `ns-export gaussian-splat` takes."""
    iterations: int = 30_000
    arguments: str = ""
    """Further words for ns-train, as in a shell."""

    def __post_init__(self) -> None:
        if not self.method or self.method.startswith("-"):
            raise ValueError(f"method must be the name of a method, got {self.method!r}.")
        if self.iterations < 1:
            raise ValueError(f"iterations must be at least 1, got {self.iterations}.")


@dataclass(frozen=True, slots=True)
class Outputs:
    splats: SplatsFile
    """Back in the capture's coordinates."""


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    from .stage import trained

    return trained(inputs.capture.path, config, ctx)
