"""The loop of training on photographs. Time and threads never touch what it computes."""

import time
from collections.abc import Callable
from dataclasses import fields, replace

import torch
from jaxtyping import Float
from torch import Tensor

from ...pipeline.contract import Context
from ...renderers.scene import Frames, Output
from ..formats.photos import Photo, target_of
from ..geometry.activation import Parameters, activate
from ..geometry.adam import PUBLISHED_BETAS, adam_steps, sh_rates
from ..geometry.densify import Population
from ..randomness import generator, in_rounds
from . import Config
from .changes import change
from .checkpoint import State
from .evaluate import Score, mean_score
from .exposures import both, due, exposure, moved
from .loss import composed, photometric, wanted
from .mcmc import noise, with_wishes
from .surface.neighbors import nearest
from .surface.schedule import Phase, phase_at, progress_at, refreshes_at
from .surface.terms import Look, Moment, deciding, lying_flat
from .task import Task

HIGHER_SH_SHARE = 1 / 20
BLACK, WHITE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


def train(
    task: Task,
    state: State,
    ctx: Context,
    save: Callable[[State], object],
    show: Callable[[State], object],
) -> State:
    """Run the remaining iterations.

    Args:
        save: Called about every `checkpoint_every_s`.
        show: Called after each look at the photographs kept aside.
    """
    config, saved = task.config, time.monotonic()
    with ctx.progress("reconstruct", config.iterations, done=state.iteration) as bar:
        while state.iteration < config.iterations:
            loss = step(task, state)
            count = len(state.population)
            bar.advance(note=f"loss {loss:.3f}, {count} Gaussians{_latest(state)}")
            done = state.iteration
            if config.evaluate_every and done % config.evaluate_every == 0:
                look(task, state, ctx)
                show(state)
            if time.monotonic() - saved >= config.checkpoint_every_s:
                save(state)
                saved = time.monotonic()
    return state


def step(task: Task, state: State) -> float:
    """One iteration, in place. Returns the loss."""
    k, config = state.iteration, task.config
    number = in_rounds(task.seed, k, len(task.training))
    photo = task.training[number]
    target = target_of(photo, halvings_at(config, k), task.device)
    background = background_of(task, photo, k)
    values = state.population.values
    leaves = Parameters(
        *(getattr(values, f.name).detach().requires_grad_() for f in fields(Parameters))
    )
    shown = replace(leaves, sh=leaves.sh[:, : coefficients_at(config, k)])
    phase, scene = phase_at(config, k), activate(shown)
    frames = task.renderer(scene, target.cameras, outputs_in(config, phase))
    picture, truth = composed(frames, background), wanted(target, background)
    if state.exposures is not None:
        if due(config.exposures, k, config.iterations):
            state.exposures = moved(
                state.exposures, number, picture, target, background, config.exposures
            )
        mine = exposure(state.exposures[number])
        picture, truth = both(mine, picture, target, background)
    loss = photometric(picture, truth, target.counts, config.ssim_weight)
    if phase != "ordinary":
        look_now = Look(scene, shown.logit_opacities, frames, target.cameras)
        loss = loss + surface_terms(task, state, look_now, phase)
    names = [f.name for f in fields(Parameters)]
    assert frames.means2d is not None
    *found, g_means2d = torch.autograd.grad(
        loss, [*(getattr(leaves, name) for name in names), frames.means2d]
    )
    gradients = Parameters(*found)
    if config.density.strategy == "mcmc":
        gradients = with_wishes(gradients, values, config.density.wish)
    _score(state, frames, g_means2d, target.cameras.width_px, target.cameras.height_px)
    state.population = _moved(task, state, gradients)
    state.iteration += 1
    change(task.config, task.extent, state, task.seed)
    return float(loss.detach())


def outputs_in(config: Config, phase: Phase) -> frozenset[Output]:
    """What is rendered: with depth where distances are compared with it."""
    depth = phase == "surface" and config.surface.mode == "sdf"
    return frozenset({"rgb", "alpha", "depth"} if depth else {"rgb", "alpha"})


