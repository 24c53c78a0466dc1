"""How much two pictures differ: mean absolute difference and SSIM.

SSIM after Wang et al. 2004: Gaussian window of standard deviation 1.5 px over 11 x 11 px,
C1 = 0.01^2, C2 = 0.03^2, mean over pixels and channels; the window is cut off at the borders.
"""

import torch
from jaxtyping import Float
from torch import Tensor

WINDOW, SIGMA_PX = 11, 1.5
C1, C2 = 0.01**2, 0.03**2


def ssim(
    left: Float[Tensor, "height width 3"], right: Float[Tensor, "height width 3"]
) -> Float[Tensor, "height width 3"]:
    """The map of SSIM; 1 where both are alike."""
    planes = [left, right, left * left, right * right, left * right]
    stack = torch.cat(planes, dim=-1).permute(2, 0, 1)[:, None]
    ones = left.new_ones(1, 1, *left.shape[:2])
    blurred = _blur(stack) / _blur(ones)
    mean_l, mean_r, square_l, square_r, both = blurred[:, 0].unflatten(0, (5, 3)).unbind(0)
    var_l, var_r = square_l - mean_l * mean_l, square_r - mean_r * mean_r
    covariance = both - mean_l * mean_r
    upper = (2 * mean_l * mean_r + C1) * (2 * covariance + C2)
    lower = (mean_l * mean_l + mean_r * mean_r + C1) * (var_l + var_r + C2)
    return (upper / lower).permute(1, 2, 0)


def photometric(
    picture: Float[Tensor, "height width 3"],
    target: Float[Tensor, "height width 3"],
    ssim_weight: float,
) -> Float[Tensor, ""]:
    """mean |I - I_ref| + weight (1 - SSIM) / 2."""
    loss = (picture - target).abs().mean()
    if ssim_weight:
        loss = loss + ssim_weight * 0.5 * (1 - ssim(picture, target)).mean()
    return loss


def _blur(planes: Tensor) -> Tensor:
    offset = torch.arange(WINDOW).to(planes) - WINDOW // 2
    line = torch.exp(-offset.square() / (2 * SIGMA_PX**2))
    line = line / line.sum()
    rows = torch.nn.functional.conv2d(planes, line.view(1, 1, -1, 1), padding=(WINDOW // 2, 0))
    return torch.nn.functional.conv2d(rows, line.view(1, 1, 1, -1), padding=(0, WINDOW // 2))
