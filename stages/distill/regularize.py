"""What is wished of Gaussians whatever the guidance says.

Applied to the values after each optimizer step instead of to the loss (as AdamW does with weight
decay), so that their strength does not depend on the unit of a guidance model's gradient.
"""

import math
from dataclasses import replace

from ..geometry.activation import Parameters
from .settings import Wishes


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
