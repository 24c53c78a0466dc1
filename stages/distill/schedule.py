"""Which noise level each view of an iteration gets.

Notation: k the iteration of N, T the levels of the model's schedule, u uniform in [0, 1).

    uniform     min(k) + (max(k) - min(k)) u
    linear      max(k)
    dreamtime   the level above which a share (k + u) / N of all weight W lies

DreamTime (Huang et al. 2024, eq. 7) spends one pass through the levels, from high to low, and most
iterations where W is large. Its W is the product of a shoulder between two Gaussians and of what
the training objective weighs by; here it is the shoulder alone, as PGC's released code has it:

    W(t) = exp(-(t - m1)^2 / 2 s1^2) above m1,  1 between,  exp(-(t - m2)^2 / 2 s2^2) below m2
"""

import math
from functools import cache

from .settings import Noise

SHOULDERS = (0.8, 0.3, 0.5, 0.1)
"""m1, s1, m2, s2 as shares of the schedule: 800, 300, 500, 100 of 1000."""


def level_of(noise: Noise, iteration: int, iterations: int, levels: int, uniform: float) -> float:
    """The level of one view, not rounded, in 0 .. levels - 1.

    Args:
        uniform: u, in [0, 1); not used by `linear`.
    """
    top = noise.max.at(iteration, iterations) * (levels - 1)
    if noise.schedule == "linear":
        return top
    bottom = noise.min.at(iteration, iterations) * (levels - 1)
    if noise.schedule == "uniform":
        return bottom + (top - bottom) * uniform
    wanted = (iteration + uniform) / iterations
    found = next(t for share, t in _falling(levels) if share >= wanted)
    return min(max(found, bottom), top)


def shoulder(share: float) -> float:
    """W at a level, given as a share of the schedule."""
    m1, s1, m2, s2 = SHOULDERS
    if share > m1:
        return math.exp(-((share - m1) ** 2) / (2 * s1**2))
    if share < m2:
        return math.exp(-((share - m2) ** 2) / (2 * s2**2))
    return 1.0


@cache
def _falling(levels: int) -> tuple[tuple[float, int], ...]:
    """(share of all weight from the top down to t, t), t falling. The last share is 1."""
    weights = [shoulder(t / levels) for t in range(levels)]
    total, sum_so_far, out = math.fsum(weights), 0.0, []
    for t in reversed(range(levels)):
        sum_so_far += weights[t]
        out.append((sum_so_far / total, t))
    return (*out[:-1], (1.0, out[-1][1]))
