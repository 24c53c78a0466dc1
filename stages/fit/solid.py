"""The work of `sdf.py`: mesh in; field, mesh and report out."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from ...pipeline.contract import Context, replacing
from ...pipeline.errors import ConfigError, InputError
from ..encoding import field_files, uses
from ..encoding.field import Field, FieldSettings, normals
from ..encoding.settings import Settings
from ..encoding.training import Schedule, signature, train
from ..formats import gltf, wild
from ..geometry.components import (
    Surface,
    compact,
    components,
    face_areas,
    is_watertight,
    weld,
)
from ..geometry.open3d_module import open3d
from ..randomness import generator
from .sdf import VERSION, Config

MARGIN = 0.1
"""The cube is larger than the mesh by this share of its side, at either end."""
NEAR = (0.002, 0.01, 0.05)
"""Standard deviations of the points near the surface, as shares of the cube's side."""
UNIFORM_SHARE = 0.25
FLOOR = 0.01
"""Errors count relative to the distance plus this share of the side."""
WINDOW_SHARE = 0.3
"""All levels take part from this share of the iterations on."""
COARSEST = 8.0
LOSSES = {"distance": "relative error", "occupancy": "cross-entropy"}
CHECKED = 100_000
"""Surface points for the report."""


@dataclasses.dataclass(frozen=True, slots=True)
class Samples:
    points: Float32[Tensor, "point 3"]
    distances: Float32[Tensor, " point"]


class Solid:
    """A mesh that can be asked for distances."""

    def __init__(self, surface: Surface) -> None:
        self.surface = surface
        self._o3d = open3d()
        self._scene = self._o3d.t.geometry.RaycastingScene()
        self._scene.add_triangles(
            self._o3d.core.Tensor(np.ascontiguousarray(surface.positions, np.float32)),
            self._o3d.core.Tensor(np.ascontiguousarray(surface.faces, np.uint32)),
        )

    def signed(self, points: Float32[np.ndarray, "point 3"]) -> Float32[np.ndarray, " point"]:
        """Negative inside, which three rays vote on."""
        query = self._o3d.core.Tensor(points)
        return self._scene.compute_signed_distance(query, nthreads=1, nsamples=3).numpy()

    def away(self, points: Float32[np.ndarray, "point 3"]) -> Float32[np.ndarray, " point"]:
        return self._scene.compute_distance(self._o3d.core.Tensor(points), nthreads=1).numpy()

    def on(self, count: int, seed: int, purpose: str) -> Float32[np.ndarray, "point 3"]:
        """Points spread evenly over the surface."""
        random = generator(seed, purpose)
        areas = torch.from_numpy(face_areas(self.surface)).cumsum(0)
        picked = torch.rand(count, generator=random, dtype=torch.float64) * areas[-1]
        face = torch.searchsorted(areas, picked).clamp(max=len(areas) - 1).numpy()
        u, v = torch.rand(2, count, generator=random).numpy()
        flip = u + v > 1
        u, v = np.where(flip, 1 - u, u), np.where(flip, 1 - v, v)
        corners = self.surface.positions[self.surface.faces[face]]
        sides = corners[:, 1:] - corners[:, :1]
        return (corners[:, 0] + u[:, None] * sides[:, 0] + v[:, None] * sides[:, 1]).astype(
            np.float32
        )


def fit(path: Path, config: Config, ctx: Context) -> tuple[Path, Path, Path]:
    """Returns the paths of field, mesh and report."""
    torch.set_num_threads(1)
    model = wild.read(path)
    surface = weld(Surface(model.positions.astype(np.float32), model.faces.astype(np.int64)))
    watertight = is_watertight(surface.faces)
    if not watertight:
        ctx.log.warning(
            "%s is not closed: what is inside is decided by rays, and may be wrong near holes.",
            path.name,
        )
    solid = Solid(surface)
    field = build(surface, config, ctx.seed, ctx.threads)
    samples = measure(solid, field, config.samples, ctx)
    train(
        field,
        lambda iteration: loss(field, samples, config, ctx.seed, iteration),
        lambda value: f"{LOSSES[config.target]} {value:.3f}",
        Schedule(
            config.iterations, config.rate, config.checkpoint_every_s,
            signature(VERSION, dataclasses.asdict(config), ctx.seed),
        ),
        ctx,
    )  # fmt: skip
    made = without_specks(uses.mesh(field, config.resolution), config.min_component_share)
    if not len(made.faces):
        raise InputError(
            f"{path}: the fitted field has no surface. The mesh may be open and without an "
            "inside, or thinner than the grid: raise n_max and iterations."
        )
    report = compare(solid, field, made, ctx.seed)
    report["watertight_input"] = watertight
    ctx.log.info(
        "new mesh of %d faces, %s; distance to the old one %.3g %% of the diagonal on average, "
        "%.3g %% at most",
        len(made.faces), "watertight" if report["watertight"] else "NOT watertight",
        report["mean_distance_percent"], report["largest_distance_percent"],
    )  # fmt: skip
    with replacing(ctx.out / "report.json") as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    # Finer than the mesh's voxels the normals show what is left of the samples' noise: speckles.
    voxel = field.settings.side / config.resolution
    shading = normals(field, torch.from_numpy(made.positions), step=voxel).numpy()
    mesh = gltf.Mesh(made.positions, made.faces, normals=shading)
    return (
        field_files.save(field, ctx.out / "field.safetensors"),
        gltf.save(mesh, ctx.out / "mesh.glb"),
        ctx.out / "report.json",
    )


