"""Meshes and splats as files that Blender, Unreal, Unity, Maya and web viewers open right.

The stage behind `pipeline export`. What each tool wants stands in `profiles.py`.
"""

from dataclasses import dataclass

from ...pipeline.contract import Context
from ..artifacts import ExportDir, LodsDir, MeshFile, SplatsFile, TexturedMeshFile
from .settings import Config

VERSION = 1


@dataclass(frozen=True, slots=True)
class Inputs:
    scene: MeshFile | TexturedMeshFile | SplatsFile
    """Any mesh that `simplify` reads, or a splat PLY."""
    lods: LodsDir | None = None
    """Coarser levels of the mesh."""


@dataclass(frozen=True, slots=True)
class Outputs:
    export: ExportDir


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    from .deliver import deliver

    return Outputs(ExportDir(deliver(inputs.scene.path, inputs.lods, config, ctx)))
