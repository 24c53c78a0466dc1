"""Density of the neighbors at samples, and the direction in which it falls: the definition.

    d(p)  see the package
    w_i   = a_i exp(-1/2 ...) |<p - mu_i, n_i>| / s_i²      s_i the smallest deviation
    v(p)  = sum_i w_i sign(<n_i, n_g>) n_i / sum_i w_i

v is the gradient of f where Gaussians are flat, turned to the side of n_g and with weights that add
up to 1 (eikonal). The weights are held: only normals learn from v.

`compiled_field.py` computes the same on a CPU.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .samples import Samples

LEAST_WEIGHT = 1e-30
"""Of all neighbors together; a sample with less points nowhere."""


@dataclass(frozen=True, slots=True)
class Cloud:
    """What the field is made of: Gaussians, ready for many lookups."""

    means: Float[Tensor, "n 3"]
    axes: Float[Tensor, "n 3 3"]
    """Local axes as columns."""
    scales: Float[Tensor, "n 3"]
    opacities: Float[Tensor, " n"]
    normals: Float[Tensor, "n 3"]
    """The axis of the smallest deviation."""


@dataclass(frozen=True, slots=True)
class Field:
    density: Float[Tensor, " m"]
    direction: Float[Tensor, "m 3"]
    """v(p): of length 1 only where all normals agree; 0 where no neighbor reaches."""


def cloud_of(means: Tensor, axes: Tensor, scales: Tensor, opacities: Tensor) -> Cloud:
    """With the normals picked from the axes."""
    shortest = scales.detach().argmin(dim=1)
    normals = axes.gather(2, shortest[:, None, None].expand(-1, 3, 1))[..., 0]
    return Cloud(means, axes, scales, opacities, normals)


def field(samples: Samples, table: Int[Tensor, "n k"], cloud: Cloud) -> Field:
    """Both at each sample. Differentiable by the cloud, not by the samples."""
    near = table[samples.own].long()
    offset = samples.places[:, None] - cloud.means[near]
    local = (offset[..., None, :] @ cloud.axes[near])[..., 0, :] / cloud.scales[near]
    parts = cloud.opacities[near] * torch.exp(-0.5 * local.square().sum(dim=-1))
    normals = cloud.normals[near]
    with torch.no_grad():
        along = (offset * normals).sum(dim=-1).abs()
        weights = parts * along / cloud.scales[near].amin(dim=-1).square()
        total = weights.sum(dim=1, keepdim=True)
        weights = torch.where(total > LEAST_WEIGHT, weights / total.clamp(min=LEAST_WEIGHT), 0.0)
        same = (normals * cloud.normals[samples.own][:, None]).sum(dim=-1) >= 0
        weights = torch.where(same, weights, -weights)
    return Field(parts.sum(dim=1), (weights[..., None] * normals).sum(dim=1))
