"""From a mesh and the splats it came from to a textured mesh.

The splats are rendered from all around. Every texel looks itself up in the views that see it and
takes a robust mean of what they show; what no view sees is continued from the nearest surface.
Light is not separated from color: the picture is what the splats look like.
"""

from dataclasses import dataclass
from typing import Literal

from ...pipeline.contract import Context
from ..artifacts import MeshFile, SplatsFile, TexturedMeshFile

VERSION = 2


@dataclass(frozen=True, slots=True)
class Inputs:
    mesh: MeshFile
    splats: SplatsFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    method: Literal["blend", "field"] = "blend"
    """`blend` decides texel by texel; `field` fits one function of space to all pixels of the
    views, and takes longer."""
    texture_size_px: int = 1024
    """Width and height of the texture."""
    gutter_px: int = 4
    """Fewest texels between two charts."""
    views: int = 32
    """How many renders of the splats the colors come from, spread evenly over a sphere."""
    render_size_px: int = 512
    """Width and height of each of them."""
    fovy_deg: float = 40.0
    """Field of view of the renders; the distance follows from the size of the mesh."""
    sharpness: float = 4.0
    """A view weighs cos(angle between normal and view)^sharpness; larger trusts fewer views."""
    min_cosine: float = 0.2
    """Views more slanted than this are not used."""
    min_alpha: float = 0.9
    """Pixels less covered by splats than this are not used."""
    edge_px: float = 6.0
    """Within so many pixels of a silhouette a view fades out: the mesh never fits exactly."""
    outlier: float = 0.2
    """Distance from the views' median color, in sRGB units, at which a view is ignored."""

    def __post_init__(self) -> None:
        if self.method not in ("blend", "field"):
            raise ValueError(f"method must be blend or field, got {self.method!r}.")
        ranges = {
            "texture_size_px": (64, 16_384),
            "gutter_px": (1, 64),
            "views": (1, 512),
            "render_size_px": (16, 8_192),
            "fovy_deg": (1.0, 120.0),
            "sharpness": (0.0, 64.0),
            "min_cosine": (0.0, 0.99),
            "min_alpha": (0.01, 1.0),
            "edge_px": (0.0, 1_000.0),
            "outlier": (0.001, 10.0),
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


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    from .paint import paint

    return Outputs(textured=TexturedMeshFile(paint(inputs.mesh, inputs.splats, config, ctx)))
