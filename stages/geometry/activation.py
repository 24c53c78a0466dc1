"""From the raw values that files and optimizers hold to Gaussians, and back. The only place
where splat parameters are exponentiated or squashed.

    scale = exp(log_scale)        opacity = 1 / (1 + exp(-logit_opacity))

Means, quaternions and spherical harmonics are the same on both sides; quaternions stay
unnormalized, the renderers normalize.
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from ...renderers.scene import Gaussians

OPACITY_MARGIN = 1e-6
"""`deactivate` keeps opacities this far from 0 and 1, whose logits are infinite."""


@runtime_checkable
class Raw(Protocol):
    """Anything with the five raw arrays: `formats.splats.RawSplats`, `Parameters` below."""

    @property
    def means(self) -> Any: ...
    @property
    def log_scales(self) -> Any: ...
    @property
    def logit_opacities(self) -> Any: ...
    @property
    def quaternions(self) -> Any: ...
    @property
    def sh(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Parameters:
    """Raw values as tensors: what an optimizer changes."""

    means: Float[Tensor, "n 3"]
    """Metres."""
    log_scales: Float[Tensor, "n 3"]
    """Natural logarithm of metres."""
    logit_opacities: Float[Tensor, " n"]
    quaternions: Float[Tensor, "n 4"]
    """(w, x, y, z), local axes to world, not normalized."""
    sh: Float[Tensor, "n coefficient 3"]


def activate(raw: Raw) -> Gaussians:
    """Raw values (torch or numpy) to Gaussians; differentiable where they are torch."""
    return Gaussians(
        means=torch.as_tensor(raw.means),
        quaternions=torch.as_tensor(raw.quaternions),
        scales=torch.exp(torch.as_tensor(raw.log_scales)),
        opacities=torch.sigmoid(torch.as_tensor(raw.logit_opacities)),
        sh=torch.as_tensor(raw.sh),
    )


def deactivate(gaussians: Gaussians) -> Parameters:
    """The inverse. Opacities at 0 or 1 are moved inside by `OPACITY_MARGIN`.

    Scales must be positive: a flat Gaussian has no logarithm and gives -inf here.
    """
    inside = gaussians.opacities.clamp(OPACITY_MARGIN, 1 - OPACITY_MARGIN)
    return Parameters(
        means=gaussians.means,
        log_scales=torch.log(gaussians.scales),
        logit_opacities=torch.logit(inside),
        quaternions=gaussians.quaternions,
        sh=gaussians.sh,
    )
