"""How much two pictures differ: mean absolute difference and SSIM (`geometry/ssim.py`, its window
cut off at the borders), mean over pixels and channels.
"""

from jaxtyping import Float
from torch import Tensor

from ..geometry import ssim as structural


def ssim(
    left: Float[Tensor, "height width 3"], right: Float[Tensor, "height width 3"]
) -> Float[Tensor, "height width 3"]:
    """The map of SSIM; 1 where both are alike."""
    planes = (left.permute(2, 0, 1), right.permute(2, 0, 1))
    return structural.ssim(*planes, cut_off=True).permute(1, 2, 0)


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
