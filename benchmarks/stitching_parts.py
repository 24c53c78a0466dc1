"""Pairs of parts that meet, for `stitching.py`: procedural ones, cuts of meshes, cuts of captures.

Meshes become flat Gaussians, evenly spread over the surface with the texture's colors. Everything
is drawn with fixed randomness, so that a pair is the same wherever it is made.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from scipy.spatial import cKDTree
from scipy.stats import qmc
from splatworks.renderers import sh as harmonics
from splatworks.renderers.scene import Gaussians
from splatworks.stages.formats import splats as files
from splatworks.stages.formats import srgb, wild
from splatworks.stages.formats.splats import RawSplats
from splatworks.stages.geometry.activation import deactivate
from splatworks.stages.geometry.appearance import Appearance, Places
from splatworks.stages.scene.affine import about, carried, rotation_matrix, take

FLAT = 0.1
"""Thickness of a Gaussian on a surface, in its widths."""
COVER = 0.75
"""Its standard deviation, in mean distances."""
SOLID = 0.97


@dataclass(frozen=True)
class Pair:
    """A target to be recolored, and the source whose look it shall take over."""

    target: RawSplats
    source: RawSplats
    truth: RawSplats | None = None
    """The target in the source's light, where both were cut from one thing."""


def surface(points, normals, colors, width, opacity=SOLID, gloss=None) -> RawSplats:
    """Flat Gaussians of one or many widths; `gloss` (n x 15 x 3) are the higher harmonics."""
    count = len(points)
    widths = np.broadcast_to(np.asarray(width, np.float64), count)[:, None]
    sh = ((np.asarray(colors) - 0.5) / harmonics.C0)[:, None]
    if gloss is not None:
        sh = np.concatenate([sh, gloss], axis=1)
    scene = Gaussians(
        means=torch.from_numpy(np.asarray(points, np.float64)),
        quaternions=torch.from_numpy(_turns(normals)),
        scales=torch.from_numpy(widths * COVER * np.array([1, 1, FLAT])),
        opacities=torch.from_numpy(np.broadcast_to(np.float64(opacity), count).copy()),
        sh=torch.from_numpy(sh),
    )
    raw = deactivate(scene)
    names = ("means", "log_scales", "logit_opacities", "quaternions", "sh")
    return RawSplats(*(getattr(raw, name).float().numpy() for name in names))


def _turns(normals) -> np.ndarray:
    """Quaternions (w, x, y, z) of the shortest turn from +z to each normal."""
    normals = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    w = 1 + normals[:, 2]
    turns = np.stack([w, -normals[:, 1], normals[:, 0], np.zeros_like(w)], axis=1)
    turns[w < 1e-9] = [0, 1, 0, 0]
    return turns


def even(count: int, dimensions: int, seed: int) -> np.ndarray:
    """Points of a scrambled Sobol sequence in the unit cube."""
    with np.errstate(all="ignore"):
        return qmc.Sobol(dimensions, rng=seed).random(1 << (count - 1).bit_length())[:count]


