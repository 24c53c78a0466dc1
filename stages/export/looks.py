"""Materials made ready: factors multiplied into pictures, sizes limited, channels packed.

Colors are multiplied and averaged in linear light. A picture that needs nothing keeps its pixels.
"""

import hashlib
import math
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from ..formats import srgb
from ..formats.asset import Channel, Look, Map, Picture, Property
from ..formats.model import Material, Texture
from ..formats.png import png
from .profiles import Packing, Profile

Pixels = UInt8[np.ndarray, "height width channel"]
Unit = Float[np.ndarray, "height width channel"]
Gray = Float[np.ndarray, "height width 1"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How the pictures of one export are made."""

    profile: Profile
    packing: Packing
    largest_px: int
    flip_green: bool
    connects: frozenset[Property] | None = None
    """The properties that the format can connect; the maps of others stay beside. All where
    `None`."""
    gray_opacity: bool = False
    """Opacity as a picture of its own, and none in the base color."""


@dataclass(slots=True)
class Shelf:
    """The pictures of one export; the same pixels are one file, and no two files share a name."""

    _by_content: dict[tuple[bytes, bool], Picture] = field(default_factory=dict)
    _names: set[str] = field(default_factory=set)

    def picture(self, stem: str, pixels: Pixels, *, color: bool) -> Picture:
        """A picture called `stem`, or the one that has these pixels already."""
        data = png(np.ascontiguousarray(pixels))
        key = (hashlib.sha256(data).digest(), color)
        if key not in self._by_content:
            name, number = stem, 1
            while name.lower() in self._names:
                number += 1
                name = f"{stem}_{number}"
            self._names.add(name.lower())
            self._by_content[key] = Picture(f"{name}.png", data, color)
        return self._by_content[key]


def look(material: Material, name: str, stem: str, style: Style, shelf: Shelf) -> Look:
    """The material; its pictures are called `stem` and the profile's suffix."""
    return _Maker(material, stem, style, shelf).look(name)


class _Maker:
    """One material while its maps are collected."""

    def __init__(self, material: Material, stem: str, style: Style, shelf: Shelf) -> None:
        self._material, self._stem, self._style, self._shelf = material, stem, style, shelf
        self._maps: dict[Property, Map] = {}
        self._beside: list[Picture] = []
        self._means: dict[str, float] = {}

    def look(self, name: str) -> Look:
        material = self._material
        self._base_color()
        self._normal()
        self._emissive()
        self._surface()
        strength = material.emissive_strength
        opaque = material.alpha_mode == "OPAQUE" or "opacity" in self._maps
        white, glow = (1.0, 1.0, 1.0), material.emissive_factor
        return Look(
            name=name,
            maps=MappingProxyType(self._maps),
            base_color=white if material.base_color else _three(material.base_color_factor),
            opacity=1.0 if opaque else material.base_color_factor[3],
            roughness=self._means.get("roughness", material.roughness_factor),
            metallic=self._means.get("metallic", material.metallic_factor),
            emissive=white if "emissive" in self._maps else glow,
            emissive_strength=strength if any(material.emissive_factor) else 1.0,
            alpha_mode=material.alpha_mode,
            alpha_cutoff=material.alpha_cutoff,
            double_sided=material.double_sided,
            beside=tuple(dict.fromkeys(self._beside)),
        )

    def _base_color(self) -> None:
        material, texture = self._material, self._material.base_color
        if texture is None:
            return
        see_through = material.alpha_mode != "OPAQUE" and texture.pixels.shape[2] == 4
        pixels = texture.pixels if see_through else texture.pixels[..., :3]
        factor = material.base_color_factor
        if factor != (1.0, 1.0, 1.0, 1.0):
            pixels = _multiplied(pixels, factor)
        pixels = resized(pixels, self._style, color=True)
        if see_through and self._style.gray_opacity:
            # Gray, and as alpha too: some readers of OBJ take the one, some the other.
            alpha = np.repeat(pixels[..., 3:], 4, axis=2)
            self._put("opacity", "opacity", alpha, texture, "r")
            pixels = pixels[..., :3]
        self._put("base_color", "base_color", pixels, texture, "rgb")
        if see_through and not self._style.gray_opacity:
            self._maps["opacity"] = replace(self._maps["base_color"], channel="a")

    def _normal(self) -> None:
        texture = self._material.normal
        if texture is None:
            return
        pixels, scale = texture.pixels[..., :3], self._material.normal_scale
        if scale != 1.0:
            pixels = _steeper(pixels, scale)
        small = resized(pixels, self._style, color=False)
        pixels = small if small is pixels else unit_length(small)
        if self._style.flip_green:
            pixels = pixels * np.uint8([1, 0, 1]) + (255 - pixels) * np.uint8([0, 1, 0])
        self._put("normal", "normal", pixels, texture, "rgb")

    def _emissive(self) -> None:
        material, texture = self._material, self._material.emissive
        if texture is None or not any(material.emissive_factor):
            return
        pixels = texture.pixels[..., :3]
        if material.emissive_factor != (1.0, 1.0, 1.0):
            pixels = _multiplied(pixels, (*material.emissive_factor, 1.0))
        self._put("emissive", "emissive", resized(pixels, self._style, color=True), texture, "rgb")

    def _surface(self) -> None:
        """Roughness, metallic and occlusion, packed as the tool wants them."""
        material = self._material
        surface, shade = material.metallic_roughness, material.occlusion
        together = surface is not None and shade is not None and _alike(surface, shade)
        packing = self._style.packing
        if surface is not None:
            values = resized(surface.pixels[..., :3], self._style, color=False) / 255.0
            rough = values[..., 1:2] * material.roughness_factor
            metal = values[..., 2:3] * material.metallic_factor
            # Where the tool takes no map, the mean is nearest.
            self._means = {"roughness": float(rough.mean()), "metallic": float(metal.mean())}
            if packing == "orm":
                self._orm(rough, metal, surface, shade if together else None)
            elif packing == "unity":
                packed = np.concatenate([np.repeat(metal, 3, axis=2), 1 - rough], axis=2)
                picture = self._picture("smoothness", _bytes(packed), color=False)
                self._beside.append(picture)
            else:
                self._put("roughness", "roughness", _gray(rough), surface, "r")
                self._put("metallic", "metallic", _gray(metal), surface, "r")
        if shade is not None and not (together and packing == "orm"):
            self._put("occlusion", "occlusion", _gray(self._shaded(shade)), shade, "r")

    def _orm(self, rough: Gray, metal: Gray, surface: Texture, shade: Texture | None) -> None:
        light = np.ones_like(rough)
        if shade is not None:
            light = _fitted(self._shaded(shade), rough.shape[:2])
        packed = _bytes(np.concatenate([light, rough, metal], axis=2))
        picture = self._picture("orm", packed, color=False)
        self._connect("roughness", picture, surface, "g")
        self._connect("metallic", picture, surface, "b")
        if shade is not None:
            self._connect("occlusion", picture, surface, "r")

    def _shaded(self, shade: Texture) -> Gray:
        values = resized(shade.pixels[..., :3], self._style, color=False)[..., :1] / 255.0
        return 1.0 + self._material.occlusion_strength * (values - 1.0)

    def _put(
        self, name: Property, suffix: str, pixels: Pixels, texture: Texture, channel: Channel
    ) -> None:
        picture = self._picture(suffix, pixels, color=name in ("base_color", "emissive"))
        self._connect(name, picture, texture, channel)

    def _connect(
        self, name: Property, picture: Picture, texture: Texture, channel: Channel
    ) -> None:
        """Where the format takes it; else it lies beside."""
        connects = self._style.connects
        if connects is None or name in connects:
            self._maps[name] = Map(picture, channel, texture.wrap, texture.uv_set)
        else:
            self._beside.append(picture)

    def _picture(self, suffix: str, pixels: Pixels, *, color: bool) -> Picture:
        stem = f"{self._stem}_{self._style.profile.suffixes[suffix]}"
        return self._shelf.picture(stem, pixels, color=color)


def resized(
    pixels: Pixels, style: Style, *, color: bool
) -> UInt8[np.ndarray, "rows columns channel"]:
    """No larger than allowed, of sides that are powers of two where the tool wants that. The very
    same array where nothing is to be done."""
    height, width = pixels.shape[:2]
    size = wanted_size((width, height), style.largest_px, style.profile.power_of_two)
    if size == (width, height):
        return pixels
    values = pixels / 255.0
    if color:
        values[..., :3] = srgb.decode(values[..., :3])
    channels = [
        Image.fromarray(values[..., k].astype(np.float32)).resize(size, Image.Resampling.BOX)
        for k in range(pixels.shape[2])
    ]
    out = np.stack([np.asarray(channel, np.float64) for channel in channels], axis=-1)
    if color:
        out[..., :3] = srgb.encode(out[..., :3])
    return _bytes(out)


def wanted_size(size: tuple[int, int], largest: int, power_of_two: bool) -> tuple[int, int]:
    """The proportions stay, but for the rounding to powers of two."""
    shrink = min(1.0, largest / max(size))
    sides = [max(1, round(side * shrink)) for side in size]
    if power_of_two:
        sides = [1 << math.floor(math.log2(side)) for side in sides]
    return sides[0], sides[1]


def _multiplied(pixels: Pixels, factor: tuple[float, float, float, float]) -> Pixels:
    values = pixels / 255.0
    values[..., :3] = srgb.encode(srgb.decode(values[..., :3]) * np.array(factor[:3]))
    values[..., 3:] *= factor[3]
    return _bytes(values)


def _steeper(pixels: Pixels, scale: float) -> Pixels:
    """x and y of the normals times `scale`, as glTF's `normalTexture.scale` says."""
    vectors = (pixels / 255.0 * 2 - 1) * [scale, scale, 1.0]
    return _encoded(vectors)


def unit_length(pixels: Pixels) -> Pixels:
    """A normal map whose averages are normals again."""
    return _encoded(pixels / 255.0 * 2 - 1)


def _encoded(vectors: Unit) -> Pixels:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return _bytes((vectors / np.where(length > 1e-6, length, 1) + 1) / 2)


def _fitted(values: Gray, shape: tuple[int, int]) -> Float[np.ndarray, "rows columns 1"]:
    if values.shape[:2] == shape:
        return values
    image = Image.fromarray(values[..., 0].astype(np.float32))
    return np.asarray(image.resize(shape[::-1], Image.Resampling.BILINEAR), np.float64)[..., None]


def _alike(one: Texture, other: Texture) -> bool:
    return one.uv_set == other.uv_set and one.wrap == other.wrap


def _gray(values: Gray) -> UInt8[np.ndarray, "height width 3"]:
    return np.repeat(_bytes(values), 3, axis=2)


def _bytes(values: Unit) -> Pixels:
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)


def _three(values: tuple[float, ...]) -> tuple[float, float, float]:
    return values[0], values[1], values[2]
