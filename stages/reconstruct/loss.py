"""How far a rendered view is from its photograph.

    (1 - w) mean |x - y| + w mean (1 - SSIM(x, y))        Kerbl et al. 2023, eq. 7

Pixels that do not count take the rendered color on both sides, and have no gradient.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from ...renderers.scene import Frames
from ..formats.photos import Target
from ..geometry.ssim import ssim


def composed(frames: Frames, background: Float[Tensor, "3"]) -> Float[Tensor, "3 height width"]:
    """The one picture of `frames` on a flat background."""
    assert frames.rgb is not None and frames.alpha is not None
    return (frames.rgb[0] + (1 - frames.alpha[0]) * background).permute(2, 0, 1)


def wanted(target: Target, background: Float[Tensor, "3"]) -> Float[Tensor, "3 height width"]:
    """The photograph, on the same background where it has alpha."""
    if target.alpha is None:
        return target.rgb
    return target.rgb + (1 - target.alpha) * background[:, None, None]


def photometric(
    picture: Float[Tensor, "3 height width"],
    photo: Float[Tensor, "3 height width"],
    counts: Float[Tensor, "1 height width"] | None,
    ssim_weight: float,
) -> Float[Tensor, ""]:
    """See the module; means are over pixels and colors that count."""
    share = 1.0
    if counts is not None:
        fixed = picture.detach()
        photo = torch.where(counts > 0.5, photo, fixed)
        picture = torch.where(counts > 0.5, picture, fixed)
        share = max(float((counts > 0.5).float().mean()), 1e-6)
    loss = (1 - ssim_weight) * (picture - photo).abs().mean()
    if ssim_weight:
        loss = loss + ssim_weight * (1 - ssim(picture, photo)).mean()
    return loss / share
