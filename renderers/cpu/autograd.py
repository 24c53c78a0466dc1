"""The kernels as two differentiable functions: Gaussians to ellipses, ellipses to pictures."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from . import bins, blend, project


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


class Project(torch.autograd.Function):
    """Ellipses of all Gaussians for all cameras; what is not drawn has radius 0 and zeros."""

    @staticmethod
    def forward(ctx, means, quaternions, scales, opacities, sh, cameras, size):
        c, n = len(cameras), len(means)
        xy, conics, colors = (means.new_zeros(c, n, k) for k in (2, 3, 3))
        depths, radii, boxes = (means.new_zeros(c, n, *k) for k in ((), (), (2,)))
        scene = tuple(_array(t) for t in (means, quaternions, scales, opacities, sh))
        for k, camera in enumerate(cameras):
            outputs = (xy, conics, colors, depths, boxes, radii)
            project.project(*scene, camera, size, *(t[k].numpy() for t in outputs))
        ctx.save_for_backward(means, quaternions, scales, sh, conics, colors, radii)
        ctx.cameras = cameras
        ctx.mark_non_differentiable(depths, boxes, radii)
        return xy, conics, colors, depths, boxes, radii

    @staticmethod
    @once_differentiable
    def backward(ctx, g_xy, g_conics, g_colors, *_):
        means, quaternions, scales, sh, conics, colors, radii = ctx.saved_tensors
        inputs = tuple(_array(t) for t in (means, quaternions, scales, sh))
        gradients = [torch.zeros_like(t) for t in (means, quaternions, scales, sh)]
        gradients = [g.contiguous() for g in gradients]
        for k, camera in enumerate(ctx.cameras):
            project.project_backward(
                *inputs,
                camera,
                *(_array(t[k]) for t in (radii, conics, colors, g_xy, g_conics, g_colors)),
                *(g.numpy() for g in gradients),
            )
        return (*gradients[:3], None, gradients[3], None, None)


@dataclass(frozen=True, slots=True)
class Lists:
    """One camera's splats and tile lists, kept from forward to backward."""

    splats: np.ndarray
    ids: np.ndarray
    entries: np.ndarray
    masks: np.ndarray
    starts: np.ndarray
    ends: np.ndarray

    @property
    def tiles(self) -> tuple[np.ndarray, ...]:
        return self.splats, self.entries, self.masks, self.starts, self.ends


def _build_lists(xy, conics, opacities, depths, boxes, radii, height: int, width: int) -> Lists:
    size = len(radii)
    splats = np.empty(size * bins.FIELDS, np.float32)
    ids, keys = np.empty(size, np.int32), np.empty(size, np.uint32)
    n = bins.pack(xy, conics, opacities, depths, boxes, radii, splats, ids, keys)
    columns, rows = -(-width // bins.TILE_PX), -(-height // bins.TILE_PX)
    order = bins.depth_order(keys, n)
    room = bins.count_entries(splats, order, columns, rows)
    unsorted = bins.fill_entries(splats, order, columns, rows, room)
    entries, masks, starts = bins.sort_by_tile(*unsorted)
    return Lists(splats, ids[:n], entries, masks, starts, starts[1:].copy())


def _accumulate(lists: Lists, values, alpha, g_values, g_alpha, first: int) -> np.ndarray:
    """Nine sums per splat (in rows of 16) for one group of three values."""
    sums = np.zeros(len(lists.ids) * bins.FIELDS, np.float32)
    blend.blend_backward(*lists.tiles, values, alpha, g_values, g_alpha, first, sums)
    return sums


def _weights(lists: Lists, alpha: np.ndarray, n: int) -> np.ndarray:
    """Blending weights summed over the pixels: the gradient of a picture's sum by the colors."""
    ones, zeros = np.ones((*alpha.shape, 3), np.float32), np.zeros_like(alpha)
    sums = _accumulate(lists, ones, alpha, ones, zeros, 0)
    out = np.zeros(n, np.float32)
    out[lists.ids] = sums.reshape(-1, bins.FIELDS)[:, 0]
    return out


class Rasterize(torch.autograd.Function):
    """Blend `values` (a multiple of three columns) over the pictures.

    Returns blended values, alpha, and, where asked for, median depth and weights (else empty).
    More than three values are blended in groups of three, each a further pass over the lists.
    """

    @staticmethod
    def forward(ctx, xy, conics, opacities, values, depths, boxes, radii, size, want):
        (width, height), c, n = size, len(xy), len(opacities)
        images = values.new_empty(c, height, width, values.shape[-1])
        alphas = values.new_empty(c, height, width)
        medians = values.new_empty(c, height, width) if "median_depth" in want else None
        weights = values.new_empty(c, n) if "weights" in want else None
        alive, features = _array(opacities), _array(values)
        ctx.lists = []
        for k in range(c):
            ellipses = (_array(xy[k]), _array(conics[k]), alive)
            boxed = (_array(t[k]) for t in (depths, boxes, radii))
            lists = _build_lists(*ellipses, *boxed, height, width)
            image, alpha = images[k].numpy(), alphas[k].numpy()
            for first in range(0, values.shape[-1], 3):
                blend.set_values(lists.splats, lists.ids, len(lists.ids), features[k], first)
                blend.blend(*lists.tiles, image, first, alpha)
            if medians is not None:
                blend.median(*lists.tiles, medians[k].numpy())
            if weights is not None:
                weights[k] = torch.from_numpy(_weights(lists, alpha, n))
            ctx.lists.append(lists)
        ctx.save_for_backward(opacities, values, images, alphas)
        ctx.mark_non_differentiable(*(t for t in (medians, weights) if t is not None))
        return images, alphas, medians, weights

    @staticmethod
    @once_differentiable
    def backward(ctx, g_images, g_alphas, *_):
        opacities, values, images, alphas = ctx.saved_tensors
        c, n = values.shape[:2]
        g_xy, g_conics = values.new_zeros(c, n, 2), values.new_zeros(c, n, 3)
        g_opacities, g_values = torch.zeros_like(opacities), torch.zeros_like(values)
        features = _array(values)
        for k, lists in enumerate(ctx.lists):
            outputs = (g_xy[k].numpy(), g_conics[k].numpy(), g_opacities.numpy())
            image, alpha, g_image = _array(images[k]), _array(alphas[k]), _array(g_images[k])
            g_alpha = _array(g_alphas[k])
            for first in range(0, values.shape[-1], 3):
                blend.set_values(lists.splats, lists.ids, len(lists.ids), features[k], first)
                sums = _accumulate(lists, image, alpha, g_image, g_alpha, first)
                blend.unpack(
                    lists.splats, lists.ids, len(lists.ids), sums, first, *outputs,
                    g_values[k].numpy(),
                )  # fmt: skip
                g_alpha = np.zeros_like(alpha)  # counted once, with the first group
        return g_xy, g_conics, g_opacities, g_values, None, None, None, None, None
