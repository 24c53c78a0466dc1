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
from . import Config, Inputs
from .contact import Row, beside, contact_sheet
from .likeness import Likeness, likeness, over
from .shots import Shot, Stage, mesh_picture, mesh_scene, orbit, shoot, stage

LOD_AZIMUTH_DEG = 30.0


def show(inputs: Inputs, config: Config, ctx: Context) -> Path:
    """Make everything; returns the directory."""
    out = ctx.out / "preview"
    out.mkdir()
    raw = splats.load(inputs.splats.path)
    mesh = gltf.load(inputs.mesh.path)
    scene = stage(activate(raw), mesh)
    azimuths = [360.0 * view / config.views for view in range(config.views)]
    views = orbit(azimuths, config.elevation_deg, scene.radius_m, config.fovy_deg, config.size_px)
    camera_files.save(views, out / "cameras.json")
    shots = shoot(scene, views, ctx, "views")
    found = [likeness(shot.splats, shot.mesh, config.background) for shot in shots]
    figures = {"mesh": describe(mesh), "splats": len(raw), **summary(found)}
    ctx.log.info(
        "mesh against splats, %d views: PSNR %.2f dB (%.2f dB within the silhouettes), "
        "silhouettes overlap by %.1f %%",
        config.views, figures["psnr_db"], figures["psnr_silhouette_db"],
        100 * figures["silhouette_overlap"],
    )  # fmt: skip
    levels = _levels(inputs, config, scene, mesh)
    sheet = _sheet(shots, azimuths, found, levels, figures, config)
    pictures.save(sheet, out / "contact_sheet.png")
    if config.frames:
        _turntables(scene, config, ctx, out)
    entries = [
        {"azimuth_deg": azimuth, "elevation_deg": config.elevation_deg, **asdict(one)}
        for azimuth, one in zip(azimuths, found, strict=True)
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


def summary(found: list[Likeness]) -> dict[str, float]:
    """Plain means over the views."""
    names = ("psnr_db", "psnr_silhouette_db", "silhouette_overlap")
    return {name: float(np.mean([getattr(one, name) for one in found])) for name in names}


def _sheet(
    shots: list[Shot],
    azimuths: list[float],
    found: list[Likeness],
    levels: Row | None,
    figures: dict[str, Any],
    config: Config,
) -> np.ndarray:
    def on(items: list[np.ndarray]) -> list[np.ndarray]:
        return [over(item, config.background) for item in items]

    rows = [
        Row("splats", on([shot.splats for shot in shots])),
        Row(
            "mesh",
            on([shot.mesh for shot in shots]),
            [f"{one.psnr_db:.1f} dB" for one in found],
        ),
        Row("surface", on([shot.clay for shot in shots])),
    ]
    if levels is not None:
        rows.append(levels)
    mesh = figures["mesh"]
    footer = (
        f"{figures['splats']:,} splats  |  {mesh['faces']:,} faces, texture "
        f"{mesh['texture_px']} px, {'watertight' if mesh['watertight'] else 'not watertight'}  |  "
        f"PSNR {figures['psnr_db']:.2f} dB, within the silhouettes "
        f"{figures['psnr_silhouette_db']:.2f} dB"
    )
    columns = [f"{azimuth:.0f}°" for azimuth in azimuths]
    return contact_sheet(
        rows, columns, "Splats and the mesh made of them", footer, config.background
    )


def _levels(inputs: Inputs, config: Config, scene: Stage, mesh: gltf.Mesh) -> Row | None:
    """The levels of detail, all from one side, colored and as clay in turn."""
    if inputs.lods is None:
        return None
    center = (mesh.positions.min(axis=0) + mesh.positions.max(axis=0)) / 2
    camera = orbit(
        [LOD_AZIMUTH_DEG], config.elevation_deg, scene.radius_m, config.fovy_deg, config.size_px
    )
    cells, captions = [], []
    for path in _lod_files(inputs.lods.path):
        level = gltf.load(path)
        flat, bare = mesh_picture(mesh_scene(level, center), camera)
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


def _turntables(scene: Stage, config: Config, ctx: Context, out: Path) -> None:
    """One turn, splats on the left, mesh on the right, as MP4 and WebP."""
    turn = orbit(
        [360.0 * frame / config.frames for frame in range(config.frames)],
        config.elevation_deg, scene.radius_m, config.fovy_deg, config.turntable_size_px,
    )  # fmt: skip
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
