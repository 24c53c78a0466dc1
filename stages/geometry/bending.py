"""How much the surface that views show is bent.

Pictures say little of the depth of what has one color; left alone, it comes out full of bumps, and
edges between colors become steps. On a plane the inverse of the depth is linear in the picture, so
its second difference along rows and columns says how far the surface is from one. Its absolute
value is taken, which lets a crease be a crease, up to `JUMP`, beyond which one thing ends and
another begins behind it (the truncated penalty of Blake and Zisserman 1987).

Notation: v views of h x w pixels; z depth, f focal length in pixels. A change of 1/z by d is one of
z by z^2 d, over a pixel that is z / f wide there: a change of slope by z f d.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

JUMP = 2.0
"""Change of slope between neighboring pixels that is no bend but the edge of something. A slope
of 1 is a surface at 45 degrees to the picture."""
COVERED = 0.8
"""Pixels with less alpha have no depth to speak of."""


def bending(
    depth: Float[Tensor, "v h w 1"], alpha: Float[Tensor, "v h w 1"], focal_px: Float[Tensor, "v 2"]
) -> Float[Tensor, ""]:
    """Sum over views, pixels and both directions of min(|change of slope|, JUMP).

    Nothing where one of the three pixels is covered by less than `COVERED`.

    Args:
        depth: Expected depth in metres. The only input that is differentiated.
        focal_px: Along x and along y.
    """
    total = depth.new_zeros(())
    for bend, valid in _bends(depth[..., 0], alpha.detach()[..., 0] >= COVERED, focal_px):
        total = total + (bend.abs().clamp(max=JUMP) * valid).sum()
    return total


def _bends(
    depth: Float[Tensor, "v h w"], covered: Tensor, focal_px: Float[Tensor, "v 2"]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Changes of slope along rows, then along columns, and where they mean something."""
    inverse = 1 / torch.where(covered, depth, 1.0)
    for axis, focal in ((2, focal_px[:, 0]), (1, focal_px[:, 1])):
        count = depth.shape[axis] - 2
        if count < 1:
            continue
        before, here, after = (inverse.narrow(axis, k, count) for k in range(3))
        valid = torch.stack([covered.narrow(axis, k, count) for k in range(3)]).all(dim=0)
        yield (before - 2 * here + after) * focal[:, None, None] / here.detach(), valid
