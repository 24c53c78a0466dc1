"""Adam (Kingma and Ba 2015) as a function of its state.

Notation: g gradient, m and v first and second moments, k the number of steps taken before.

    m <- b1 m + (1 - b1) g          v <- b2 v + (1 - b2) g^2
    x <- x - rate (m / (1 - b1^(k+1))) / (sqrt(v / (1 - b2^(k+1))) + epsilon)

The functional form makes the state plain tensors, which are saved and cut with the Gaussians.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

BETAS = (0.9, 0.99)
EPSILON = 1e-15
"""Tiny, so that a gradient's unit never matters."""


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
