"""Guidance whose result is as varied as the prediction with the text alone.

Lin et al., "Common Diffusion Noise Schedules and Sample Steps are Flawed", WACV 2024, eq. 15-16;
on denoised predictions, as MVDream does in distillation (Shi et al. 2023).

    x_rescaled = x_guided std(x_text) / std(x_guided)
    x          = share x_rescaled + (1 - share) x_guided

Standard deviations are over all values of one sample. The mean is scaled too: this bounds
over-saturation less well than `apg` but keeps the direction of the guided prediction.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def rescale(
    guided: Float[Tensor, "batch *shape"], text: Float[Tensor, "batch *shape"], share: float
) -> Float[Tensor, "batch *shape"]:
    """Denoised predictions, guided and with the text alone; a sample without any spread is left
    as it is."""
    wanted, found = (each.flatten(1).std(dim=1) for each in (text, guided))
    ratio = torch.where(found > 0, wanted / torch.where(found > 0, found, 1.0), 1.0)
    factor = share * ratio + (1 - share)
    return guided * factor.view(-1, *[1] * (guided.ndim - 1))
