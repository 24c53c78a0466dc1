"""The work of `export-dcc`: what goes together, who writes it, and the index of what was made."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...pipeline.contract import Context, replacing, sync
from ...pipeline.errors import ConfigError
from ..artifacts import LodsDir
from .job import Job
from .mesh_out import deliver_mesh
from .names import clean, prefixed
from .profiles import PROFILES
from .settings import Config
from .splats_out import SPLAT_FORMATS, deliver_splats, is_splats


def deliver(path: Path, lods: LodsDir | None, config: Config, ctx: Context) -> Path:
    """Write the files of a mesh (and its coarser levels) or of splats into `ctx.out`, with an
    `index.json` that lists them. Returns `ctx.out`."""
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
    _check_combination(path, splats, lods, job)
    files = deliver_splats(path, job) if splats else deliver_mesh(path, lods, job, ctx)
    index: dict[str, Any] = {
        "kind": "export/1",
        "for": config.tool,
        "format": format,
        "files": {str(one.relative_to(ctx.out)): one.stat().st_size for one in files},
        "remarks": job.remarks,
    }
    if not (splats and format == "ply"):  # Which leaves as it came, its sidecar beside it.
        index |= {"up_axis": f"+{job.up}", "meters_per_unit": job.unit_m}
    with replacing(ctx.out / "index.json") as temporary:
        temporary.write_text(json.dumps(index, indent=1) + "\n", "utf-8")
    sync(ctx.out)
    for remark in job.remarks:
        ctx.log.warning("%s: %s", path.name, remark)
    return ctx.out


def _check_combination(path: Path, splats: bool, lods: LodsDir | None, job: Job) -> None:
    if splats and job.format not in SPLAT_FORMATS:
        raise ConfigError(
            f"--format {job.format}: holds no splats. Choose {', '.join(SPLAT_FORMATS)}, or make a "
            "mesh of them first: pipeline step mesh."
        )
    if splats and lods is not None:
        raise ConfigError("--lods: levels of detail belong to a mesh; these are splats.")
    if not splats and job.format in ("gltf-splats", "usd-splats"):
        raise ConfigError(f"--format {job.format}: needs splats; {path} is a mesh.")
    if job.config.collision != "none" and (job.tool, job.format) != ("unreal", "fbx"):
        raise ConfigError("--collision: hulls go into FBX files for Unreal (--for unreal).")
