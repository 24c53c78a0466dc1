"""When Gaussians come and go, by either strategy."""

import torch
from jaxtyping import Bool
from torch import Tensor

from ..geometry.activation import activate
from ..geometry.densify import grow, keep_rows, reset_opacity
from ..randomness import generator
from . import Config
from .checkpoint import State
from .mcmc import relocate
from .surface.schedule import growth_ends, prunes_after, resets_end

RESET_CEILING = 0.01
LARGEST = 0.1
"""Standard deviations above this, relative to the extent, are removed (reference 3DGS)."""
FEWEST = 32


def change(config: Config, extent: float, state: State, seed: int) -> None:
    """What is due after the iteration just done, in place."""
    density, done = config.density, state.iteration
    if prunes_after(config, done):
        _thinned(config, state)
    if not density.every or not density.first <= done <= growth_ends(config):
        return
    if density.strategy == "mcmc":
        if done % density.every == 0:
            _relocated(config, state, seed)
        return
    if done % density.every == 0:
        _pruned(config, extent, state)
        _grown(config, extent, state, seed)
        state.score_sum = state.score_sum.new_zeros(len(state.population))
        state.score_count = torch.zeros_like(state.score_sum)
    if density.reset_every and done % density.reset_every == 0 and done <= resets_end(config):
        state.population = reset_opacity(state.population, RESET_CEILING)


def worth_keeping(config: Config, extent: float, state: State) -> Bool[Tensor, " n"]:
    """Neither invisible nor, once opacities have been reset, as large as a tenth of the scene."""
    gaussians = activate(state.population.values)
    keep = gaussians.opacities >= config.density.min_opacity
    reset = config.density.reset_every
    if reset and state.iteration > reset:
        keep &= gaussians.scales.amax(dim=1) <= LARGEST * extent
    return keep


def _pruned(config: Config, extent: float, state: State) -> None:
    _keep(state, worth_keeping(config, extent, state))


def _thinned(config: Config, state: State) -> None:
    """Without the faint ones, before the others are laid on the surface."""
    opacities = activate(state.population.values).opacities
    _keep(state, opacities >= config.surface.min_opacity)


def _keep(state: State, keep: Bool[Tensor, " n"]) -> None:
    """Those only, unless next to nothing would be left."""
    if int(keep.sum()) >= FEWEST:
        state.population = keep_rows(state.population, keep)
        state.score_sum, state.score_count = state.score_sum[keep], state.score_count[keep]


def _grown(config: Config, extent: float, state: State, seed: int) -> None:
    density = config.density
    state.population = grow(
        state.population,
        state.score_sum / state.score_count.clamp(min=1),
        threshold=density.gradient,
        max_gaussians=density.max_gaussians,
        split_above_m=density.split_above * extent,
        random=generator(seed, state.iteration, "grow"),
    )


def _relocated(config: Config, state: State, seed: int) -> None:
    density, count = config.density, len(state.population)
    opacities = activate(state.population.values).opacities
    state.population = relocate(
        state.population,
        opacities <= density.min_opacity,
        max(count, min(density.max_gaussians, int((1 + density.growth) * count))),
        density.min_opacity,
        generator(seed, state.iteration, "relocate"),
    )
    state.score_sum = state.score_sum.new_zeros(len(state.population))
    state.score_count = torch.zeros_like(state.score_sum)
