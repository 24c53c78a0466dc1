"""A mesh made ready for the formats of DCC tools (OBJ, FBX, USD): placed, named, maps as files.

The writers of these formats start from an `Asset`: its levels of detail, finest first, in the
axes and units of the file. Factors are already multiplied into the pictures, so that a property
of a material is either one picture or one number.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import numpy as np
from jaxtyping import Float, Float32, Int

from .model import AlphaMode, Wrap

Property = Literal[
    "base_color", "opacity", "normal", "roughness", "metallic", "occlusion", "emissive"
]
Channel = Literal["rgb", "r", "g", "b", "a"]


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG file."""

    file: str
    data: bytes = field(repr=False)
    srgb: bool
    """Colors in sRGB, or plain numbers."""


@dataclass(frozen=True, slots=True)
class Map:
    """A picture, or one channel of it, that gives a property."""

    picture: Picture
    channel: Channel = "rgb"
    wrap: tuple[Wrap, Wrap] = ("repeat", "repeat")
    layer: int = 0
    """Which of the layers of texture coordinates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A metallic-roughness material. Where a property has no map its number holds."""

    name: str
    maps: Mapping[Property, Map] = field(default_factory=lambda: MappingProxyType({}))
    base_color: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Linear."""
    opacity: float = 1.0
    roughness: float = 1.0
    metallic: float = 0.0
    emissive: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Linear."""
    emissive_strength: float = 1.0
    """Multiplies the emissive map or color."""
    alpha_mode: AlphaMode = "OPAQUE"
    alpha_cutoff: float = 0.5
    double_sided: bool = False
    beside: tuple[Picture, ...] = ()
    """Maps that the tool wants as files, to be plugged in by hand."""

    def pictures(self) -> list[Picture]:
        """All of them, each once."""
        used = [one.picture for one in self.maps.values()]
        return list(dict.fromkeys([*used, *self.beside]))


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """One level of detail: triangles over shared places, all else per corner of a face."""

    places: Float[np.ndarray, "place 3"]
    faces: Int[np.ndarray, "face 3"]
    face_looks: Int[np.ndarray, " face"]
    looks: tuple[Look, ...]
    normals: Float32[np.ndarray, "face 3 3"]
    layers: tuple[Float32[np.ndarray, "face 3 2"], ...] = ()
    """Texture coordinates, v down (glTF)."""
    colors: Float32[np.ndarray, "face 3 4"] | None = None
    """Linear."""


@dataclass(frozen=True, slots=True, eq=False)
class Hull:
    """A convex body for collisions."""

    places: Float[np.ndarray, "place 3"]
    faces: Int[np.ndarray, "face 3"]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Asset:
    """What one file, or one set of files, holds."""

    name: str
    levels: tuple[Level, ...]
    hulls: tuple[Hull, ...] = ()
    up: Literal["y", "z"] = "y"
    """The front is +Z where y is up, and -Y where z is up."""
    meters_per_unit: float = 1.0

    def pictures(self) -> list[Picture]:
        """Of all levels, each once."""
        found = [one for level in self.levels for look in level.looks for one in look.pictures()]
        return list(dict.fromkeys(found))


def indexed(
    values: Float[np.ndarray, "*axes width"],
) -> tuple[Float[np.ndarray, "row width"], Int[np.ndarray, " corner"]]:
    """Each different row once, in the order of first use, and which one every corner has."""
    flat = np.ascontiguousarray(values.reshape(-1, values.shape[-1]) + 0.0)  # -0.0 becomes 0.0.
    _, first, inverse = np.unique(flat, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return flat[first[order]], rank[inverse.reshape(-1)]
