"""Scene, cameras and wanted outputs in; `Frames` out."""

import functools
import logging
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..checks import check
from ..projection import facing_normals, view_depths
from ..scene import Cameras, Contributors, Frames, Gaussians, Output

_log = logging.getLogger(__name__)
_DEFAULT: frozenset[Output] = frozenset({"rgb", "alpha"})


@functools.cache
def _kernels():
    """Import numba and the kernels on first use, and say so when they have to be compiled."""
    from . import compiled

    if compiled.is_cold():
        _log.info(
            "compiling the CPU renderer, about 20 s, once (into %s)", compiled.cache_directory()
        )
    from . import autograd

    return autograd


def _records(cameras: Cameras) -> list[np.ndarray]:
    """Per camera: R, t, fx, fy, cx, cy, limits of x/z (+, -) and y/z (+, -), centre."""
    poses = cameras.world_to_camera.detach().double().numpy()
    focal = cameras.focal_px.detach().double().numpy()
    center = cameras.center_px.detach().double().numpy()
    rows = np.empty((len(poses), 23))
    turns, shifts = poses[:, :3, :3], poses[:, :3, 3]
    rows[:, :9], rows[:, 9:12] = turns.reshape(-1, 9), shifts
    rows[:, 12:14], rows[:, 14:16] = focal, center
    for axis, size in enumerate((cameras.width_px, cameras.height_px)):
        rows[:, 16 + 2 * axis] = (1.15 * size - center[:, axis]) / focal[:, axis]
        rows[:, 17 + 2 * axis] = (center[:, axis] + 0.15 * size) / focal[:, axis]
    rows[:, 20:] = -(shifts[:, None] @ turns)[:, 0]
    return list(rows)


def _columns(scene: Gaussians, cameras: Cameras, colors: Tensor, outputs: frozenset[Output]):
    """What is blended, one block of columns per output, padded to a multiple of three."""
    count = len(cameras.world_to_camera)
    blocks = {}
    if "rgb" in outputs:
        blocks["rgb"] = colors
    if "depth" in outputs:
        blocks["depth"] = view_depths(scene.means, cameras)[..., None]
    if "normal" in outputs:
        blocks["normal"] = facing_normals(scene, cameras)
    if "channels" in outputs and scene.channels is not None:
        blocks["channels"] = scene.channels.expand(count, -1, -1)
    width = sum(block.shape[-1] for block in blocks.values())
    if list(blocks) == ["rgb"]:
        return colors, {"rgb": slice(0, 3)}
    padding = colors.new_zeros(*colors.shape[:2], -width % 3 if width else 3)
    places, start = {}, 0
    for name, block in blocks.items():
        places[name] = slice(start, start + block.shape[-1])
        start += block.shape[-1]
    joined = [block.to(colors.dtype) for block in blocks.values()]
    return torch.cat([*joined, padding], dim=-1), places


def _as_float32(scene: Gaussians) -> Gaussians:
    """In single precision, and invisible where an extra channel is not finite."""
    parts = [scene.means, scene.quaternions, scene.scales, scene.opacities, scene.sh]
    means, quaternions, scales, opacities, sh = (p.to(torch.float32) for p in parts)
    channels = scene.channels
    if channels is not None:
        channels = channels.to(torch.float32)
        finite = channels.isfinite().all(dim=-1)
        opacities = torch.where(finite, opacities, 0.0)
    return Gaussians(means, quaternions, scales, opacities, sh, channels, scene.color_space)


def render(
    scene: Gaussians,
    cameras: Cameras,
    outputs: frozenset[Output] = _DEFAULT,
    *,
    threads: int = 1,
    contributors: int = 0,
) -> Frames:
    """Render on the CPU in float32, without holding the GIL.

    Differentiable by everything in `scene`; not by the cameras. `median_depth`, `weights` and
    `contributors` carry no gradient. Gaussians with a value that is not finite, or with a zero
    quaternion, are not drawn.

    Args:
        scene: float32, or converted to it.
        cameras: One picture each.
        outputs: What to make.
        threads: How many work on one call, here and in its backward pass. Pictures and gradients
            are the same bits whatever the number.
        contributors: How many of each pixel's Gaussians to name, those with the largest weights.
    """
    if threads < 1 or contributors < 0:
        raise ValueError(
            f"renderers.cpu: threads is {threads} and contributors {contributors}; expected at"
            " least 1 and 0."
        )
    check("renderers.cpu", scene, cameras, outputs)
    if scene.means.device.type != "cpu":
        raise ValueError(f"renderers.cpu: the scene is on {scene.means.device}, expected the CPU.")
    kernels = _kernels()
    scene = _as_float32(scene)
    size = (cameras.width_px, cameras.height_px)
    xy, conics, colors, depths, radii, records = kernels.Project.apply(
        scene.means,
        scene.quaternions,
        scene.scales,
        scene.opacities,
        scene.sh,
        _records(cameras),
        size,
        threads,
    )
    values, places = _columns(scene, cameras, colors, outputs)
    images, alphas, medians, weights, *best = kernels.Rasterize.apply(
        xy,
        conics,
        scene.opacities,
        values,
        depths,
        radii,
        records,
        size,
        outputs,
        threads,
        contributors,
    )
    frames = _frames(images, alphas, medians, weights, places, outputs, xy, radii, scene)
    return replace(frames, contributors=Contributors(*best)) if contributors else frames


def _frames(images, alphas, medians, weights, places, outputs, xy, radii, scene) -> Frames:
    def pick(name: str) -> Tensor | None:
        if places.get(name) == slice(0, images.shape[-1]):
            return images  # The gradient of a slice is a copy into zeros.
        return images[..., places[name]] if name in places else None

    alpha, depth = alphas[..., None], pick("depth")
    if depth is not None:
        covered = alpha > 0
        depth = torch.where(covered, depth / torch.where(covered, alpha, 1.0), 0.0)
    return Frames(
        rgb=pick("rgb"),
        alpha=alpha if "alpha" in outputs else None,
        depth=depth,
        median_depth=None if medians is None else medians[..., None],
        normal=pick("normal"),
        channels=pick("channels"),
        weights=weights,
        means2d=xy,
        radii_px=radii,
        color_space=scene.color_space,
    )
