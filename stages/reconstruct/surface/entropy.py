"""How undecided opacities are."""

import torch
from jaxtyping import Float
from torch import Tensor


def binary_entropy(logits: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """-a ln a - (1 - a) ln(1 - a) of a = sigmoid(logit), in nats; ln 2 at a = 1/2.

    Written as softplus(x) - a x, which is exact where a rounds to 0 or 1.
    """
    return torch.nn.functional.softplus(logits) - torch.sigmoid(logits) * logits
