"""Which Gaussians are near which."""

import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

NEIGHBORS = 16
"""Counted with the Gaussian itself (authors' code)."""


def nearest(means: Float[Tensor, "n 3"], count: int = NEIGHBORS) -> Int[Tensor, "n k"]:
    """The nearest centres of each centre, itself the first; fewer where there are fewer."""
    points = means.detach().cpu().double().numpy()
    _, table = cKDTree(points).query(points, k=min(count, len(points)), workers=1)
    table = torch.from_numpy(table.reshape(len(points), -1)).int()
    # Of centres at the same place, the tree may name another one first.
    own = torch.arange(len(points), dtype=torch.int32)
    elsewhere = (table == own[:, None]).int().argmax(dim=1)
    table[own.long(), elsewhere] = table[:, 0].clone()
    table[:, 0] = own
    return table.to(means.device)
