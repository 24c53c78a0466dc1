"""A coarse start in 3D for a prompt: a soft visual hull of sampled views, or a blob.

The model is asked for one picture per view word, all from the same initial noise, on a
background that it can name. What differs from the background is the silhouette; the solid that
fits all silhouettes is the start. A model that cannot draw on a plain background gets the blob.
Also writes `understood.png`: what the model takes the prompt to mean.
"""

from dataclasses import dataclass
from typing import Literal

from ...pipeline.contract import Context
from ..artifacts import GuidanceDir, PictureFile, PromptFile, SplatsFile

VERSION = 2


@dataclass(frozen=True, slots=True)
class Inputs:
    prompt: PromptFile
    guidance: GuidanceDir


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    method: Literal["auto", "hull", "blob"] = "auto"
    """`auto` takes the hull if the sampled views have plain backgrounds, else the blob."""
    sampling_steps: int = 20
    """Denoising steps per sampled view."""
    guidance_scale: float = 4.0
    """Classifier-free guidance of the samples, diffusers' convention (1 is none)."""
    resolution: int = 64
    """Cells along each side of the hull's grid."""
    disagreeing_views: int = 2
    """How many silhouettes may miss a cell that the others see."""
    max_gaussians: int = 12_000
    """Hard cap on the Gaussians of the start."""
    blob_gaussians: int = 4_000
    """Gaussians of the blob."""

    def __post_init__(self) -> None:
        if self.sampling_steps < 1:
            raise ValueError(f"sampling_steps must be at least 1, got {self.sampling_steps}.")
        if not self.guidance_scale >= 0:
            raise ValueError(f"guidance_scale must not be negative, got {self.guidance_scale}.")
        if not 16 <= self.resolution <= 256:
            raise ValueError(f"resolution must be in 16..256, got {self.resolution}.")
        if self.disagreeing_views < 0:
            raise ValueError(f"disagreeing_views must be >= 0, got {self.disagreeing_views}.")
        if self.max_gaussians < 100 or self.blob_gaussians < 100:
            raise ValueError("max_gaussians and blob_gaussians must be at least 100.")


@dataclass(frozen=True, slots=True)
class Outputs:
    splats: SplatsFile
    understood: PictureFile


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    from .start import make_start

    return make_start(inputs, config, ctx)
