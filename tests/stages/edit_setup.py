"""A small scene with a part that can be bent, and views of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from splatworks.renderers.cpu import render
from splatworks.renderers.scene import Cameras
from splatworks.stages.edit import Config, coarse, reach
from splatworks.stages.edit.pictures_in import Retouched
from splatworks.stages.edit.settings import Coarse
from splatworks.stages.formats.splats import RawSplats
from splatworks.stages.geometry.activation import activate
from splatworks.stages.geometry.orbit import look_at_origin
from splatworks.stages.scene.affine import about, carried, joined, rotation_matrix, take

from .splat_objects import raw, sphere


def camera(size_px: int = 64, azimuth_deg: float = 0.0, distance_m: float = 2.0) -> Cameras:
    return look_at_origin(
        [azimuth_deg], [0.0], distance_m=distance_m, fovy_deg=45.0, size_px=(size_px, size_px)
    )


def picture(splats: RawSplats, camera: Cameras, background: float = 1.0) -> np.ndarray:
    with torch.no_grad():
        frames = render(activate(splats), camera)
    return (frames.rgb[0] + (1 - frames.alpha[0]) * background).numpy()


def patched(splats: RawSplats) -> RawSplats:
    """With colors that repeat nowhere."""
    x, y, z = (splats.means * 6).T
    colors = np.stack([0.5 + 0.4 * np.sin(x + 2 * y), 0.5 + 0.4 * np.cos(2 * y - z),
                       0.5 + 0.4 * np.sin(y + 1.7 * z + 1)], axis=1)  # fmt: skip
    return raw(
        splats.means, np.exp(splats.log_scales), splats.quaternions,
        1 / (1 + np.exp(-splats.logit_opacities.astype(np.float64))), colors,
    )  # fmt: skip


def two_balls(count: int = 400) -> RawSplats:
    """One left, one right, apart."""
    return patched(
        joined([sphere(count, 0.2, (-0.35, 0, 0)), sphere(count, 0.2, (0.3, 0, 0))],
               sphere(1, 0.1))
    )  # fmt: skip


def right_shifted(splats: RawSplats, shift) -> RawSplats:
    """The right ball somewhere else."""
    moving = splats.means[:, 0] > 0
    matrix = np.eye(4)
    matrix[:3, 3] = shift
    moved = carried(take(splats, moving), matrix)
    return joined([take(splats, ~moving), moved], splats)


def turned_about_z(splats: RawSplats, angle: float) -> RawSplats:
    turn = rotation_matrix([np.cos(angle / 2), 0, 0, np.sin(angle / 2)])
    return carried(splats, about(turn, (0, 0, 0)))


def random_turns(count: int, seed: int, dtype=torch.float64) -> torch.Tensor:
    turns = torch.randn(count, 4, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return turns / turns.norm(dim=1, keepdim=True)


def with_harmonics(splats: RawSplats, degree: int, seed: int = 0) -> RawSplats:
    rng = np.random.default_rng(seed)
    sh = 0.2 * rng.standard_normal((len(splats), (degree + 1) ** 2, 3), np.float32)
    sh[:, 0] = splats.sh[:, 0]
    return replace(splats, sh=sh)


def write_png(pixels: np.ndarray, path: Path, **options) -> Path:
    from PIL import Image

    values = np.rint(pixels.clip(0, 1) * 255).astype(np.uint8)
    Image.fromarray(values).save(path, **options)
    return path


def problem_of(
    rest: RawSplats,
    goal: RawSplats,
    size_px: int = 64,
    pairs: np.ndarray | None = None,
    config: Config | None = None,
) -> coarse.Problem:
    """What the coarse stage is given for an edit that takes `rest` to `goal`."""
    eye = camera(size_px)
    own, edited = picture(rest, eye), picture(goal, eye)
    mask = np.abs(own - edited).max(axis=2) > 0.02
    shot = Retouched(eye, own, edited, mask, np.ones(3, np.float32), 0.0, pairs)
    config = config or Config(what="geometry", coarse=Coarse(anchors=150))
    return reach.posed_problem(activate(rest), [shot], config, 1)


def rod(start, end, radius: float = 0.03, count: int = 500, seed: int = 0) -> np.ndarray:
    """Points all through it."""
    rng = np.random.default_rng(seed)
    along = rng.uniform(0, 1, (count, 1))
    off = rng.normal(size=(count, 3))
    off *= radius * rng.uniform(0, 1, (count, 1)) ** (1 / 3) / np.linalg.norm(off, axis=1)[:, None]
    return np.asarray(start) * (1 - along) + np.asarray(end) * along + off
