"""The cameras that look at the splats, and where what they look at lies."""

from dataclasses import replace

import numpy as np
import torch

from ...pipeline.contract import Context
from ...pipeline.errors import InputError
from ...renderers.scene import Cameras, Gaussians
from ..artifacts import CameraFile, CaptureDir
from ..formats import cameras as camera_files
from ..formats import captures
from ..formats.lens import resized, straightened
from ..formats.shots import Shot
from ..geometry.concurrency import in_order
from ..geometry.focus import focus
from ..geometry.framing import bounding_ball, spread_cameras
from ..geometry.likeness import one_by_one
from .looking import Look, look
from .settings import Views
from .task import Region


def around(scene: Gaussians, views: Views) -> tuple[list[Cameras], Region]:
    """An object whose cameras are not known: all sides of its bounding sphere."""
    ball = bounding_ball(scene, outlier_share=views.outlier_share)
    spread = spread_cameras(ball.radius_m, views=views.count, size_px=views.size_px)
    poses = spread.world_to_camera.double().clone()
    poses[:, :3, 3] -= poses[:, :3, :3] @ torch.from_numpy(ball.center)
    moved = replace(spread, world_to_camera=poses.float())
    return one_by_one(moved), Region(ball.center, ball.radius_m, is_object=True)


def of_capture(capture: CaptureDir, views: Views) -> tuple[list[Cameras], Region]:
    """The photographs' cameras, without their lenses' bending, reduced."""
    found = captures.load(capture.path)
    return _with_region([_camera(shot, views.max_side_px) for shot in found.shots])


def of_file(file: CameraFile, views: Views) -> tuple[list[Cameras], Region]:
    """Those of a camera path, reduced."""
    cameras = camera_files.load(file.path)
    if len(cameras.world_to_camera) < 2:
        raise InputError(f"{file.path}: holds one camera; a surface needs at least 2.")
    scale = min(1.0, views.max_side_px / max(cameras.width_px, cameras.height_px))
    width, height = (max(1, round(side * scale)) for side in (cameras.width_px, cameras.height_px))
    ratio = torch.tensor([width / cameras.width_px, height / cameras.height_px])
    smaller = Cameras(
        cameras.world_to_camera, cameras.focal_px * ratio, cameras.center_px * ratio, width, height
    )
    return _with_region(one_by_one(smaller))


def look_from(scene: Gaussians, cameras: list[Cameras], views: Views, ctx: Context) -> list[Look]:
    """What each of them sees. Raises InputError where none sees anything."""

    def one(camera: Cameras) -> Look:
        return look(scene, camera, alpha_threshold=views.alpha_threshold)

    found = []
    with ctx.progress("depth maps", len(cameras)) as bar:
        for seen in in_order(one, cameras, threads=ctx.threads):
            found.append(seen)
            bar.advance()
    if not any((seen.hit >= 0).any() for seen in found):
        raise InputError(
            f"No surface: in none of {len(cameras)} views do the splats cover a pixel to "
            f"{views.alpha_threshold:.0%}. They are too faint or too small, or these are not their "
            f"cameras: look at them first with `pipeline render`."
        )
    return found


def _camera(shot: Shot, max_side_px: int) -> Cameras:
    lens = straightened(shot.lens)
    scale = min(1.0, max_side_px / max(lens.width_px, lens.height_px))
    lens = resized(lens, round(lens.width_px * scale), round(lens.height_px * scale))
    return Cameras(
        world_to_camera=torch.from_numpy(shot.world_to_camera).float()[None],
        focal_px=torch.tensor([lens.focal_px]),
        center_px=torch.tensor([lens.center_px]),
        width_px=lens.width_px,
        height_px=lens.height_px,
    )


def _with_region(cameras: list[Cameras]) -> tuple[list[Cameras], Region]:
    """The foreground reaches from what the cameras look at to the cameras themselves."""
    center, radius = focus(torch.cat([camera.world_to_camera for camera in cameras]))
    return cameras, Region(np.asarray(center.numpy(), np.float64), radius, is_object=False)