def waves(points: np.ndarray, frequency: float, seed: int) -> np.ndarray:
    """A smooth random pattern from 0 to 1."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(12, 3)) * frequency
    phases = rng.uniform(0, 2 * np.pi, 12)
    return 0.5 + 0.5 * np.tanh(np.sin(points @ directions.T + phases).sum(axis=1) / 2)


def mixed(share: np.ndarray, one, other) -> np.ndarray:
    """From one color to the other."""
    return (1 - share[:, None]) * np.array(one) + share[:, None] * np.array(other)


def highlights(normals: np.ndarray, light, strength: float) -> np.ndarray:
    """Higher harmonics of a soft white highlight where the light is mirrored to."""
    light = np.array(light) / np.linalg.norm(light)
    mirrored = 2 * (normals @ light)[:, None] * normals - light
    basis = harmonics.basis(torch.from_numpy(mirrored), 16).numpy()[:, 1:]
    facing = np.clip(normals @ light, 0, 1)[:, None]
    return np.repeat((strength * facing * basis)[:, :, None], 3, axis=2)


def ball(count: int, center, radius: float, paint: Callable, seed: int, **more) -> RawSplats:
    """A sphere; `paint` gives colors for points on the unit sphere."""
    z, turn = 2 * even(count, 2, seed).T - 1
    ring = np.sqrt(1 - z * z)
    normals = np.stack([ring * np.cos(np.pi * turn), ring * np.sin(np.pi * turn), z], axis=1)
    width = radius * np.sqrt(4 * np.pi / count)
    shine = more.pop("shine", None)
    if shine is not None:
        more["gloss"] = highlights(normals, (0.4, 1.0, 0.6), shine)
    return surface(np.array(center) + radius * normals, normals, paint(normals), width, **more)


def ball_and_torus(count: int, data: Path | None) -> Pair:
    """One color against a pattern of another."""
    u, v, kept = even(2 * count, 3, 1).T
    u, v = 2 * np.pi * u, 2 * np.pi * v
    large, small = 0.32, 0.12
    inside = kept * (large + small) < large + small * np.cos(v)
    u, v = u[inside][:count], v[inside][:count]
    normals = np.stack([np.cos(v) * np.cos(u), np.cos(v) * np.sin(u), np.sin(v)], axis=1)
    ring = np.stack([np.cos(u), np.sin(u), np.zeros(len(u))], axis=1)
    pattern = 0.55 + 0.6 * (0.5 + 0.5 * np.sin(16 * u) * np.sin(6 * v))
    torus = surface(
        large * ring + small * normals + [0.42, 0, 0],
        normals,
        np.array([0.12, 0.2, 0.75]) * pattern[:, None],
        np.sqrt(4 * np.pi**2 * large * small / len(u)),
    )
    red = ball(count, (0, 0, 0), 0.25, lambda n: np.tile([0.8, 0.12, 0.1], (len(n), 1)), 2)
    return Pair(torus, red)


def marbles(count: int, data: Path | None) -> Pair:
    """Two patterns, two tones, both with highlights that move with the viewer."""

    def green(normals: np.ndarray) -> np.ndarray:
        return mixed(waves(normals, 6, 3), (0.10, 0.35, 0.15), (0.55, 0.75, 0.40))

    def sand(normals: np.ndarray) -> np.ndarray:
        return mixed(waves(normals, 4, 4), (0.75, 0.60, 0.35), (0.40, 0.22, 0.12))

    return Pair(
        ball(count, (0, 0.55, 0), 0.32, green, 5, shine=0.15),
        ball(count, (0, 0, 0), 0.4, sand, 6, shine=0.3),
    )


def soft_clouds(count: int, data: Path | None) -> Pair:
    """Nothing opaque, as captures of fur and leaves are: no Gaussian is above tau."""
    rng = np.random.default_rng(7)

    def puff(center, radius: float, one, other, seed: int) -> RawSplats:
        points = rng.normal(size=(count, 3))
        points *= (
            radius
            * rng.uniform(0, 1, (count, 1)) ** (1 / 3)
            / np.linalg.norm(points, axis=1, keepdims=True)
        )
        width = 1.4 * radius * (4 * np.pi / 3 / count) ** (1 / 3)
        normals = rng.normal(size=(count, 3))
        colors = mixed(waves(points, 9, seed), one, other)
        return surface(
            np.array(center) + points, normals, colors, width, rng.uniform(0.15, 0.8, count)
        )

    return Pair(
        puff((0.45, 0, 0), 0.3, (0.85, 0.75, 0.8), (0.6, 0.3, 0.5), 8),
        puff((0, 0, 0), 0.3, (0.15, 0.35, 0.5), (0.4, 0.7, 0.75), 9),
    )


def stripes_on_checks(count: int, data: Path | None) -> Pair:
    """Two upright tubes, one on the other, with hard edges in the texture."""

    def tube(low: float, high: float, radius: float, paint: Callable, seed: int) -> RawSplats:
        u, t = even(count, 2, seed).T
        turn, y = 2 * np.pi * u, low + (high - low) * t
        normals = np.stack([np.cos(turn), np.zeros(count), np.sin(turn)], axis=1)
        points = radius * normals + np.stack([0 * y, y, 0 * y], axis=1)
        width = np.sqrt(2 * np.pi * radius * (high - low) / count)
        return surface(points, normals, paint(turn, y), width)

    def stripes(turn, y) -> np.ndarray:
        return mixed((np.sin(40 * y) > 0).astype(float), (0.9, 0.85, 0.3), (0.75, 0.5, 0.1))

    def checks(turn, y) -> np.ndarray:
        squares = (np.sin(8 * turn) * np.sin(25 * y) > 0).astype(float)
        return mixed(squares, (0.25, 0.25, 0.6), (0.5, 0.55, 0.8))

    return Pair(tube(0, 0.6, 0.2, stripes, 10), tube(-0.6, 0.03, 0.21, checks, 11))


# Meshes.


def mesh(path: Path, count: int) -> RawSplats:
    """A mesh as Gaussians, its longest side 1, standing on y = 0 above the origin.

    Four times as many places are drawn, so that what is cut out can be left away. Each Gaussian is
    as wide as the mean distance to its neighbors: areas tell less, with faces inside.
    """
    model = wild.read(path)
    look = Appearance(model)
    u, a, b = even(4 * count, 3, 0).T
    shares = np.cumsum(look.areas_m2)
    faces = np.searchsorted(shares, u * shares[-1]).clip(max=len(shares) - 1)
    root = np.sqrt(a)
    corners = np.stack([1 - root, root * (1 - b), root * b], axis=1)
    density = np.full(len(faces), np.sqrt(count / shares[-1]))
    rgba = look.base_color(Places(faces, corners, density))
    seen = np.flatnonzero(rgba[:, 3] > 0.5)[:count]
    points = np.einsum("nk,nkd->nd", corners, model.positions[model.faces[faces]])[seen]
    low, high = points.min(axis=0), points.max(axis=0)
    points = (points - [(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2]) / (
        high - low
    ).max()
    colors = srgb.encode(rgba[seen, :3].astype(np.float64))
    return surface(points, look.face_normals[faces[seen]], colors, spacing(points))


def spacing(points: np.ndarray) -> np.ndarray:
    """Mean distance to the four nearest others, without extremes."""
    near = cKDTree(points).query(points, k=5)[0][:, 1:].mean(axis=1)
    return 1.2 * np.clip(near, 0.3 * np.median(near), 2 * np.median(near))


def above(splats: RawSplats, point, normal) -> RawSplats:
    """What lies on one side of a plane."""
    side = (splats.means - np.array(point)) @ np.array(normal)
    return take(splats, np.flatnonzero(side >= 0))


def put(splats: RawSplats, at, scale: float = 1.0, turn=(1.0, 0, 0, 0)) -> RawSplats:
    """Scaled and turned about the origin, then shifted."""
    return carried(splats, about(scale * rotation_matrix(turn), (0, 0, 0), at))


def relit(splats: RawSplats, gains, shift) -> RawSplats:
    """In another light: channels times `gains` plus `shift`."""
    sh = splats.sh.astype(np.float64) * np.array(gains)
    sh[:, 0] += (0.5 * np.array(gains) + np.array(shift) - 0.5) / harmonics.C0
    return replace(splats, sh=sh.astype(np.float32))


def cow_in_two_lights(count: int, data: Path) -> Pair:
    """One thing cut in two; the front half was photographed at sunset."""
    cow = mesh(data / "meshes/spot_synth.glb", 2 * count)
    truth, source = above(cow, (0, 0, 0), (0, 0, 1)), above(cow, (0, 0, 0), (0, 0, -1))
    return Pair(relit(truth, (0.9, 0.65, 0.5), (0.08, 0.02, 0.0)), source, truth)


def head_on_bust(count: int, data: Path) -> Pair:
    """A painted head on a photographed bust."""
    rogue = mesh(data / "meshes/kaykit_rogue.glb", 3 * count)
    head = above(rogue, (0, 0.4, 0), (0, 1, 0))
    head = take(head, np.flatnonzero(np.abs(head.means[:, 0]) < 0.2))
    bust = above(mesh(data / "meshes/corset.glb", count), (0, 0.93, 0), (0, -1, 0))
    return Pair(put(head, (0, 0.62, 0), 0.8), bust)


def banana_on_cow(count: int, data: Path) -> Pair:
    """A scan laid on the back of a synthetic cow."""
    cow = mesh(data / "meshes/spot_synth.glb", count)
    banana = put(mesh(data / "meshes/ycb_banana.glb", count), (0, 0.57, -0.1), 0.7, (1, 0, 0.9, 0))
    return Pair(banana, cow)


def ship_on_van(count: int, data: Path) -> Pair:
    """The deck and masts of a ship on the roof of a van: thin parts, much hidden inside."""
    ship = above(mesh(data / "meshes/dutch_ship.glb", 2 * count), (0, 0.12, 0), (0, 1, 0))
    van = above(mesh(data / "meshes/citroen_van.glb", count), (0, 0.69, 0), (0, -1, 0))
    return Pair(put(ship, (0, 0.58, 0), 0.8, (1, 0, 1, 0)), van)


# Captures.


def garden(data: Path, most: int) -> RawSplats:
    """Points of a real capture around its table, as flat Gaussians; up is y."""
    with np.load(data / "garden.npz") as file:
        points, colors = file["means3d"].astype(np.float64), file["colors"] / 255.0
    points = points[:, [0, 2, 1]] * [1, 1, -1]
    near = np.flatnonzero((np.abs(points) < [0.55, 0.45, 0.55]).all(axis=1))
    near = np.sort(np.random.default_rng(0).permutation(near)[:most])
    points, colors = points[near], colors[near]
    around = points[cKDTree(points).query(points, k=12)[1]]
    offset = around - around.mean(axis=1, keepdims=True)
    normals = np.linalg.eigh(np.einsum("nki,nkj->nij", offset, offset))[1][:, :, 0]
    return surface(points, normals, colors, 1.3 * spacing(points), 0.9)


def garden_in_two_lights(count: int, data: Path) -> Pair:
    """Both halves of a captured garden, one of them under a blue evening sky."""
    scene = garden(data, 2 * count)
    truth, source = above(scene, (0, 0, 0), (1, 0, 0.3)), above(scene, (0, 0, 0), (-1, 0, -0.3))
    return Pair(relit(truth, (0.45, 0.6, 0.9), (0.0, 0.02, 0.12)), source, truth)


def cow_in_garden(count: int, data: Path) -> Pair:
    """A synthetic cow on the ground of a captured garden."""
    cow = put(mesh(data / "meshes/spot_synth.glb", count), (0.3, -0.23, 0.35), 0.3)
    return Pair(cow, garden(data, count))


def fox(data: Path) -> RawSplats:
    """A trained capture: a stuffed fox's head on a wall, and what is near it; up is y."""
    path = data / "fox.ply"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: pipeline reconstruct FOX --max-side 480 --max-gaussians 60000"
        )
    scene = put(files.load(path), (0, 0, 0), 1.0, (1, -1, 0, 0))
    return take(scene, np.flatnonzero((np.abs(scene.means) < 2.3).all(axis=1)))


