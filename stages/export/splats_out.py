"""Splats as glTF, USD or PLY."""

from dataclasses import replace
from pathlib import Path

from ...pipeline.errors import InputError
from ..formats import gltf_splats, splats, usd_splats
from ..formats.ply_header import read_header
from ..formats.splats import RawSplats, Sidecar
from ..geometry.activation import activate
from ..scene.affine import carried
from ..scene.placing import frame_transform
from .job import Job

SPLAT_FORMATS = ("ply", "gltf-splats", "usd-splats")


def is_splats(path: Path) -> bool:
    """Whether a PLY holds Gaussians rather than triangles."""
    if path.suffix.lower() != ".ply":
        return False
    try:
        return {"f_dc_0", "opacity", "rot_0"} <= set(read_header(path).types)
    except InputError:
        return False  # Whoever reads it as a mesh will say what is wrong.


def deliver_splats(path: Path, job: Job) -> list[Path]:
    """Write the one file, in the format's axes and units. Returns the files."""
    raw = splats.load(path)
    if job.config.from_up is not None:
        raw = replace(raw, sidecar=replace(raw.sidecar, up_axis=job.config.from_up))
    target = job.path()
    if raw.sidecar.antialiased:
        job.say("it was trained with antialiasing, which only a viewer that is told so can show")
    if job.format == "ply":
        written = splats.save(raw, target)
        beside = splats.sidecar_path(written)
        return [written, *([beside] if beside.exists() else [])]
    if job.format == "gltf-splats":
        turned = upright(raw, "y", 1.0)
        return [gltf_splats.save(_activated(turned), target, job.name)]
    if raw.sidecar.color_space == "linear":
        job.say("its colors are linear, which USD's splats cannot say")
    turned = _activated(upright(raw, job.up, job.unit_m))
    return [usd_splats.save(turned, target, job.name, up=job.up, meters_per_unit=job.unit_m)]


def upright(raw: RawSplats, up: str, meters_per_unit: float) -> RawSplats:
    """The splats in other axes and units; their spherical harmonics turn with them."""
    wanted = replace(raw.sidecar, up_axis=f"+{up}", meters_per_unit=meters_per_unit)
    if wanted == raw.sidecar:
        return raw
    own: Sidecar = raw.sidecar
    return replace(carried(raw, frame_transform(own, wanted)), sidecar=wanted)


def _activated(raw: RawSplats):
    return replace(activate(raw), color_space=raw.sidecar.color_space)
