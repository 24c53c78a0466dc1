"""A mesh as found in the wild: many parts and materials, all maps of glTF, perhaps a skeleton.

Conventions are glTF's (`gltf.py`): +Y up, counter-clockwise, uv (0, 0) at the top left of a
picture. Every reader ends in a `Model`, and the writer `gltf_model.py` starts from one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

Wrap = Literal["repeat", "mirror", "clamp"]
AlphaMode = Literal["OPAQUE", "MASK", "BLEND"]

IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
SLOTS = ("base_color", "metallic_roughness", "normal", "occlusion", "emissive")
COLOR_SLOTS = frozenset({"base_color", "emissive"})
"""Pictures in sRGB; those of the other slots are plain numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class Texture:
    """A picture and how it is laid on the surface."""

    pixels: UInt8[np.ndarray, "height width channel"]
    """Row 0 at the top; 3 channels, or 4 with alpha."""
    wrap: tuple[Wrap, Wrap] = ("repeat", "repeat")
    """Along u and v, outside of [0, 1]."""
    nearest: bool = False
    """Magnified without interpolation (pixel art)."""
    uv_set: int = 0
    transform: tuple[tuple[float, float, float], tuple[float, float, float]] = IDENTITY
    """Two rows of the affine map from uvs to picture coordinates (KHR_texture_transform)."""


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """Metallic-roughness, as glTF 2.0 defines it (3.9). Factors are linear."""

    name: str = ""
    base_color: Texture | None = None
    base_color_factor: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    metallic_roughness: Texture | None = None
    """Green is roughness, blue is metallic."""
    metallic_factor: float = 1.0
    roughness_factor: float = 1.0
    normal: Texture | None = None
    normal_scale: float = 1.0
    occlusion: Texture | None = None
    occlusion_strength: float = 1.0
    emissive: Texture | None = None
    emissive_factor: tuple[float, float, float] = (0.0, 0.0, 0.0)
    emissive_strength: float = 1.0
    alpha_mode: AlphaMode = "OPAQUE"
    alpha_cutoff: float = 0.5
    double_sided: bool = False
    unlit: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Rig:
    """Skeleton and movements of a skinned glTF file, kept as its own JSON and arrays."""

    nodes: tuple[dict[str, Any], ...]
    """Without meshes, skins and cameras."""
    roots: tuple[int, ...]
    """Nodes of the scene."""
    joints: tuple[int, ...]
    """Node of each joint, in the order that `Model.joints` counts them."""
    inverse_binds: Float32[np.ndarray, "joint 16"]
    """Column-major, as in the file."""
    animations: tuple[dict[str, Any], ...] = ()
    """Their samplers' accessors are indices into `arrays`."""
    arrays: tuple[np.ndarray, ...] = ()
    normalized: tuple[bool, ...] = ()
    """Whether an array's integers stand for 0 to 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """Triangles with what may lie on their corners. Vertices are split where that differs."""

    positions: Float[np.ndarray, "vertex 3"]
    """Metres, in the world; with a rig, in the space of its bind pose."""
    faces: Int[np.ndarray, "face 3"]
    face_materials: Int[np.ndarray, " face"]
    """Index into `materials`."""
    materials: tuple[Material, ...] = (Material(),)
    normals: Float32[np.ndarray, "vertex 3"] | None = None
    """Unit length; (0, 0, 0) where a part had none."""
    tangents: Float32[np.ndarray, "vertex 4"] | None = None
    """Direction and handedness; (0, 0, 0, 0) where a part had none."""
    uvs: tuple[Float32[np.ndarray, "vertex 2"], ...] = ()
    """Texture coordinate sets."""
    colors: Float32[np.ndarray, "vertex 4"] | None = None
    """Linear; multiplied with the base color."""
    importance: Float32[np.ndarray, "vertex 1"] | None = None
    """What being true to the surface is worth around a vertex (the attribute `_IMPORTANCE`)."""
    joints: Int[np.ndarray, "vertex 4"] | None = None
    weights: Float32[np.ndarray, "vertex 4"] | None = None
    rig: Rig | None = None
    remarks: tuple[str, ...] = field(default=())
    """What the reader could not keep, for the user to know."""


def joined(
    values: Sequence[np.ndarray | None], counts: Sequence[int], missing: Sequence[int]
) -> Float32[np.ndarray, "vertex channel"] | None:
    """An attribute of several parts in one array: `missing` where a part of `counts` vertices has
    none; `None` where no part has any."""
    if all(value is None for value in values):
        return None
    filled = [
        np.tile(np.float32(missing), (count, 1)) if value is None else value
        for value, count in zip(values, counts, strict=True)
    ]
    return np.concatenate(filled).astype(np.float32)
