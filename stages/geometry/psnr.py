"""Peak signal to noise ratio of two pictures, and the exposure between them."""

import math

import torch
from jaxtyping import Float
from scipy.optimize import minimize_scalar
from torch import Tensor

from ..formats.srgb import decode, encode

LARGEST = 4.0
"""No exposure exceeds this factor, nor falls below its inverse."""
COMPARED = 1 << 16
"""Pixels, evenly chosen, that an exposure is found from."""


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


def exposed(
    picture: Float[Tensor, "3 height width"],
    photo: Float[Tensor, "3 height width"],
    counts: Float[Tensor, "1 height width"],
) -> tuple[Float[Tensor, "3 height width"], float]:
    """`picture` (sRGB) with its linear light multiplied by the one factor that makes it most like
    the photograph where pixels count, and that factor. Cameras that expose each photograph anew
    differ by that much from any one scene."""
    there = counts[0] > 0.5
    step = max(1, int(there.sum()) // COMPARED)
    linear = decode(picture[:, there][:, ::step].double().clamp(0, 1).numpy())
    wanted = photo[:, there][:, ::step].double().clamp(0, 1).numpy()

    def error(log_factor: float) -> float:
        return float(((encode(linear * math.exp(log_factor)) - wanted) ** 2).mean())

    limit = math.log(LARGEST)
    found = minimize_scalar(error, bounds=(-limit, limit), method="bounded")
    factor = math.exp(float(found.x))
    whole = encode(decode(picture.double().clamp(0, 1).numpy()) * factor)
    return torch.from_numpy(whole).to(picture.dtype), factor
