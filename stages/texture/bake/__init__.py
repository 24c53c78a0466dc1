"""From a mesh and photographs of it (or splats) to a textured mesh.

Every texel looks itself up in the photographs that see it, checked by a ray to each camera, and
takes a robust mean of the best. What no photograph shows is taken from renders of the splats, then
from the nearest Gaussians, then from the nearest surface; a mask says which was which. A least
squares fit to the photographs' pixels sharpens the result. Light is not separated from color.
"""

from dataclasses import dataclass
from typing import Literal

from ....pipeline.contract import Context
from ...artifacts import (
    CaptureDir,
    ExposuresFile,
    MeshFile,
    PictureFile,
    ReportFile,
    SplatsFile,
    TexturedMeshFile,
)

VERSION = 2


def _check(settings: object, **ranges: tuple[float, float]) -> None:
    for name, (low, high) in ranges.items():
        value = getattr(settings, name)
        if not low <= value <= high:
            raise ValueError(f"{name} must lie between {low} and {high}, got {value}.")


@dataclass(frozen=True, slots=True)
class Inputs:
    mesh: MeshFile | TexturedMeshFile
    """GLB, glTF, OBJ, PLY, STL or OFF, in the frame of the capture (or of the splats)."""
    capture: CaptureDir | None = None
    """Photographs with cameras; this or `splats` is needed."""
    splats: SplatsFile | None = None
    """Stand in where no photograph sees the mesh."""
    detail: MeshFile | TexturedMeshFile | None = None
    """The mesh before it was simplified: its normals become a normal map."""
    exposures: ExposuresFile | None = None
    """How each photograph shows the scene's colors, as `reconstruct` found it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """What is looked at, and what counts."""

    max_side_px: int = 3_200
    """Photographs with a longer side are reduced. None is kept finer than the texture."""
    count: int = 32
    """Renders of the splats where there is no capture, spread evenly over a sphere."""
    render_size_px: int = 768
    """Width and height of renders of the splats."""
    virtual: int = 48
    """At most so many further renders of the splats, looking at what was not seen."""
    coverage: float = 0.995
    """Share of the texels at which no further ones are made."""
    held_out: bool = False
    """Use photographs too that the capture keeps for testing."""
    hold_out_every: int = 0
    """Leave out every so many-th photograph, as `reconstruct` does with 8; 0 leaves out none."""

    def __post_init__(self) -> None:
        _check(
            self,
            max_side_px=(16, 32_768),
            count=(1, 512),
            render_size_px=(16, 8_192),
            virtual=(0, 512),
            coverage=(0.0, 1.0),
            hold_out_every=(0, 1_000_000),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighing:
    """How much a view of a texel is worth."""

    sharpness: float = 4.0
    """cos(angle between normal and view)^sharpness; larger trusts fewer views."""
    min_cosine: float = 0.5
    """Views more slanted than this are not used, except where there is no other."""
    slanted_cosine: float = 0.15
    """And where there is no other, nothing more slanted than this."""
    tolerance: float = 0.01
    """What is so near in front of a texel hides nothing; a share of the mesh's radius."""
    min_alpha: float = 0.9
    """Pixels less covered than this are not used."""
    edge_px: float = 6.0
    """Within so many pixels of an outline of the mesh, of a mask or of the picture a view fades
    out: meshes and masks never fit exactly."""
    best: int = 8
    """So many views of each texel are kept, those of the largest weight."""
    outlier: float = 0.2
    """Distance from the views' median color, in sRGB units, at which a view is ignored."""

    def __post_init__(self) -> None:
        _check(
            self,
            sharpness=(0.0, 64.0),
            min_cosine=(0.0, 0.99),
            slanted_cosine=(0.01, 0.99),
            tolerance=(1e-6, 0.5),
            min_alpha=(0.01, 1.0),
            edge_px=(0.0, 1_000.0),
            best=(1, 32),
            outlier=(0.001, 10.0),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    texture_size_px: int = 2_048
    """Width and height of the texture."""
    gutter_px: int = 8
    """Fewest texels between two charts."""
    keep_uvs: bool = False
    """Keep the mesh's own texture coordinates, if no two faces share a texel."""
    views: Views = Views()
    weighing: Weighing = Weighing()
    gains: Literal["off", "exposure", "color"] = "exposure"
    """Even out the photographs: not at all, one factor for each, or one per color channel. Where
    exposures are given these even them out, unless this is off."""
    refine: bool = True
    """Fit the texels to the pixels by least squares afterwards."""
    fidelity: float = 0.05
    """How strongly the fit holds on to the blended texture; larger is smoother."""
    close_seams: bool = True
    """Make both sides of charts' borders show the same, down to the second mip level."""

    def __post_init__(self) -> None:
        if self.gains not in ("off", "exposure", "color"):
            raise ValueError(f"gains must be off, exposure or color, got {self.gains!r}.")
        _check(
            self,
            texture_size_px=(64, 16_384),
            gutter_px=(1, 64),
            fidelity=(1e-6, 1e3),
        )
        if self.gutter_px > self.texture_size_px // 16:
            raise ValueError(
                f"gutter_px must be at most a 16th of texture_size_px, got {self.gutter_px} "
                f"and {self.texture_size_px}."
            )


@dataclass(frozen=True, slots=True)
class Outputs:
    textured: TexturedMeshFile
    unseen: PictureFile
    """Black: photographs; gray: renders of the splats; white: guessed."""
    report: ReportFile


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    from .work import bake

    return bake(inputs, config, ctx)