NECK = (0.75, 0.45, 0), (1, 0.75, 0)
"""A plane between head and shoulders: a point and the direction of the head."""


def fox_in_two_lights(count: int, data: Path) -> Pair:
    """A captured fox, its head under a blue evening sky."""
    scene, (point, normal) = fox(data), NECK
    truth, source = above(scene, point, normal), above(scene, point, np.negative(normal))
    return Pair(relit(truth, (0.45, 0.6, 0.9), (0.0, 0.02, 0.12)), source, truth)


def cow_on_fox(count: int, data: Path) -> Pair:
    """A synthetic cow's head on the neck of the captured fox."""
    neck = above(fox(data), NECK[0], np.negative(NECK[1]))
    cow = above(mesh(data / "meshes/spot_synth.glb", 3 * count), (0, 0.5, -0.1), (0, 0.8, -1))
    return Pair(put(cow, (0.28, -1.08, 0.16), 2.4, (-0.485, 0, 0.875, 0)), neck)


Maker = Callable[[int, Path], Pair]
PROCEDURAL: Mapping[str, Maker] = MappingProxyType(
    {maker.__name__: maker for maker in (ball_and_torus, marbles, soft_clouds, stripes_on_checks)}
)
FROM_FILES: Mapping[str, Maker] = MappingProxyType(
    {
        maker.__name__: maker
        for maker in (
            cow_in_two_lights, head_on_bust, banana_on_cow, ship_on_van, garden_in_two_lights,
            cow_in_garden, fox_in_two_lights, cow_on_fox,
        )
    }
)  # fmt: skip
