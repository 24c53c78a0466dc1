"""How round Gaussians are."""

from jaxtyping import Float
from torch import Tensor


def roundness(scales: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
    """Smallest over middle standard deviation: 1 for a ball, 0 for a disk or a flat needle.

    The middle one is held, so that lowering this thins a Gaussian and never widens it.
    """
    ordered = scales.sort(dim=1).values
    return ordered[:, 0] / ordered[:, 1].detach()
