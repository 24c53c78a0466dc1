"""How good a mesh is, or splats: against a reference mesh, and against photographs kept aside.

Of a mesh: parts, borders, closedness; Chamfer distance, F1 curve and consistency of normals
against a reference; PSNR and SSIM of its pictures. Of splats: PSNR and SSIM. Geometry can be right
where the picture is not, and the other way round (MILo, Guédon et al. 2025), so both are told.
"""

from dataclasses import dataclass
from typing import Literal

from ...pipeline.contract import Context
from ..artifacts import (
    CaptureDir,
    ExposuresFile,
    MeshFile,
    PictureFile,
    ReportFile,
    SplatsFile,
    TexturedMeshFile,
)

VERSION = 3
Axis = Literal["+x", "-x", "+y", "-y", "+z", "-z"]


@dataclass(frozen=True, slots=True)
class Inputs:
    subject: SplatsFile | MeshFile | TexturedMeshFile
    """A splat PLY, or a mesh: GLB, glTF, OBJ, PLY, STL or OFF."""
    reference: MeshFile | TexturedMeshFile | None = None
    """In the same place and units as the subject; nothing is aligned."""
    capture: CaptureDir | None = None
    """Photographs with the cameras that the subject was made with."""
    exposures: ExposuresFile | None = None
    """How each of them shows the scene's colors, as `reconstruct` found it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    samples: int = 100_000
    """Points on each surface from which distances to the other are measured."""
    thresholds: tuple[float, ...] = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
    """Of the F1 curve, relative to the diagonal of the reference's bounding box."""
    hold_out_every: int = 8
    """Every so many-th photograph, by name, was kept aside, as in `reconstruct`; 0: look at all.
    What the capture itself says about that goes before."""
    max_side_px: int = 480
    """Photographs with a longer side are reduced to this."""
    mesh_up: Axis | None = None
    """Which axis points up in the mesh, where it was turned; by default as in the capture."""

    def __post_init__(self) -> None:
        if not 100 <= self.samples <= 10_000_000:
            raise ValueError(f"samples must lie between 100 and 10000000, got {self.samples}.")
        if not self.thresholds or not all(0 < each < 1 for each in self.thresholds):
            raise ValueError(f"thresholds must lie between 0 and 1, got {self.thresholds}.")
        if self.hold_out_every < 0 or self.hold_out_every == 1:
            raise ValueError(f"hold_out_every must be 0 or at least 2, got {self.hold_out_every}.")
        if not 16 <= self.max_side_px <= 8192:
            raise ValueError(f"max_side_px must lie between 16 and 8192, got {self.max_side_px}.")


@dataclass(frozen=True, slots=True)
class Outputs:
    report: ReportFile
    """`surface`, `reference` and `photographs`, each only where it could be found out."""
    preview: PictureFile | None = None
    """Photographs above; what the subject looks like below, and a mesh's normals."""


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    from .stage import evaluate

    report, preview = evaluate(inputs, config, ctx)
    return Outputs(ReportFile(report), None if preview is None else PictureFile(preview))
