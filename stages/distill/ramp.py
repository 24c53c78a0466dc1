"""A number that changes on a straight line while a loop runs."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Ramp:
    """From `start` to `stop` over the first `over_share` of the loop, constant afterwards.

    The length is a share, so that a shorter draft and a longer final run follow the same curve.
    """

    start: float
    """Value at the first iteration."""
    stop: float
    """Value from `over_share` of the loop on."""
    over_share: float = 1.0
    """In (0, 1]: which share of the iterations the change takes."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.start) and math.isfinite(self.stop)):
            raise ValueError(f"start and stop must be finite, got {self.start}, {self.stop}.")
        if not 0 < self.over_share <= 1:
            raise ValueError(f"over_share must be in (0, 1], got {self.over_share}.")

    def at(self, iteration: int, iterations: int) -> float:
        """The value at one iteration of a loop of `iterations`; the last one reaches `stop`."""
        span = max(1.0, (iterations - 1) * self.over_share)
        share = min(1.0, iteration / span)
        return self.start + (self.stop - self.start) * share
