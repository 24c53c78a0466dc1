"""Still pictures of a splat scene, each with its camera beside it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ...pipeline.errors import InputError
from ...renderers.choose import named
from ...renderers.scene import Cameras, Gaussians
from ..formats import cameras as camera_files
from ..formats import pictures, splats
from ..geometry.activation import activate
from ..geometry.likeness import one_by_one
from ..geometry.orbit import look_at_origin

FOVY_DEG = 45.0
MARGIN = 1.15
"""How much wider than the scene's own ball a picture is."""


@dataclass(frozen=True, slots=True)
class Shots:
    """A scene and the cameras it is to be seen from."""

    scene: Gaussians
    cameras: Cameras


def from_file(scene: Path, camera: Path) -> Shots:
    """Cameras as they stand in a file."""
    return Shots(activate(splats.load(scene)), camera_files.load(camera))


def from_around(
    scene: Path, count: int, *, size_px: tuple[int, int], elevation_deg: float
) -> Shots:
    """Level cameras around the middle of the scene, as far away as it takes to see all of it but
    its farthest strays."""
    gaussians = activate(splats.load(scene))
    points = gaussians.means.double().numpy()
    low, high = np.percentile(points, [1, 99], axis=0)
    middle = (low + high) / 2
    radius = float(np.percentile(np.linalg.norm(points - middle, axis=1), 99))
    radius += float(gaussians.scales.amax(dim=1).median())
    narrow = math.atan(math.tan(math.radians(FOVY_DEG) / 2) * min(1.0, size_px[0] / size_px[1]))
    cameras = look_at_origin(
        [360.0 * k / count for k in range(count)],
        [elevation_deg] * count,
        distance_m=MARGIN * max(radius, 1e-6) / math.sin(narrow),
        fovy_deg=FOVY_DEG,
        size_px=size_px,
    )
    poses = cameras.world_to_camera.double()
    poses[:, :3, 3] -= poses[:, :3, :3] @ torch.from_numpy(middle)
    return Shots(gaussians, replace(cameras, world_to_camera=poses.float()))


def write(shots: Shots, out: Path, background: str) -> Iterator[Path]:
    """One PNG after another, 000.png, 001.png, ...; or `out` itself if it is a PNG.

    Args:
        background: white, black, or transparent (straight alpha).
    """
    views = one_by_one(shots.cameras)
    single = out.suffix.lower() == ".png"
    if single and len(views) > 1:
        raise InputError(f"{out}: there are {len(views)} pictures; name a directory.")
    folder = out.parent if single else out
    paths = [out] if single else [folder / f"{k:03d}.png" for k in range(len(views))]
    for path in paths:
        if path.exists():  # Perhaps with somebody's retouching in it.
            raise InputError(f"{path}: exists already. Name another --out, or delete it.")
    folder.mkdir(parents=True, exist_ok=True)
    for path, view in zip(paths, views, strict=True):
        pictures.save(_picture(shots.scene, view, background), path)
        camera_files.save(view, path.with_name(f"{path.stem}.camera.json"))
        yield path


def _picture(scene: Gaussians, camera: Cameras, background: str) -> np.ndarray:
    with torch.no_grad():
        frames = named("cpu")(scene, camera)
    assert frames.rgb is not None and frames.alpha is not None
    color, alpha = frames.rgb[0].numpy(), frames.alpha[0].numpy()
    if background == "transparent":
        return np.concatenate([color / np.maximum(alpha, 1e-6), alpha], axis=-1)
    return color + (1 - alpha) * (1.0 if background == "white" else 0.0)
