"""Edits a scene by one retouched picture of it: shifts, bends, stretches, repaints, recolors.

After Luo et al. 2024 (3D Gaussian Editing with A Single Image, arXiv 2408.07540);
`docs/single-image-editing.md` says what is theirs and what is ours.
"""

from dataclasses import dataclass, field
from typing import Literal

from ...pipeline.contract import RUNTIME, Context
from ..artifacts import (
    CameraFile,
    ImagesDir,
    PairsFile,
    PictureFile,
    PreviewDir,
    SplatsFile,
    TensorsFile,
)
from .settings import Coarse, Fine, Matching, Removal, Rigidity, Texture

VERSION = 6


@dataclass(frozen=True, slots=True)
class Inputs:
    splats: SplatsFile
    camera: CameraFile
    """One camera per edited picture."""
    image: PictureFile | ImagesDir
    """The edited picture, or 000.png, 001.png, ... of several cameras."""
    mask: PictureFile | None = None
    """Light where the edit is; of the first picture. Found by comparing where absent."""
    pairs: PairsFile | None = None
    """What is known to have gone where; between the first picture and the scene's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    what: Literal["auto", "geometry", "texture", "both", "remove"] = "auto"
    """What the edit changed. `auto`: geometry where moving explains the picture, else texture.
    `remove`: something is gone."""
    background: Literal["auto", "white", "black"] = "auto"
    """What the edited picture has where the scene is empty."""
    explained: float = 0.5
    """`auto` takes geometry if moving removes at least this share of the difference."""
    ssim: float = 0.25
    """Weight of SSIM against the mean absolute difference."""
    matching: Matching = field(default=Matching())
    rigidity: Rigidity = field(default=Rigidity())
    coarse: Coarse = field(default=Coarse())
    fine: Fine = field(default=Fine())
    texture: Texture = field(default=Texture())
    removal: Removal = field(default=Removal())
    checkpoint_every_s: float = field(default=20.0, metadata=RUNTIME)
    preview_every_s: float = field(default=10.0, metadata=RUNTIME)

    def __post_init__(self) -> None:
        if not 0 <= self.explained <= 1:
            raise ValueError(f"explained must lie in 0..1, got {self.explained}.")
        for name in ("ssim", "checkpoint_every_s", "preview_every_s"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}.")


@dataclass(frozen=True, slots=True)
class Outputs:
    splats: SplatsFile
    """The edited scene. What the edit does not touch is bit for bit as it was."""
    transforms: TensorsFile
    """Where each anchor is and how it is turned, from where; empty where only colors changed."""
    report: PreviewDir
    """`report.json`, `before-after.png` and `mask.png`."""


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    from .work import edit

    return edit(inputs, config, ctx)
