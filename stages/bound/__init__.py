"""Flat Gaussians bound to the triangles of a mesh, refined together with it (SuGaR, section 4.3).

Each triangle carries a few Gaussians at fixed places, flat along it. Vertices, sizes, in-plane
turns, opacities and view-dependent colors are fitted to photographs, or to renders of splats. What
comes out is an ordinary splat file, the mesh, and a binding that joins them: `pose` then moves the
Gaussians along with the mesh.
"""

import math
from dataclasses import dataclass, field
from typing import Literal

from ...pipeline.contract import RUNTIME, Context
from ..artifacts import (
    BindingFile,
    CameraFile,
    CaptureDir,
    ExposuresFile,
    MeshFile,
    PictureFile,
    ReportFile,
    SplatsFile,
    TexturedMeshFile,
)

VERSION = 2


@dataclass(frozen=True, slots=True)
class Inputs:
    mesh: MeshFile | TexturedMeshFile
    capture: CaptureDir | None = None
    """Photographs to be matched."""
    exposures: ExposuresFile | None = None
    """How each of them shows the scene's colors, which the Gaussians then have."""
    splats: SplatsFile | None = None
    """Splats to be matched, where there are no photographs."""
    camera: CameraFile | None = None
    """Where to look at the splats from; from all around the mesh where absent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Adam's step lengths. Those of the vertices are relative to the mesh's radius."""

    vertices: float = 1e-3
    vertices_final: float = 1e-5
    """Falls exponentially to this at the last iteration."""
    log_scales: float = 1e-2
    turns: float = 4e-3
    logit_opacities: float = 5e-2
    sh: float = 1e-2
    """Of the constant coefficient; the others have a fifth."""

    def __post_init__(self) -> None:
        for name in ("vertices", "log_scales", "turns", "logit_opacities", "sh"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"rates.{name} must be >= 0, got {getattr(self, name)}.")
        if not 0 < self.vertices_final <= max(self.vertices, self.vertices_final):
            raise ValueError(f"rates.vertices_final must be positive, got {self.vertices_final}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """What is matched."""

    max_side_px: int = 800
    """Photographs with a longer side are reduced to this."""
    hold_out_every: int = 8
    """Every so many-th view is kept aside to judge; 0: none."""
    renders: int = 48
    """Of splats, from all around, where no camera is given."""
    render_size_px: int = 256
    mesh_frame: Literal["same", "upright"] = "same"
    """Whether the mesh stands in the coordinates of what it is matched to, or has been turned +Y
    up since, as glTF says; the splats that come out stand where the mesh does."""

    def __post_init__(self) -> None:
        if self.max_side_px < 16:
            raise ValueError(f"max_side_px must be at least 16, got {self.max_side_px}.")
        if self.hold_out_every < 0 or self.hold_out_every == 1:
            raise ValueError(f"hold_out_every must be 0 or at least 2, got {self.hold_out_every}.")
        if not 2 <= self.renders <= 4096:
            raise ValueError(f"renders must be in 2..4096, got {self.renders}.")
        if not 16 <= self.render_size_px <= 4096:
            raise ValueError(f"render_size_px must be in 16..4096, got {self.render_size_px}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    per_face: Literal[1, 3, 4, 6] = 6
    """Gaussians on each triangle."""
    iterations: int = 2_000
    sh_degree: int = 3
    sh_share: float = 0.15
    """Of the iterations, after which view-dependent color gets one more degree."""
    opacity: float = 0.9
    """Of all Gaussians to begin with."""
    ssim_weight: float = 0.2
    """The loss is (1 - this) L1 + this (1 - SSIM)."""
    smoothness: float = 0.1
    """Weight of the mesh's normal consistency."""
    views: Views = field(default=Views())
    rates: Rates = field(default=Rates())
    checkpoint_every_s: float = field(default=60.0, metadata=RUNTIME)

    def __post_init__(self) -> None:
        if self.iterations < 1:
            raise ValueError(f"iterations must be at least 1, got {self.iterations}.")
        if self.sh_degree not in (0, 1, 2, 3):
            raise ValueError(f"sh_degree must be 0, 1, 2 or 3, got {self.sh_degree}.")
        for name in ("sh_share", "ssim_weight"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in 0..1, got {getattr(self, name)}.")
        if not 0 < self.opacity < 1:
            raise ValueError(f"opacity must be in (0, 1), got {self.opacity}.")
        if not 0 <= self.smoothness < math.inf:
            raise ValueError(f"smoothness must be >= 0, got {self.smoothness}.")
        if not self.checkpoint_every_s >= 0:
            raise ValueError(
                f"checkpoint_every_s must not be negative, got {self.checkpoint_every_s}."
            )


@dataclass(frozen=True, slots=True)
class Outputs:
    splats: SplatsFile
    mesh: MeshFile
    """The refined mesh, to be posed: faces in the order of the one that came in, equal vertices
    joined, in the colors of the Gaussians."""
    binding: BindingFile
    report: ReportFile
    """PSNR and SSIM of each view kept aside."""
    preview: PictureFile
    """Views kept aside, and what was made of them."""


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    from .stage import bind

    return bind(inputs, config, ctx)
