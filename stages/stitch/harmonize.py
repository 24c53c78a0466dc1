"""The optimization: colors from the seam inwards, texture kept, the source's palette at the end.

L = L_feature + color L_color + gradient L_grad + palette L_tune, over the target's harmonics only:

    L_feature  boundary: mean squared distance of the harmonics to the mean of the K neighbors
    L_color    all others: squared distance of the color towards the camera to the mean color of
               the driving points towards the same camera, which is held fixed in the gradient
    L_grad     squared difference of the Sobel derivatives to those of the untouched target, seen
               alone, inside its outline: there, a change of tone costs nothing
    L_tune     solid pixels: squared distance to the nearest palette color, times its votes

One camera per iteration, in an order that is drawn anew for every round. Adam.

By default it does not begin with the target's own colors: the boundary takes the neighbors' look
at once and stays so, and the others begin with the solution of `poisson.py` (degree 0). L_color has
nothing left to do then, and no weight.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from ...pipeline.contract import Context
from ...renderers.scene import Gaussians
from ..randomness import generator
from . import Config
from .boundary import Boundary, driving_points
from .checkpoint import State
from .palette import Palette, started, updated
from .poisson import propagated
from .views import View, colors_in, picture, sobel

BATCHES = 60
BATCH_PIXELS = 2048
REST_RATE = 1 / 20
LAST_RATE = 0.1
BETAS = (0.9, 0.999)
EPSILON = 1e-8
Sh = Float[Tensor, "n coefficient 3"]


@dataclass(frozen=True, slots=True)
class Problem:
    """All that stays fixed. n target Gaussians."""

    target: Gaussians
    views: Sequence[View]
    boundary: Boundary
    start: Sh
    """Where the harmonics begin."""
    wanted: Float[Tensor, "b coefficient 3"]
    """Mean harmonics of each boundary member's neighbors."""
    driving: Tensor
    """n x K numbers of target Gaussians."""
    pull: Float[Tensor, "n 1"]
    """How far the driving points' color is to be taken over, 0 to 1; 0 on the boundary itself."""
    inward: Float[Tensor, "n 1"]
    """1 for those that L_color is about: all but the boundary."""
    free: Float[Tensor, "n 1 1"]
    """1 for what may change, 0 for the others."""
    slopes: Sequence[Tensor]
    """Per view, the Sobel derivatives of the untouched target."""


