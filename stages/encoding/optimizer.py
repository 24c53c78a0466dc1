"""Adam (Kingma and Ba 2015) for fields: rows of the table that no point has touched stay at rest.

Most rows of a fine level are touched by no point of a batch. Their gradient is exactly zero, and
neither value nor moments change (as in instant-ngp), so that a step costs what the batch costs,
not what the table costs. All other parameters follow torch's Adam.

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
    """For the groups of `Field.groups`; a group with `rows` set has tables of features."""

    def __init__(self, groups: list[dict[str, Any]]) -> None:
        super().__init__(groups, {"lr": 0.01, "weight_decay": 0.0, "rows": False})

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
        if group["rows"] and value.device.type == "cpu" and value.dtype == torch.float32:
            arrays = (tensor.numpy() for tensor in (value, g.contiguous(), m, v))
            _step_rows(*arrays, rate, scale, b1, b2, EPSILON)
            return
        if group["weight_decay"]:
            g = g + group["weight_decay"] * value
        first, second = m.lerp(g, 1 - b1), v.lerp(g * g, 1 - b2)
        step = rate * first / ((second * scale).sqrt() + EPSILON)
        touched = (g != 0).any(dim=1, keepdim=True) if group["rows"] else torch.tensor(True)
        m.copy_(torch.where(touched, first, m))
        v.copy_(torch.where(touched, second, v))
        value.sub_(torch.where(touched, step, 0.0))


@kernel
def _step_rows(values, gradient, first, second, rate, scale, b1, b2, epsilon):
    """One step on float32 tables; rows whose gradient is zero are passed over."""
    rate, scale, epsilon = np.float32(rate), np.float32(scale), np.float32(epsilon)
    keep1, keep2 = np.float32(b1), np.float32(b2)
    new1, new2 = np.float32(1 - b1), np.float32(1 - b2)
    for row in range(values.shape[0]):
        touched = False
        for column in range(values.shape[1]):
            touched |= gradient[row, column] != 0
        if not touched:
            continue
        for column in range(values.shape[1]):
            g = gradient[row, column]
            m = keep1 * first[row, column] + new1 * g
            v = keep2 * second[row, column] + new2 * g * g
            first[row, column], second[row, column] = m, v
            values[row, column] -= rate * m / (np.sqrt(v * scale) + epsilon)
