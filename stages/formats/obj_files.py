"""Wavefront OBJ with its material library: what every tool opens, in the PBR dialect.

Places, texture coordinates and normals have indices of their own, so that seams do not cut the
mesh apart. The library names Kd, d, Ke, Ns and Pr, Pm with their maps (`map_Bump` and `norm` both
name the normal map, since tools know one or the other); for occlusion there is no word. All maps
but the colors are gray pictures of their own, as no tool takes one channel of a picture here.
Colors are sRGB by custom of importers.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from ...pipeline.contract import replacing
from . import srgb
from .asset import Level, Look, Map, indexed

MAPS = {
    "base_color": ("map_Kd",),
    "opacity": ("map_d",),
    "emissive": ("map_Ke",),
    "roughness": ("map_Pr",),
    "metallic": ("map_Pm",),
    "normal": ("map_Bump -bm 1.0", "norm"),
}
LINES_AT_ONCE = 1 << 16


def save(level: Level, path: Path, name: str) -> list[Path]:
    """Write NAME.obj, NAME.mtl and the pictures beside it. Returns the files, `path` first."""
    path = Path(path)
    library = path.with_suffix(".mtl")
    written = [path, library]
    for look in level.looks:
        for picture in look.pictures():
            written.append(path.parent / picture.file)
            with replacing(written[-1]) as temporary:
                temporary.write_bytes(picture.data)
    with replacing(library) as temporary:
        temporary.write_text("\n".join(_material(look) for look in level.looks), "utf-8")
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        _write(level, library.name, name, file)
    return list(dict.fromkeys(written))


def _write(level: Level, library: str, name: str, file) -> None:
    file.write(f"mtllib {library}\no {name}\n")
    if level.colors is None:
        _rows(file, "v %.9g %.9g %.9g\n", level.places)
    else:  # As MeshLab began it, and Blender reads it: sRGB behind the place.
        colored = np.concatenate([level.places, _place_colors(level)], axis=1)
        _rows(file, "v %.9g %.9g %.9g %.6g %.6g %.6g\n", colored)
    normals, normal_index = indexed(level.normals)
    if level.layers:
        uvs, uv_index = indexed(level.layers[0])
        _rows(file, "vt %.9g %.9g\n", uvs * [1, -1] + [0, 1])
        columns = [level.faces.reshape(-1), uv_index, normal_index]
        line = "f %d/%d/%d %d/%d/%d %d/%d/%d\n"
    else:
        columns = [level.faces.reshape(-1), normal_index]
        line = "f %d//%d %d//%d %d//%d\n"
    _rows(file, "vn %.7g %.7g %.7g\n", normals)
    corners = 1 + np.stack(columns, axis=1).reshape(len(level.faces), -1)
    for number, look in enumerate(level.looks):
        chosen = level.face_looks == number
        if chosen.any():
            file.write(f"usemtl {look.name}\n")
            _rows(file, line, corners[chosen])


def _place_colors(level: Level) -> Float[np.ndarray, "place 3"]:
    """The mean over the corners that meet at each place."""
    index = level.faces.reshape(-1)
    counts = np.maximum(np.bincount(index, minlength=len(level.places)), 1)
    linear = level.colors.reshape(-1, 4)  # type: ignore[union-attr]
    sums = [np.bincount(index, linear[:, k], len(level.places)) for k in range(3)]
    return srgb.encode(np.stack(sums, axis=1) / counts[:, None])


def _rows(file, line: str, rows: np.ndarray) -> None:
    for start in range(0, len(rows), LINES_AT_ONCE):
        part = rows[start : start + LINES_AT_ONCE]
        file.write(line * len(part) % tuple(part.reshape(-1).tolist()))


def _material(look: Look) -> str:
    def color(linear: tuple[float, ...]) -> str:
        return " ".join(f"{value:.6g}" for value in srgb.encode(np.array(linear)))

    # Phong's exponent for tools without Pr; the inverse of what `mtl.py` reads.
    shine = min(2 / max(look.roughness, 0.04) ** 2 - 2, 1000.0)
    emissive = np.array(look.emissive) * look.emissive_strength
    lines = [
        f"newmtl {look.name}",
        f"Kd {'1 1 1' if 'base_color' in look.maps else color(look.base_color)}",
        "Ka 0 0 0",
        "Ks 0.04 0.04 0.04",
        f"Ns {shine:.6g}",
        f"d {look.opacity:.6g}",
        f"Ke {' '.join(f'{value:.6g}' for value in emissive)}",
        f"Pr {look.roughness:.6g}",
        f"Pm {look.metallic:.6g}",
        "illum 2",
    ]
    for name, keys in MAPS.items():
        if name in look.maps:
            lines += [f"{key} {_reference(look.maps[name])}" for key in keys]  # type: ignore[index]
    return "\n".join(lines) + "\n"


def _reference(one: Map) -> str:
    return f"{'-clamp on ' if one.wrap == ('clamp', 'clamp') else ''}{one.picture.file}"
