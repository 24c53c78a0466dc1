"""What a deformation costs, all terms together: strains, weighted by masks that have their price.

    l_arap L_arap + l_rot L_rot + l_dist L_dist + sum over the three of l p L_mask

p is what the term comes to at the strain e at which an edge shall give way: e^2 for arap, e^2 / 4
for a turn by e radians, 2 e for the change of a squared length. So an edge of average weight gives
way where it is strained by more than e. (The paper has one weight for all masks.)
"""

import torch
from jaxtyping import Float
from torch import Tensor

from . import masks, rigidity
from .anchors import Graph
from .settings import Rigidity

SHUT = 30.0
"""A logit whose sigma is 1: masks that are not adaptive."""


def stiffness(
    rest: Float[Tensor, "n 3"],
    places: Float[Tensor, "n 3"],
    turns: Float[Tensor, "n 4"],
    edges: Graph,
    logits: Float[Tensor, "3 edge"],
    settings: Rigidity,
) -> Float[Tensor, ""]:
    """The sum; `logits` are the masks of arap, rotation and distance."""
    if not len(edges.start):  # A point alone.
        return places.new_zeros(())
    strained = rigidity.strains(rest, places, turns, edges)
    weights = (settings.arap, settings.rotation, settings.distance)
    each = (strained.arap, strained.rotation, strained.distance)
    shown = logits if settings.adaptive else torch.full_like(logits, SHUT)
    kappa = masks.weights(edges, shown)
    e = settings.gives_way
    prices = (e * e, e * e / 4, 2 * e)
    loss = places.new_zeros(())
    for number, (weight, strain) in enumerate(zip(weights, each, strict=True)):
        loss = loss + weight * rigidity.mean_over_points(strain, kappa[number], edges)
        if settings.adaptive:
            loss = loss + weight * prices[number] * masks.closed_share(logits[number])
    return loss
