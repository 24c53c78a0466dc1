"""The kernels as two differentiable functions: Gaussians to ellipses, ellipses to pictures."""

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from . import bins, blend, contributors, gradient, lists, project, project_gradient
from .lists import Grid, Lists, Piece
from .threads import Team, team


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


def _or_zeros(gradient: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if gradient is None else gradient


class Project(torch.autograd.Function):
    """Ellipses of all Gaussians for all cameras; what is not drawn has radius 0 and zeros."""

    @staticmethod
    def forward(ctx, means, quaternions, scales, opacities, sh, cameras, size, threads):
        c, n = len(cameras), len(means)
        xy, conics, colors = (means.new_empty(c, n, k) for k in (2, 3, 3))
        depths, radii = means.new_empty(c, n), means.new_empty(c, n)
        records = means.new_empty(c, n * bins.FIELDS)
        scene = tuple(_array(t) for t in (means, quaternions, scales, opacities, sh))
        outputs = [t.numpy() for t in (xy, conics, colors, depths, radii, records)]
        workers = team(threads)
        for k, camera in enumerate(cameras):
            common = (*scene, camera, size, *(out[k] for out in outputs))
            workers.run(project.project, [(a, b, *common) for a, b in workers.shares(n)])
        ctx.save_for_backward(means, quaternions, scales, sh, conics, colors, radii)
        ctx.cameras, ctx.threads = cameras, threads
        ctx.set_materialize_grads(False)  # Of the records alone it would be 64 bytes a Gaussian.
        ctx.mark_non_differentiable(depths, radii, records)
        return xy, conics, colors, depths, radii, records

    @staticmethod
    @once_differentiable
    def backward(ctx, g_xy, g_conics, g_colors, *_):
        means, quaternions, scales, sh, conics, colors, radii = ctx.saved_tensors
        inputs = tuple(_array(t) for t in (means, quaternions, scales, sh))
        g_xy = _or_zeros(g_xy, conics[..., :2])
        g_conics, g_colors = _or_zeros(g_conics, conics), _or_zeros(g_colors, colors)
        given = [_array(t) for t in (radii, conics, colors, g_xy, g_conics, g_colors)]
        gradients = [
            torch.empty_like(t, memory_format=torch.contiguous_format)
            for t in (means, quaternions, scales, sh)
        ]
        outputs = [g.numpy() for g in gradients]
        workers = team(ctx.threads)
        for k, camera in enumerate(ctx.cameras):
            common = (*inputs, camera, *(array[k] for array in given), *outputs)
            jobs = [(a, b, k > 0, *common) for a, b in workers.shares(len(means))]
            workers.run(project_gradient.project_backward, jobs)
        return (*gradients[:3], None, gradients[3], None, None, None)


def _weights(team: Team, listed: Lists, alpha: np.ndarray, n: int) -> np.ndarray:
    """Blending weights summed over the pixels: the gradient of a picture's sum by the colors."""
    ones, zeros = np.ones((*alpha.shape, 3), np.float32), np.zeros_like(alpha)
    found = lists.sums(team, listed, (ones, alpha), (ones, zeros), 0)
    out = np.zeros(n, np.float32)
    common = (listed.ids, listed.touched, *found, out)
    team.run(gradient.unpack_weights, [(a, b, *common) for a, b in team.shares(len(listed.ids))])
    return out


def _paint(listed: Lists, piece: Piece, image: np.ndarray, first: int, alpha: np.ndarray) -> None:
    """Blend columns first..first+2 over a piece of the picture."""
    state, live = piece.opened()
    if first == 0:
        lists.make_and_blend(listed, piece, state, live)
    else:
        listed.over_chunks(piece, blend.blend, state, live)
    piece.over_tiles(blend.picture, state, image, first, alpha)


def _paint_median(listed: Lists, piece: Piece, depth: np.ndarray) -> None:
    state, live = piece.opened()
    listed.over_chunks(piece, blend.median, state, live)
    piece.over_tiles(blend.median_picture, state, depth)


def _name(listed: Lists, piece: Piece, ids: np.ndarray, weights: np.ndarray) -> None:
    """The largest contributors of a piece's pixels."""
    listed.over_chunks(piece, contributors.contributors, listed.ids, ids, weights, *piece.opened())


class Rasterize(torch.autograd.Function):
    """Blend `values` (a multiple of three columns) over the pictures.

    Returns blended values, alpha, and, where asked for (else None), median depth, weights, and the
    `top` largest contributors' indices and weights.
    More than three values are blended in groups of three, each a further pass over the lists.
    """

    @staticmethod
    def forward(
        ctx, xy, conics, opacities, values, depths, radii, records, size, want, threads, top
    ):
        (width, height), c, n = size, len(xy), len(opacities)
        shape = (c, height, width, top)
        top_ids = torch.full(shape, -1, dtype=torch.int32) if top else None
        top_weights = values.new_zeros(shape) if top else None
        images = values.new_empty(c, height, width, values.shape[-1])
        alphas = values.new_empty(c, height, width)
        medians = values.new_empty(c, height, width) if "median_depth" in want else None
        weights = values.new_empty(c, n) if "weights" in want else None
        features, given = _array(values), [_array(t) for t in (records, depths, radii)]
        pictures, opaque = images.numpy(), alphas.numpy()
        grid = Grid(height, width)
        ctx.lists = []
        workers = team(threads)
        for k in range(c):
            listed = lists.pack(workers, *(array[k] for array in given), grid)
            # Projection has put the colors there; other values come first without them.
            listed.column = 0 if "rgb" in want else None
            for first in range(0, values.shape[-1], 3):
                listed.set_values(workers, features[k], first)
                listed.over_pieces(workers, _paint, pictures[k], first, opaque[k])
            if medians is not None:
                listed.over_pieces(workers, _paint_median, medians[k].numpy())
            if top:
                best = top_ids[k].numpy(), top_weights[k].numpy()
                listed.over_pieces(workers, _name, *best)
            if weights is not None:
                weights[k] = torch.from_numpy(_weights(workers, listed, opaque[k], n))
            ctx.lists.append(listed)
        ctx.threads = threads
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(opacities, values, images, alphas)
        plain = (medians, weights, top_ids, top_weights)
        ctx.mark_non_differentiable(*(t for t in plain if t is not None))
        return images, alphas, *plain

    @staticmethod
    @once_differentiable
    def backward(ctx, g_images, g_alphas, *_):
        opacities, values, images, alphas = ctx.saved_tensors
        c, n = values.shape[:2]
        g_xy, g_conics = values.new_empty(c, n, 2), values.new_empty(c, n, 3)
        g_opacities, g_values = torch.empty_like(opacities), torch.empty_like(values)
        features, pictures = _array(values), (_array(images), _array(alphas))
        cotangents = _array(_or_zeros(g_images, images)), _array(_or_zeros(g_alphas, alphas))
        to_xy, to_conics, to_opacities = (t.numpy() for t in (g_xy, g_conics, g_opacities))
        to_values = g_values.numpy()
        workers = team(ctx.threads)
        by_gaussian = [to_opacities, *to_xy, *to_conics, *to_values]
        workers.run(lists.clear, [(a, b, by_gaussian) for a, b in workers.shares(n)])
        for k, listed in enumerate(ctx.lists):
            made, (g_image, g_alpha) = [p[k] for p in pictures], [g[k] for g in cotangents]
            for first in range(0, values.shape[-1], 3):
                listed.set_values(workers, features[k], first)
                found = lists.sums(workers, listed, made, (g_image, g_alpha), first)
                jobs = [
                    (a, b, listed.splats, listed.ids, listed.touched, *found, first,
                     to_xy[k], to_conics[k], to_opacities, to_values[k])
                    for a, b in workers.shares(len(listed.ids))
                ]  # fmt: skip
                workers.run(gradient.unpack, jobs)
                g_alpha = np.zeros_like(g_alpha)  # counted once, with the first group
        return g_xy, g_conics, g_opacities, g_values, *[None] * 7
