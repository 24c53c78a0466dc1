"""What can be asked of `export-dcc`."""

from dataclasses import dataclass
from typing import Literal, get_args

Axis = Literal["+x", "-x", "+y", "-y", "+z", "-z"]
Tool = Literal["any", "blender", "unreal", "unity", "maya", "web"]
Format = Literal[
    "glb", "obj", "fbx", "usd", "usda", "usdc", "usdz", "ply", "stl", "gltf-splats", "usd-splats"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    tool: Tool = "any"
    format: Format | None = None
    """By default what the tool reads best."""
    name: str = "asset"
    """What the asset is called in the tool; forbidden characters become `_`."""
    file: str | None = None
    """The name of the one file to write, with what belongs beside it; else a set of files named
    after the asset."""
    texture_px: int | None = None
    """Largest side of a picture; by default the tool's limit."""
    from_up: Axis | None = None
    """Which axis points up in the input; by default +y, and what a splat's sidecar says."""
    collision: Literal["none", "hull"] = "none"
    """A convex hull called UCX_… (FBX for Unreal)."""

    def __post_init__(self) -> None:
        if self.tool not in get_args(Tool):
            raise ValueError(f"tool must be one of {', '.join(get_args(Tool))}, got {self.tool}.")
        if self.format is not None and self.format not in get_args(Format):
            known = ", ".join(get_args(Format))
            raise ValueError(f"format must be one of {known}, got {self.format}.")
        if self.texture_px is not None and not 1 <= self.texture_px <= 16_384:
            raise ValueError(f"texture_px must lie between 1 and 16384, got {self.texture_px}.")
