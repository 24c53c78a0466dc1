"""Adam (Kingma and Ba 2015) for fields: numbers of the table that no point has touched rest.

Most rows of a fine level are touched by no point of a batch. Their gradient is exactly zero, and
neither value nor moments change (as in instant-ngp), so that a vertex moves as far for one batch
that needs it as for many that do not. All other parameters follow torch's Adam.

Notation: g gradient, m and v first and second moments, k steps taken.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...renderers.cpu.compiled import kernel

BETAS, EPSILON = (0.9, 0.99), 1e-15


class FieldAdam(torch.optim.Optimizer):
    """For the groups of `Field.groups`; in a group with `sparse` set, numbers may rest."""

    def __init__(self, groups: list[dict[str, Any]]) -> None:
        super().__init__(groups, {"lr": 0.01, "weight_decay": 0.0, "sparse": False})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step(parameter, group)

    def _step(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"], state["exp_avg_sq"] = (torch.zeros_like(parameter) for _ in range(2))
        state["step"] += 1
        b1, b2 = BETAS
        k = int(state["step"])
        rate, scale = group["lr"] / (1 - b1**k), 1 / (1 - b2**k)
        value, m, v, g = parameter.detach(), state["exp_avg"], state["exp_avg_sq"], parameter.grad
        assert g is not None
        if group["sparse"] and value.device.type == "cpu" and value.dtype == torch.float32:
            flat = (tensor.view(-1).numpy() for tensor in (value, g.contiguous(), m, v))
            _step_numbers(*flat, rate, scale, b1, b2, EPSILON)
            return
        if group["weight_decay"]:
            g = g + group["weight_decay"] * value
        first, second = m.lerp(g, 1 - b1), v.lerp(g * g, 1 - b2)
        step = rate * first / ((second * scale).sqrt() + EPSILON)
        touched = g != 0 if group["sparse"] else torch.tensor(True)
        m.copy_(torch.where(touched, first, m))
        v.copy_(torch.where(touched, second, v))
        value.sub_(torch.where(touched, step, 0.0))


@kernel
def _step_numbers(values, gradient, first, second, rate, scale, b1, b2, epsilon):
    """One step on float32 tables laid out flat. Without a branch it compiles to vectors, four
    times as fast as passing over what is at rest."""
    rate, scale, epsilon = np.float32(rate), np.float32(scale), np.float32(epsilon)
    keep1, keep2 = np.float32(b1), np.float32(b2)
    new1, new2 = np.float32(1 - b1), np.float32(1 - b2)
    for k in range(len(values)):
        g = gradient[k]
        m = keep1 * first[k] + new1 * g
        v = keep2 * second[k] + new2 * g * g
        step = rate * m / (np.sqrt(v * scale) + epsilon)
        touched = g != 0
        first[k] = m if touched else first[k]
        second[k] = v if touched else second[k]
        values[k] -= step if touched else np.float32(0)