def posed(
    target: Gaussians, source: Gaussians, boundary: Boundary, views: Sequence[View], size: float,
    config: Config,
) -> Problem:  # fmt: skip
    """The problem for a boundary, on the device of `target`; `size` is L."""
    points = target.means.double().cpu().numpy()
    driving, distance = driving_points(
        points,
        boundary.members,
        size=size,
        amplitude=config.amplitude,
        gamma=config.gamma,
        k=config.neighbors,
    )
    pull = np.ones(len(distance), np.float32)
    if config.seam_only:
        near = (1 - distance / (config.seam_width * size)).clip(0, 1)
        pull[:] = near * near * (3 - 2 * near)
    inward = np.ones(len(pull), np.float32)
    inward[boundary.members] = 0
    free = (pull > 0).astype(np.float32)
    free[boundary.members] = config.start == "original"

    def there(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(target.means.device)

    wanted = source.sh[there(boundary.neighbors)].mean(dim=1)
    start = target.sh
    if config.start == "poisson":
        start = target.sh.clone()
        change = (wanted[:, 0] - start[there(boundary.members), 0]).double().cpu().numpy()
        spread = propagated(points, boundary.members, change, config.neighbors)
        start[:, 0] += there(pull[:, None] * spread).to(start)
        start[there(boundary.members)] = wanted
    with torch.no_grad():
        slopes = [sobel(view, picture(view, colors_in(view, target.sh))) for view in views]
    return Problem(
        target=target,
        views=views,
        boundary=boundary,
        start=start,
        wanted=wanted,
        driving=there(driving),
        pull=there(pull * inward)[:, None],
        inward=there(inward)[:, None],
        free=there(free)[:, None, None],
        slopes=slopes,
    )


def source_palette(views: Sequence[View], sh: Sh, seed: int) -> Palette:
    """Of the solid pixels of the source from around."""
    with torch.no_grad():
        pixels = [_solid_colors(view, picture(view, colors_in(view, sh))) for view in views]
    pixels = [colors.cpu().numpy() for colors in pixels]
    pixels = [colors.astype(np.float64) for colors in pixels if len(colors)]
    palette = None
    for batch in range(BATCHES if pixels else 0):
        colors = pixels[batch % len(pixels)]
        order = torch.randperm(len(colors), generator=generator(seed, batch, "palette")).numpy()
        chosen = colors[order[:BATCH_PIXELS]]
        palette = updated(palette or started(chosen), chosen)
    if palette is None:
        # Too thin to cover a pixel: its Gaussians' own colors are all there is.
        own = colors_in(views[0], sh).double().cpu().numpy()
        palette = updated(started(own), own)
    return palette


def harmonized(
    problem: Problem, palette: Palette | None, config: Config, ctx: Context, state: State,
    reached: Callable[[State], None] = lambda state: None,
) -> Sh:  # fmt: skip
    """The target's harmonics after the remaining iterations.

    Args:
        state: Where to begin; is changed.
        reached: Is called after every iteration.
    """
    before, total = config.iterations[0], sum(config.iterations)
    weights = torch.full((problem.start.shape[1], 1), REST_RATE).to(problem.start)
    weights[0] = 1
    with ctx.progress("stitch", total, done=state.iteration) as bar:
        while state.iteration < total:
            sh = state.sh.detach().requires_grad_()
            now = palette if state.iteration >= before else None
            number = turn(state.iteration, len(problem.views), ctx.seed)
            loss = losses(problem, sh, number, now, config)
            (gradient,) = torch.autograd.grad(loss, sh)
            rate = config.rate * LAST_RATE ** (state.iteration / total)
            _step(state, gradient * problem.free, rate * weights)
            bar.advance(note=f"loss {loss.item():.4f}")
            reached(state)
    return state.sh.detach()


@torch.no_grad()
def _step(state: State, gradient: Sh, rate: Float[Tensor, "coefficient 1"]) -> None:
    """Adam (Kingma and Ba 2015), in place."""
    state.iteration += 1
    b1, b2 = BETAS
    state.first.lerp_(gradient, 1 - b1)
    state.second.mul_(b2).addcmul_(gradient, gradient, value=1 - b2)
    spread = (state.second / (1 - b2**state.iteration)).sqrt_().add_(EPSILON)
    state.sh = state.sh.detach() - rate / (1 - b1**state.iteration) * state.first / spread


def losses(
    problem: Problem, sh: Sh, number: int, palette: Palette | None, config: Config
) -> Float[Tensor, ""]:
    """L for one view."""
    view, weights = problem.views[number], config.weights
    members = torch.from_numpy(problem.boundary.members).to(sh.device)
    feature = (sh[members] - problem.wanted).square().mean()
    colors = colors_in(view, sh)
    pixels = picture(view, colors)
    change = (sobel(view, pixels) - problem.slopes[number])[:, :, view.inner]
    grad = change.square().mean() if change.numel() else feature.new_zeros(())
    total = feature + weights.gradient * grad
    if weights.color:
        seam_only = config.seam_only
        total = total + weights.color * _color_loss(problem, view, colors, seam_only=seam_only)
    if palette is None:
        return total
    return total + weights.palette * tune_loss(_solid_colors(view, pixels), palette)


def _color_loss(
    problem: Problem, view: View, colors: Float[Tensor, "n 3"], *, seam_only: bool
) -> Float[Tensor, ""]:
    goal = functional.embedding_bag(problem.driving, colors.detach(), mode="mean")
    if seam_only:
        original = colors_in(view, problem.target.sh)
        goal = problem.pull * goal + (1 - problem.pull) * original
    gap = (colors - goal) * problem.inward
    return gap.square().sum() / (3 * problem.inward.sum()).clamp(min=1)


def tune_loss(colors: Float[Tensor, "m 3"], palette: Palette) -> Float[Tensor, ""]:
    """Squared distance to the nearest centre, weighted by its votes over the most votes."""
    if not len(colors):
        return colors.new_zeros(())
    centers = torch.from_numpy(palette.centers).to(colors)
    with torch.no_grad():
        nearest = torch.cdist(colors, centers).argmin(dim=1)
    weight = torch.from_numpy(palette.shares / palette.shares.max()).to(colors)[nearest]
    return (weight[:, None] * (colors - centers[nearest]).square()).mean()


def _solid_colors(view: View, pixels: Float[Tensor, "p 3"]) -> Float[Tensor, "m 3"]:
    return pixels[view.solid] / view.alpha[view.solid, None]


def turn(iteration: int, count: int, seed: int) -> int:
    """The camera of an iteration: all in a random order, then all in another one, and so on."""
    number, place = divmod(iteration, count)
    return int(torch.randperm(count, generator=generator(seed, number, "views"))[place])
