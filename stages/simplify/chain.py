"""The stage's work: textured mesh in, `lods/index.json` and `lods/lod0.glb`, ... out."""

import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline.contract import Context, replacing
from ..formats import gltf, pictures
from ..geometry.atlas import atlas, texels
from ..geometry.bake import bake, fill, spread
from ..geometry.components import Surface, report, vertex_normals, weld
from ..geometry.decimation import decimate
from . import Config
from .lookup import TexturedSurface

CLEAN_MIPS = 4
"""Mip levels without colors from outside the charts."""


@dataclass(frozen=True, slots=True)
class Level:
    """One line of the index."""

    file: str
    ratio: float
    faces: int
    vertices: int
    texture_px: int
    watertight: bool
    """Of the surface; seams of the texture do not count."""
    mean_distance_m: float
    """From the finest mesh's surface to this level, area-weighted."""
    max_distance_m: float


def make_chain(path: Path, config: Config, ctx: Context) -> Path:
    """All levels of one mesh, finest first. Returns the directory."""
    fine = gltf.load(path)
    welded = weld(Surface(fine.positions, fine.faces))
    finest = min(len(fine.faces), config.max_faces)
    targets = _targets(finest, config)
    out = ctx.out / "lods"
    out.mkdir()
    source = TexturedSurface(fine)
    levels = []
    with ctx.progress("levels of detail", len(targets)) as bar:
        for ratio, target in targets:
            made = fine if target >= len(fine.faces) else make_level(source, welded, target, config)
            level = _save(made, ratio, source, out / f"lod{len(levels)}.glb")
            levels.append(level)
            ctx.log.info(
                "%s: %d faces, texture %d px, off by %.2g m (mean), %.2g m (most)",
                level.file, level.faces, level.texture_px, level.mean_distance_m,
                level.max_distance_m,
            )  # fmt: skip
            bar.advance(note=f"{level.faces} faces")
    _save_index(levels, out / "index.json")
    return out


def make_level(
    source: TexturedSurface, welded: Surface, target_faces: int, config: Config
) -> gltf.Mesh:
    """One coarser mesh with its own atlas and texture."""
    surface = decimate(welded, target_faces=target_faces)
    mesh = gltf.Mesh(
        positions=surface.positions.astype(np.float32),
        faces=surface.faces,
        normals=vertex_normals(surface).astype(np.float32),
        double_sided=source.mesh.double_sided,
    )
    if source.mesh.base_color is None:
        return _with_vertex_colors(mesh, source)
    ratio = len(surface.faces) / len(source.mesh.faces)
    size_px = texture_size(max(source.mesh.base_color.shape[:2]), ratio, config.min_texture_px)
    unwrapped = atlas(mesh, size_px, config.gutter_px)
    places = texels(unwrapped)
    maps = bake(places, lambda p, n, _: source.colors(p, n, texture_px=size_px))
    whole = fill(spread(places, maps, normal_m=0.5 * source.radius_m), CLEAN_MIPS)
    return replace(unwrapped.mesh, base_color=pictures.to_bytes(whole), colors=None)


def texture_size(size_px: int, ratio: float, smallest_px: int) -> int:
    """A power of two that gives each face about as many texels as it had, never more in all."""
    wanted = size_px * math.sqrt(ratio)
    rounded = 2 ** math.ceil(math.log2(max(wanted, 1)) - 1e-9)
    return min(max(rounded, smallest_px), 2 ** math.ceil(math.log2(size_px)))


def _targets(finest: int, config: Config) -> list[tuple[float, int]]:
    """(ratio, faces) per level; the finest always stays."""
    targets = [(ratio, round(finest * ratio)) for ratio in config.ratios]
    return [targets[0], *(t for t in targets[1:] if t[1] >= config.min_faces)]


def _with_vertex_colors(mesh: gltf.Mesh, source: TexturedSurface) -> gltf.Mesh:
    """For a mesh that came without a texture: nearest vertex colors, if it has any."""
    if source.mesh.colors is None:
        return mesh
    assert mesh.normals is not None
    colors, _ = source.colors(mesh.positions, mesh.normals, texture_px=0)
    return replace(mesh, colors=colors)


def _save(mesh: gltf.Mesh, ratio: float, source: TexturedSurface, path: Path) -> Level:
    gltf.save(mesh, path)
    surface = weld(Surface(mesh.positions, mesh.faces))
    found = report(surface)
    mean, most = (0.0, 0.0) if mesh is source.mesh else source.distance_to(surface)
    return Level(
        file=path.name,
        ratio=ratio,
        faces=len(mesh.faces),
        vertices=len(mesh.positions),
        texture_px=0 if mesh.base_color is None else max(mesh.base_color.shape[:2]),
        watertight=found.watertight,
        mean_distance_m=mean,
        max_distance_m=most,
    )


def _save_index(levels: list[Level], path: Path) -> None:
    document: dict[str, Any] = {"kind": "lods/1", "lods": [asdict(level) for level in levels]}
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
