"""What a model looks like at places on its surface, in terms that do not depend on its layout.

A place is a face of the model with barycentrics. Colors come out linear; normals in the world.
This is what a baker asks, whatever atlas it bakes into.
"""

import functools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int

from ..formats.model import COLOR_SLOTS, Material, Model, Texture
from .sampling import Pyramid, blended, look_up, pyramid
from .tangents import crease_normals, tangents


@dataclass(frozen=True, slots=True)
class Places:
    """Points on the surface of a model."""

    faces: Int[np.ndarray, " place"]
    barycentrics: Float[np.ndarray, "place 3"]
    texels_per_m: Float[np.ndarray, " place"]
    """How densely the asker samples around each place: what is finer is averaged."""


class Appearance:
    """A model ready for lookups. Textures are prepared when first needed, and let go when another
    slot is asked for: of a picture of 4096 px that takes 70 MB or 30 ms."""

    def __init__(self, model: Model) -> None:
        self.model = model
        corners = model.positions[model.faces]
        cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        doubled = np.linalg.norm(cross, axis=1)
        self.areas_m2 = doubled / 2
        self.face_normals = cross / np.where(doubled > 0, doubled, 1)[:, None]
        self._pyramids: dict[Any, Pyramid] = {}
        self._slot = ""
        self._layouts: dict[Any, tuple[np.ndarray, np.ndarray]] = {}
        self._frames: dict[Any, np.ndarray] = {}

    @functools.cached_property
    def corner_normals(self) -> Float32[np.ndarray, "face 3 3"]:
        """Those of the file; smooth ones with creases where it has none."""
        model = self.model
        if model.normals is None:
            return crease_normals(model.positions, model.faces)
        normals = model.normals[model.faces]
        bare = (normals == 0).all(axis=-1)
        if bare.any():
            normals = np.where(
                bare[..., None], crease_normals(model.positions, model.faces), normals
            )
        return normals

    def base_color(self, places: Places) -> Float32[np.ndarray, "place 4"]:
        """Linear, with alpha: 1 where the material is opaque, the covered share where it is cut
        out. Vertex colors are multiplied in."""
        out = np.ones((len(places.faces), 4), np.float32)
        for material, at in self._by_material(places):
            here = _take(places, at)
            values = np.tile(np.float32(material.base_color_factor), (len(at), 1))
            if material.base_color is not None:
                found = self._textured(material.base_color, here, "base_color", material)
                if _covers(material):
                    values[:, 3] = 1.0  # The factor has gone into what is covered.
                values[:, : found.shape[1]] *= found
            out[at] = values
        if self.model.colors is not None:
            out *= self.blend(self.model.colors, places)
        for material, at in self._by_material(places):
            if material.alpha_mode == "OPAQUE":
                out[at, 3] = 1.0
            elif material.alpha_mode == "MASK" and not _covers(material):
                out[at, 3] = (out[at, 3] >= material.alpha_cutoff).astype(np.float32)
        return out

    def metallic_roughness(self, places: Places) -> Float32[np.ndarray, "place 2"]:
        """(roughness, metallic)."""
        out = np.empty((len(places.faces), 2), np.float32)
        for material, at in self._by_material(places):
            out[at] = (material.roughness_factor, material.metallic_factor)
            if material.metallic_roughness is not None:
                texture = material.metallic_roughness
                found = self._textured(texture, _take(places, at), "metallic_roughness", material)
                out[at] *= found[:, 1:3]
        return out

    def occlusion(self, places: Places) -> Float32[np.ndarray, "place 1"]:
        """1 is open; the strength is worked in."""
        out = np.ones((len(places.faces), 1), np.float32)
        for material, at in self._by_material(places):
            if material.occlusion is not None:
                here = _take(places, at)
                found = self._textured(material.occlusion, here, "occlusion", material)
                out[at] = 1 + material.occlusion_strength * (found[:, :1] - 1)
        return out

    def emissive(self, places: Places) -> Float32[np.ndarray, "place 3"]:
        """Linear; the strength is worked in, so that it may exceed 1."""
        out = np.zeros((len(places.faces), 3), np.float32)
        for material, at in self._by_material(places):
            factor = np.float32(material.emissive_factor) * np.float32(material.emissive_strength)
            out[at] = factor
            if material.emissive is not None:
                here = _take(places, at)
                out[at] *= self._textured(material.emissive, here, "emissive", material)[:, :3]
        return out

    def normals(
        self, places: Places, facing: Float[np.ndarray, "place 3"]
    ) -> Float32[np.ndarray, "place 3"]:
        """Unit shading normals in the world: interpolated, and bent by the normal texture.

        Those of double-sided materials are turned to the side of `facing`.
        """
        smooth = _unit(_blend(self.corner_normals, places))
        out = smooth.copy()
        turned = np.zeros(len(out), bool)
        for material, at in self._by_material(places):
            if material.double_sided:
                turned[at] = (self.face_normals[places.faces[at]] * facing[at]).sum(axis=1) < 0
            if material.normal is None:
                continue
            here = _take(places, at)
            found = self._textured(material.normal, here, "normal", material)[:, :3]
            local = found * np.float32(2) - np.float32(1)
            local[:, :2] *= np.float32(material.normal_scale)
            frame = _blend(self._corner_tangents(material.normal), here)
            tangent = _unit(frame[:, :3])
            bitangent = np.cross(smooth[at], tangent) * np.where(frame[:, 3:] < 0, -1, 1)
            out[at] = _unit(
                local[:, :1] * tangent + local[:, 1:2] * bitangent + local[:, 2:] * smooth[at]
            )
        out[turned] *= -1
        return out

    def texels_per_m2(self, slot: str = "base_color") -> Float[np.ndarray, " face"]:
        """How many texels of its own texture a square metre of each face shows; 0 without one."""
        out = np.zeros(len(self.model.faces))
        for index, material in enumerate(self.model.materials):
            texture: Texture | None = getattr(material, slot)
            if texture is not None:
                at = np.flatnonzero(self.model.face_materials == index)
                out[at] = self._laid(texture)[1][at]
        return out

    def _by_material(self, places: Places) -> list[tuple[Material, Int[np.ndarray, " some"]]]:
        materials = self.model.materials
        if len(materials) == 1:
            return [(materials[0], np.arange(len(places.faces)))]
        of_place = self.model.face_materials[places.faces]
        order = np.argsort(of_place, kind="stable")
        ends = np.searchsorted(of_place[order], np.arange(len(materials) + 1))
        return [
            (material, order[ends[k] : ends[k + 1]])
            for k, material in enumerate(materials)
            if ends[k + 1] > ends[k]
        ]

    def _textured(
        self, texture: Texture, places: Places, slot: str, material: Material
    ) -> Float32[np.ndarray, "place channel"]:
        source = self._pyramid(texture, slot, material)
        uvs, densities = self._laid(texture)
        return look_up(
            source, uvs, densities, places.faces, places.barycentrics, places.texels_per_m
        )

    def _pyramid(self, texture: Texture, slot: str, material: Material) -> Pyramid:
        """Materials share a picture's pyramid unless they cut it out differently."""
        covers = slot == "base_color" and _covers(material)
        cut = slot == "base_color" and material.alpha_mode != "OPAQUE"
        color = slot in COLOR_SLOTS
        edge = (material.base_color_factor[3], material.alpha_cutoff) if covers else None
        key = (id(texture.pixels), texture.wrap, texture.nearest, color, cut, edge)
        if slot != self._slot:
            self._pyramids.clear()
            self._slot = slot
        if key not in self._pyramids:
            if covers:
                texture = _thresholded(texture, material)
            self._pyramids[key] = pyramid(texture, color=color, cut_out=cut)
        return self._pyramids[key]

    def _laid(
        self, texture: Texture
    ) -> tuple[Float[np.ndarray, "face 3 2"], Float[np.ndarray, " face"]]:
        """Of all faces: transformed uvs of the corners, and texels per square metre, which are 0
        where a face has no area in either."""
        model, sides = self.model, texture.pixels.shape[:2]
        key = (texture.uv_set, texture.transform, sides)
        if key not in self._layouts:
            uvs = np.zeros((len(model.faces), 3, 2))
            if texture.uv_set < len(model.uvs):
                rows = np.array(texture.transform)
                uvs = (model.uvs[texture.uv_set] @ rows[:, :2].T + rows[:, 2])[model.faces]
            first, second = uvs[:, 1] - uvs[:, 0], uvs[:, 2] - uvs[:, 0]
            area = np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]) / 2
            real = self.areas_m2
            texels = area * sides[0] * sides[1]
            densities = np.where(real > 0, texels / np.where(real > 0, real, 1), 0)
            self._layouts[key] = (uvs, densities)
        return self._layouts[key]

    def _corner_tangents(self, texture: Texture) -> Float32[np.ndarray, "face 3 4"]:
        """The frames the normal texture was made for: the file's, else those of its uvs."""
        model = self.model
        key = (texture.uv_set, texture.transform)
        if key in self._frames:
            return self._frames[key]
        uvs = self._laid(texture)[0].reshape(-1, 2)
        soup = np.arange(3 * len(model.faces)).reshape(-1, 3)
        positions = model.positions[model.faces].reshape(-1, 3)
        made = tangents(positions, self.corner_normals.reshape(-1, 3), uvs, soup)
        if model.tangents is not None:
            given = model.tangents[model.faces]
            bare = (given[..., :3] == 0).all(axis=-1)
            made = np.where(bare[..., None], made, given)
        self._frames[key] = made
        return made

    def blend(
        self, values: Float[np.ndarray, "vertex channel"], places: Places
    ) -> Float[np.ndarray, "place channel"]:
        """A quantity of the model's vertices, interpolated."""
        return _blend(values[self.model.faces], places)


