"""Any textured mesh to a chain of levels of detail.

One decimation makes all levels; every texel of a level's new atlas is followed back through it to
the full mesh (successive mapping), so that no texture layout of the input stands in the way.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Literal

from ...pipeline.contract import Context
from ..artifacts import LodsDir, MeshFile, RegionFile, TexturedMeshFile

VERSION = 8


@dataclass(frozen=True, slots=True)
class Inputs:
    mesh: TexturedMeshFile | MeshFile
    """GLB, glTF, OBJ with MTL, PLY, STL or OFF."""
    lock: RegionFile | None = None
    """What must stay as it is; the target may be missed for it."""
    focus: RegionFile | None = None
    """Where the surface matters more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How the surface is simplified."""

    virtual_edges: Literal["off", "local", "global"] = "off"
    """Let parts that nearly touch grow together."""
    keep_topology: bool = False
    """Keep holes, handles and parts, even if the target is missed for it."""
    lock_borders: bool = False
    """Leave open borders where they are."""
    lock_materials: bool = False
    """Leave the borders between materials where they are."""
    visibility: bool = True
    """Spend fewer faces on what can hardly be seen from outside."""
    focus_weight: float = 10.0
    """What being true to the surface is worth in `focus`; 1 elsewhere."""
    fit: bool = True
    """Fit each level to the input after the collapses."""
    prune_share: float = 0.0
    """Parts smaller than this share of the whole diagonal are removed first."""

    def __post_init__(self) -> None:
        if not 0 <= self.prune_share < 1:
            raise ValueError(f"prune_share must lie in [0, 1), got {self.prune_share}.")
        if not 0 < self.focus_weight <= 1e6:
            raise ValueError(f"focus_weight must lie in (0, 1e6], got {self.focus_weight}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    ratios: tuple[float, ...] = (1.0, 0.5, 0.25, 0.1)
    """Shares of the finest level's faces, falling. A level with ratio 1 is the mesh as it came,
    unless `max_faces` says otherwise."""
    faces: tuple[int, ...] = ()
    """Face counts, falling, instead of ratios."""
    errors: tuple[float, ...] = ()
    """Largest errors instead of ratios, rising."""
    error_unit: Literal["diagonal", "m"] = "diagonal"
    """Errors are shares of the diagonal of the mesh's bounding box, or metres."""
    max_faces: int = 100_000
    """With ratios: the finest level has at most so many faces."""
    min_faces: int = 64
    """With ratios: no level has fewer, and levels that would are left out."""
    shape: Shape = Shape()
    texture_px: int | None = None
    """Width and height of the finest level's maps; by default from the input's texel density."""
    min_texture_px: int = 256
    """Textures shrink with the square root of the face ratio, in powers of two, down to this."""
    gutter_px: int = 4
    """Fewest texels between two charts."""
    normal_map: bool = False
    """Bake the full mesh's normals even where it has no normal map."""
    vertex_colors: bool = False
    """Colors on the vertices instead of textures."""
    keep_uvs: bool = False
    """Keep materials and texture coordinates, for tiling textures; nothing is baked."""
    measure: bool = True
    """Measure each level's distance to the input (seconds per level)."""

    def __post_init__(self) -> None:
        if sum((bool(self.faces), bool(self.errors))) > 1:
            raise ValueError("faces and errors cannot both be given.")
        _check_targets(self)
        if self.max_faces < 4:
            raise ValueError(f"max_faces must be at least 4, got {self.max_faces}.")
        if not 1 <= self.min_faces <= self.max_faces:
            raise ValueError(f"min_faces must lie between 1 and max_faces, got {self.min_faces}.")
        if not 1 <= self.gutter_px <= 16:
            raise ValueError(f"gutter_px must lie between 1 and 16, got {self.gutter_px}.")
        if self.texture_px is not None and not 16 <= self.texture_px <= 16_384:
            raise ValueError(f"texture_px must lie between 16 and 16384, got {self.texture_px}.")
        if not 16 <= self.min_texture_px <= 16_384:
            raise ValueError(
                f"min_texture_px must lie between 16 and 16384, got {self.min_texture_px}."
            )
        if self.vertex_colors and self.keep_uvs:
            raise ValueError("vertex_colors and keep_uvs cannot both be given.")


def _check_targets(config: Config) -> None:
    ratios, faces, errors = config.ratios, config.faces, config.errors
    if not ratios or not all(0 < ratio <= 1 for ratio in ratios):
        raise ValueError(f"ratios must lie in (0, 1], at least one, got {ratios}.")
    if any(b >= a for a, b in itertools.pairwise(ratios)):
        raise ValueError(f"ratios must fall from level to level, got {ratios}.")
    if any(count < 1 for count in faces) or any(b >= a for a, b in itertools.pairwise(faces)):
        raise ValueError(f"faces must be at least 1 and fall from level to level, got {faces}.")
    if not all(error > 0 and math.isfinite(error) for error in errors):
        raise ValueError(f"errors must be positive, got {errors}.")
    if any(b <= a for a, b in itertools.pairwise(errors)):
        raise ValueError(f"errors must rise from level to level, got {errors}.")


@dataclass(frozen=True, slots=True)
class Outputs:
    lods: LodsDir


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    from .chain import make_chain

    return Outputs(lods=LodsDir(make_chain(inputs, config, ctx)))
