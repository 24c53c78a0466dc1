"""Oriented points where the pixels' rays meet the surface that the density describes."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from ...pipeline.errors import InputError
from ..geometry.concurrency import in_order
from ..randomness import generator
from .density import THINNEST, At, Density
from .looking import Look, rays
from .settings import Sampling
from .task import Task


@dataclass(frozen=True, slots=True)
class Points:
    """Places on the surface with outward unit normals."""

    positions: Float[np.ndarray, "point 3"]
    normals: Float[np.ndarray, "point 3"]
    hit: Int[np.ndarray, " point"]
    """The Gaussian that each was found at."""

    def where(self, chosen: np.ndarray) -> "Points":
        """Some of them, by a mask or indices."""
        return Points(self.positions[chosen], self.normals[chosen], self.hit[chosen])

    def __len__(self) -> int:
        return len(self.positions)


def surface_points(task: Task, at: At) -> Points:
    """From all views, without strays. Raises InputError where nothing is found."""
    sampling = task.config.sampling
    density = Density(task.shapes, neighbors=sampling.neighbors, thinnest=THINNEST)
    each = -(-sampling.points // len(task.looks))

    def one(view: int) -> Points:
        seen = task.looks[view]
        return of_view(density, seen, _some(seen, each, task.ctx.seed, view), sampling, at)

    found = []
    with task.ctx.progress("surface points", len(task.looks)) as bar:
        for part in in_order(one, range(len(task.looks)), threads=task.ctx.threads):
            found.append(part)
            bar.advance()
    points = Points(
        *(np.concatenate([getattr(part, n) for part in found]) for n in Points.__slots__)
    )
    if not len(points):
        raise InputError(
            f"No surface: on none of the pixels' rays does the density "
            f"{f'cross {sampling.level}' if at == 'level' else 'have a maximum'}. "
            f"Try --method tsdf, or train the splats longer."
        )
    kept = ~strays(points.positions, sampling.outlier_neighbors, sampling.outlier_deviations)
    task.ctx.log.info("%d points on the surface, %d strays removed", len(points), (~kept).sum())
    return points.where(kept)


def of_view(
    density: Density, seen: Look, chosen: Bool[np.ndarray, "h w"], sampling: Sampling, at: At
) -> Points:
    """Points on the rays of the chosen pixels of one view."""
    lines = rays(seen.camera, chosen)
    length = np.linalg.norm(lines.directions, axis=1)
    directions = lines.directions / length[:, None]
    hit = seen.hit[chosen].astype(np.int64)
    centers = lines.origin + seen.depth[chosen].astype(np.float64)[:, None] * lines.directions
    reach = sampling.reach * density.width(hit, directions)
    t = density.along(
        centers, directions, reach, hit, samples=sampling.samples, at=at, level=sampling.level
    )
    there = np.isfinite(t)
    positions = centers[there] + t[there, None] * directions[there]
    hit = hit[there]
    if at == "level":
        _, slope = density.value(positions, hit)
        normals = -slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-300)
    else:
        # On the ridge the gradient vanishes.
        normals = density.normals(positions, hit, directions[there])
    return Points(positions, normals, hit)


def strays(
    positions: Float[np.ndarray, "point 3"], neighbors: int, deviations: float
) -> Bool[np.ndarray, " point"]:
    """Points whose mean distance to their neighbors is more than so many standard deviations above
    the mean of all points (Rusu et al. 2008)."""
    count = min(neighbors + 1, len(positions))
    if count < 2:
        return np.zeros(len(positions), bool)
    distance = cKDTree(positions).query(positions, k=count)[0][:, 1:].mean(axis=1)
    return distance > distance.mean() + deviations * distance.std()


def _some(seen: Look, most: int, seed: int, view: int) -> Bool[np.ndarray, "height width"]:
    """At most so many of the pixels that hit something, at random."""
    pixels = np.flatnonzero(seen.hit >= 0)
    chosen = np.zeros(seen.hit.shape, bool)
    if len(pixels) > most:
        order = torch.randperm(len(pixels), generator=generator(seed, view, "pixels"))
        pixels = pixels[order[:most].numpy()]
    chosen.reshape(-1)[pixels] = True
    return chosen
