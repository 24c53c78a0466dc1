"""The positional field: where in the picture what a pixel shows is, as a function of the scene.

Notation: pixel centre u, Gaussian i with image mean mu'_i and covariance Sigma'_i, blending weight
w_ui = T_i alpha_i (held fixed), S_i = Sigma'_i^(1/2), a bar: held fixed.

    p_ui = mu'_i + S_i eps,  eps = S-bar_i^-1 (u - mu'-bar_i)                        eq. 8
    U(u) = sum_i w_ui p_ui + (1 - sum_i w_ui) u                                      eq. 4-7

(Luo et al. 2024). The value of U(u) is u; its gradient goes to mu'_i with weight w_ui, and through
the closed form of the square root to Sigma'_i. As p_ui = A_i u + b_i with A_i = S_i S-bar_i^-1 and
b_i = mu'_i - A_i mu'-bar_i, U(u) - u is the blend of the per-Gaussian values b_i and A_i - I, which
are all zero: extra channels of any renderer. And since they are zero, no gradient flows into the
weights: nothing else has to be held fixed.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from ...renderers.projection import image_covariances, image_points, view_points
from ...renderers.scene import Cameras, Gaussians

NEAR_M = 0.01


def square_roots(matrices: Float[Tensor, "n 2 2"]) -> Float[Tensor, "n 2 2"]:
    """Of symmetric positive definite 2x2: (M + sqrt(det M) I) / sqrt(trace M + 2 sqrt(det M))."""
    det = matrices[:, 0, 0] * matrices[:, 1, 1] - matrices[:, 0, 1] * matrices[:, 1, 0]
    root = det.clamp(min=0).sqrt()
    trace = matrices[:, 0, 0] + matrices[:, 1, 1]
    identity = torch.eye(2).to(matrices)
    return (matrices + root[:, None, None] * identity) / (trace + 2 * root).sqrt()[:, None, None]


def position_channels(
    scene: Gaussians, camera: Cameras, *, spread: bool = False
) -> Float[Tensor, "n channel"]:
    """Zeros whose gradient is that of where each Gaussian is: 2 channels, or 6 with `spread`.

    What lies behind the camera gets no gradient.
    """
    ahead = view_points(scene.means.detach(), camera.world_to_camera.to(scene.means))[0, :, 2:]
    ahead = ahead > NEAR_M
    centers = image_points(scene, camera)[0]
    fixed = centers.detach()
    if not spread:
        return torch.where(ahead, centers - fixed, 0.0)
    roots = square_roots(image_covariances(scene, camera)[0])
    change = roots @ torch.linalg.inv(roots.detach())
    change = change - change.detach()
    shift = centers - fixed - torch.einsum("nij,nj->ni", change, fixed)
    return torch.where(ahead, torch.cat([shift, change.flatten(1)], dim=1), 0.0)


def positions(
    channels: Float[Tensor, "height width channel"],
) -> Float[Tensor, "height width 2"]:
    """U from the blended channels: column and row of each pixel's centre, in pixels."""
    pixels = pixel_centers(*channels.shape[:2]).to(channels)
    out = pixels + channels[..., :2]
    if channels.shape[-1] == 2:
        return out
    return out + torch.einsum("hwij,hwj->hwi", channels[..., 2:].unflatten(-1, (2, 2)), pixels)


def pixel_centers(height: int, width: int) -> Float[Tensor, "height width 2"]:
    """Column and row of each."""
    rows, columns = torch.meshgrid(
        torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij"
    )
    return torch.stack([columns, rows], dim=-1)
