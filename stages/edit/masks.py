"""Adaptive rigidity: edges that learn to give way, at joints and where parts come apart.

Notation: learnable m_ij per edge, sigma the logistic function.

    kappa_ij = khat_ij sigma(m_ij)                         eq. 12
    L_mask = mean_ij |sigma(m_ij) - 1|                     eq. 17
    m <- logit(max(sigma(m), eta)), every so often         eq. 15

(Luo et al. 2024). The reset keeps a mask that has closed from being lost: at sigma = 0 its
gradient is zero as well.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from .anchors import Graph
from .settings import Rigidity

OPEN = 4.0
"""m at the start: sigma = 0.982."""


def closed_share(masks: Float[Tensor, "*kind edge"]) -> Float[Tensor, ""]:
    """L_mask."""
    return (torch.sigmoid(masks) - 1).abs().mean()


def weights(edges: Graph, masks: Float[Tensor, "*kind edge"]) -> Float[Tensor, "*kind edge"]:
    """kappa."""
    return edges.kernel.to(masks) * torch.sigmoid(masks)


def reset(masks: Float[Tensor, "*kind edge"], eta: float) -> Float[Tensor, "*kind edge"]:
    """Lift what is below sigma = eta to it; the rest stays as it is."""
    return masks.clamp(min=math.log(eta / (1 - eta)))


def reset_now(masks: Float[Tensor, "*kind edge"], iteration: int, settings: Rigidity) -> None:
    """In place, where it is time for it."""
    due = settings.reset_every and iteration and iteration % settings.reset_every == 0
    if settings.adaptive and due:
        with torch.no_grad():
            masks.copy_(reset(masks, settings.eta))
