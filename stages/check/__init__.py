"""A linter for what comes from elsewhere: splats, meshes and captures.

Says what a file holds, what is wrong with it, and what will go wrong in which program. Changes
nothing.
"""

from dataclasses import dataclass

from ...pipeline.contract import Context
from ..artifacts import CaptureDir, MeshFile, ReportFile, SplatsFile, TexturedMeshFile

VERSION = 1


@dataclass(frozen=True, slots=True)
class Inputs:
    file: SplatsFile | MeshFile | TexturedMeshFile | CaptureDir
    """A splat PLY, a mesh in any format that `simplify` reads, or a folder of photographs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    pass


@dataclass(frozen=True, slots=True)
class Outputs:
    report: ReportFile
    """`remarks`, each with `level` (fact, note, warning, error), `what` and perhaps `do`."""


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    from .lint import lint

    return Outputs(ReportFile(lint(inputs.file.path, ctx.out / "report.json")))
