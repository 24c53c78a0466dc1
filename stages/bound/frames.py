"""Triangles as frames, and Gaussians in them.

Of a triangle (a, b, c): t along b - a, n along (b - a) x (c - a), s = n x t; t, s, n are right-
handed. A Gaussian's first two axes lie in the plane, its third one is n. How it is turned in the
plane is a complex number z, of any length: by twice the angle of z, which is the quaternion
(Re z, 0, 0, Im z) in the frame.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

FLAT = 1e-7
"""A triangle has no area where its height is below this share of its longest edge."""


@dataclass(frozen=True, slots=True)
class Places:
    """Which triangle a Gaussian belongs to, and where on it: fixed."""

    owner: Int[Tensor, " n"]
    barycentrics: Float[Tensor, "n 3"]


def frames(corners: Float[Tensor, "face 3 3"]) -> Float[Tensor, "face 3 3"]:
    """t, s and n as columns; meaningless for triangles without area. Differentiable."""
    first = corners[:, 1] - corners[:, 0]
    normal = torch.linalg.cross(first, corners[:, 2] - corners[:, 0])
    t = torch.nn.functional.normalize(first, dim=1)
    n = torch.nn.functional.normalize(normal, dim=1, eps=1e-30)
    return torch.stack([t, torch.linalg.cross(n, t), n], dim=2)


def without_area(corners: Float[Tensor, "face 3 3"]) -> Bool[Tensor, " face"]:
    """Triangles that are a line or a point."""
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    doubled = torch.linalg.cross(first, second).norm(dim=1)
    longest = (corners.roll(-1, dims=1) - corners).norm(dim=2).amax(dim=1)
    return ~(doubled > FLAT * longest.square())


def quaternions(rotations: Float[Tensor, "n 3 3"]) -> Float[Tensor, "n 4"]:
    """(w, x, y, z) of unit length. Differentiable: of four formulas, the best conditioned."""
    m = rotations.unbind(dim=1)
    (a, b, c), (d, e, f), (g, h, i) = (row.unbind(dim=1) for row in m)
    one = torch.ones_like(a)
    ways = [
        [one + a + e + i, h - f, c - g, d - b],
        [h - f, one + a - e - i, b + d, c + g],
        [c - g, b + d, one - a + e - i, f + h],
        [d - b, c + g, f + h, one - a - e + i],
    ]
    every = torch.stack([torch.stack(way, dim=1) for way in ways], dim=1)
    best = every.diagonal(dim1=1, dim2=2).detach().argmax(dim=1)
    return torch.nn.functional.normalize(every[torch.arange(len(a)), best], dim=1)


def centers(corners: Float[Tensor, "face 3 3"], places: Places) -> Float[Tensor, "n 3"]:
    """Inside of the triangles."""
    return (places.barycentrics[..., None] * corners[places.owner]).sum(dim=1)


def orientations(
    rotations: Float[Tensor, "face 3 3"], owner: Int[Tensor, " n"], turns: Float[Tensor, "n 2"]
) -> Float[Tensor, "n 4"]:
    """Quaternions of the Gaussians, of unit length: their triangle's, then the turn in the plane.

    Args:
        rotations: From `frames`.
        turns: z, see the module; not zero.
    """
    w, x, y, z = quaternions(rotations)[owner].unbind(dim=1)
    p, q = torch.nn.functional.normalize(turns, dim=1).unbind(dim=1)
    return torch.stack([w * p - z * q, x * p + y * q, y * p - x * q, z * p + w * q], dim=1)
