"""Photographs of a known textured mesh by the judge's ray caster, as a nerfstudio capture."""

import json
import math
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from simplify.judge.pictures import BACKGROUND as GRAY
from simplify.judge.views import Bundle, Stand, Surface, View, look
from splatworks.stages.formats.cameras import opengl_camera_to_world
from splatworks.stages.geometry.likeness import around

SUPERSAMPLE = 2
"""Per axis: what photographs have been averaged over."""
BACKGROUND = np.float32([0.36, 0.42, 0.5])
"""sRGB of the wall behind."""


@dataclass(frozen=True)
class Tripods:
    """Cameras like the judge's, in any number; takes the place of a `Stand`."""

    center: np.ndarray
    radius_m: float
    size_px: int
    count: int
    lowest: float = -1.0
    """No camera stands lower than at this share of the sphere's radius."""

    @cached_property
    def world_to_camera(self) -> np.ndarray:
        golden = 180 * (3 - math.sqrt(5))
        low, step = self.lowest, (1 - self.lowest) / self.count
        toward = [
            (17 + k * golden % 360, math.degrees(math.asin(low + (k + 0.5) * step)))
            for k in range(self.count)
        ]
        poses = around(toward, self.radius_m, self.size_px).world_to_camera.double().numpy()
        poses[:, :3, 3] -= poses[:, :3, :3] @ self.center
        return poses

    @property
    def focal_px(self) -> float:
        return float(around([(0.0, 0.0)], self.radius_m, self.size_px).focal_px[0, 0])

    @cached_property
    def bundles(self) -> tuple[Bundle, ...]:
        across = (np.arange(self.size_px) + 0.5 - self.size_px / 2) / self.focal_px
        x, y = np.meshgrid(across, across)
        straight = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3)
        return tuple(
            Bundle(
                -pose[:3, :3].T @ pose[:3, 3],
                (straight @ pose[:3, :3]).astype(np.float32),
                self.focal_px,
            )
            for pose in self.world_to_camera
        )


def tripods(place: Stand, count: int, size_px: int, lowest: float = -1.0) -> Tripods:
    return Tripods(place.center, place.radius_m, size_px, count, lowest)


def views(surface: Surface, cameras: Tripods) -> list[View]:
    return look(surface, cameras, surface.own_colors, surface.paint.has_holes)  # type: ignore[arg-type]


def finer(cameras: Tripods, times: int) -> Tripods:
    """The same cameras with so many times the pixels per axis."""
    return replace(cameras, size_px=times * cameras.size_px)


def photographs(surface: Surface, cameras: Tripods) -> list[np.ndarray]:
    """8-bit RGB before a wall, each pixel a mean."""
    return [
        np.rint(_means(view, SUPERSAMPLE, BACKGROUND) * 255).astype(np.uint8)
        for view in views(surface, finer(cameras, SUPERSAMPLE))
    ]


def averaged(fine: list[View], times: int) -> list[View]:
    """Views as a camera would take them: each pixel the mean over `times` x `times` rays, before
    the middle gray on which the judge compares. One ray per pixel instead shows hard edges with
    steps, which no filtered texture has."""
    return [
        View(
            rgb=_means(view, times, np.float32([GRAY] * 3)),
            mask=_blocks(view.mask, times).any(axis=(1, 3)),
            normal=view.normal[times // 2 :: times, times // 2 :: times],
            depth=np.nan_to_num(view.depth[times // 2 :: times, times // 2 :: times], posinf=0),
            pixels_per_m=view.pixels_per_m / times,
        )
        for view in fine
    ]


def _means(view: View, times: int, behind: np.ndarray) -> np.ndarray:
    flat = np.where(view.mask[..., None], view.rgb, behind)
    return _blocks(flat, times).mean(axis=(1, 3))


def _blocks(picture: np.ndarray, times: int) -> np.ndarray:
    height, width = (side // times for side in picture.shape[:2])
    return picture.reshape(height, times, width, times, *picture.shape[2:])


def capture(folder: Path, pictures: list[np.ndarray], cameras: Tripods) -> Path:
    """transforms.json and PNGs."""
    (folder / "images").mkdir(parents=True)
    frames = []
    for k, pixels in enumerate(pictures):
        Image.fromarray(pixels).save(folder / f"images/{k:03d}.png", compress_level=1)
        pose = opengl_camera_to_world(torch.from_numpy(cameras.world_to_camera[k]))
        frames.append({"file_path": f"images/{k:03d}.png", "transform_matrix": pose.tolist()})
    size, focal = cameras.size_px, cameras.focal_px
    shared = {"w": size, "h": size, "fl_x": focal, "fl_y": focal, "cx": size / 2, "cy": size / 2}
    (folder / "transforms.json").write_text(json.dumps({**shared, "frames": frames}))
    return folder
