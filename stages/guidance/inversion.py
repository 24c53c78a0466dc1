"""From a picture up to noise that belongs to it: DDIM run backwards.

Song et al. 2021, eq. 13 read from low to high noise: with x0 and eps predicted at level a,

    z_b = alpha_b x0 + sigma_b eps,        b > a

Unlike fresh noise, what is found this way leads the model back to (about) the same picture.
"""

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .cfg import predict_guided
from .protocol import Condition, Guidance, Prediction


def levels_between(
    low: Int[Tensor, " batch"], high: Int[Tensor, " batch"], steps: int
) -> Int[Tensor, "steps_plus_1 batch"]:
    """Evenly spaced levels of each sample, `low` first and `high` last."""
    shares = torch.arange(steps + 1, dtype=torch.float64, device=low.device)[:, None] / steps
    return (low + (high - low) * shares).round().long()


@torch.no_grad()
def invert(
    guidance: Guidance,
    z: Float[Tensor, "batch channel height width"],
    levels: Sequence[Int[Tensor, " batch"]],
    text: Condition,
    unconditional: Condition,
    *,
    scale: float = 0.0,
) -> tuple[Float[Tensor, "batch channel height width"], Prediction]:
    """Latents at the last of `levels` from latents at the first, and the last prediction made.

    Args:
        levels: Rising timesteps, at least two entries of one per sample.
        scale: Guidance on the way; 0 is without the text, at the price of one pass.
    """
    if len(levels) < 2:
        raise ValueError(f"levels must have at least two entries, got {len(levels)}.")
    abar = guidance.alphas_cumprod.to(z.dtype)
    for low, high in itertools.pairwise(levels):
        if scale == 0:
            guess = guidance.predict(z, low, unconditional)
        else:
            guess = predict_guided(guidance, z, low, text, unconditional, scale=scale)
        b = abar[high.to(abar.device)].view(-1, 1, 1, 1)
        z = b.sqrt() * guess.x0 + (1 - b).sqrt() * guess.eps
    return z, guess
