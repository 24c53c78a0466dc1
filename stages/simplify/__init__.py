"""A textured mesh to a chain of levels of detail.

Edges are collapsed under quadric errors. That loses texture coordinates, so every level is
unwrapped anew and its texture is baked from the finest mesh by nearest-surface lookup.
"""

import itertools
from dataclasses import dataclass

from ...pipeline.contract import Context
from ..artifacts import LodsDir, MeshFile, TexturedMeshFile

VERSION = 1


@dataclass(frozen=True, slots=True)
class Inputs:
    mesh: TexturedMeshFile | MeshFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    ratios: tuple[float, ...] = (1.0, 0.5, 0.25, 0.1)
    """Shares of the finest level's faces, falling. A level with ratio 1 is the mesh as it came,
    unless `max_faces` says otherwise."""
    max_faces: int = 100_000
    """The finest level has at most so many faces."""
    min_faces: int = 64
    """No level has fewer, and levels that would are left out."""
    gutter_px: int = 4
    """Fewest texels between two charts."""
    min_texture_px: int = 256
    """Textures shrink with the square root of the face ratio, in powers of two, down to this."""

    def __post_init__(self) -> None:
        ratios = self.ratios
        if not ratios or not all(0 < ratio <= 1 for ratio in ratios):
            raise ValueError(f"ratios must lie in (0, 1], at least one, got {ratios}.")
        if any(b >= a for a, b in itertools.pairwise(ratios)):
            raise ValueError(f"ratios must fall from level to level, got {ratios}.")
        if self.max_faces < 4:
            raise ValueError(f"max_faces must be at least 4, got {self.max_faces}.")
        if not 4 <= self.min_faces <= self.max_faces:
            raise ValueError(f"min_faces must lie between 4 and max_faces, got {self.min_faces}.")
        if not 1 <= self.gutter_px <= 16:
            raise ValueError(f"gutter_px must lie between 1 and 16, got {self.gutter_px}.")
        if not 64 <= self.min_texture_px <= 16_384:
            raise ValueError(
                f"min_texture_px must lie between 64 and 16384, got {self.min_texture_px}."
            )


@dataclass(frozen=True, slots=True)
class Outputs:
    lods: LodsDir


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    from .chain import make_chain

    return Outputs(lods=LodsDir(make_chain(inputs.mesh.path, config, ctx)))
