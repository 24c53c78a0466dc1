"""Materials of a glTF document: textures with sampler, coordinate set and transform, factors."""

import math
from typing import Any

from .gltf_document import Document
from .image_files import Budget, decode
from .model import IDENTITY, Material, Texture, Wrap

WRAPS: dict[int, Wrap] = {10497: "repeat", 33648: "mirror", 33071: "clamp"}
NEAREST = 9728
SPECULAR = "KHR_materials_pbrSpecularGlossiness"


class Reader:
    """Decodes every picture once, and only those that a material in use needs."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._budget = Budget()
        self._pictures: dict[int, Any] = {}

    def material(self, index: int | None) -> Material:
        """The material of a primitive; glTF's default where it names none."""
        if index is None:
            return Material()
        entries = self._document.table("materials")
        entry = entries[index]
        extensions = entry.get("extensions", {})
        surface = entry.get("pbrMetallicRoughness", {})
        glossy = extensions.get(SPECULAR)
        if glossy is not None and not surface:
            surface = _as_metallic(glossy)
        normal, occlusion = entry.get("normalTexture"), entry.get("occlusionTexture")
        strength = extensions.get("KHR_materials_emissive_strength", {})
        return Material(
            name=str(entry.get("name", "")),
            base_color=self._texture(surface.get("baseColorTexture")),
            base_color_factor=_numbers(surface.get("baseColorFactor"), (1.0,) * 4),
            metallic_roughness=self._texture(surface.get("metallicRoughnessTexture")),
            metallic_factor=float(surface.get("metallicFactor", 1.0)),
            roughness_factor=float(surface.get("roughnessFactor", 1.0)),
            normal=self._texture(normal),
            normal_scale=float((normal or {}).get("scale", 1.0)),
            occlusion=self._texture(occlusion),
            occlusion_strength=float((occlusion or {}).get("strength", 1.0)),
            emissive=self._texture(entry.get("emissiveTexture")),
            emissive_factor=_numbers(entry.get("emissiveFactor"), (0.0,) * 3),
            emissive_strength=float(strength.get("emissiveStrength", 1.0)),
            alpha_mode=_alpha_mode(entry),
            alpha_cutoff=float(entry.get("alphaCutoff", 0.5)),
            double_sided=bool(entry.get("doubleSided", False)),
            unlit="KHR_materials_unlit" in extensions,
        )

    def _texture(self, reference: dict[str, Any] | None) -> Texture | None:
        if reference is None:
            return None
        document = self._document
        entry = document.table("textures")[reference["index"]]
        webp = entry.get("extensions", {}).get("EXT_texture_webp", {})
        source = webp.get("source", entry.get("source"))
        if source is None:
            raise ValueError(f"texture {reference['index']} has no PNG, JPEG or WebP picture")
        sampler = document.table("samplers")[entry["sampler"]] if "sampler" in entry else {}
        moved = reference.get("extensions", {}).get("KHR_texture_transform", {})
        return Texture(
            pixels=self._picture(source),
            wrap=(WRAPS[sampler.get("wrapS", 10497)], WRAPS[sampler.get("wrapT", 10497)]),
            nearest=sampler.get("magFilter") == NEAREST,
            uv_set=int(moved.get("texCoord", reference.get("texCoord", 0))),
            transform=_transform(moved),
        )

    def _picture(self, index: int) -> Any:
        if index not in self._pictures:
            document = self._document
            entry = document.table("images")[index]
            name = f"{document.path}: image {entry.get('name') or index}"
            if "bufferView" in entry:
                data = document.view(entry["bufferView"])
            else:
                data = document.uri(entry["uri"])
            self._pictures[index] = decode(data, name, self._budget)
        return self._pictures[index]


def _numbers(values: Any, default: tuple[float, ...]) -> Any:
    if values is None:
        return default
    if len(values) != len(default):
        raise ValueError(f"a factor of {len(values)} numbers instead of {len(default)}")
    return tuple(float(value) for value in values)


def _alpha_mode(entry: dict[str, Any]) -> Any:
    mode = entry.get("alphaMode", "OPAQUE")
    if mode not in ("OPAQUE", "MASK", "BLEND"):
        raise ValueError(f"alphaMode {mode!r}")
    return mode


def _transform(moved: dict[str, Any]) -> Any:
    """T · R · S of KHR_texture_transform; it turns counter-clockwise with v down."""
    if not moved:
        return IDENTITY
    (ox, oy), (sx, sy) = moved.get("offset", (0, 0)), moved.get("scale", (1, 1))
    angle = float(moved.get("rotation", 0.0))
    cosine, sine = math.cos(angle), math.sin(angle)
    return ((cosine * sx, sine * sy, float(ox)), (-sine * sx, cosine * sy, float(oy)))


def _as_metallic(glossy: dict[str, Any]) -> dict[str, Any]:
    """The nearest that metallic-roughness has: the diffuse part, not metallic."""
    return {
        "baseColorTexture": glossy.get("diffuseTexture"),
        "baseColorFactor": glossy.get("diffuseFactor"),
        "metallicFactor": 0.0,
        "roughnessFactor": 1.0 - float(glossy.get("glossinessFactor", 1.0)),
    }
