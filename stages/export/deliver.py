"""The work of `export-dcc`: read, make ready, write, read back, and say what was lost."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ...pipeline.contract import Context, replacing, sync
from ...pipeline.errors import ConfigError, InputError
from ..formats import fbx, gltf, gltf_model, obj_files, stl, usd_files, wild
from ..formats.asset import Asset, Level, Look, Picture
from ..formats.model import Model
from .corners import as_level, levels_layers, placed, with_frames
from .dcc import Config, Format, Inputs, Tool
from .hulls import convex_hull
from .looks import Shelf, Style, look, resized
from .names import clean, distinct, prefixed
from .paint import save_painted
from .profiles import EVERYTHING, PROFILES, USD, unit_m, up_axis
from .splats_out import SPLAT_FORMATS, deliver_splats, is_splats
from .write import lod_files

TOLERANCE = 1e-5
"""How far a place may be off after reading back, relative to the size of the asset."""
ENDINGS: dict[str, str] = {"usd-splats": ".usdc", "gltf-splats": ".glb"}


@dataclass(slots=True)
class Job:
    """One export on its way."""

    config: Config
    format: Format
    out: Path
    name: str
    """As the tool shall call it."""
    stem: str
    """What the textures are named after."""
    remarks: list[str] = field(default_factory=list)

    @property
    def tool(self) -> Tool:
        return self.config.tool

    def path(self, suffix: str = "") -> Path:
        """Where the file goes; `suffix` tells levels apart."""
        if self.config.file is not None:
            return self.out / self.config.file
        ending = ENDINGS.get(self.format, f".{self.format}")
        return self.out / f"{self.name}{suffix}{ending}"

    def say(self, remark: str) -> None:
        if remark not in self.remarks:
            self.remarks.append(remark)


def deliver(inputs: Inputs, config: Config, ctx: Context) -> Path:
    """Write the files into `ctx.out`, with an `index.json` that lists them. Returns `ctx.out`."""
    path = inputs.scene.path
    splats = is_splats(path)
    profile = PROFILES[config.tool]
    format = config.format or (profile.splat_format if splats else profile.mesh_format)
    if splats and format in ("glb", "usd", "usda", "usdc"):
        format = "gltf-splats" if format == "glb" else "usd-splats"
    name = clean(config.name)
    job = Job(config, format, ctx.out, prefixed(profile.mesh_prefix, name), name)
    if splats:
        job = replace(job, name=name)
    if name != config.name:
        job.say(f"it is called {name}, since {config.name!r} is no name that all tools take")
    _check_combination(splats, inputs, job)
    files = deliver_splats(path, job) if splats else _deliver_mesh(path, inputs, job, ctx)
    index = {
        "kind": "export/1",
        "for": config.tool,
        "format": format,
        "up_axis": f"+{up_axis(config.tool, format)}",
        "meters_per_unit": unit_m(config.tool, format),
        "files": {str(one.relative_to(ctx.out)): one.stat().st_size for one in files},
        "remarks": job.remarks,
    }
    with replacing(ctx.out / "index.json") as temporary:
        temporary.write_text(json.dumps(index, indent=1) + "\n", "utf-8")
    sync(ctx.out)
    for remark in job.remarks:
        ctx.log.warning("%s: %s", path.name, remark)
    return ctx.out


def _check_combination(splats: bool, inputs: Inputs, job: Job) -> None:
    if splats and job.format not in SPLAT_FORMATS:
        raise ConfigError(
            f"--format {job.format}: holds no splats. Choose {', '.join(SPLAT_FORMATS)}, or make a "
            "mesh of them first: pipeline step mesh."
        )
    if splats and inputs.lods is not None:
        raise ConfigError("--lods: levels of detail belong to a mesh; these are splats.")
    if not splats and job.format in ("gltf-splats", "usd-splats"):
        raise ConfigError(f"--format {job.format}: needs splats; {inputs.scene.path} is a mesh.")
    if job.config.collision != "none" and (job.tool, job.format) != ("unreal", "fbx"):
        raise ConfigError("--collision: hulls go into FBX files for Unreal (--for unreal).")


def _deliver_mesh(path: Path, inputs: Inputs, job: Job, ctx: Context) -> list[Path]:
    levels = _read(path, inputs, job)
    together = job.format == "fbx" or job.format in USD or _in_one_glb(levels, job)
    if len(levels) > 1 and not together and job.config.file is not None:
        raise ConfigError(
            f"--out {job.config.file}: {len(levels)} levels become {len(levels)} {job.format} "
            "files. Name a directory."
        )
    with ctx.progress("export", len(levels)) as bar:
        if job.format == "glb":
            files = _write_glb(levels, job, together, bar)
        elif together:
            asset = _asset(levels, job, bar)
            files = _write_whole(asset, job)
        else:
            files = []
            shelf = Shelf()
            for number, model in enumerate(levels):
                suffix = "" if len(levels) == 1 else f"_LOD{number}"
                files += _write_level(model, suffix, job, shelf)
                bar.advance()
    for number, written in enumerate(p for p in files if p.suffix == job.path().suffix):
        _check(written, levels[number] if not together else levels[0], job)
    return list(dict.fromkeys(files))


def _read(path: Path, inputs: Inputs, job: Job) -> list[Model]:
    """All levels, finest first."""
    paths = [path]
    if inputs.lods is not None:
        paths += lod_files(inputs.lods.path)
        if len(paths) > 1 and paths[1].read_bytes() == path.read_bytes():
            del paths[1]  # The directory begins with the mesh itself.
    levels = []
    for one in paths:
        model = wild.read(one)
        for remark in model.remarks:
            job.say(remark)
        if levels and len(model.faces) >= len(levels[-1].faces):
            raise InputError(
                f"{one}: {len(model.faces)} faces, no fewer than the level before "
                f"({len(levels[-1].faces)}). Levels go from fine to coarse."
            )
        levels.append(model)
    if job.format != "glb" and any(model.rig is not None for model in levels):
        job.say(f"its skeleton is left out, as {job.format} files here hold still meshes; use glb")
    return levels


def _in_one_glb(levels: list[Model], job: Job) -> bool:
    """MSFT_lod is for the web; elsewhere nothing reads it, and skeletons do not fit."""
    rigged = any(model.rig is not None for model in levels)
    return job.format == "glb" and job.tool == "web" and not rigged


def _write_glb(levels: list[Model], job: Job, together: bool, bar) -> list[Path]:
    shrunk: dict[int, np.ndarray] = {}
    style = _style(job)
    ready = []
    for model in levels:
        ready.append(_resized(with_frames(model), style, shrunk))
        bar.advance()
    if together:
        return [gltf_model.save_levels(ready, job.path(), job.name)]
    suffixes = [""] if len(ready) == 1 else [f"_LOD{number}" for number in range(len(ready))]
    return [
        gltf_model.save(model, job.path(suffix), f"{job.name}{suffix}")
        for model, suffix in zip(ready, suffixes, strict=True)
    ]


def _resized(model: Model, style: Style, shrunk: dict[int, np.ndarray]) -> Model:
    """Pictures that are shared stay shared."""
    materials = []
    for material in model.materials:
        changes = {}
        for slot in ("base_color", "metallic_roughness", "normal", "occlusion", "emissive"):
            texture = getattr(material, slot)
            if texture is None:
                continue
            key = id(texture.pixels)
            if key not in shrunk:
                color = slot in ("base_color", "emissive")
                shrunk[key] = resized(texture.pixels, style, color=color)
            changes[slot] = replace(texture, pixels=shrunk[key])
        materials.append(replace(material, **changes))
    return replace(model, materials=tuple(materials))


def _style(job: Job) -> Style:
    profile = PROFILES[job.tool]
    in_usd = job.format in USD
    connects = None
    if job.format == "fbx":
        connects = profile.fbx_connects
    elif job.format == "obj":
        connects = EVERYTHING
    return Style(
        profile=profile,
        packing="separate" if job.format == "obj" else "orm" if in_usd else profile.packing,
        largest_px=job.config.texture_px or profile.texture_px,
        flip_green=profile.flip_green and not in_usd,
        connects=connects,
        gray_opacity=job.format == "obj",
    )


def _level(model: Model, suffix: str, job: Job, shelf: Shelf) -> Level:
    """One level in the axes and units of the file."""
    materials, layers = levels_layers(model)
    profile, style = PROFILES[job.tool], _style(job)
    # The fallback's own index keeps it apart from materials that are called so.
    named = distinct([one.name or "Material" for one in materials], "Material")
    used = [k for k in range(len(materials)) if (model.face_materials == k).any()]
    looks: list[Look] = []
    for k in used:
        part = "" if len(used) == 1 else f"_{named[k]}"
        stem = f"{profile.texture_prefix}{job.stem}{part}{suffix}"
        title = prefixed(profile.material_prefix, job.stem if len(used) == 1 else named[k])
        looks.append(look(materials[k], f"{title}{suffix}", stem, style, shelf))
    if job.format == "obj" and any(m.layer for one in looks for m in one.maps.values()):
        job.say("OBJ has one set of texture coordinates; maps on another one will lie wrong")
    number = np.full(len(materials), -1)
    number[used] = np.arange(len(used))
    model = replace(model, face_materials=number[model.face_materials])
    up, unit = up_axis(job.tool, job.format), unit_m(job.tool, job.format)
    level, lost = as_level(model, tuple(looks), layers, up, unit)
    if lost:
        job.say(f"{lost} faces without area are left out")
    if not len(level.faces):
        raise InputError("all faces are degenerate; there is no surface.")
    textured = any(one.base_color is not None for one in materials)
    if model.colors is not None and textured:
        job.say("its vertex colors are kept, but tools will not multiply them with the texture")
    return level


def _asset(levels: list[Model], job: Job, bar) -> Asset:
    shelf = Shelf()
    made = []
    for number, model in enumerate(levels):
        made.append(_level(model, "" if number == 0 else f"_LOD{number}", job, shelf))
        bar.advance()
    hulls = ()
    if job.config.collision == "hull":
        hull = convex_hull(made[0].places)
        if hull is None:
            job.say("it is flat, so that it gets no collision hull")
        else:
            hulls = (hull,)
    return Asset(
        name=job.name,
        levels=tuple(made),
        hulls=hulls,
        up=up_axis(job.tool, job.format),
        meters_per_unit=unit_m(job.tool, job.format),
    )


def _write_whole(asset: Asset, job: Job) -> list[Path]:
    _say_beside([p for level in asset.levels for one in level.looks for p in one.beside], job)
    if job.format == "fbx":
        embed = job.config.file is not None
        return fbx.save(asset, job.path(), embed=embed, lods=PROFILES[job.tool].fbx_lods)
    return usd_files.save(asset, job.path())


def _write_level(model: Model, suffix: str, job: Job, shelf: Shelf) -> list[Path]:
    path = job.path(suffix)
    if job.format == "obj":
        level = _level(model, suffix, job, shelf)
        _say_beside([p for one in level.looks for p in one.beside], job)
        return obj_files.save(level, path, f"{job.name}{suffix}")
    up, unit = up_axis(job.tool, job.format), unit_m(job.tool, job.format)
    if job.format == "stl":
        job.say("STL holds neither materials nor units")
        return [stl.save(placed(model.positions, up) / unit, model.faces, path)]
    if any(one.base_color is not None for one in model.materials):
        job.say("PLY holds colors at the vertices, not textures")
    return [save_painted(model, path, up, unit)]


def _say_beside(pictures: list[Picture], job: Job) -> None:
    if pictures:
        files = list(dict.fromkeys(one.file for one in pictures))
        shown = ", ".join(files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
        job.say(f"{job.format} has no place for {shown}: connect by hand (docs/dcc.md)")


def _check(path: Path, model: Model, job: Job) -> None:
    """Read back what our own readers understand."""
    if path.suffix.lower() not in wild.ENDINGS:
        return
    found = gltf.load(path) if path.suffix.lower() == ".ply" else wild.read(path)
    up, unit = up_axis(job.tool, job.format), unit_m(job.tool, job.format)
    wanted = placed(model.positions[model.faces.reshape(-1)], up) / unit
    bounds = np.stack([wanted.min(axis=0), wanted.max(axis=0)])
    shown = found.positions[found.faces.reshape(-1)]
    off = np.abs(np.stack([shown.min(axis=0), shown.max(axis=0)]) - bounds).max()
    if off > TOLERANCE * max(np.ptp(bounds, axis=0).max(), np.abs(bounds).max()):
        raise RuntimeError(f"{path.name} does not hold what was written: off by {off:.3g}")
