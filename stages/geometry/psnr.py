"""Peak signal to noise ratio of two pictures."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def psnr_db(
    picture: Float[Tensor, "3 height width"],
    photo: Float[Tensor, "3 height width"],
    counts: Float[Tensor, "1 height width"] | None,
) -> float:
    """Peak signal 1, both clipped to [0, 1]; only over pixels that count."""
    square = (picture.clamp(0, 1) - photo.clamp(0, 1)).square()
    if counts is not None:
        square = square[:, counts[0] > 0.5]
    error = float(square.to(torch.float64).mean())
    return math.inf if error == 0 else -10 * math.log10(error)
