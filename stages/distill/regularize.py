"""What is wished of Gaussians whatever the guidance says.

Applied to the values after each optimizer step instead of to the loss (as AdamW does with weight
decay), so that their strength does not depend on the unit of a guidance model's gradient.
"""

import math
from dataclasses import dataclass, replace

from ..geometry.activation import Parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """Strengths of the regularizers."""

    opacity_decay: float = 0.005
    """Logits by which each opacity falls per iteration: what no view asks for fades away."""
    needle_ratio: float = 6.0
    """Longest over middle axis from which on a Gaussian counts as a needle."""
    needle_pull: float = 0.1
    """Share of the excess (in log length) that a needle loses per iteration."""
    max_scale_m: float = 0.08
    """Hard upper bound of all standard deviations, in metres."""

    def __post_init__(self) -> None:
        if not self.opacity_decay >= 0:
            raise ValueError(f"opacity_decay must not be negative, got {self.opacity_decay}.")
        if not self.needle_ratio >= 1:
            raise ValueError(f"needle_ratio must be at least 1, got {self.needle_ratio}.")
        if not 0 <= self.needle_pull <= 1:
            raise ValueError(f"needle_pull must be in 0..1, got {self.needle_pull}.")
        if not self.max_scale_m > 0:
            raise ValueError(f"max_scale_m must be positive, got {self.max_scale_m}.")


def regularize(values: Parameters, wishes: Wishes) -> Parameters:
    """One iteration's worth of all wishes."""
    ordered = values.log_scales.sort(dim=1).values
    limit = ordered[:, 1:2] + math.log(wishes.needle_ratio)
    excess = (values.log_scales - limit).clamp(min=0)
    log_scales = values.log_scales - wishes.needle_pull * excess
    return replace(
        values,
        log_scales=log_scales.clamp(max=math.log(wishes.max_scale_m)),
        logit_opacities=values.logit_opacities - wishes.opacity_decay,
    )
