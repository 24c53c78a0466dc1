"""What each tool wants: format, axes, units, textures, names. All of it in one table.

The reasons, and what was tried in the tools: `docs/dcc.md`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from ..formats.asset import Property
from .settings import Format, Tool

Up = Literal["y", "z"]
Packing = Literal["separate", "orm", "unity"]
"""One gray picture each; occlusion, roughness, metallic in red, green, blue; metallic in red with
smoothness as alpha."""

USD = ("usd", "usda", "usdc", "usdz")
PHONG: frozenset[Property] = frozenset({"base_color", "opacity", "normal", "emissive"})
"""What can be connected to FBX's material and means the same in every importer."""
EVERYTHING: frozenset[Property] = PHONG | {"roughness", "metallic"}

PLAIN = MappingProxyType(
    {"base_color": "BaseColor", "normal": "Normal", "roughness": "Roughness",
     "metallic": "Metallic", "occlusion": "Occlusion", "emissive": "Emissive",
     "opacity": "Opacity", "orm": "ORM", "smoothness": "MetallicSmoothness"}
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One tool."""

    mesh_format: Format = "glb"
    splat_format: Format = "ply"
    up: Up = "y"
    up_of: Mapping[str, Up] = field(default_factory=lambda: MappingProxyType({}))
    """Formats whose importer assumes another axis than the tool's, or turns the file itself."""
    meters_per_unit: float = 1.0
    """In formats that can say so, and in those that the tool reads as its own units."""
    texture_px: int = 16_384
    """Largest side of a picture."""
    power_of_two: bool = False
    """Round the sides of pictures down to a power of two, which engines stream and compress."""
    packing: Packing = "separate"
    flip_green: bool = False
    """Normal maps for DirectX (y down), in formats where the tool does not turn them itself."""
    mesh_prefix: str = ""
    material_prefix: str = "M_"
    texture_prefix: str = "T_"
    suffixes: Mapping[str, str] = field(default_factory=lambda: PLAIN)
    fbx_lods: Literal["group", "names"] = "names"
    """A LodGroup node, or siblings called NAME_LOD0, NAME_LOD1, ..., which Unity knows."""
    fbx_connects: frozenset[Property] = PHONG


PROFILES: Mapping[Tool, Profile] = MappingProxyType(
    {
        "any": Profile(material_prefix="", texture_prefix="", fbx_connects=EVERYTHING),
        "blender": Profile(
            up="z",
            up_of=MappingProxyType({"obj": "y"}),  # Its OBJ importer turns y to z by itself.
            material_prefix="",
            texture_prefix="",
            texture_px=8192,
            fbx_connects=EVERYTHING,
        ),
        "unreal": Profile(
            mesh_format="fbx",
            up="z",
            meters_per_unit=0.01,
            texture_px=4096,
            power_of_two=True,
            packing="orm",
            flip_green=True,
            mesh_prefix="SM_",
            fbx_lods="group",
            suffixes=MappingProxyType(
                {**PLAIN, "base_color": "BC", "normal": "N", "emissive": "E", "occlusion": "AO",
                 "roughness": "R", "metallic": "M", "opacity": "O"}
            ),
        ),
        "unity": Profile(
            mesh_format="fbx",
            texture_px=4096,
            power_of_two=True,
            packing="unity",
            texture_prefix="",
            material_prefix="",
            suffixes=MappingProxyType(
                {**PLAIN, "base_color": "Albedo", "emissive": "Emission"}
            ),
        ),
        "maya": Profile(
            mesh_format="fbx",
            meters_per_unit=0.01,
            fbx_lods="group",
            texture_px=8192,
            texture_prefix="",
            material_prefix="",
        ),
        "web": Profile(
            splat_format="gltf-splats", texture_px=2048, material_prefix="", texture_prefix=""
        ),
    }
)  # fmt: skip


def up_axis(tool: Tool, format: str) -> Up:
    """Which axis points up in the file. GLB is +Y by definition."""
    if format in ("glb", "gltf-splats"):
        return "y"
    profile = PROFILES[tool]
    return profile.up_of.get(format, profile.up)


def unit_m(tool: Tool, format: str) -> float:
    """Metres per unit of the file. GLB is in metres by definition."""
    return 1.0 if format in ("glb", "gltf-splats") else PROFILES[tool].meters_per_unit
