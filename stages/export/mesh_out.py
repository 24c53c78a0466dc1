"""A mesh, with its levels of detail, in each of the formats."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from ...pipeline.contract import Context
from ...pipeline.errors import ConfigError, InputError
from ..artifacts import LodsDir
from ..formats import fbx, gltf, gltf_model, obj_files, stl, usd_files, wild
from ..formats.asset import Asset, Level, Look, Picture
from ..formats.model import COLOR_SLOTS, SLOTS, Model
from ..scene.placing import axis_vector, turn_between
from .corners import as_level, placed, with_frames, with_layers
from .hulls import convex_hull
from .job import Job
from .looks import Shelf, Style, look, resized, unit_length
from .names import distinct, prefixed
from .paint import save_painted
from .profiles import EVERYTHING, PROFILES, USD
from .settings import Axis
from .write import lod_files

OUR_OWN = "asset"
"""What our writers call a material without a name; alone, it is called like the asset."""
TOLERANCE = 1e-5
"""How far a place may be off after reading back, relative to the size of the asset."""


def deliver_mesh(path: Path, lods: LodsDir | None, job: Job, ctx: Context) -> list[Path]:
    """Write the mesh with its levels of detail. Returns the files, the main one first."""
    levels = _read(path, lods, job)
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


def _read(path: Path, lods: LodsDir | None, job: Job) -> list[Model]:
    """All levels, finest first."""
    paths = [path]
    if lods is not None:
        paths += lod_files(lods.path)
        if len(paths) > 1 and paths[1].read_bytes() == path.read_bytes():
            del paths[1]  # The directory begins with the mesh itself.
    levels = []
    for one in paths:
        model = turned(wild.read(one), job.config.from_up, one)
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


def turned(model: Model, up: Axis | None, path: Path) -> Model:
    """The mesh with its axis `up` turned to +Y."""
    if up is None or up == "+y":
        return model
    if model.rig is not None:
        raise InputError(f"{path}: has a skeleton, so that --from-up {up} cannot turn it.")
    turn = turn_between(axis_vector(up), axis_vector("+y"))

    def vectors(rows: np.ndarray | None) -> np.ndarray | None:
        if rows is None:
            return None
        return np.concatenate([rows[:, :3] @ turn.T, rows[:, 3:]], axis=1).astype(rows.dtype)

    return replace(
        model,
        positions=model.positions @ turn.T,
        normals=vectors(model.normals),
        tangents=vectors(model.tangents),
    )


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
        for slot in SLOTS:
            texture = getattr(material, slot)
            if texture is None:
                continue
            key = id(texture.pixels)
            if key not in shrunk:
                small = resized(texture.pixels, style, color=slot in COLOR_SLOTS)
                averaged = slot == "normal" and small is not texture.pixels
                shrunk[key] = unit_length(small[..., :3]) if averaged else small
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
    materials, layers = with_layers(model)
    profile, style = PROFILES[job.tool], _style(job)
    named = distinct([one.name or "Material" for one in materials], "Material")
    used = [k for k in range(len(materials)) if (model.face_materials == k).any()]
    if [materials[k].name for k in used] in ([""], [OUR_OWN]):
        named[used[0]] = job.stem
    else:
        _say_renamed([(materials[k].name, named[k]) for k in used], job)
    looks: list[Look] = []
    for k in used:
        part = "" if len(used) == 1 else f"_{named[k]}"
        stem = f"{profile.texture_prefix}{job.stem}{part}{suffix}"
        title = prefixed(profile.material_prefix, named[k])
        looks.append(look(materials[k], f"{title}{suffix}", stem, style, shelf))
    if job.format == "obj" and any(m.layer for one in looks for m in one.maps.values()):
        job.say("OBJ has one set of texture coordinates; maps on another one will lie wrong")
    number = np.full(len(materials), -1)
    number[used] = np.arange(len(used))
    model = replace(model, face_materials=number[model.face_materials])
    level, lost = as_level(model, tuple(looks), layers, job.up, job.unit_m)
    if lost:
        job.say(f"{lost} faces without area are left out")
    if not len(level.faces):
        raise InputError("all faces are degenerate; there is no surface.")
    if model.colors is not None:
        textured = any(one.base_color is not None for one in materials)
        job.say(
            "its vertex colors are kept, but tools will not multiply them with the texture"
            if textured
            else "its colors are at the vertices, which the tool's material must be told to show"
        )
    return level


def _say_renamed(pairs: list[tuple[str, str]], job: Job) -> None:
    changed = [(old, new) for old, new in pairs if old and old != new]
    if changed:
        old, new = changed[0]
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        job.say(f"material {old!r} is called {new}{more}, as not all tools take its name")


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
        up=job.up,
        meters_per_unit=job.unit_m,
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
    if job.format == "stl":
        job.say("STL holds neither materials nor units")
        return [stl.save(placed(model.positions, job.up) / job.unit_m, model.faces, path)]
    if any(one.base_color is not None for one in model.materials):
        job.say("PLY holds colors at the vertices, not textures")
    return [save_painted(model, path, job.up, job.unit_m)]


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
    wanted = _bounds(placed(model.positions, job.up) / job.unit_m, model.faces)
    off = np.abs(_bounds(found.positions, found.faces) - wanted).max()
    if off > TOLERANCE * max(np.ptp(wanted, axis=0).max(), np.abs(wanted).max()):
        raise RuntimeError(f"{path.name} does not hold what was written: off by {off:.3g}")


def _bounds(
    positions: Float[np.ndarray, "vertex 3"], faces: Int[np.ndarray, "face 3"]
) -> Float[np.ndarray, "2 3"]:
    """Of the faces whose corners are three places; others may have been left out."""
    corners = positions[faces].astype(np.float64)
    whole = (corners != np.roll(corners, 1, axis=1)).any(axis=-1).all(axis=1)
    shown = corners[whole].reshape(-1, 3)
    return np.stack([shown.min(axis=0), shown.max(axis=0)])
