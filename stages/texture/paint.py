"""The texture stage's work: render, project, blend, complete, save."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from ...pipeline.contract import Context
from ..artifacts import MeshFile, SplatsFile
from ..encoding import uses
from ..formats import gltf, pictures, splats
from ..geometry.activation import activate
from ..geometry.atlas import atlas, texels
from ..geometry.bake import Maps, bake, fill, spread
from . import Config
from .blend import Rules, blend
from .learn import learn
from .views import around, depth_maps, render_views

SLIVER = 1e-3
"""Share of unseen texels from which on the log warns."""


def paint(mesh_file: MeshFile, splats_file: SplatsFile, config: Config, ctx: Context) -> Path:
    """Make `textured.glb` in `ctx.out`."""
    scene = activate(splats.load(splats_file.path))
    mesh = gltf.load(mesh_file.path)
    unwrapped = atlas(mesh, config.texture_size_px, config.gutter_px)
    places = texels(unwrapped)
    size = (config.render_size_px, config.render_size_px)
    cameras, radius_m = around(mesh.positions, config.views, config.fovy_deg, size)
    shots = render_views(scene, cameras, ctx)
    depths = depth_maps(mesh, cameras, ctx.threads)
    rules = Rules(
        sharpness=config.sharpness,
        min_cosine=config.min_cosine,
        min_alpha=config.min_alpha,
        edge_px=config.edge_px,
        outlier=config.outlier,
        tolerance_m=0.01 * radius_m,
    )
    maps = bake(places, lambda p, n, _: blend(p, n, shots, depths, cameras, rules, ctx.threads))
    if config.method == "field":
        field = learn(shots, depths, cameras, rules, ctx)
        if field is not None:  # What no view sees is continued from what is seen, as always.
            maps = Maps(bake(places, uses.source(field)).values, maps.valid)
    seen = float(maps.valid[places.rows, places.columns].mean())
    ctx.log.info(
        "texture %d px, %d charts, %.1f %% of the texels used, %.1f %% of them seen",
        config.texture_size_px,
        unwrapped.charts,
        100 * places.inside.mean() * len(places.rows) / config.texture_size_px**2,
        100 * seen,
    )
    if not maps.valid.any():
        ctx.log.warning("no view shows the mesh where the splats cover it; the texture is gray")
        maps = bake(places, lambda p, _n, _f: (np.full((len(p), 3), 0.5, np.float32), all_of(p)))
    whole = fill(spread(places, maps, normal_m=0.5 * radius_m))
    painted = replace(unwrapped.mesh, base_color=pictures.to_bytes(whole), colors=None)
    return gltf.save(painted, ctx.out / "textured.glb")


def all_of(points: np.ndarray) -> np.ndarray:
    return np.ones(len(points), bool)
