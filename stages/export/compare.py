"""Does the exported mesh look like the splats? The same cameras, both renderers, one figure."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ...pipeline.contract import Context
from ...renderers import meshes
from ...renderers.choose import splat_renderer
from ..formats.gltf import Mesh
from ..formats.splats import RawSplats
from ..geometry.activation import activate
from ..geometry.orbit import look_at_origin
from . import Config

ELEVATIONS_DEG = (-15.0, 15.0, 45.0, 15.0)
"""Taken in turn, one per view around the object."""
FOVY_DEG = 40.0


def compare(mesh: Mesh, raw: RawSplats, config: Config, ctx: Context) -> dict[str, Any]:
    """PSNR over the views on white, and the mean color error where both are opaque."""
    center = (mesh.positions.min(axis=0) + mesh.positions.max(axis=0)) / 2
    radius = max(float(np.linalg.norm(mesh.positions - center, axis=1).max()), 1e-6)
    count, size = config.compare_views, config.compare_size_px
    cameras = look_at_origin(
        [360.0 * index / count for index in range(count)],
        [ELEVATIONS_DEG[index % len(ELEVATIONS_DEG)] for index in range(count)],
        distance_m=1.05 * radius / math.sin(math.radians(FOVY_DEG) / 2),
        fovy_deg=FOVY_DEG,
        size_px=(size, size),
    )
    # Rather than the cameras, both scenes are moved to the origin.
    placed = activate(raw)
    placed = replace(placed, means=placed.means - torch.from_numpy(center))
    with torch.no_grad():
        splats = splat_renderer("cpu")(placed, cameras)
    solid = meshes.render(
        meshes.MeshScene(
            vertices=mesh.positions - center,
            faces=mesh.faces,
            uvs=mesh.uvs,
            texture=mesh.base_color,
            vertex_colors=mesh.colors,
        ),
        cameras,
        nthreads=ctx.threads,
    )
    found = likeness(splats.rgb, splats.alpha, solid.rgb, solid.alpha)
    ctx.log.info(
        "exported mesh against splats, %d views: PSNR %.2f dB (%s dB inside), "
        "mean color error %s of 255",
        count,
        found["psnr_db"],
        found["inner_psnr_db"],
        found["color_error_255"],
    )
    return found


def likeness(
    rgb: torch.Tensor, alpha: torch.Tensor, other_rgb: torch.Tensor, other_alpha: torch.Tensor
) -> dict[str, Any]:
    """Two sets of premultiplied pictures, compared on white.

    `psnr_db` is over everything, silhouettes too, where splats are wider than what they cover by
    the renderer's own blur of 0.55 px. `inner_psnr_db` and `color_error_255`, the mean signed
    difference per channel, are over the pixels where both are opaque; `None` without such pixels.
    """
    first, second = (
        picture.double() + 1 - cover.double()
        for picture, cover in ((rgb, alpha), (other_rgb, other_alpha))
    )
    solid = ((alpha > 0.99) & (other_alpha > 0.99))[..., 0]
    inner = (first - second)[solid]
    errors = (inner.mean(dim=0) * 255).tolist() if len(inner) else None
    return {
        "psnr_db": _psnr_db(first - second),
        "inner_psnr_db": _psnr_db(inner) if len(inner) else None,
        "color_error_255": None if errors is None else [round(value, 3) for value in errors],
        "views": len(rgb),
    }


def _psnr_db(difference: torch.Tensor) -> float:
    """At most 100."""
    return round(-10 * math.log10(max((difference**2).mean().item(), 1e-10)), 3)
