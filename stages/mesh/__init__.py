"""From splats to a clean closed triangle mesh: fused median depth.

The splats are rendered from all around; per pixel the depth at which half of the light is
absorbed goes into a truncated signed distance field (Curless and Levoy 1996; the surface that
2DGS extracts). Background counts as a measurement too and carves, and what no view sees is
solid, so the surface has no holes. The level at which it is extracted is the one whose
silhouettes fit the splats' best; the alternatives are logged. Floaters are removed.
No color is kept: `texture` paints.
"""

from dataclasses import dataclass

from ...pipeline.contract import Context
from ..artifacts import MeshFile, SplatsFile

VERSION = 2


@dataclass(frozen=True, slots=True)
class Inputs:
    splats: SplatsFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    views: int = 64
    """How many depth maps are fused, spread evenly over a sphere, underside included."""
    render_size_px: int = 256
    """Width and height of each of them."""
    resolution: int = 160
    """Voxels along the diameter of the object's bounding sphere."""
    truncation_voxels: float = 4.0
    """Distances are cut off here; walls thinner than this suffer."""
    alpha_threshold: float = 0.5
    """Pixels less covered by splats than this are background."""
    min_views: int = 1
    """Space that fewer views saw is taken as solid. Larger closes more, deep cavities too."""
    blur_voxels: float = 1.0
    """Smoothing of the distance field, as the standard deviation of a Gaussian; 0 is none."""
    fit_silhouettes: bool = True
    """Move the surface along its normals to where its silhouettes match the splats' best."""
    smoothing_iterations: int = 10
    """Taubin smoothing of the extracted mesh (keeps the volume)."""
    min_component_share: float = 0.02
    """Parts with less area than this share of the largest one are floaters and removed."""
    outlier_share: float = 0.01
    """This share of the splats may be strays that do not count for the object's size."""
    max_faces: int = 20_000
    """The mesh is simplified to at most so many triangles, as far as that keeps its topology."""

    def __post_init__(self) -> None:
        ranges = {
            "views": (4, 1024),
            "render_size_px": (32, 4096),
            "resolution": (16, 640),
            "truncation_voxels": (1.5, 32.0),
            "alpha_threshold": (0.5, 0.99),
            "min_views": (1, self.views),
            "blur_voxels": (0.0, 4.0),
            "smoothing_iterations": (0, 200),
            "min_component_share": (0.0, 1.0),
            "outlier_share": (0.0, 0.5),
            "max_faces": (4, 50_000_000),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} must lie between {low} and {high}, got {value}.")


@dataclass(frozen=True, slots=True)
class Outputs:
    mesh: MeshFile


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    from .surface import mesh_splats

    return Outputs(mesh=MeshFile(mesh_splats(inputs.splats, config, ctx)))
