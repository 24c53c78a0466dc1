"""The stage's work: textured mesh in, `lods/index.json` and `lods/lod0.glb`, ... out."""

import json
import math
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline.contract import Context, replacing
from ...pipeline.errors import InputError
from ..formats import gltf_model, wild
from ..formats.model import Model
from ..geometry.appearance import Appearance
from ..geometry.components import Surface, report, weld
from ..geometry.decimation import Decimation, Rules, fit, simplify
from . import Config, Inputs
from .clothe import Look, clothe
from .distance import Distances
from .foliage import grown
from .keep import charts, keep_uvs
from .targets import Target, chosen, run_targets
from .vertices import places
from .weights import Weights, weigh

FINER = 1.5
"""Texels of a baked texture per texel of the input's, along one side."""
PLAIN_ACROSS = 1024
FEWEST_TEXELS = 0.5
"""A face that shows less of its picture is plain."""
LARGEST_AUTO_PX = 2048
"""Textures get no larger than this unless asked to, or than the input's largest."""
SHOWN = ("base_color", "normal", "metallic_roughness", "emissive")


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


def make_chain(inputs: Inputs, config: Config, ctx: Context) -> Path:
    """All levels of one mesh, finest first. Returns the directory."""
    path = inputs.mesh.path
    model = wild.read(path)
    for remark in model.remarks:
        ctx.log.warning("%s: %s", path.name, remark)
    surface = Surface(model.positions, model.faces)
    source = Appearance(model)
    weights = weigh(source, inputs, config.shape)
    marked = charts(model) if config.keep_uvs else None
    decimation, targets = _decimated(surface, weights, marked, config, ctx)
    density = texels_per_m(source, decimation.diagonal_m)
    out = ctx.out / "lods"
    out.mkdir()
    levels: list[Level] = []
    with ctx.progress("levels of detail", len(targets)) as bar:
        for target in targets:
            file = out / f"lod{len(levels)}.glb"
            if target.whole:
                made = _as_it_came(path, model, file)
            else:
                if config.shape.fit and decimation.levels[target.level].flips is None:
                    decimation = fit(
                        decimation, target.level, weights.of_faces, threads=ctx.threads
                    )
                look = _look(config, density, target.ratio / targets[0].ratio, model)
                made = _dressed(source, decimation, target.level, look, config, ctx)
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


def texels_per_m(source: Appearance, diagonal_m: float) -> float:
    """How densely a new texture must show the surface to look like the input's own.

    Somewhat more densely than those, since it is a copy. Faces that show next to nothing of a
    picture (plain and palette colors) still have edges: they count as if `PLAIN_ACROSS` texels
    covered the diagonal.
    """
    density = np.zeros(len(source.areas_m2))
    for slot in SHOWN:
        density = np.maximum(density, source.texels_per_m2(slot))
    plain = density * source.areas_m2 < FEWEST_TEXELS
    floor = (PLAIN_ACROSS / max(diagonal_m, 1e-300)) ** 2
    wanted = np.where(plain, np.maximum(density, floor), FINER**2 * density)
    area = float(source.areas_m2.sum())
    return math.sqrt(float((wanted * source.areas_m2).sum()) / area)


def _largest_side(model: Model) -> int:
    sides = [
        max(getattr(material, slot).pixels.shape[:2])
        for material in model.materials
        for slot in SHOWN
        if getattr(material, slot) is not None
    ]
    return max(sides, default=1)


def _decimated(
    surface: Surface, weights: Weights, marked: np.ndarray | None, config: Config, ctx: Context
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
            locked=weights.locked,
            importance=weights.of_vertices,
            shown=weights.shown,
            charts=marked,
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


def _look(config: Config, density: float, ratio: float, model: Model) -> Look:
    """Later levels are for farther away: each face keeps its number of texels."""
    share = math.sqrt(min(ratio, 1.0))
    size_px = config.texture_px
    if size_px is not None:
        halvings = int(-math.log2(share) + 1e-9)
        size_px = min(max(size_px >> halvings, config.min_texture_px), size_px)
    largest = 2 ** math.ceil(math.log2(_largest_side(model)))
    return Look(
        texture_px=size_px,
        texels_per_m=density * share,
        smallest_px=config.min_texture_px,
        largest_px=max(LARGEST_AUTO_PX, largest, config.min_texture_px),
        gutter_px=config.gutter_px,
        normal_map=config.normal_map,
        vertex_colors=config.vertex_colors,
    )


def _dressed(
    source: Appearance, decimation: Decimation, level: int, look: Look, config: Config, ctx: Context
) -> Model:
    if config.keep_uvs:
        made = keep_uvs(source, decimation, level, ctx.threads)
    else:
        made = clothe(source, decimation, level, look, ctx.threads)
    if not config.shape.fit or config.errors:
        return made
    positions = decimation.levels[level].positions
    moved = grown(decimation, level, source.model) - positions
    return replace(made, positions=made.positions + moved[places(positions, made.positions)])


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
    return any(getattr(material, slot) is not None for slot in SHOWN)


def _save_index(levels: list[Level], path: Path) -> None:
    lines = [asdict(level) for level in levels]
    document: dict[str, Any] = {"kind": "lods/1", "lods": lines}
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
