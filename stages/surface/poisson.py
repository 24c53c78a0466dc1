"""Screened Poisson reconstruction (Kazhdan and Hoppe 2013) of surface points, through Open3D.

A captured scene is reconstructed twice: the cube around what the cameras look at, and all around
it coarsely; each result is cut off at the cube.
"""

import math
from dataclasses import replace

import numpy as np

from ...pipeline.errors import InputError
from ..geometry.components import Surface, compact, joined
from ..geometry.open3d_module import open3d
from .points import Points, surface_points
from .task import Region, Task

PUBLISHED_DEPTH = 10
PUBLISHED_DROP = 0.1
"""Of a captured scene's vertices."""
SCALE = 1.1
"""Of the octree's cube to the points' extent (Open3D's own)."""
SHALLOWEST, DEEPEST = 5, 10
"""Of what is chosen by the Gaussians' size."""
LOOSE = 1
"""Levels by which captured scenes are coarser than their Gaussians."""
FEWEST = 100
"""Points that are worth a reconstruction."""


def from_level(task: Task) -> Surface:
    """SuGaR's own: points on the level set, a fixed depth."""
    depth = task.config.poisson.depth or PUBLISHED_DEPTH
    return _reconstructed(task, surface_points(task, "level"), depth, PUBLISHED_DROP)


def from_ridge(task: Task) -> Surface:
    """Points on the density's ridge; cells as large as the Gaussians, in captured scenes twice as
    large: there each Gaussian would make a bump of its own."""
    depth, coarser = task.config.poisson.depth, 0 if task.region.is_object else LOOSE
    if depth is not None:
        coarser = 0
    return _reconstructed(task, surface_points(task, "ridge"), depth, 0.0, coarser=coarser)


def coarse_from_ridge(task: Task, points: Points, *, levels: int) -> Surface:
    """The same of given points, with cells 2^levels as large as the Gaussians, or as those that the
    settings name, and nothing removed."""
    settings = replace(task.config.poisson, drop_share=0.0)
    whole = replace(task, config=replace(task.config, poisson=settings))
    return _reconstructed(whole, points, settings.depth, 0.0, coarser=levels)


def _reconstructed(
    task: Task, points: Points, depth: int | None, drop_share: float, *, coarser: int = 0
) -> Surface:
    region, settings = task.region, task.config.poisson
    drop = settings.drop_share
    if region.is_object:
        return _surface(task, points, depth, drop or 0.0, coarser)
    drop = drop_share if drop is None else drop
    away = np.abs(points.positions - region.center).max(axis=1) / region.radius_m
    parts = []
    for name, chosen, inside in (
        # Points a little beyond the cut let both parts end in step.
        ("foreground", away < 1.1, True),
        ("background", (away > 0.9) & (away < settings.background_reach), False),
    ):
        if chosen.sum() < FEWEST:
            task.ctx.log.info("%s: only %d points, left out", name, chosen.sum())
            continue
        found = _surface(task, points.where(chosen), depth, drop, coarser)
        parts.append(_cut(found, region, inside, settings.background_reach))
    if not parts:
        raise InputError(
            f"No surface: {len(points)} points were found, none of them near what the cameras "
            f"look at. Do the cameras belong to these splats?"
        )
    return joined(parts)


def _surface(
    task: Task, points: Points, depth: int | None, drop_share: float, coarser: int
) -> Surface:
    o3d = open3d()
    if depth is None:
        depth = adaptive_depth(points, task.shapes.radii)
    if coarser:
        depth = max(depth - coarser, SHALLOWEST)
    cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(points.positions))
    cloud.normals = o3d.utility.Vector3dVector(points.normals)
    # More threads would add up in another order each time.
    mesh, support = o3d.geometry.TriangleMesh.create_from_point_cloud_poisson(
        cloud, depth=depth, scale=SCALE, n_threads=1
    )
    surface = Surface(np.asarray(mesh.vertices).copy(), np.asarray(mesh.triangles).astype(np.int64))
    if drop_share > 0 and len(surface.faces):
        support = np.asarray(support)
        kept = support >= np.quantile(support, drop_share)
        surface = compact(Surface(surface.positions, surface.faces[kept[surface.faces].all(1)]))
    task.ctx.log.info(
        "Poisson, depth %d: %d points to %d faces", depth, len(points), len(surface.faces)
    )
    return surface


def adaptive_depth(points: Points, radii: np.ndarray) -> int:
    """Such that a cell is about as large as the median radius of the Gaussians that were hit."""
    size = SCALE * float(np.ptp(points.positions, axis=0).max())
    cell = max(float(np.median(radii[points.hit])), 1e-12)
    return min(max(round(math.log2(max(size / cell, 1.0))), SHALLOWEST), DEEPEST)


def _cut(surface: Surface, region: Region, inside: bool, reach: float) -> Surface:
    middles = surface.positions[surface.faces].mean(axis=1)
    away = np.abs(middles - region.center).max(axis=1) / region.radius_m
    kept = away <= 1 if inside else (away > 1) & (away <= reach)
    return compact(Surface(surface.positions, surface.faces[kept]))
