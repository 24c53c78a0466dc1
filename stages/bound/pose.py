"""Bound Gaussians that follow their mesh into another pose."""

from dataclasses import dataclass

from ...pipeline.contract import Context
from ..artifacts import BindingFile, MeshFile, SplatsFile, TexturedMeshFile

VERSION = 1


@dataclass(frozen=True, slots=True)
class Inputs:
    binding: BindingFile
    mesh: MeshFile | TexturedMeshFile
    """The bound mesh in another pose: the same triangles in the same order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    pass


@dataclass(frozen=True, slots=True)
class Outputs:
    splats: SplatsFile


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    from .deform import pose

    return Outputs(SplatsFile(pose(inputs.binding.path, inputs.mesh.path, ctx)))
