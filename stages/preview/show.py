"""The stage's work: pictures, films and `index.json` into one directory."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline.contract import Context, replacing
from ...pipeline.errors import InputError
from ..formats import cameras as camera_files
from ..formats import gltf, pictures, splats
from ..geometry.activation import activate
from ..geometry.components import Surface, report, weld
from ..geometry.likeness import (
    Pair,
    around,
    directions,
    likeness,
    mesh_scene,
    middle,
    over,
    pair,
)
from . import Config, Inputs
from .contact import Row, beside, contact_sheet
from .shots import Shot, mesh_pictures, shoot

LOD_AZIMUTH_DEG, LOD_ELEVATION_DEG = 30.0, 15.0


def show(inputs: Inputs, config: Config, ctx: Context) -> Path:
    """Make everything in `ctx.out`; returns that directory."""
    out = ctx.out
    raw = splats.load(inputs.splats.path)
    mesh = gltf.load(inputs.mesh.path)
    scene = pair(activate(raw), mesh)
    toward = directions(config.views)
    views = around(toward, scene.radius_m, config.size_px)
    camera_files.save(views, out / "cameras.json")
    shots = shoot(scene, views, ctx, "views")
    found = likeness((shot.splats, shot.mesh) for shot in shots)
    figures = {"mesh": describe(mesh), "splats": len(raw), "likeness": asdict(found)}
    figures["likeness"] |= {"views": config.views, "size_px": config.size_px}
    ctx.log.info(
        "the mesh looks like the splats to %.2f dB PSNR (%d views)", found.psnr_db, config.views
    )
    each = [likeness([(shot.splats, shot.mesh)]).psnr_db for shot in shots]
    levels = _levels(inputs, config, scene, mesh)
    pictures.save(_sheet(shots, toward, each, levels, figures, config), out / "contact_sheet.png")
    if config.frames:
        _turntables(scene, config, ctx, out)
    entries = [
        {"azimuth_deg": azimuth, "elevation_deg": elevation, "psnr_db": psnr_db}
        for (azimuth, elevation), psnr_db in zip(toward, each, strict=True)
    ]
    _save_index({**figures, "views": entries}, config, out)
    return out


def describe(mesh: gltf.Mesh) -> dict[str, Any]:
    """Counts of one mesh."""
    surface = report(weld(Surface(mesh.positions, mesh.faces)))
    return {
        "faces": len(mesh.faces),
        "vertices": len(mesh.positions),
        "components": surface.components,
        "watertight": surface.watertight,
        "texture_px": 0 if mesh.base_color is None else max(mesh.base_color.shape[:2]),
    }


def _sheet(
    shots: list[Shot],
    toward: list[tuple[float, float]],
    each_db: list[float],
    levels: Row | None,
    figures: dict[str, Any],
    config: Config,
) -> np.ndarray:
    def on(items: list[np.ndarray]) -> list[np.ndarray]:
        return [over(item, config.background) for item in items]

    rows = [
        Row("splats", on([shot.splats for shot in shots])),
        Row("mesh", on([shot.mesh for shot in shots]), [f"{one:.1f} dB" for one in each_db]),
        Row("surface", on([shot.clay for shot in shots])),
    ]
    if levels is not None:
        rows.append(levels)
    mesh = figures["mesh"]
    footer = (
        f"{figures['splats']:,} splats  |  {mesh['faces']:,} faces, texture "
        f"{mesh['texture_px']} px, {'watertight' if mesh['watertight'] else 'not watertight'}  |  "
        f"PSNR {figures['likeness']['psnr_db']:.2f} dB"
    )
    columns = [f"{azimuth:.0f}°, {elevation:+.0f}°" for azimuth, elevation in toward]
    return contact_sheet(
        rows, columns, "Splats and the mesh made of them", footer, config.background
    )


def _levels(inputs: Inputs, config: Config, scene: Pair, mesh: gltf.Mesh) -> Row | None:
    """The levels of detail, all from one side, colored and as clay in turn."""
    if inputs.lods is None:
        return None
    camera = around([(LOD_AZIMUTH_DEG, LOD_ELEVATION_DEG)], scene.radius_m, config.size_px)
    cells, captions = [], []
    for path in _lod_files(inputs.lods.path):
        level = gltf.load(path)
        flat, bare = mesh_pictures(mesh_scene(level, middle(mesh)), camera)
        cells += [over(flat, config.background), over(bare, config.background)]
        captions += [f"{len(level.faces):,} faces", ""]
    return Row("levels", cells, captions)


def _lod_files(directory: Path) -> list[Path]:
    path = directory / "index.json"
    try:
        names = [entry["file"] for entry in json.loads(path.read_text("utf-8"))["lods"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: no index of levels of detail ({error!r}).") from None
    for name in names:
        if not isinstance(name, str) or Path(name).name != name:
            raise InputError(f"{path}: a level's file must be a plain name, got {name!r}.")
    return [directory / name for name in names]


def _turntables(scene: Pair, config: Config, ctx: Context, out: Path) -> None:
    """One turn, splats on the left, mesh on the right, as MP4 and WebP."""
    turn = around(
        [(360.0 * frame / config.frames, config.elevation_deg) for frame in range(config.frames)],
        scene.radius_m,
        config.turntable_size_px,
    )
    frames = [
        beside(
            over(shot.splats, config.background), over(shot.mesh, config.background),
            ("splats", "mesh"),
        )
        for shot in shoot(scene, turn, ctx, "turntable")
    ]  # fmt: skip
    pictures.save_video(frames, out / "turntable.mp4", fps=config.fps)
    pictures.save_animation(frames, out / "turntable.webp", fps=config.fps)


def _save_index(figures: dict[str, Any], config: Config, out: Path) -> None:
    names = sorted(path.name for path in out.iterdir())
    document = {"kind": "preview/1", "background": config.background, "files": names, **figures}
    with replacing(out / "index.json") as temporary:
        temporary.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
