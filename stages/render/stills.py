"""Still pictures of a splat scene, each with its camera beside it."""

import math
from dataclasses import replace

import numpy as np
import torch

from ...pipeline.contract import Context
from ...renderers.choose import named
from ...renderers.scene import Cameras, Gaussians
from ..artifacts import ImagesDir
from ..formats import cameras as camera_files
from ..formats import pictures, splats
from ..geometry.activation import activate
from ..geometry.likeness import one_by_one
from ..geometry.orbit import look_at_origin
from . import Config, Inputs, Outputs

FOVY_DEG = 45.0
MARGIN = 1.15
"""How much wider than the scene's own ball a picture is."""


def render(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    """One picture after another."""
    scene = activate(splats.load(inputs.splats.path))
    if inputs.camera is None:
        cameras = around(scene, config)
    else:
        cameras = camera_files.load(inputs.camera.path)
    folder = ctx.out / "images"
    folder.mkdir()
    views = one_by_one(cameras)
    with ctx.progress("render", len(views)) as bar:
        for number, view in enumerate(views):
            pictures.save(_picture(scene, view, config.background), folder / f"{number:03d}.png")
            camera_files.save(view, folder / f"{number:03d}.camera.json")
            bar.advance()
    camera_files.save(cameras, folder / "cameras.json")
    return Outputs(ImagesDir(folder))


def around(scene: Gaussians, config: Config) -> Cameras:
    """Cameras of one height around the middle of the scene, as far away as it takes to see all of
    it but its farthest strays."""
    points = scene.means.double().numpy()
    low, high = np.percentile(points, [1, 99], axis=0)
    middle = (low + high) / 2
    radius = float(np.percentile(np.linalg.norm(points - middle, axis=1), 99))
    radius += float(scene.scales.amax(dim=1).median())
    aspect = config.width_px / config.height_px
    narrow = math.atan(math.tan(math.radians(FOVY_DEG) / 2) * min(1.0, aspect))
    cameras = look_at_origin(
        [360.0 * k / config.orbit for k in range(config.orbit)],
        [config.elevation_deg] * config.orbit,
        distance_m=MARGIN * max(radius, 1e-6) / math.sin(narrow),
        fovy_deg=FOVY_DEG,
        size_px=(config.width_px, config.height_px),
    )
    poses = cameras.world_to_camera.double()
    poses[:, :3, 3] -= poses[:, :3, :3] @ torch.from_numpy(middle)
    return replace(cameras, world_to_camera=poses.float())


def _picture(scene: Gaussians, camera: Cameras, background: str) -> np.ndarray:
    with torch.no_grad():
        frames = named("cpu")(scene, camera)
    assert frames.rgb is not None and frames.alpha is not None
    color, alpha = frames.rgb[0].numpy(), frames.alpha[0].numpy()
    if background == "transparent":
        return np.concatenate([color / np.maximum(alpha, 1e-6), alpha], axis=-1)
    return color + (1 - alpha) * (1.0 if background == "white" else 0.0)
