"""The stage's work: textured mesh in, `lods/index.json` and `lods/lod0.glb`, ... out."""

import json
import math
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline.contract import Context, replacing
from ...pipeline.errors import InputError
from ..formats import gltf_model, wild
from ..formats.model import Model
from ..geometry.appearance import Appearance
from ..geometry.components import Surface, report, weld
from ..geometry.decimation import Decimation, Rules, simplify
from . import Config
from .clothe import Look, clothe
from .distance import Distances
from .keep import keep_uvs
from .targets import Target, chosen, run_targets

PACKED = 0.6
"""Share of an atlas that charts usually cover."""
LARGEST_AUTO_PX = 4096
"""Textures do not get larger than this unless asked to, or than the input's largest."""


@dataclass(frozen=True, slots=True)
class Level:
    """One line of the index."""

    file: str
    ratio: float
    """Of the input's faces that was asked for; reached where an error was asked for."""
    faces: int
    vertices: int
    texture_px: int
    watertight: bool
    """Of the surface; seams of the texture do not count."""
    error_m: float
    """The decimation's own bound: largest root-mean-square distance to the planes that a vertex
    stands for. Never falls from level to level."""
    error_share: float
    """The same in diagonals of the input."""
    mean_distance_m: float | None
    """From the input's surface to this level, area-weighted; `None` where not measured."""
    max_distance_m: float | None


def make_chain(path: Path, config: Config, ctx: Context) -> Path:
    """All levels of one mesh, finest first. Returns the directory."""
    model = wild.read(path)
    for remark in model.remarks:
        ctx.log.warning("%s: %s", path.name, remark)
    surface = Surface(model.positions, model.faces)
    decimation, targets = _decimated(surface, config, ctx)
    source = Appearance(model)
    finest_px = config.texture_px or texture_size(source)
    out = ctx.out / "lods"
    out.mkdir()
    levels: list[Level] = []
    with ctx.progress("levels of detail", len(targets)) as bar:
        for target in targets:
            file = out / f"lod{len(levels)}.glb"
            if target.whole:
                made = _as_it_came(path, model, file)
            else:
                size_px = _shrunk(finest_px, target.ratio / targets[0].ratio, config)
                made = _dressed(source, decimation, target.level, config, size_px, ctx)
                gltf_model.save(made, file)
            line = _described(made, target, file, decimation, config, surface)
            levels.append(line)
            ctx.log.info(
                "%s: %d faces, off by %.3g m (%.3g %% of the diagonal), texture %d px",
                file.name, line.faces, line.error_m, 100 * line.error_share, line.texture_px,
            )  # fmt: skip
            bar.advance(note=f"{line.faces} faces")
    _save_index(levels, out / "index.json")
    return out


def texture_size(source: Appearance) -> int:
    """A power of two that shows the surface about as densely as the input's own textures do."""
    density = np.zeros(len(source.areas_m2))
    for slot in ("base_color", "normal", "metallic_roughness", "emissive"):
        density = np.maximum(density, source.texels_per_m2(slot))
    largest = _largest_side(source.model)
    if not density.any():
        return 1024 if len(source.model.faces) > 20_000 else 512
    wanted = math.sqrt(float((density * source.areas_m2).sum()) / PACKED)
    rounded = 2 ** round(math.log2(max(wanted, 1)))
    return int(min(max(rounded, 64), max(LARGEST_AUTO_PX, 2 ** math.ceil(math.log2(largest)))))


def _largest_side(model: Model) -> int:
    sides = [
        max(getattr(material, slot).pixels.shape[:2])
        for material in model.materials
        for slot in ("base_color", "normal", "metallic_roughness", "emissive")
        if getattr(material, slot) is not None
    ]
    return max(sides, default=1)


def _decimated(
    surface: Surface, config: Config, ctx: Context
) -> tuple[Decimation, list[Target]]:
    counts = run_targets(len(surface.faces), config)
    rules = Rules(
        virtual_edges=config.shape.virtual_edges,
        keep_topology=config.shape.keep_topology,
        lock_borders=config.shape.lock_borders,
        prune_share=config.shape.prune_share,
    )
    corners = surface.positions[surface.faces.reshape(-1)]
    diagonal = float(np.linalg.norm(np.ptp(corners, axis=0)))
    unit = diagonal if config.error_unit == "diagonal" else 1.0
    errors_m = [error * unit for error in config.errors]
    with ctx.progress("simplify", 100) as bar:
        done = 0

        def progress(share: float) -> None:
            nonlocal done
            steps = int(100 * share) - done
            if steps > 0:
                done += steps
                bar.advance(steps)

        made = simplify(
            surface,
            targets=counts,
            max_error_m=errors_m[-1] if errors_m else None,
            rules=rules,
            progress=progress,
        )
        if done < 100:
            bar.advance(100 - done)
    if not len(made.levels[0].faces):
        raise InputError("nothing is left of the mesh: all parts are smaller than prune_share.")
    return made, chosen(made, counts, len(surface.faces), errors_m, config)


def _as_it_came(path: Path, model: Model, file: Path) -> Model:
    """The input itself: a GLB as it is, anything else rewritten."""
    if path.suffix.lower() == ".glb":
        with replacing(file) as temporary:
            shutil.copyfile(path, temporary)
    else:
        gltf_model.save(model, file)
    return model


def _shrunk(finest_px: int, ratio: float, config: Config) -> int:
    """Never more texels per face than the finest level has."""
    wanted = finest_px * math.sqrt(min(ratio, 1.0))
    rounded = 2 ** math.ceil(math.log2(max(wanted, 1)) - 1e-9)
    return min(max(rounded, min(config.min_texture_px, finest_px)), finest_px)


def _dressed(
    source: Appearance, decimation: Decimation, level: int, config: Config, size_px: int, ctx: Context
) -> Model:
    if config.keep_uvs:
        return keep_uvs(source, decimation, level, ctx.threads)
    look = Look(size_px, config.gutter_px, config.normal_map, config.vertex_colors)
    return clothe(source, decimation, level, look, ctx.threads)


def _described(
    made: Model,
    target: Target,
    file: Path,
    decimation: Decimation,
    config: Config,
    original: Surface,
) -> Level:
    surface = weld(Surface(made.positions.astype(np.float32), made.faces))
    error = 0.0 if target.whole else decimation.levels[target.level].error_m
    mean = most = None
    if config.measure:
        mean, most = (0.0, 0.0) if target.whole else Distances(original).to(surface)
    return Level(
        file=file.name,
        ratio=target.ratio,
        faces=len(made.faces),
        vertices=len(made.positions),
        texture_px=_largest_side(made) if any(_textured(m) for m in made.materials) else 0,
        watertight=report(surface).watertight,
        error_m=error,
        error_share=error / decimation.diagonal_m,
        mean_distance_m=mean,
        max_distance_m=most,
    )


def _textured(material: Any) -> bool:
    return any(
        getattr(material, slot) is not None
        for slot in ("base_color", "normal", "metallic_roughness", "emissive")
    )


def _save_index(levels: list[Level], path: Path) -> None:
    lines = [asdict(level) for level in levels]
    document: dict[str, Any] = {"kind": "lods/1", "lods": lines}
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
