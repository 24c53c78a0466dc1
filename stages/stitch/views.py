"""The target as it is seen from around, ready to be recolored: one sparse matrix per camera.

Geometry and opacity are frozen, so the picture of a camera is W c (`contributions.py`): no
rasterizer in the loop, and its gradient is Wᵀ.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import sparse
from torch import Tensor

from ...renderers import sh as harmonics
from ...renderers.cpu.contributions import contributions
from ...renderers.projection import view_directions
from ...renderers.scene import Cameras, Gaussians
from ..geometry.concurrency import in_order
from ..geometry.likeness import one_by_one

FOVY_DEG = 40.0
MARGIN = 1.05
SOLID = 0.95
"""Alpha above which a pixel's color counts as the object's own."""
_SOBEL = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])


@dataclass(frozen=True, slots=True)
class View:
    """One camera. p pixels, n Gaussians."""

    basis: Float[Tensor, "n coefficient"]
    """Harmonics towards each Gaussian."""
    weights: Any
    """W, p x n, compressed by rows."""
    back: Any
    """Wᵀ, compressed by rows."""
    solid: Bool[Tensor, " p"]
    """Where the color is the object's own."""
    inner: Bool[Tensor, "height width"]
    """Solid with all eight around: slopes there are texture, not the outline before nothing."""
    alpha: Float[Tensor, " p"]
    size_px: tuple[int, int]


class Blend(torch.autograd.Function):
    """W c; the gradient is Wᵀ g."""

    @staticmethod
    def forward(ctx: Any, colors: Tensor, view: View) -> Tensor:
        ctx.view = view
        return torch.from_numpy(view.weights @ colors.detach().numpy())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return torch.from_numpy(ctx.view.back @ gradients[0].contiguous().numpy()), None


def around(center: Float[np.ndarray, "3"], radius: float, count: int, size_px: int) -> Cameras:
    """Cameras on a Fibonacci sphere that see a ball of `radius` around `center`."""
    steps = np.arange(count) + 0.5
    y, turn = 1 - 2 * steps / count, steps * math.pi * (3 - math.sqrt(5))
    ring = np.sqrt(1 - y**2)
    backward = np.stack([ring * np.sin(turn), y, ring * np.cos(turn)], axis=1)
    right = np.stack([np.cos(turn), np.zeros(count), -np.sin(turn)], axis=1)
    turns = np.stack([right, np.cross(-backward, right), -backward], axis=1)
    distance = MARGIN * radius / math.sin(math.radians(FOVY_DEG) / 2)
    pose = np.tile(np.eye(4), (count, 1, 1))
    pose[:, :3, :3] = turns
    pose[:, :3, 3] = -np.einsum("cij,cj->ci", turns, center + distance * backward)
    focal = 0.5 * size_px / math.tan(math.radians(FOVY_DEG) / 2)
    return Cameras(
        world_to_camera=torch.from_numpy(pose).float(),
        focal_px=torch.full((count, 2), focal),
        center_px=torch.full((count, 2), size_px / 2),
        width_px=size_px,
        height_px=size_px,
    )


def seen(scene: Gaussians, camera: Cameras) -> View:
    """One camera's view of the scene."""
    (matrix,) = contributions(scene, camera)
    weights = sparse.csr_array(matrix)
    alpha = torch.from_numpy(np.asarray(weights.sum(axis=1)))
    size = (camera.width_px, camera.height_px)
    solid = alpha > SOLID
    hollow = (~solid).float().reshape(1, 1, size[1], size[0])
    directions = view_directions(scene.means, camera)[0]
    return View(
        basis=harmonics.basis(directions, scene.sh.shape[1]),
        weights=weights,
        back=sparse.csr_array(matrix.T),
        solid=solid,
        inner=torch.nn.functional.max_pool2d(hollow, 3, stride=1, padding=1)[0, 0] == 0,
        alpha=alpha,
        size_px=size,
    )


def views_of(scene: Gaussians, cameras: Cameras, threads: int) -> list[View]:
    """All cameras' views, several at a time."""
    return list(in_order(lambda one: seen(scene, one), one_by_one(cameras), threads=threads))


def colors_in(view: View, sh: Float[Tensor, "n coefficient 3"]) -> Float[Tensor, "n 3"]:
    """What every Gaussian shows to the camera."""
    return (torch.einsum("nk,nkc->nc", view.basis.to(sh), sh) + 0.5).clamp(min=0)


def picture(view: View, colors: Float[Tensor, "n 3"]) -> Float[Tensor, "p 3"]:
    """Premultiplied by alpha."""
    return Blend.apply(colors, view)


def sobel(
    view: View, pixels: Float[Tensor, "p channel"]
) -> Float[Tensor, "channel 2 height width"]:
    """Derivatives along x and y, by Sobel's kernels as they are (a slope of 1 per pixel gives 8);
    the edge repeats."""
    width, height = view.size_px
    planes = pixels.T.reshape(-1, 1, height, width)
    padded = torch.nn.functional.pad(planes, (1, 1, 1, 1), mode="replicate")
    return torch.nn.functional.conv2d(padded, torch.stack([_SOBEL, _SOBEL.T])[:, None].to(pixels))