def build(surface: Surface, config: Config, seed: int, threads: int) -> Field:
    """An untrained field over a cube around the mesh."""
    used = surface.positions[surface.faces.reshape(-1)]
    low, high = used.min(axis=0), used.max(axis=0)
    side = float((high - low).max()) * (1 + 2 * MARGIN)
    corner = (low + high) / 2 - side / 2
    try:
        encoding = Settings(
            dims=3, lattice=config.lattice, levels=config.levels, table_size=config.table_size,
            n_min=min(COARSEST, config.n_max), n_max=config.n_max,
        )  # fmt: skip
        settings = FieldSettings(
            kind=config.target, encoding=encoding, channels=1, hidden=config.hidden,
            low=(float(corner[0]), float(corner[1]), float(corner[2])), side=side,
        )  # fmt: skip
    except ValueError as error:
        raise ConfigError(f"fit-sdf: {error}") from None
    return Field(settings, seed=seed, threads=threads)


def measure(solid: Solid, field: Field, count: int, ctx: Context) -> Samples:
    """Distances at points near the surface and all over the cube, in random order."""
    low, side = np.array(field.settings.low, np.float32), np.float32(field.settings.side)
    random = generator(ctx.seed, "samples")
    uniform = torch.rand(int(count * UNIFORM_SHARE), 3, generator=random).numpy() * side + low
    near = solid.on(count - len(uniform), ctx.seed, "near")
    spread = np.array(NEAR, np.float32)[np.arange(len(near)) % len(NEAR), None] * side
    near = near + spread * torch.randn(near.shape, generator=random).numpy()
    points = np.concatenate([uniform, near])[torch.randperm(count, generator=random).numpy()]
    points = np.clip(points, low, low + side).astype(np.float32)
    pieces = np.array_split(points, max(1, count >> 14))
    distances = []
    with ctx.progress("distances", len(pieces)) as bar:
        for piece in pieces:
            distances.append(solid.signed(piece))
            bar.advance()
    return Samples(torch.from_numpy(points), torch.from_numpy(np.concatenate(distances)))


def loss(field: Field, samples: Samples, config: Config, seed: int, iteration: int) -> Tensor:
    """Mean relative error over random samples, or mean cross-entropy of which side they are on."""
    random = generator(seed, iteration, "batch")
    picked = torch.randint(len(samples.points), (config.batch,), generator=random)
    opened = (iteration + 1) / (WINDOW_SHARE * config.iterations)
    window = None if opened >= 1 else 0.25 + 0.75 * opened
    found = field(samples.points[picked], window=window)[:, 0]
    wanted = samples.distances[picked]
    if config.target == "occupancy":
        inside = (wanted < 0).to(found)
        return torch.nn.functional.binary_cross_entropy_with_logits(found, inside)
    return ((found - wanted).abs() / (wanted.abs() + FLOOR * field.settings.side)).mean()


def without_specks(surface: Surface, min_share: float) -> Surface:
    """Only the parts with enough area; hollows stay, whichever way they face."""
    if not len(surface.faces):
        return surface
    labels = components(surface)
    areas = np.bincount(labels, face_areas(surface))
    kept = areas >= min_share * areas.max()
    return compact(Surface(surface.positions, surface.faces[kept[labels]]))


def compare(solid: Solid, field: Field, made: Surface, seed: int) -> dict:
    """How far the new surface is from the old one, both ways; how much of the space that either
    fills both fill, by the field's sign; and a distance field's mean size on the old surface."""
    used = solid.surface.positions[solid.surface.faces.reshape(-1)]
    diagonal = float(np.linalg.norm(used.max(axis=0) - used.min(axis=0)))
    new = Solid(made)
    old_points, new_points = solid.on(CHECKED, seed, "old"), new.on(CHECKED, seed, "new")
    there, back = new.away(old_points), solid.away(new_points)
    told = {
        "diagonal": round(diagonal, 6),
        "mean_distance_percent": round(50 * float(there.mean() + back.mean()) / diagonal, 5),
        "largest_distance_percent": round(100 * float(max(there.max(), back.max())) / diagonal, 5),
        "intersection_over_union": round(overlap(solid, field, seed), 5),
        "faces": len(made.faces),
        "watertight": is_watertight(made.faces),
    }
    if field.settings.kind == "distance":
        residue = np.abs(uses.values(field, old_points)[:, 0])
        told["field_on_surface_percent"] = round(100 * float(residue.mean()) / diagonal, 5)
    return told


def overlap(solid: Solid, field: Field, seed: int) -> float:
    """Of the points of the cube that are inside by the mesh or by the field, the share that are
    by both."""
    random = generator(seed, "overlap")
    low, side = np.array(field.settings.low, np.float32), np.float32(field.settings.side)
    points = torch.rand(CHECKED, 3, generator=random).numpy() * side + low
    values = uses.values(field, points)[:, 0]
    found = values > 0 if field.settings.kind == "occupancy" else values < 0
    wanted = solid.signed(points) < 0
    either = found | wanted
    return float((found & wanted).sum() / max(either.sum(), 1))
