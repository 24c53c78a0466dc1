"""Other renderers of splats on the CPU, as functions of scene and cameras, for `rasterize.py`.

Only measured against, never needed. `--gsplat` adds gsplat's own PyTorch reference, repaired: see
`gsplat_reference`. `--opensplat FILE` names a Python extension that exports the
CPU rasterizer of OpenSplat (AGPL-3.0, pierotofy/OpenSplat, `rasterizer/gsplat-cpu`), built by
whoever measures, with these functions around its own:

    project(n, means, scales, 1, quaternions, view, projection, fx, fy, cx, cy, h, w, near)
    harmonics(n, degree, degree, directions, coefficients)
    rasterize_forward(w, h, xy, conics, colors, opacities, background, cov2d, depths)
        -> image, final transmittances, pixel lists (an integer)
    rasterize_backward(h, w, the same arrays, transmittances, pixel lists, g_image, g_alpha)
        -> g_xy, g_conics, g_colors, g_opacities
    release(pixel lists)
"""

import importlib.util
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from splatworks.renderers.cpu.contributions import contributions
from splatworks.renderers.scene import Cameras, Gaussians

Draw = Callable[[Gaussians, Cameras], tuple[torch.Tensor, torch.Tensor]]
"""Picture (h, w, 3) and alpha (h, w), in the graph."""
NEAR, FAR = 0.001, 1000.0


def opensplat(file: Path) -> Draw:
    """OpenSplat's CPU path, put together as its own model does. Background black.

    Its depths come as a view with stride 3, which its sort reads as if dense; they are copied
    first, or the order would be wrong. Its gradients by scales and rotations are not exact.
    """
    spec = importlib.util.spec_from_file_location(file.name.split(".")[0], file)
    extension = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(extension)

    class Blend(torch.autograd.Function):
        @staticmethod
        def forward(ctx, xy, conics, colors, opacities, background, cov2d, depths, size):
            arrays = (xy, conics, colors, opacities, background, cov2d, depths)
            image, rest, lists = extension.rasterize_forward(*size, *arrays)
            ctx.arrays, ctx.rest, ctx.lists, ctx.size = arrays, rest, lists, size
            return image, 1 - rest

        @staticmethod
        def backward(ctx, g_image, g_alpha):
            width, height = ctx.size
            given = (g_image.contiguous(), g_alpha.contiguous())
            g_xy, g_conics, g_colors, g_opacities = extension.rasterize_backward(
                height, width, *ctx.arrays, ctx.rest, ctx.lists, *given
            )
            extension.release(ctx.lists)
            return g_xy, g_conics, g_colors, g_opacities[:, 0], None, None, None, None

    def draw(scene: Gaussians, cameras: Cameras) -> tuple[torch.Tensor, torch.Tensor]:
        width, height = cameras.width_px, cameras.height_px
        pose = cameras.world_to_camera[0]
        (fx, fy), (cx, cy) = cameras.focal_px[0].tolist(), cameras.center_px[0].tolist()
        lens = torch.tensor(
            [
                [2 * fx / width, 0, 2 * cx / width - 1, 0],
                [0, 2 * fy / height, 2 * cy / height - 1, 0],
                [0, 0, (FAR + NEAR) / (FAR - NEAR), -2 * FAR * NEAR / (FAR - NEAR)],
                [0, 0, 1, 0],
            ]
        )
        n, degree = len(scene.means), math.isqrt(scene.sh.shape[1]) - 1
        xy, _, conics, cov2d, depths = extension.project(
            n, scene.means, scene.scales, 1.0, scene.quaternions, pose, lens @ pose,
            fx, fy, cx, cy, height, width, 0.01,
        )  # fmt: skip
        center = -pose[:3, :3].T @ pose[:3, 3]
        directions = torch.nn.functional.normalize(scene.means.detach() - center, dim=-1)
        colors = extension.harmonics(n, degree, degree, directions, scene.sh)
        return Blend.apply(
            xy, conics, torch.clamp_min(colors + 0.5, 0.0), scene.opacities, torch.zeros(3),
            cov2d, depths.detach().contiguous(), (width, height),
        )  # fmt: skip

    return draw


def _pairs(scene: Gaussians, cameras: Cameras) -> tuple[torch.Tensor, torch.Tensor]:
    """Gaussian and pixel of everything blended, pixel by pixel, near to far in each."""
    with torch.no_grad():
        (matrix,) = contributions(scene, cameras)
        view = cameras.world_to_camera[0].double()
        depths = scene.means.double() @ view[2, :3] + view[2, 3]
    gaussians = np.repeat(np.arange(matrix.shape[1]), np.diff(matrix.indptr))
    place = np.empty(matrix.shape[1], np.int64)
    place[np.argsort(depths.numpy(), kind="stable")] = np.arange(matrix.shape[1])
    order = np.lexsort((place[gaussians], matrix.indices))
    return torch.from_numpy(gaussians[order]), torch.from_numpy(matrix.indices[order].astype("i8"))


def gsplat_reference() -> Draw:
    """gsplat's `_torch_impl`, which by itself stops at its CUDA kernels even on the CPU.

    Projection and SH are its own functions. Its list of (Gaussian, pixel) pairs, which it takes
    from a CUDA kernel after a Python loop over Gaussians, comes from `contributions` here (so the
    pairs cost it little); its products along a pixel, from nerfacc's CUDA scans, are a sum of
    logarithms.
    """
    from gsplat.cuda import _torch_impl as gsplat

    def draw(scene: Gaussians, cameras: Cameras) -> tuple[torch.Tensor, torch.Tensor]:
        width, height = cameras.width_px, cameras.height_px
        matrix = torch.eye(3).repeat(1, 1, 1)
        matrix[0, [0, 1], [0, 1]], matrix[0, :2, 2] = cameras.focal_px[0], cameras.center_px[0]
        pose = cameras.world_to_camera.float()
        covariances, _ = gsplat._quat_scale_to_covar_preci(
            scene.quaternions, scene.scales, compute_preci=False
        )
        _, xy, _, conics, _ = gsplat._fully_fused_projection(
            scene.means, covariances, pose, matrix, width, height
        )
        directions = scene.means + pose[0, :3, :3].T @ pose[0, :3, 3]
        degree = math.isqrt(scene.sh.shape[1]) - 1
        colors = (gsplat._spherical_harmonics(degree, directions, scene.sh) + 0.5).clamp_min(0.0)
        ids, pixels = _pairs(scene, cameras)
        x, y = pixels % width + 0.5, pixels // width + 0.5
        dx, dy = x - xy[0, ids, 0], y - xy[0, ids, 1]
        a, b, c = conics[0, ids].unbind(-1)
        sigma = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
        alpha = (scene.opacities[ids] * torch.exp(-sigma)).clamp_max(0.999)
        passed = torch.log1p(-alpha.double())
        before = torch.cumsum(passed, 0) - passed
        counts = torch.bincount(pixels, minlength=width * height)
        starts = torch.repeat_interleave(counts.cumsum(0) - counts, counts)
        weights = (alpha * torch.exp(before - before[starts])).float()
        image = torch.zeros(width * height, 3).index_add(0, pixels, weights[:, None] * colors[ids])
        opaque = torch.zeros(width * height).index_add(0, pixels, weights)
        return image.reshape(height, width, 3), opaque.reshape(height, width)

    return draw