def _covers(material: Material) -> bool:
    """Whether alpha comes from a cut-out texture, whose covered share is averaged."""
    texture = material.base_color
    return material.alpha_mode == "MASK" and texture is not None and texture.pixels.shape[2] == 4


def _thresholded(texture: Texture, material: Material) -> Texture:
    """Alpha becomes 0 or 255, so that its mean over a footprint is the covered share."""
    factor = max(material.base_color_factor[3], 1e-6)
    alpha = texture.pixels[..., 3:] * np.float32(factor / 255) >= material.alpha_cutoff
    covered = (alpha * np.uint8(255)).astype(np.uint8)
    return replace(texture, pixels=np.concatenate([texture.pixels[..., :3], covered], axis=2))


def _take(places: Places, at: Int[np.ndarray, " some"]) -> Places:
    if len(at) == len(places.faces):  # All of them, and in order.
        return places
    return Places(places.faces[at], places.barycentrics[at], places.texels_per_m[at])


def _blend(
    values: Float[np.ndarray, "face 3 channel"], places: Places
) -> Float32[np.ndarray, "place channel"]:
    """Interpolate values of corners."""
    return blended(np.asarray(values, np.float32), places.faces, places.barycentrics)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Zero becomes +Y."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    good = length > 1e-12
    return np.where(good, vectors / np.where(good, length, 1), np.float32([0, 1, 0])).astype(
        np.float32
    )
