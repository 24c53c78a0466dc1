"""The loop that refines mesh and Gaussians together."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...pipeline.contract import Context
from ...renderers.scene import Renderer
from ..geometry.adam import PUBLISHED_BETAS, adam_steps, sh_rates
from ..randomness import generator, in_rounds
from ..reconstruct.exposures import both
from ..reconstruct.loss import composed, photometric
from . import Config
from .consistency import normal_consistency
from .learned import NAMES, Bond, Learned, State, gaussians
from .views import View

HIGHER_SH_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Task:
    """What the loop works on, apart from the state."""

    bond: Bond
    pairs: Int[Tensor, "edge 2"]
    """Triangles with a common edge."""
    training: Sequence[View]
    kept_aside: Sequence[View]
    renderer: Renderer
    config: Config
    radius: float
    """Of the mesh."""
    white_behind: bool
    seed: int
    device: str


def refine(task: Task, state: State, ctx: Context, save: Callable[[State], object]) -> State:
    """Run the remaining iterations; `save` is called about every `checkpoint_every_s`."""
    config, saved = task.config, time.monotonic()
    with ctx.progress("bind", config.iterations, done=state.iteration) as bar:
        while state.iteration < config.iterations:
            loss = step(task, state)
            bar.advance(note=f"loss {loss:.4f}")
            if time.monotonic() - saved >= config.checkpoint_every_s:
                save(state)
                saved = time.monotonic()
    return state


def step(task: Task, state: State) -> float:
    """One iteration, in place. Returns the loss."""
    k, config = state.iteration, task.config
    view = task.training[in_rounds(task.seed, k, len(task.training))]
    target = view.target(task.device)
    background = background_of(task, target.alpha is not None, k)
    leaves = Learned(*(getattr(state.values, n).detach().requires_grad_() for n in NAMES))
    scene, normals = gaussians(leaves, task.bond, coefficients_at(config, k))
    frames = task.renderer(scene, target.cameras)
    picture, truth = both(view.exposure, composed(frames, background), target, background)
    loss = photometric(picture, truth, target.counts, config.ssim_weight)
    if config.smoothness:
        loss = loss + config.smoothness * normal_consistency(normals, task.pairs)
    gradients = torch.autograd.grad(loss, [getattr(leaves, name) for name in NAMES])
    _move(task, state, Learned(*gradients))
    state.iteration += 1
    return float(loss.detach())


def coefficients_at(config: Config, iteration: int) -> int:
    """How many SH coefficients are used: one degree more after each share of the iterations."""
    every = max(1.0, config.sh_share * config.iterations)
    return (min(config.sh_degree, int(iteration / every)) + 1) ** 2


def background_of(task: Task, covers: bool, iteration: int) -> Float[Tensor, "3"]:
    """A random color behind pictures that know their coverage, so that holes cost; else black."""
    if not covers:
        return torch.zeros(3, device=task.device)
    random = generator(task.seed, iteration, "background")
    return torch.rand(3, generator=random).to(task.device)


def _move(task: Task, state: State, gradients: Learned) -> None:
    config, k = task.config, state.iteration
    rates, share = config.rates, k / max(1, config.iterations - 1)
    vertices = 0.0
    if rates.vertices:
        vertices = task.radius * rates.vertices * (rates.vertices_final / rates.vertices) ** share
    state.values, state.first, state.second = adam_steps(
        state.values,
        gradients,
        state.first,
        state.second,
        {
            "vertices": vertices,
            "log_scales": rates.log_scales,
            "turns": rates.turns,
            "logit_opacities": rates.logit_opacities,
            "sh": sh_rates(gradients.sh, rates.sh, rates.sh * HIGHER_SH_SHARE),
        },
        steps_before=k,
        betas=PUBLISHED_BETAS,
    )
