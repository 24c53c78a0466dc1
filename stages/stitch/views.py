"""The target as it is seen from around, ready to be recolored.

Geometry and opacity are frozen, so the picture of a camera is W c, linear in the colors. There are
two ways to it, which agree to the renderers' own tolerance:

- `Cached`: W is made once as a sparse matrix (`contributions.py`), with no rasterizer in the loop;
  its gradient is Wᵀ. The faster one on a CPU.
- `Rendered`: a renderer blends the colors anew every time. It needs no memory per camera, and on a
  GPU it is the faster one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import sparse
from torch import Tensor

from ...renderers import sh as harmonics
from ...renderers.cpu.contributions import contributions
from ...renderers.projection import view_directions
from ...renderers.scene import Cameras, Gaussians, Renderer
from ..geometry.concurrency import in_order
from ..geometry.likeness import one_by_one

FOVY_DEG = 40.0
MARGIN = 1.05
SOLID = 0.95
"""Alpha above which a pixel's color counts as the object's own."""
_SOBEL = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])


Values = Float[Tensor, "n channel"]
Pixels = Float[Tensor, "p channel"]


@dataclass(frozen=True, slots=True)
class View:
    """One camera. p pixels, n Gaussians."""

    basis: Float[Tensor, "n coefficient"]
    """Harmonics towards each Gaussian."""
    blend: Callable[[Values], Pixels]
    """W times values per Gaussian; differentiable."""
    solid: Bool[Tensor, " p"]
    """Where the color is the object's own."""
    inner: Bool[Tensor, "height width"]
    """Solid with all eight around: slopes there are texture, not the outline before nothing."""
    alpha: Float[Tensor, " p"]
    size_px: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Cached:
    """W as a matrix, compressed by rows."""

    weights: Any
    back: Any
    """Wᵀ, compressed by rows."""

    def __call__(self, values: Values) -> Pixels:
        return _Product.apply(values, self)


@dataclass(frozen=True, slots=True)
class Rendered:
    """W by a renderer."""

    scene: Gaussians
    camera: Cameras
    renderer: Renderer

    def __call__(self, values: Values) -> Pixels:
        scene = replace(self.scene, channels=values.to(self.scene.means))
        frames = self.renderer(scene, self.camera, frozenset({"channels"}))
        assert frames.channels is not None
        return frames.channels[0].flatten(0, 1).to(values)


class _Product(torch.autograd.Function):
    """W v; the gradient is Wᵀ g."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, cached: Cached) -> Tensor:
        ctx.cached = cached
        return torch.from_numpy(cached.weights @ values.detach().numpy())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return torch.from_numpy(ctx.cached.back @ gradients[0].contiguous().numpy()), None


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


def seen(scene: Gaussians, camera: Cameras, renderer: Renderer | None = None) -> View:
    """One camera's view of the scene: `Rendered` by the renderer if one is given, else `Cached`."""
    if renderer is None:
        (matrix,) = contributions(scene, camera)
        blend = Cached(sparse.csr_array(matrix), sparse.csr_array(matrix.T))
    else:
        blend = Rendered(replace(scene, sh=scene.sh[:, :1].detach()), camera, renderer)
    with torch.no_grad():
        alpha = blend(scene.means.new_ones(len(scene.means), 1))[:, 0]
    size = (camera.width_px, camera.height_px)
    solid = alpha > SOLID
    hollow = (~solid).float().reshape(1, 1, size[1], size[0])
    directions = view_directions(scene.means, camera)[0]
    return View(
        basis=harmonics.basis(directions, scene.sh.shape[1]),
        blend=blend,
        solid=solid,
        inner=torch.nn.functional.max_pool2d(hollow, 3, stride=1, padding=1)[0, 0] == 0,
        alpha=alpha,
        size_px=size,
    )


def views_of(
    scene: Gaussians, cameras: Cameras, threads: int, renderer: Renderer | None = None
) -> list[View]:
    """All cameras' views, several at a time."""
    one = one_by_one(cameras)
    return list(in_order(lambda camera: seen(scene, camera, renderer), one, threads=threads))


def colors_in(view: View, sh: Float[Tensor, "n coefficient 3"]) -> Float[Tensor, "n 3"]:
    """What every Gaussian shows to the camera."""
    return (torch.einsum("nk,nkc->nc", view.basis.to(sh), sh) + 0.5).clamp(min=0)


def picture(view: View, colors: Float[Tensor, "n 3"]) -> Float[Tensor, "p 3"]:
    """Premultiplied by alpha."""
    return view.blend(colors)


def sobel(
    view: View, pixels: Float[Tensor, "p channel"]
) -> Float[Tensor, "channel 2 height width"]:
    """Derivatives along x and y, by Sobel's kernels as they are (a slope of 1 per pixel gives 8);
    the edge repeats."""
    width, height = view.size_px
    planes = pixels.T.reshape(-1, 1, height, width)
    padded = torch.nn.functional.pad(planes, (1, 1, 1, 1), mode="replicate")
    return torch.nn.functional.conv2d(padded, torch.stack([_SOBEL, _SOBEL.T])[:, None].to(pixels))
