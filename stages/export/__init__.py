"""What leaves the package: files that DCC tools, engines and splat viewers open as they are.

Everything is +Y up, in metres, front on +Z. Each file is read back after writing and compared.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from ...pipeline.contract import Context
from ..artifacts import ExportDir, LodsDir, SplatsFile, TexturedMeshFile

VERSION = 3

Format = Literal["glb", "lods", "splats", "ply"]


@dataclass(frozen=True, slots=True)
class Inputs:
    mesh: TexturedMeshFile
    lods: LodsDir
    splats: SplatsFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    formats: tuple[Format, ...] = ("glb", "lods", "splats", "ply")
    """`asset.glb`, `lods/*.glb`, `splats.ply`, `asset.ply` (vertex colors)."""
    scale: float = 1.0
    """Everything is enlarged by this factor around the origin."""
    compare_views: int = 8
    """From how many sides the written mesh is compared with the splats (`geometry/likeness.py`); 0
    for none."""
    compare_size_px: int = 256
    """Width and height of these pictures."""

    def __post_init__(self) -> None:
        unknown = [name for name in self.formats if name not in get_args(Format)]
        if unknown or not self.formats or len(set(self.formats)) < len(self.formats):
            raise ValueError(
                f"formats must name some of {', '.join(get_args(Format))}, each once, "
                f"got {self.formats}."
            )
        if not 1e-6 <= self.scale <= 1e6:
            raise ValueError(f"scale must lie between 1e-6 and 1e6, got {self.scale}.")
        if not 0 <= self.compare_views <= 64:
            raise ValueError(f"compare_views must lie between 0 and 64, got {self.compare_views}.")
        if not 16 <= self.compare_size_px <= 4_096:
            raise ValueError(
                f"compare_size_px must lie between 16 and 4096, got {self.compare_size_px}."
            )


@dataclass(frozen=True, slots=True)
class Outputs:
    export: ExportDir


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    from .write import write

    return Outputs(export=ExportDir(write(inputs, config, ctx)))
