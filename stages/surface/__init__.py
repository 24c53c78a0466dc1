"""From splats to a triangle mesh by the published ways, of objects and of captured scenes.

Six extractors behind one protocol (`extractors.py`): Poisson reconstruction of points on the
density's level set (SuGaR, Guédon and Lepetit 2024) or on its ridge, fused median depth (2DGS,
Huang et al. 2024) in plain or contracted space, marching tetrahedra between the Gaussians (GOF, Yu
et al. 2024; MILo, Guédon et al. 2025), and the density on a coarse grid. Surfaces may be open: what
nobody saw is not made up. (The stage `mesh` makes closed objects.) Vertices get the color of the
splats around them.
"""

from dataclasses import dataclass, field
from typing import Literal

from ...pipeline.contract import Context
from ..artifacts import CameraFile, CaptureDir, MeshFile, ReportFile, SplatsFile
from .settings import Method, Poisson, Preview, Sampling, Tets, Tsdf, Views, check_range

VERSION = 2


@dataclass(frozen=True, slots=True)
class Inputs:
    splats: SplatsFile
    capture: CaptureDir | None = None
    """The photographs' cameras; their pictures are not looked at."""
    cameras: CameraFile | None = None
    """Cameras from a file instead. Without both: an object, looked at from a sphere around it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    method: Method = "poisson"
    target_faces: int | None = 200_000
    """Decimated to about so many triangles; None: as extracted."""
    min_part_faces: int = 50
    """Connected parts with fewer triangles are removed."""
    max_parts: int = 50
    """Only the largest so many parts are kept."""
    witness_tolerance: float | None = 0.03
    """Of a captured scene, `poisson` and `tets` keep only what views see: what lies no farther from
    their depth than this share of it. None: all."""
    backdrop: bool | None = None
    """Put a coarser surface behind holes that views look through. None: in captured scenes, by
    `poisson`, `tsdf-contracted` and `tets`."""
    smoothing: int | None = None
    """Iterations of Taubin's smoothing, which keeps volumes. None: 50 for captured scenes, whose
    Gaussians lie in a layer around the surface; 0 for objects and for `sugar`."""
    depth: Literal["ridge", "median"] = "ridge"
    """Of a pixel, for `tsdf`, `tsdf-contracted` and `tets`: where the density along the normal is
    largest, or of the Gaussian at which half of the light is absorbed."""
    views: Views = field(default=Views())
    sampling: Sampling = field(default=Sampling())
    poisson: Poisson = field(default=Poisson())
    tsdf: Tsdf = field(default=Tsdf())
    tets: Tets = field(default=Tets())
    preview: Preview = field(default=Preview())

    def __post_init__(self) -> None:
        if self.target_faces is not None:
            check_range(self, target_faces=(4, 50_000_000))
        if self.witness_tolerance is not None:
            check_range(self, witness_tolerance=(1e-4, 1.0))
        if self.smoothing is not None:
            check_range(self, smoothing=(0, 1000))
        check_range(self, min_part_faces=(1, 1_000_000), max_parts=(1, 1_000_000))


@dataclass(frozen=True, slots=True)
class Outputs:
    mesh: MeshFile
    """GLB with vertex colors, in the coordinates of the splats: it fits to their capture, and up
    is where the splats' sidecar says."""
    report: ReportFile
    """Method, counts, what was removed, and which axis points up."""


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    from .stage import extract

    mesh, report = extract(inputs, config, ctx)
    return Outputs(mesh=MeshFile(mesh), report=ReportFile(report))
