"""Other renderers of splats on the CPU, as functions of scene and cameras, for `rasterize.py`.

Only measured against, never needed. `--opensplat FILE` names a Python extension that exports the
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

import torch
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
