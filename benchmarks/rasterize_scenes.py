"""Scenes for `rasterize.py`: a cloud of points, two ways to put splats on it, and one camera.

`start` is how an optimisation begins: round splats as large as the distance to their neighbours,
opacity 0.1, so every pixel has a long list and none is ever full. `trained` is what it ends with:
thin splats of very different sizes, many of them opaque, so most of a list is never looked at.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
import torch
from scipy.spatial import cKDTree
from splatworks.renderers.scene import Cameras, Gaussians

Kind = Literal["start", "trained"]


@dataclass(frozen=True, slots=True)
class Cloud:
    """Points with colors, and the camera that looks at them."""

    points: np.ndarray
    colors: np.ndarray
    """0 to 1."""
    cameras: Cameras


def looking_from(distance: float, fov_deg: float, size_px: int) -> Cameras:
    """On +Z, looking at the origin."""
    pose = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
    pose[2, 3] = distance
    focal_px = 0.5 * size_px / math.tan(math.radians(fov_deg) / 2)
    middle = torch.full((1, 2), size_px / 2)
    return Cameras(pose[None], torch.full((1, 2), focal_px), middle, size_px, size_px)


def _painted(points: np.ndarray, cameras: Cameras, rng: np.random.Generator) -> Cloud:
    return Cloud(points, rng.random((len(points), 3)), cameras)


def ball(n: int, size_px: int) -> Cloud:
    """Uniform in the unit ball: nothing is hidden for sure, lists are as long as they get."""
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((n, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    points = directions * rng.random((n, 1)) ** (1 / 3)
    return _painted(points, looking_from(2.48, 49.1, size_px), rng)


def shell(n: int, size_px: int) -> Cloud:
    """On a sphere with bumps: an object, of which the far half is hidden."""
    rng = np.random.default_rng(1)
    points = rng.standard_normal((n, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    points *= 0.85 + 0.15 * np.sin(7 * points[:, :1]) * np.sin(5 * points[:, 1:2])
    return _painted(points, looking_from(2.48, 49.1, size_px), rng)


def room(n: int, size_px: int) -> Cloud:
    """On the inner walls of a box, seen from inside: large splats near by, many behind us."""
    rng = np.random.default_rng(2)
    points = rng.uniform(-1, 1, (n, 3))
    axis = rng.integers(0, 3, n)
    points[np.arange(n), axis] = np.sign(points[np.arange(n), axis])
    return _painted(points * [2.0, 1.2, 2.0], looking_from(0.6, 75.0, size_px), rng)


def captured(file: Path) -> Cloud:
    """gsplat's `test_garden.npz`: points of a real capture, its first camera."""
    with np.load(file) as data:
        width_px, height_px = int(data["width"]), int(data["height"])
        matrix = torch.from_numpy(data["Ks"][:1].astype(np.float32))
        pose = torch.from_numpy(data["viewmats"][:1].astype(np.float32))
        points, colors = data["means3d"], data["colors"] / 255
    focal, center = matrix[:, [0, 1], [0, 1]], matrix[:, :2, 2]
    return Cloud(points, colors, Cameras(pose, focal, center, width_px, height_px))


def splats(cloud: Cloud, kind: Kind, degree: int) -> Gaussians:
    """Splats of that kind on the cloud's points, as leaves that want gradients."""
    rng = np.random.default_rng(3)
    n = len(cloud.points)
    near, _ = cKDTree(cloud.points).query(cloud.points, k=4)
    spacing = np.sqrt(np.mean(near[:, 1:] ** 2, axis=1, keepdims=True))
    scales, opacities = np.repeat(spacing, 3, axis=1), np.full(n, 0.1)
    if kind == "trained":
        scales = spacing * np.exp(0.6 * rng.standard_normal((n, 3)))
        scales[:, 0] *= 0.25
        opacities = 1 / (1 + np.exp(-(0.5 + 2 * rng.standard_normal(n))))
    sh = 0.1 * rng.standard_normal((n, (degree + 1) ** 2, 3))
    sh[:, 0] = (cloud.colors - 0.5) / 0.28209479177387814
    parts = (cloud.points, rng.standard_normal((n, 4)), scales, opacities, sh)
    tensors = [torch.from_numpy(np.ascontiguousarray(p, np.float32)) for p in parts]
    return Gaussians(*(t.requires_grad_() for t in tensors))


@dataclass(frozen=True, slots=True)
class Scene:
    """How to make one scene."""

    cloud: Callable[[], Cloud]
    kind: Kind
    degree: int


MAIN: Mapping[str, Scene] = MappingProxyType(
    {
        "a128i": Scene(lambda: ball(10_000, 128), "start", 0),
        "a128t": Scene(lambda: ball(10_000, 128), "trained", 0),
        "a256i": Scene(lambda: ball(10_000, 256), "start", 0),
        "a256t": Scene(lambda: ball(10_000, 256), "trained", 0),
        "b512i": Scene(lambda: ball(100_000, 512), "start", 3),
        "b512t": Scene(lambda: ball(100_000, 512), "trained", 3),
    }
)
FURTHER: Mapping[str, Scene] = MappingProxyType(
    {
        "object": Scene(lambda: shell(60_000, 512), "trained", 3),
        "room": Scene(lambda: room(200_000, 512), "trained", 1),
        "sparse": Scene(lambda: ball(2_000, 512), "trained", 0),
        "million": Scene(lambda: shell(1_000_000, 1024), "trained", 0),
    }
)


def chosen(names: list[str], garden: Path | None) -> dict[str, Scene]:
    """All scenes, or those of that name; the garden's only where its file is given."""
    scenes = dict(MAIN)
    if garden is not None:
        for letter, kind in (("i", "start"), ("t", "trained")):
            scenes[f"garden{letter}"] = Scene(lambda: captured(garden), kind, 3)
    scenes |= FURTHER
    unknown = set(names) - set(scenes)
    if unknown:
        raise SystemExit(f"no scene {', '.join(sorted(unknown))}; there are {', '.join(scenes)}.")
    return {name: scene for name, scene in scenes.items() if not names or name in names}
