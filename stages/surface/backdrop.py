"""A coarser surface behind the holes of a captured scene.

Where few views look, points lie in a loose layer, and a fine reconstruction falls to pieces there.
A coarser one spans them. Of it only those faces are taken that some view sees through a hole: its
ray meets nothing of the fine surface though the splats cover the pixel. With a margin around, so
that the two overlap a little rather than gape, and other views than these find no rim.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float

from ...pipeline.errors import InputError
from ..geometry.components import Surface, compact
from ..geometry.rays import first_hits
from .looking import Look, rays
from .points import surface_points
from .poisson import coarse_from_ridge
from .task import Task
from .witness import borne_out

LEVELS = 2
"""Of the octree, by which the backdrop is coarser than the Gaussians."""
POINTS = 1 / 8
"""Share of the usual number: coarse cells need fewer."""
MARGIN = 2
"""Rings of faces around what is seen through a hole."""
MOST_RAYS = 2_000_000
"""All views together; of more pixels every second or third is looked through."""


def backdrop(fine: Surface, task: Task) -> Surface:
    """What is to be added to `fine`, not connected with it; perhaps nothing."""
    sampling = task.config.sampling
    fewer = replace(sampling, points=max(int(sampling.points * POINTS), 100))
    less = replace(task, config=replace(task.config, sampling=fewer))
    try:
        coarse = coarse_from_ridge(less, surface_points(less, "ridge"), levels=LEVELS)
    except InputError as error:
        task.ctx.log.warning("no backdrop: %s", error)
        return Surface(np.zeros((0, 3)), np.zeros((0, 3), np.int64))
    tolerance = task.config.witness_tolerance
    borne = np.ones(len(coarse.faces), bool)
    if tolerance is not None:
        wider = min(tolerance * 2**LEVELS, 1.0)
        borne = borne_out(coarse, task.looks, tolerance=wider, threads=task.ctx.threads)
    wanted = np.zeros(len(borne), bool)
    wanted[borne] = through_holes(fine, Surface(coarse.positions, coarse.faces[borne]), task.looks)
    wanted = grown(coarse, wanted, MARGIN)
    found = compact(Surface(coarse.positions, coarse.faces[wanted]))
    task.ctx.log.info("%d coarse faces behind holes", len(found.faces))
    return found


def through_holes(
    fine: Surface, coarse: Surface, looks: Sequence[Look]
) -> Bool[np.ndarray, " face"]:
    """Faces of `coarse` that rays of covered pixels meet first and that meet nothing of `fine`."""
    starts, ways = _lines(looks)
    past = ~np.isfinite(first_hits(fine, starts, ways).distance_m)
    hits = first_hits(coarse, starts[past], ways[past])
    wanted = np.zeros(len(coarse.faces), bool)
    wanted[hits.faces[np.isfinite(hits.distance_m)]] = True
    return wanted


def grown(
    surface: Surface, chosen: Bool[np.ndarray, " face"], rings: int
) -> Bool[np.ndarray, " face"]:
    """The chosen faces and, so many times, those that share a vertex with them."""
    for _ in range(rings):
        touched = np.zeros(len(surface.positions), bool)
        touched[surface.faces[chosen]] = True
        chosen = touched[surface.faces].any(axis=1)
    return chosen


def _lines(
    looks: Sequence[Look],
) -> tuple[Float[np.ndarray, "ray 3"], Float[np.ndarray, "ray 3"]]:
    """Origins and unit directions of the covered pixels."""
    total = sum(seen.depth.size for seen in looks)
    step = int(np.ceil(np.sqrt(max(total / MOST_RAYS, 1))))
    starts, ways = [], []
    for seen in looks:
        chosen = np.zeros(seen.depth.shape, bool)
        chosen[::step, ::step] = seen.depth[::step, ::step] > 0
        lines = rays(seen.camera, chosen)
        length = np.linalg.norm(lines.directions, axis=1, keepdims=True)
        ways.append(lines.directions / length)
        starts.append(np.broadcast_to(lines.origin, lines.directions.shape))
    return np.concatenate(starts), np.concatenate(ways)
