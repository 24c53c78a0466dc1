"""The stage's work: splats file in, `mesh.glb` out."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from ...pipeline.contract import Context
from ...pipeline.errors import InputError
from ...renderers.choose import named
from ...renderers.scene import Cameras, Gaussians
from ..artifacts import SplatsFile
from ..formats import gltf, splats
from ..geometry.activation import activate
from ..geometry.components import (
    Report,
    Surface,
    canonical,
    keep_large,
    report,
    taubin,
    vertex_normals,
)
from ..geometry.concurrency import in_order
from ..geometry.decimation import Rules, decimate
from ..geometry.framing import Ball, bounding_ball, centered, spread_cameras
from . import Config
from .fusion import Fusion, Grid, blur
from .level import Fit, best_level

Maps = Float[np.ndarray, "camera height width"]


def mesh_splats(file: SplatsFile, config: Config, ctx: Context) -> Path:
    """Everything from the PLY to the GLB."""
    scene = load_scene(file.path)
    ball = bounding_ball(scene, outlier_share=config.outlier_share)
    cameras = spread_cameras(ball.radius_m, views=config.views, size_px=config.render_size_px)
    depths = depth_maps(centered(scene, ball), cameras, config, ctx)
    surface = extract(depths, cameras, ball, config, ctx)
    if len(surface.faces) > config.max_faces:
        surface = decimate(surface, target_faces=config.max_faces, rules=Rules(keep_topology=True))
    _log(report(surface), ctx)
    mesh = gltf.Mesh(
        positions=surface.positions.astype(np.float32),
        faces=surface.faces,
        normals=vertex_normals(surface).astype(np.float32),
    )
    return gltf.save(mesh, ctx.out / "mesh.glb")


def load_scene(path: Path) -> Gaussians:
    """The splats of a file, in metres with +Y up, for geometry: without color."""
    raw = splats.load(path)
    sidecar = raw.sidecar
    if sidecar.up_axis != "+y" or sidecar.meters_per_unit != 1.0:
        raise InputError(
            f"{path}: its sidecar says up is {sidecar.up_axis} and a unit is "
            f"{sidecar.meters_per_unit:g} m; mesh wants +y up and metres. Convert the file first."
        )
    return activate(raw)


def depth_maps(scene: Gaussians, cameras: Cameras, config: Config, ctx: Context) -> Maps:
    """Median depth per view, 0 where less than `alpha_threshold` is covered.

    Always on the CPU: gsplat makes no median depth.
    """
    render = named("cpu")

    def one(view: int) -> np.ndarray:
        with torch.no_grad():
            frames = render(scene, select(cameras, view), frozenset({"alpha", "median_depth"}))
        assert frames.alpha is not None and frames.median_depth is not None
        covered = frames.alpha[0, ..., 0] >= config.alpha_threshold
        return torch.where(covered, frames.median_depth[0, ..., 0], 0.0).numpy()

    with ctx.progress("depth maps", config.views) as bar:
        maps = []
        for depth in in_order(one, range(config.views), threads=ctx.threads):
            maps.append(depth)
            bar.advance()
    found = np.stack(maps)
    if not (found > 0).any():
        raise InputError(
            f"No surface: nowhere in {config.views} views do the splats cover a pixel to "
            f"{config.alpha_threshold:.0%}. They are too faint or too small: train them longer, "
            "or look at them first with `pipeline render`."
        )
    return found


def select(cameras: Cameras, view: int) -> Cameras:
    """One camera of many."""
    return Cameras(
        cameras.world_to_camera[view : view + 1],
        cameras.focal_px[view : view + 1],
        cameras.center_px[view : view + 1],
        cameras.width_px,
        cameras.height_px,
    )


def extract(depths: Maps, cameras: Cameras, ball: Ball, config: Config, ctx: Context) -> Surface:
    """The fused, smoothed surface without floaters, in world coordinates and canonical order."""
    grid = Grid(radius_m=ball.radius_m, resolution=config.resolution)
    fusion = Fusion(grid, truncation_voxels=config.truncation_voxels)
    with ctx.progress("fusing depth", len(depths)) as bar:
        for view, depth in enumerate(depths):
            fusion.integrate(depth, cameras, view)
            bar.advance()
    field = blur(fusion.distances(min_views=config.min_views), voxels=config.blur_voxels)
    level = 0.0
    if config.fit_silhouettes:
        fits = best_level(field, fusion, depths > 0, cameras)
        level = max(fits, key=lambda fit: fit.overlap).level
        _log_levels(fits, level, ctx)
    surface, removed = keep_large(
        canonical(fusion.surface(field - level)), min_share=config.min_component_share
    )
    if not len(surface.faces):
        raise InputError(
            f"No surface: nothing of the splats is thicker than a voxel ({grid.voxel_m:.2g} m). "
            "Raise mesh.resolution or lower mesh.blur_voxels."
        )
    ctx.log.info("%d floating or hidden parts removed", removed)
    surface = taubin(surface, iterations=config.smoothing_iterations)
    return canonical(Surface(surface.positions + ball.center, surface.faces))


def _log_levels(fits: list[Fit], level: float, ctx: Context) -> None:
    tried = ", ".join(
        f"{fit.level:+.3f}: {fit.overlap:.3f}" for fit in sorted(fits, key=lambda fit: fit.level)
    )
    ctx.log.info(
        "surface taken at level %+.3f of the distance field; silhouette overlap by level: %s",
        level,
        tried,
    )


def _log(found: Report, ctx: Context) -> None:
    ctx.log.info(
        "%d faces, %d vertices, %d part%s, %s, volume %.4g m^3",
        found.faces,
        found.vertices,
        found.components,
        "" if found.components == 1 else "s",
        "watertight" if found.watertight else "NOT watertight",
        found.volume_m3,
    )
