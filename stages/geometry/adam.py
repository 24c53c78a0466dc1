"""Adam (Kingma and Ba 2015) as a function of its state.

Notation: g gradient, m and v first and second moments, k the number of steps taken before.

    m <- b1 m + (1 - b1) g          v <- b2 v + (1 - b2) g^2
    x <- x - rate (m / (1 - b1^(k+1))) / (sqrt(v / (1 - b2^(k+1))) + epsilon)

The functional form makes the state plain tensors, which are saved and cut with the Gaussians.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from jaxtyping import Float
from torch import Tensor

BETAS = (0.9, 0.99)
PUBLISHED_BETAS = (0.9, 0.999)
"""Longer memory, for gradients that come from one photograph at a time."""
EPSILON = 1e-15
"""Tiny, so that a gradient's unit never matters."""


Record = TypeVar("Record")
"""A dataclass of tensors."""


@dataclass(frozen=True, slots=True)
class Adam:
    """The result of one step."""

    value: Float[Tensor, "*shape"]
    first: Float[Tensor, "*shape"]
    second: Float[Tensor, "*shape"]


def adam_step(
    value: Float[Tensor, "*shape"],
    gradient: Float[Tensor, "*shape"],
    first: Float[Tensor, "*shape"],
    second: Float[Tensor, "*shape"],
    *,
    steps_before: int,
    rate: float | Tensor,
    betas: tuple[float, float] = BETAS,
) -> Adam:
    """One step; nothing is changed in place. Where gradients were always 0, nothing moves.

    Args:
        rate: Step length; a tensor, broadcast to `value`, gives its parts different ones.
    """
    b1, b2 = betas
    m = b1 * first + (1 - b1) * gradient
    v = b2 * second + (1 - b2) * gradient.square()
    m_hat = m / (1 - b1 ** (steps_before + 1))
    v_hat = v / (1 - b2 ** (steps_before + 1))
    return Adam(value - rate * m_hat / (v_hat.sqrt() + EPSILON), m, v)


def adam_steps(
    values: Record,
    gradients: Record,
    first: Record,
    second: Record,
    rates: Mapping[str, float | Tensor],
    *,
    steps_before: int,
    betas: tuple[float, float],
) -> tuple[Record, Record, Record]:
    """One step of each field, at the rate of its name. Returns values, first and second moments."""
    done = {
        name: adam_step(
            getattr(values, name),
            getattr(gradients, name),
            getattr(first, name),
            getattr(second, name),
            steps_before=steps_before,
            rate=rate,
            betas=betas,
        )
        for name, rate in rates.items()
    }
    made = type(values)
    return (
        made(**{name: one.value for name, one in done.items()}),
        made(**{name: one.first for name, one in done.items()}),
        made(**{name: one.second for name, one in done.items()}),
    )


def sh_rates(
    sh: Float[Tensor, "n coefficient 3"], constant: float, higher: float
) -> Float[Tensor, "1 coefficient 1"]:
    """Step lengths of spherical harmonics: of the constant coefficient, and of all others."""
    rates = sh.new_full((1, sh.shape[1], 1), higher)
    rates[:, 0] = constant
    return rates
