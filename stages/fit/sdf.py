"""From a mesh to its signed distance or occupancy as a neural field, and back to a mesh.

Distances are measured once at random points, most of them near the surface; the field learns them
with a relative error, so that it is most exact where the surface lies. Of an occupancy only their
signs count, by cross-entropy (Mescheder et al. 2019). The report says how far the two meshes are
apart.
"""

from dataclasses import dataclass, field
from typing import Literal

from ...pipeline.contract import RUNTIME, Context
from ..artifacts import FieldFile, MeshFile, ReportFile, TexturedMeshFile

VERSION = 3


@dataclass(frozen=True, slots=True)
class Inputs:
    mesh: MeshFile | TexturedMeshFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    target: Literal["distance", "occupancy"] = "distance"
    """What the field says: how far a point is from the surface, or the log-odds that it is inside
    of it."""
    iterations: int = 2000
    batch: int = 1 << 15
    """Points per iteration."""
    samples: int = 1 << 21
    """Points whose distance is measured. With fewer than the finest level has cells along the
    surface, the field learns each by heart and is rough between them."""
    lattice: Literal["simplex", "cubic", "kuhn"] = "simplex"
    """`cubic` is the usual hash grid, `kuhn` simplices that are less regular."""
    levels: int = 12
    table_size: int = 1 << 17
    """Most vertices per level, a power of two."""
    n_max: float = 384.0
    """Cells of the finest level along the side of the cube around the mesh."""
    hidden: int = 64
    """Width of the network's two hidden layers."""
    rate: float = 0.003
    """Of Adam; falls to a tenth over the second half."""
    resolution: int = 256
    """Voxels along that side for the mesh that is made of the field."""
    min_component_share: float = 0.001
    """Parts of the new mesh with less area than this share of its largest are noise and removed."""
    checkpoint_every_s: float = field(default=30.0, metadata=RUNTIME)

    def __post_init__(self) -> None:
        ranges = {
            "iterations": (1, 1_000_000),
            "batch": (1, 1 << 22),
            "samples": (1 << 10, 1 << 26),
            "rate": (1e-6, 1.0),
            "resolution": (16, 2048),
            "min_component_share": (0.0, 1.0),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} must lie between {low} and {high}, got {value}.")


@dataclass(frozen=True, slots=True)
class Outputs:
    field: FieldFile
    mesh: MeshFile
    report: ReportFile


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    from .solid import fit

    fitted, mesh, report = fit(inputs.mesh.path, config, ctx)
    return Outputs(FieldFile(fitted), MeshFile(mesh), ReportFile(report))
