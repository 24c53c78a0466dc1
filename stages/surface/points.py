"""Oriented points where the pixels' rays meet the surface that the density describes."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from ...pipeline.errors import InputError
from ..geometry.concurrency import in_order
from ..randomness import generator
from .density import At, Density
from .looking import Look, rays
from .settings import Sampling
from .task import Task

NARROWEST = 0.5
"""A search for the ridge reaches at least as far as if the hit Gaussian were so thick, relative to
its middle axis: other layers of the surface lie within that."""
THINNEST: Mapping[At, float] = MappingProxyType({"level": 0.1, "ridge": 0.5})
"""How thick Gaussians are made at least, relative to their middle axis. Between the samples of a
ray thinner ones would be missed; for the ridge, layers that noise has parted become one."""


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
    density = density_for(task, at)
    each = -(-sampling.points // len(task.looks))

    def one(view: int) -> Points:
        seen = task.looks[view]
        return of_view(density, seen, _some(seen, each, task.ctx.seed, view), sampling, at)[0]

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
) -> tuple[Points, Bool[np.ndarray, " pixel"]]:
    """Points on the rays of the chosen pixels of one view, and which of these rays have one."""
    lines = rays(seen.camera, chosen)
    length = np.linalg.norm(lines.directions, axis=1)
    directions = lines.directions / length[:, None]
    hit = seen.hit[chosen].astype(np.int64)
    centers = lines.origin + seen.depth[chosen].astype(np.float64)[:, None] * lines.directions
    if at == "level":
        found = _searched(density, centers, directions, hit, sampling, at)
        there = np.isfinite(found).all(axis=1)
        _, slope = density.value(found[there], hit[there])
        size = np.linalg.norm(slope, axis=1, keepdims=True)
        return Points(found[there], -slope / np.maximum(size, 1e-300), hit[there]), there
    return _on_ridge(density, centers, directions, hit, sampling)


def _on_ridge(
    density: Density, centers: np.ndarray, directions: np.ndarray, hit: np.ndarray,
    sampling: Sampling,
) -> tuple[Points, Bool[np.ndarray, " pixel"]]:  # fmt: skip
    """First along the ray, then from there along the normal.

    A ray meets the outermost Gaussians first, and one that grazes the surface has its largest
    density before it: along the ray alone, points lie too far out. Of the gradient nothing is left
    on a ridge, so normals are the Gaussians' own.
    """
    count = len(centers)
    there = np.arange(count)
    toward = directions
    for _ in range(2):
        found = _searched(density, centers, toward, hit, sampling, "ridge")
        fine = np.isfinite(found).all(axis=1)
        centers, there, directions = found[fine], there[fine], directions[fine]
        hit = density.nearest(centers, hit[fine])
        normals = density.normals(centers, hit, directions)
        # Where no neighbor contributes, none has a direction.
        fine = (normals * normals).sum(axis=1) > 0.5
        centers, there, directions = centers[fine], there[fine], directions[fine]
        hit, normals = hit[fine], normals[fine]
        toward = -normals
    has = np.zeros(count, bool)
    has[there] = True
    return Points(centers, normals, hit), has


def _searched(density, centers, toward, hit, sampling, at) -> Float[np.ndarray, "point 3"]:
    """Places from `centers` along `toward`; nan where nothing is found."""
    width = density.width(hit, toward)
    if at == "ridge":
        width = np.maximum(width, NARROWEST * density.radii[hit])
    t = density.along(
        centers, toward, sampling.reach * width, hit,
        samples=sampling.samples, at=at, level=sampling.level,
    )  # fmt: skip
    return centers + t[:, None] * toward


def density_for(task: Task, at: At) -> Density:
    """The field in which the surface is looked for."""
    return Density(task.shapes, neighbors=task.config.sampling.neighbors, thinnest=THINNEST[at])


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