def surface_terms(task: Task, state: State, seen: Look, phase: Phase) -> Float[Tensor, ""]:
    """What is added to the photometric loss; finds neighbors anew where that is due."""
    config, k = task.config, state.iteration
    if phase == "deciding":
        return deciding(seen, config.surface)
    if refreshes_at(config, k):
        state.neighbors = nearest(seen.gaussians.means)
    assert state.neighbors is not None
    random = generator(task.seed, k, "surface")
    moment = Moment(state.neighbors, task.extent, progress_at(config, k), random)
    return lying_flat(seen, config.surface, moment)


def halvings_at(config: Config, iteration: int) -> int:
    """How coarse the photographs are: equally long at each level before the full size."""
    views = config.views
    length = views.coarse_share * config.iterations
    if not views.coarse_levels or iteration >= length:
        return 0
    return views.coarse_levels - int(iteration / length * views.coarse_levels)


def coefficients_at(config: Config, iteration: int) -> int:
    """How many SH coefficients are used."""
    return (min(config.sh_degree, iteration // config.sh_every) + 1) ** 2


def background_of(task: Task, photo: Photo, iteration: int) -> Float[Tensor, "3"]:
    """Behind one view."""
    kind = task.config.views.background
    if photo.alpha is not None and kind == "random":
        random = generator(task.seed, iteration, "background")
        return torch.rand(3, generator=random).to(task.device)
    white = kind == "white" or (photo.alpha is not None and task.white_behind)
    return torch.tensor(WHITE if white else BLACK, device=task.device)


def look(task: Task, state: State, ctx: Context) -> Score | None:
    """Judge by the photographs kept aside, and remember it."""
    if not task.kept_aside:
        return None
    score = mean_score(task, state)
    row = (float(state.iteration), score.psnr_db, score.ssim, float(len(state.population)))
    for name, value in zip(state.log, row, strict=True):
        state.log[name].append(value)
    ctx.log.info(
        "iteration %d: %.2f dB (%.2f evened), SSIM %.3f on %d photographs kept aside, %d Gaussians",
        state.iteration,
        score.psnr_db,
        score.evened_psnr_db,
        score.ssim,
        len(task.kept_aside),
        len(state.population),
    )
    return score


def means_rate(task: Task, iteration: int) -> float:
    """Adam's step length of the means, in the capture's units."""
    rates = task.config.rates
    share = iteration / max(1, task.config.iterations - 1)
    return task.extent * rates.means * (rates.means_final / rates.means) ** share


def _score(state: State, frames: Frames, gradient: Tensor, width: int, height: int) -> None:
    """In half pictures, so that the threshold does not depend on their size."""
    assert frames.radii_px is not None
    half = gradient.new_tensor([width / 2, height / 2])
    state.score_sum += torch.linalg.vector_norm(gradient[0] * half, dim=-1)
    state.score_count += (frames.radii_px[0] > 0).to(state.score_count)


def _moved(task: Task, state: State, gradients: Parameters) -> Population:
    population, rates = state.population, task.config.rates
    means = means_rate(task, state.iteration)
    values, first, second = adam_steps(
        population.values,
        gradients,
        population.first,
        population.second,
        {
            "means": means,
            "log_scales": rates.log_scales,
            "quaternions": rates.quaternions,
            "logit_opacities": rates.logit_opacities,
            "sh": sh_rates(gradients.sh, rates.sh, rates.sh * HIGHER_SH_SHARE),
        },
        steps_before=state.iteration,
        betas=PUBLISHED_BETAS,
    )
    density = task.config.density
    exploring = phase_at(task.config, state.iteration) == "ordinary"
    if density.strategy == "mcmc" and density.noise and exploring:
        random = generator(task.seed, state.iteration, "noise")
        values = replace(values, means=values.means + noise(values, means, density.noise, random))
    return Population(values, first, second)


def _latest(state: State) -> str:
    return f", {state.log['psnr_db'][-1]:.2f} dB kept aside" if state.log["psnr_db"] else ""
