"""As rigid as possible: what a deformation may not do to neighbors.

Notation: edge (i, j), mu0 rest places, mu places, R_i and q_i the rotation and unit quaternion of
point i, kappa_ij weights (khat of the graph, times an adaptive mask), l the graph's spacing.

    L_arap = 1/N sum_ij kappa_ij |R_i (mu0_i - mu0_j) - (mu_i - mu_j)|^2 / l^2       eq. 10
    L_rot  = 1/N sum_ij kappa_ij |q_i - s q_j|^2,  s the sign of q_i . q_j           eq. 13
    L_dist = 1/N sum_ij kappa_ij | |mu_i - mu_j|^2 - |mu0_i - mu0_j|^2 | / l^2        eq. 14

(Luo et al. 2024). Division by l^2 makes the terms free of units; s is ours, since q and -q are the
same rotation. The paper's eq. 14 is printed without its bars; an absolute value is how it reads.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ...renderers.projection import rotation_matrices
from .anchors import Graph


@dataclass(frozen=True, slots=True)
class Strains:
    """Per edge, without weights: how much it is strained in each of the three ways."""

    arap: Float[Tensor, " edge"]
    rotation: Float[Tensor, " edge"]
    distance: Float[Tensor, " edge"]


def strains(
    rest: Float[Tensor, "n 3"],
    places: Float[Tensor, "n 3"],
    turns: Float[Tensor, "n 4"],
    edges: Graph,
) -> Strains:
    """The three terms' summands. `turns` need not be of unit length."""
    before = rest[edges.start] - rest[edges.end]
    after = places[edges.start] - places[edges.end]
    unit = turns / turns.norm(dim=1, keepdim=True)
    mine, theirs = unit[edges.start], unit[edges.end]
    turned = torch.einsum("eij,ej->ei", rotation_matrices(unit)[edges.start], before)
    sign = torch.where((mine * theirs).sum(dim=1, keepdim=True) < 0, -1.0, 1.0).to(mine)
    lengths = after.square().sum(dim=1) - before.square().sum(dim=1)
    return Strains(
        arap=(turned - after).square().sum(dim=1) / edges.length**2,
        rotation=(mine - sign * theirs).square().sum(dim=1),
        distance=lengths.abs() / edges.length**2,
    )


def mean_over_points(
    strain: Float[Tensor, " edge"], kappa: Float[Tensor, " edge"], edges: Graph
) -> Float[Tensor, ""]:
    """1/N sum_ij kappa_ij strain_ij."""
    return (kappa * strain).sum() / edges.count
