"""From a mesh and a prompt to a textured mesh: score distillation on a fixed surface.

The surface's color is a field on simplices. Each iteration looks at the mesh from a few sides, lets
the guidance model say how each picture should change, clips that pixel by pixel, and moves the
field; then the field is baked. Visibility is ray-cast, so only the field is differentiated
(Pan et al., "Enhancing High-Resolution 3D Generation through Pixel-wise Gradient Clipping", their
texture refinement, with the encoding of Wen and Yang).
"""

import math
from dataclasses import dataclass, field
from typing import Literal

from ...pipeline.contract import RUNTIME, Context
from ..artifacts import (
    FieldFile,
    GuidanceDir,
    MeshFile,
    PictureFile,
    PromptFile,
    TensorsFile,
    TexturedMeshFile,
)
from ..distill.ramp import Ramp
from ..distill.settings import (
    Clipping,
    Guide,
    ImageTerms,
    Inversion,
    Looks,
    Noise,
    Weight,
    check_sides,
)

VERSION = 3


@dataclass(frozen=True, slots=True)
class Inputs:
    mesh: TexturedMeshFile | MeshFile
    """GLB, glTF, OBJ with MTL, PLY, STL or OFF; +Y up."""
    prompt: PromptFile
    guidance: GuidanceDir


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """A lamp near the camera, so that what looks like shade need not be painted."""

    share: float = 0.5
    """So many of the views are lit; the others show colors as they are."""
    ambient: float = 0.6
    """What the lamp does not reach keeps this share of its (linear) color."""
    spread: float = 1.0
    """Standard deviation of the lamp's place about the camera, in camera distances / 1.8."""

    def __post_init__(self) -> None:
        for name in ("share", "ambient"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"light.{name} must be in 0..1, got {getattr(self, name)}.")
        if not 0 <= self.spread < math.inf:
            raise ValueError(f"light.spread must be >= 0 and finite, got {self.spread}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the pictures of the start `sampled` are made."""

    steps: int = 20
    """Denoising steps per picture."""
    scale: float = 4.0
    """uncond + scale * (text - uncond)."""
    first: float = 0.98
    """Share of the noise schedule at which a side begins of which nothing is painted yet."""
    later: float = 0.6
    """The same for a side that the others have painted whole; those between lie between."""

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= 1000:
            raise ValueError(f"sampling.steps must be in 1..1000, got {self.steps}.")
        if not math.isfinite(self.scale):
            raise ValueError(f"sampling.scale must be finite, got {self.scale}.")
        for name in ("first", "later"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"sampling.{name} must be in (0, 1], got {getattr(self, name)}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    iterations: int = 80
    loss: Literal["sds", "x0", "csd", "ism", "sdi"] = "x0"
    weight: Weight = "one"
    guide: Guide = field(default=Guide(scale=5.0))
    noise: Noise = field(
        default=Noise(max=Ramp(start=0.35, stop=0.3), min=Ramp(start=0.1, stop=0.02))
    )
    views: Looks = field(default=Looks())
    clip: Clipping = field(default=Clipping())
    image: ImageTerms = field(default=ImageTerms())
    """Its terms on alpha have nothing to move here."""
    inversion: Inversion = field(default=Inversion())
    light: Light = field(default=Light())
    depth_hint: float = 1.0
    """How strongly the model is told the depth of what it looks at, where it has a depth
    ControlNet; 1 is as that was trained, 0 is not at all."""
    start: Literal["sampled", "gray", "own"] = "sampled"
    """`sampled` begins with pictures of the prompt, painted from one side after the other; `own`
    with the look that the mesh came with."""
    sampling: Sampling = field(default=Sampling())
    front_deg: float = 0.0
    """Which way the front looks: 0 is +Z, 90 is +X (counter-clockwise from above)."""
    samples: int = 2
    """Rays per pixel, along either side."""
    detail: float = 2.0
    """Cells of the field's finest level per pixel of the guidance model's pictures."""
    levels: int = 8
    table_size: int = 1 << 15
    """Most vertices per level, a power of two."""
    rate: float = 0.005
    """Of Adam; falls to a tenth over the second half."""
    texture_size_px: int = 1024
    gutter_px: int = 4
    """Fewest texels between two charts."""
    keep_uvs: bool = False
    """Paint into the mesh's own charts, if they are an atlas."""
    checkpoint_every_s: float = field(default=20.0, metadata=RUNTIME)

    def __post_init__(self) -> None:
        check_sides(self.guide, self.views)
        ranges = {
            "iterations": (1, 1_000_000),
            "depth_hint": (0.0, 2.0),
            "front_deg": (-360.0, 360.0),
            "samples": (1, 8),
            "detail": (0.1, 64.0),
            "levels": (1, 32),
            "rate": (1e-6, 1.0),
            "texture_size_px": (64, 16_384),
            "gutter_px": (1, 64),
            "checkpoint_every_s": (0.0, math.inf),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} must lie between {low} and {high}, got {value}.")
        if self.gutter_px > self.texture_size_px // 16:
            raise ValueError(
                f"gutter_px must be at most a 16th of texture_size_px, got {self.gutter_px} "
                f"and {self.texture_size_px}."
            )


@dataclass(frozen=True, slots=True)
class Outputs:
    textured: TexturedMeshFile
    field: FieldFile
    """The colors as a function of space."""
    log: TensorsFile
    """Per iteration: loss, share of clipped pixels, of pixels that were not finite."""
    conditions: TensorsFile
    """What the model made of each text."""
    preview: PictureFile
    """Eight sides."""


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    from .stage import paint

    return paint(inputs, config, ctx)
