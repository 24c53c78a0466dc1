"""The stage's work: splats and perhaps cameras in, a colored mesh out."""

import json
from pathlib import Path

import numpy as np
from jaxtyping import Int

from ...pipeline.contract import Context, replacing
from ...pipeline.errors import InputError
from ..formats import gltf, splats
from ..geometry.activation import activate
from ..geometry.components import (
    Surface,
    canonical,
    compact,
    components,
    joined,
    report,
    taubin,
    vertex_normals,
)
from ..geometry.decimation import decimate
from . import Config, Inputs, views
from .backdrop import backdrop
from .coloring import vertex_colors
from .extractors import extractor
from .shapes import shapes_of
from .task import Region, Task
from .witness import borne_out, without_patches

SMOOTHING = 50
"""Iterations, for captured scenes; before decimation, so that no faces are spent on bumps."""
WHOLE = ("poisson", "tsdf-contracted", "tets")
"""Methods that are to show all that a captured scene shows."""
CLOSING = ("poisson", "tets")
"""Methods that span what nobody saw."""


def extract(inputs: Inputs, config: Config, ctx: Context) -> tuple[Path, Path]:
    """Mesh and report."""
    raw = splats.load(inputs.splats.path)
    if not len(raw):
        raise InputError(f"{inputs.splats.path}: holds no Gaussians.")
    scene = activate(raw)
    if inputs.capture is not None and inputs.cameras is not None:
        raise InputError("surface: give a capture or a camera file, not both.")
    if inputs.capture is not None:
        cameras, region = views.of_capture(inputs.capture, config.views)
    elif inputs.cameras is not None:
        cameras, region = views.of_file(inputs.cameras, config.views)
    else:
        cameras, region = views.around(scene, config.views)
    looks = views.look_from(scene, cameras, config.views, ctx)
    task = Task(scene, shapes_of(scene), looks, region, config, ctx)
    surface = canonical(_seen(extractor(config.method)(task), task))
    surface, removed = keep_largest(surface, most=config.max_parts, fewest=config.min_part_faces)
    if not len(surface.faces):
        raise InputError(
            f"No surface: all parts have fewer than {config.min_part_faces} triangles. Lower "
            f"min_part_faces, or try another method."
        )
    surface = taubin(surface, iterations=_smoothing(config, region))
    if _has_backdrop(config, region):
        surface = canonical(joined([surface, backdrop(surface, task)]))
    extracted = len(surface.faces)
    if config.target_faces is not None and extracted > config.target_faces:
        surface = decimate(surface, target_faces=config.target_faces)
    mesh = gltf.Mesh(
        positions=surface.positions.astype(np.float32),
        faces=surface.faces,
        normals=vertex_normals(surface).astype(np.float32),
        colors=vertex_colors(surface.positions, task),
        double_sided=not region.is_object,
    )
    about = {
        "method": config.method,
        "views": len(cameras),
        "up_axis": raw.sidecar.up_axis,
        "extracted_faces": extracted,
        "removed_parts": removed,
    }
    path = gltf.save(mesh, ctx.out / "mesh.glb")
    return path, _reported(surface, about, ctx)


def _seen(surface: Surface, task: Task) -> Surface:
    """What the views of a captured scene bear out, where the method makes more than that."""
    tolerance = task.config.witness_tolerance
    if task.region.is_object or task.config.method not in CLOSING or tolerance is None:
        return surface
    kept = borne_out(surface, task.looks, tolerance=tolerance, threads=task.ctx.threads)
    left = without_patches(surface, kept, fewest=task.config.min_part_faces)
    task.ctx.log.info("%d of %d faces are seen", len(left.faces), len(surface.faces))
    return left


def _has_backdrop(config: Config, region: Region) -> bool:
    if config.backdrop is not None:
        return config.backdrop
    return not region.is_object and config.method in WHOLE


def _smoothing(config: Config, region: Region) -> int:
    if config.smoothing is not None:
        return config.smoothing
    return 0 if region.is_object or config.method == "sugar" else SMOOTHING


def keep_largest(surface: Surface, *, most: int, fewest: int) -> tuple[Surface, int]:
    """The parts with the most faces, and how many others were removed."""
    labels: Int[np.ndarray, " f"] = components(surface)
    sizes = np.bincount(labels)
    order = np.argsort(-sizes, kind="stable")[:most]
    kept = np.zeros(len(sizes), bool)
    kept[order] = sizes[order] >= fewest
    left = compact(Surface(surface.positions, surface.faces[kept[labels]]))
    return left, int((~kept).sum())


def _reported(surface: Surface, about: dict, ctx: Context) -> Path:
    found = report(surface)
    ctx.log.info(
        "%d faces, %d vertices, %d parts (%d small ones removed), %s",
        found.faces, found.vertices, found.components, about["removed_parts"],
        "watertight" if found.watertight else "open",
    )  # fmt: skip
    document = about | {
        "faces": found.faces,
        "vertices": found.vertices,
        "parts": found.components,
        "watertight": found.watertight,
    }
    path = ctx.out / "report.json"
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    return path
