"""Wavefront material libraries: the statements that have a meaning in glTF's model.

    Kd, map_Kd      base color          d, Tr, map_d        alpha
    Ke, map_Ke      emissive            Pr, Pm, map_Pr, map_Pm   roughness, metallic (PBR dialect)
    Ns              roughness = sqrt(2 / (Ns + 2)), where Pr is absent
    norm, map_Kn    normal map          bump, map_bump      the same if the picture is no gray one

Colors are sRGB by custom of exporters. Picture options -s, -o, -clamp and -bm are obeyed; others
are skipped with their arguments.
"""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline.errors import InputError
from .image_files import Budget, decode, read_beside
from .model import IDENTITY, Material, Texture
from .srgb import decode as decode_color

OPTION_WORDS = {
    "-blendu": 1, "-blendv": 1, "-boost": 1, "-bm": 1, "-cc": 1, "-clamp": 1, "-imfchan": 1,
    "-mm": 2, "-texres": 1, "-type": 1,
}  # fmt: skip
UP_TO_THREE = ("-s", "-o", "-t")
"""Options of one to three numbers."""


@dataclass(slots=True)
class _Draft:
    """One `newmtl` while it is read."""

    values: dict[str, list[str]] = field(default_factory=dict)


def read(path: Path, text: str, budget: Budget) -> dict[str, Material]:
    """Materials by name."""
    drafts: dict[str, _Draft] = {}
    current = _Draft()
    for line in text.replace("\\\n", " ").splitlines():
        words = line.split("#")[0].split() if "#" in line.split(" ")[0] else line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0].lower() == "newmtl":
            current = drafts.setdefault(" ".join(words[1:]), _Draft())
        else:
            current.values[words[0].lower()] = words[1:]
    pictures: dict[str, Any] = {}
    return {name: _material(path, name, d, budget, pictures) for name, d in drafts.items()}


def _material(
    path: Path, name: str, draft: _Draft, budget: Budget, pictures: dict[str, Any]
) -> Material:
    values = draft.values

    def texture(*keys: str) -> tuple[Texture | None, float]:
        for key in keys:
            if values.get(key):
                return _texture(path, values[key], budget, pictures)
        return None, 1.0

    base, _ = texture("map_kd")
    alpha, _ = texture("map_d")
    normal, strength = texture("norm", "map_kn", "map_bump", "bump")
    if normal is not None and _is_gray(normal.pixels):
        normal = None  # A height map: its depth has no unit that could be trusted.
    emissive, _ = texture("map_ke")
    roughness, _ = texture("map_pr")
    metallic, _ = texture("map_pm")
    opacity = _number(values, "d", 1.0 - _number(values, "tr", 0.0))
    shown = np.array(_color(values, "kd", 1.0 if base else 0.8))
    diffuse = [float(value) for value in decode_color(np.clip(shown, 0, 1))]
    shine = math.sqrt(2 / (max(_number(values, "ns", 0.0), 0.0) + 2))
    base = base if alpha is None else _with_alpha(base, alpha)
    return Material(
        name=name,
        base_color=base,
        base_color_factor=(*diffuse, opacity),
        metallic_roughness=_packed(roughness, metallic),
        metallic_factor=1.0 if metallic else _number(values, "pm", 0.0),
        roughness_factor=1.0 if roughness else _number(values, "pr", shine),
        normal=normal,
        normal_scale=strength,
        emissive=emissive,
        emissive_factor=_color(values, "ke", 1.0 if emissive else 0.0),
        alpha_mode="BLEND" if opacity < 1 else "MASK" if alpha is not None else "OPAQUE",
        double_sided=True,
    )


