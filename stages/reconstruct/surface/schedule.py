"""What is done when, as shares of all iterations, so that short runs keep the proportions.

The published recipe has 15000 iterations: ordinary training until 7000, opacities decided until
9000, faint Gaussians removed there, surface terms until the end, neighbors found anew every 500.
"""

import math
from typing import Literal

from .. import Config

Phase = Literal["ordinary", "deciding", "surface"]
RECOVERY_SHARE = 1 / 15
"""Opacities are reset no nearer than this to the phase that decides about them."""
REFRESH_SHARE = 1 / 30


def begins(config: Config, share: float) -> int:
    """The first iteration of what begins after `share` of all."""
    return math.ceil(share * config.iterations)


def phase_at(config: Config, iteration: int) -> Phase:
    """Which terms hold in the iteration with this number, counted from 0."""
    surface = config.surface
    if surface.mode == "off" or iteration < begins(config, surface.decide_from_share):
        return "ordinary"
    return "deciding" if iteration < begins(config, surface.from_share) else "surface"


def prunes_after(config: Config, done: int) -> bool:
    """Whether faint Gaussians go now that `done` iterations are over."""
    return config.surface.mode != "off" and done == begins(config, config.surface.from_share)


def refreshes_at(config: Config, iteration: int) -> bool:
    """Whether neighbors are found anew before this iteration."""
    since = iteration - begins(config, config.surface.from_share)
    every = max(1, round(REFRESH_SHARE * config.iterations))
    return phase_at(config, iteration) == "surface" and since % every == 0


def progress_at(config: Config, iteration: int) -> float:
    """The share of the surface phase that is over."""
    first = begins(config, config.surface.from_share)
    return (iteration - first) / max(1, config.iterations - first)


def growth_ends(config: Config) -> float:
    """Iterations after which no Gaussians come or go for the picture's sake."""
    share = config.density.until_share
    if config.surface.mode != "off":
        share = min(share, config.surface.decide_from_share)
    return share * config.iterations


def resets_end(config: Config) -> float:
    """Iterations after which opacities are no longer reset."""
    if config.surface.mode == "off":
        return growth_ends(config)
    last = (config.surface.decide_from_share - RECOVERY_SHARE) * config.iterations
    return min(growth_ends(config), last)
