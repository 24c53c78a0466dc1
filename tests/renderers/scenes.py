"""Small scenes and cameras shared by the renderer tests. Seeds are fixed; nothing is global."""

import math
from dataclasses import fields, replace

import torch
from splatworks.renderers.scene import Cameras, Gaussians, Output

ALL: frozenset[Output] = frozenset(
    {"rgb", "alpha", "depth", "median_depth", "normal", "channels", "weights"}
)
PARAMETERS = ("means", "quaternions", "scales", "opacities", "sh", "channels")
SHRINK = torch.tensor([1.0, 0.6, 0.25])
"""Keeps the three axes apart, so that the shortest one is well defined."""


def uniform(low: float, high: float, shape: tuple[int, ...], rng: torch.Generator) -> torch.Tensor:
    return low + (high - low) * torch.rand(shape, generator=rng)


def gaussians(n: int, seed: int = 0, degree: int = 3, size: float = 0.06) -> Gaussians:
    """Random anisotropic splats in a ball of radius 0.5."""
    rng = torch.Generator().manual_seed(seed)
    directions = torch.nn.functional.normalize(torch.randn(n, 3, generator=rng), dim=-1)
    count = (degree + 1) ** 2
    return Gaussians(
        means=0.5 * directions * torch.rand(n, 1, generator=rng) ** (1 / 3),
        quaternions=torch.randn(n, 4, generator=rng),
        scales=size * uniform(0.6, 1.4, (n, 1), rng) * SHRINK * uniform(0.9, 1.1, (n, 3), rng),
        opacities=uniform(0.05, 0.95, (n,), rng),
        sh=torch.randn(n, count, 3, generator=rng) * (0.5 if degree == 0 else 0.25),
        channels=torch.randn(n, 2, generator=rng),
    )


def cameras(
    width: int = 40,
    height: int = 40,
    *,
    azimuths_deg: tuple[float, ...] = (0.0,),
    elevation_deg: float = 20.0,
    distance_m: float = 1.8,
    focal_px: tuple[float, float] | None = None,
    center_px: tuple[float, float] | None = None,
) -> Cameras:
    """Cameras that look at the origin; written here again, not taken from the stages."""
    poses = []
    for azimuth in azimuths_deg:
        a, e = math.radians(azimuth), math.radians(elevation_deg)
        eye = torch.tensor(
            [math.cos(e) * math.sin(a), math.sin(e), math.cos(e) * math.cos(a)],
            dtype=torch.float64,
        )
        forward = -eye
        right = torch.tensor([math.cos(a), 0.0, -math.sin(a)], dtype=torch.float64)
        rotation = torch.stack([right, torch.linalg.cross(forward, right), forward])
        pose = torch.eye(4, dtype=torch.float64)
        pose[:3, :3], pose[:3, 3] = rotation, -rotation @ (distance_m * eye)
        poses.append(pose)
    count = len(poses)
    fx, fy = focal_px or (1.3 * height, 1.3 * height)
    cx, cy = center_px or (width / 2, height / 2)
    return Cameras(
        world_to_camera=torch.stack(poses).float(),
        focal_px=torch.tensor([[fx, fy]]).repeat(count, 1),
        center_px=torch.tensor([[cx, cy]]).repeat(count, 1),
        width_px=width,
        height_px=height,
    )


def changed(scene: Gaussians, **values: torch.Tensor | None) -> Gaussians:
    return replace(scene, **values)


def misfit(thing, **values):
    """A copy that no constructor has checked."""
    thing = replace(thing)
    for name, value in values.items():
        object.__setattr__(thing, name, value)
    return thing


def opened(scene: Gaussians, dtype: torch.dtype | None = None) -> Gaussians:
    """A copy whose tensors are leaves that want gradients."""
    values = {f.name: getattr(scene, f.name) for f in fields(scene)}
    for name, value in values.items():
        if isinstance(value, torch.Tensor):
            values[name] = value.detach().clone().to(dtype or value.dtype).requires_grad_()
    return Gaussians(**values)


def behind() -> Gaussians:
    """Splats in front of, beside, at and behind a camera that stands among them."""
    rng = torch.Generator().manual_seed(5)
    scene = gaussians(120, seed=5, size=0.05)
    return changed(scene, means=uniform(-0.8, 0.8, (120, 3), rng))


def overlapping() -> Gaussians:
    """Many wide opaque splats, so that every pixel is finished early."""
    scene = gaussians(150, seed=6, size=0.25)
    rng = torch.Generator().manual_seed(7)
    return changed(scene, opacities=uniform(0.7, 0.9999, (150,), rng))


def solid() -> Gaussians:
    """A splat wider than the picture, whose middle is more opaque than a splat may be."""
    scene = gaussians(2, seed=16, size=5.0)
    return changed(scene, opacities=torch.tensor([0.999999, 0.5], dtype=scene.opacities.dtype))


def tied() -> Gaussians:
    """Pairs of different splats at the same place: only their index orders them."""
    scene = gaussians(80, seed=8)
    return changed(scene, means=scene.means[::2].repeat_interleave(2, dim=0))


CASES = {
    "anisotropic, three cameras": (
        gaussians(120, seed=1),
        cameras(azimuths_deg=(0.0, 100.0, 215.0)),
    ),
    "degree 0": (gaussians(60, seed=2, degree=0), cameras(24, 24)),
    "degree 1": (gaussians(60, seed=3, degree=1), cameras(24, 24)),
    "degree 2": (gaussians(60, seed=4, degree=2), cameras(24, 24)),
    "behind the camera": (behind(), cameras(distance_m=0.4, focal_px=(15.0, 15.0))),
    "wide and at the edges": (
        gaussians(60, seed=9, size=0.2),
        cameras(33, 33, distance_m=0.7, focal_px=(14.0, 14.0)),
    ),
    "overlapping": (overlapping(), cameras(33, 20)),
    "beyond the largest alpha": (solid(), cameras(40, 24)),
    "tied depths": (tied(), cameras(24, 24, azimuths_deg=(30.0,))),
    "narrow, off-centre, fx not fy": (
        gaussians(80, seed=10),
        cameras(50, 17, focal_px=(60.0, 37.0), center_px=(19.5, 11.0)),
    ),
    "whole tiles": (gaussians(60, seed=15, size=0.15), cameras(32, 16)),
    "larger than a tile row": (gaussians(300, seed=11, size=0.03), cameras(70, 52)),
}