def _texture(
    path: Path, words: list[str], budget: Budget, pictures: dict[str, Any]
) -> tuple[Texture, float]:
    """A picture with its options; and the strength that -bm gives."""
    numbers: dict[str, list[float]] = {}
    place, clamp, strength = 0, False, 1.0
    while place < len(words) - 1 and words[place].startswith("-"):
        option = words[place]
        place += 1
        if option in UP_TO_THREE:
            start = place
            while place < len(words) - 1 and place - start < 3 and _is_number(words[place]):
                place += 1
            numbers[option] = [float(word) for word in words[start:place]]
            continue
        if option == "-clamp":
            clamp = words[place].lower() == "on"
        if option == "-bm" and _is_number(words[place]):
            strength = float(words[place])
        place += OPTION_WORDS.get(option, 0)
    reference = " ".join(words[place:])
    if reference not in pictures:
        data = read_beside(path.parent, reference, path)
        pictures[reference] = decode(data, f"{path}: {reference}", budget)
    scale = [*numbers.get("-s", []), 1.0, 1.0][:2]
    offset = [*numbers.get("-o", []), 0.0, 0.0][:2]
    # The options count v upwards: 1 - (s (1 - v) + o) = s v + (1 - s - o).
    rows = ((scale[0], 0.0, offset[0]), (0.0, scale[1], 1 - scale[1] - offset[1]))
    wrap = ("clamp", "clamp") if clamp else ("repeat", "repeat")
    moved = rows if numbers else IDENTITY
    return Texture(pictures[reference], wrap, transform=moved), strength  # type: ignore[arg-type]


def _with_alpha(base: Texture | None, alpha: Texture) -> Texture:
    """map_d laid into the base color's fourth channel; both must have one layout."""
    values = alpha.pixels[..., 3:] if _has_alpha(alpha.pixels) else alpha.pixels[..., :1]
    if base is None:
        white = np.full((*values.shape[:2], 3), 255, np.uint8)
        return replace(alpha, pixels=np.concatenate([white, values], axis=2))
    rows = np.arange(base.pixels.shape[0]) * len(values) // base.pixels.shape[0]
    columns = np.arange(base.pixels.shape[1]) * values.shape[1] // base.pixels.shape[1]
    fitted = values[rows][:, columns]
    return replace(base, pixels=np.concatenate([base.pixels[..., :3], fitted], axis=2))


def _packed(roughness: Texture | None, metallic: Texture | None) -> Texture | None:
    """Green roughness and blue metallic; where only one is given the other stays the factor's."""
    one = roughness or metallic
    if one is None:
        return None
    out = np.full((*one.pixels.shape[:2], 3), 255, np.uint8)
    for channel, part in ((1, roughness), (2, metallic)):
        if part is None:
            continue
        rows = np.arange(out.shape[0]) * part.pixels.shape[0] // out.shape[0]
        columns = np.arange(out.shape[1]) * part.pixels.shape[1] // out.shape[1]
        out[..., channel] = part.pixels[rows][:, columns, 0]
    return replace(one, pixels=out)


def _has_alpha(pixels: np.ndarray) -> bool:
    return pixels.shape[2] == 4 and bool((pixels[..., 3] < 255).any())


def _is_gray(pixels: np.ndarray) -> bool:
    spread = pixels[..., :3].max(axis=2).astype(int) - pixels[..., :3].min(axis=2)
    return bool((spread <= 2).all())


def _number(values: dict[str, list[str]], key: str, default: float) -> float:
    words = values.get(key)
    return float(words[-1]) if words and _is_number(words[-1]) else default


def _color(values: dict[str, list[str]], key: str, default: float) -> tuple[float, float, float]:
    words = [word for word in values.get(key, []) if _is_number(word)]
    if len(words) < 3:
        return (float(words[0]),) * 3 if words else (default,) * 3
    return (float(words[0]), float(words[1]), float(words[2]))


def _is_number(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False


def text_of(data: bytes, path: Path) -> str:
    """Libraries come in many encodings; names are all that could suffer."""
    if b"\0" in data:
        raise InputError(f"{path}: no material library, but a binary file.")
    return data.decode("utf-8", errors="replace")
