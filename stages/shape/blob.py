"""A start that knows nothing: Gaussians strewn in a ball (as in DreamGaussian, 2309.16653)."""

import torch
from jaxtyping import Float
from torch import Tensor

from ...renderers.scene import Gaussians
from ..randomness import generator

SH_DC = 0.28209479177387814
"""The constant real spherical harmonic, sqrt(1 / (4 pi))."""


def blob(count: int, radius_m: float, seed: int) -> Gaussians:
    """`count` gray, translucent Gaussians, denser toward the middle.

    The radius of each is uniform in [0, 0.8 `radius_m`], so the density falls as 1/r^2. Their
    size is that of a ball holding `1 / count` of the volume.
    """
    draw = generator(seed, "blob")
    direction = torch.randn(count, 3, generator=draw)
    direction = direction / direction.norm(dim=1, keepdim=True).clamp(min=1e-12)
    radius = 0.8 * radius_m * torch.rand(count, 1, generator=draw)
    colors = 0.5 + 0.03 * torch.randn(count, 3, generator=draw)
    size = 0.8 * radius_m / count ** (1 / 3)
    return isotropic(direction * radius, torch.full((count,), size), colors, 0.1)


def isotropic(
    means: Float[Tensor, "n 3"],
    sizes_m: Float[Tensor, " n"],
    colors: Float[Tensor, "n 3"],
    opacity: float,
) -> Gaussians:
    """Round Gaussians of plain color.

    Args:
        sizes_m: Standard deviations in metres.
        colors: sRGB in [0, 1].
    """
    count = len(means)
    quaternions = torch.zeros(count, 4)
    quaternions[:, 0] = 1
    if not 0 < opacity < 1:
        raise ValueError(f"opacity must be between 0 and 1, got {opacity}.")
    return Gaussians(
        means=means,
        quaternions=quaternions,
        scales=sizes_m[:, None].expand(count, 3).clone(),
        opacities=torch.full((count,), opacity),
        sh=(colors.reshape(count, 1, 3) - 0.5) / SH_DC,
    )
