"""A start in 3D for a prompt: Gaussians that views of the model agree upon, or a blob.

The model is asked for one picture per view word, all from the same initial noise, on a
background that it can name. What differs from the background is the silhouette; on the solid that
fits all silhouettes (a soft visual hull) Gaussians are placed and fitted to the pictures. Views
that were drawn one by one contradict each other: the fit finds the form on which most agree, and
each Gaussian gets the color of the view that sees it best. Where that differs much from view to
view, as with dots, the model draws all views again after what the Gaussians look like, kept in
agreement by them, and they are fitted anew. A model that cannot draw on a plain background gets the
blob. Also writes `understood.png`: what the model takes the prompt to mean.
"""

import math
from dataclasses import dataclass
from typing import Literal

from ...pipeline.contract import Context
from ..artifacts import GuidanceDir, PictureFile, PromptFile, SplatsFile

VERSION = 6


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
    guidance_method: Literal["cfg", "apg", "rescale"] = "apg"
    """How it is applied; `apg` keeps high scales from over-saturating."""
    resolution: int = 64
    """Cells along each side of the hull's grid."""
    disagreeing_views: int = 3
    """How many silhouettes may miss a cell that the others see."""
    fit_steps: int = 100
    """Steps of each fit to the views, eight views a step; 0 leaves it at the hull."""
    smooth: float = 0.03
    """Weight of bends in the fitted surface beside the pictures' mean absolute difference."""
    outline: float = 0.1
    """Weight of alpha's difference from the pictures' silhouettes, beside the same."""
    redraw_above: float = 0.09
    """Views that color the same Gaussian this differently (`recolor.disagreement`) are drawn again
    after what was fitted, in agreement (`together.py`); 0 does so always, 1 never."""
    redraw_level: float = 0.9
    """Noise, as a share of the schedule, out of which they are."""
    redraw_steps: int = 14
    """Denoising steps of that."""
    redraw_scale: float = 3.5
    """Classifier-free guidance of that."""
    recolor: bool = True
    """After the first fit, give Gaussians the color of the views that see most of them
    (`recolor.py`), in place of the fit's."""
    max_gaussians: int = 12_000
    """Hard cap on the Gaussians of the start."""
    blob_gaussians: int = 4_000
    """Gaussians of the blob."""

    def __post_init__(self) -> None:
        for name in ("sampling_steps", "redraw_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        for name in ("guidance_scale", "redraw_above", "redraw_scale", "smooth", "outline"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be >= 0 and finite, got {getattr(self, name)}.")
        if not 16 <= self.resolution <= 256:
            raise ValueError(f"resolution must be in 16..256, got {self.resolution}.")
        for name in ("disagreeing_views", "fit_steps"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be >= 0, got {getattr(self, name)}.")
        if not 0 < self.redraw_level <= 1:
            raise ValueError(f"redraw_level must be above 0, at most 1, got {self.redraw_level}.")
        if self.max_gaussians < 100 or self.blob_gaussians < 100:
            raise ValueError("max_gaussians and blob_gaussians must be at least 100.")


@dataclass(frozen=True, slots=True)
class Outputs:
    splats: SplatsFile
    understood: PictureFile


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    from .start import make_start

    return make_start(inputs, config, ctx)
