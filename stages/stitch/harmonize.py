"""The optimization: colors from the seam inwards, texture kept, the source's palette at the end.

L = L_feature + color L_color + gradient L_grad + palette L_tune, over the target's harmonics only:

    L_feature  boundary: mean squared distance of the harmonics to the mean of the K neighbors
    L_color    all others: squared distance of the color towards the camera to the mean color of
               the driving points towards the same camera, which is held fixed in the gradient
    L_grad     squared difference of the Sobel derivatives to those of the untouched target, seen
               alone, inside its outline: there, a change of tone costs nothing
    L_tune     solid pixels: squared distance to the nearest palette color, times its votes

One camera per iteration, in an order that is drawn anew for every round. Adam.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...pipeline.contract import Context
from ...renderers.scene import Gaussians
from ..randomness import generator
from . import Config
from .boundary import Boundary, driving_points
from .palette import Palette, started, updated
from .views import View, colors_in, picture, sobel

BATCHES = 60
BATCH_PIXELS = 2048
REST_RATE = 1 / 20
LAST_RATE = 0.1
Sh = Float[Tensor, "n coefficient 3"]


@dataclass(frozen=True, slots=True)
class Problem:
    """All that stays fixed. n target Gaussians."""

    target: Gaussians
    views: Sequence[View]
    boundary: Boundary
    wanted: Float[Tensor, "b coefficient 3"]
    """Mean harmonics of each boundary member's neighbors."""
    driving: Tensor
    """n x K numbers of target Gaussians."""
    pull: Float[Tensor, " n"]
    """How far the driving points' color is to be taken over, 0 to 1; 0 on the boundary itself."""
    free: Bool[Tensor, " n"]
    """What may change."""
    slopes: Sequence[Tensor]
    """Per view, the Sobel derivatives of the untouched target."""


def posed(
    target: Gaussians, source: Gaussians, boundary: Boundary, views: Sequence[View], size: float,
    config: Config,
) -> Problem:  # fmt: skip
    """The problem for a boundary; `size` is L."""
    driving, distance = driving_points(
        target.means.double().numpy(),
        boundary.members,
        size=size,
        amplitude=config.amplitude,
        gamma=config.gamma,
        k=config.neighbors,
    )
    pull = np.ones(len(distance))
    if config.seam_only:
        near = (1 - distance / (config.seam_width * size)).clip(0, 1)
        pull = near * near * (3 - 2 * near)
    free = pull > 0
    free[boundary.members] = True
    pull[boundary.members] = 0
    return Problem(
        target=target,
        views=views,
        boundary=boundary,
        wanted=source.sh[torch.from_numpy(boundary.neighbors)].mean(dim=1),
        driving=torch.from_numpy(driving),
        pull=torch.from_numpy(pull).float(),
        free=torch.from_numpy(free),
        slopes=[sobel(view, picture(view, colors_in(view, target.sh))) for view in views],
    )


def source_palette(views: Sequence[View], sh: Sh, seed: int) -> Palette:
    """Of the solid pixels of the source from around."""
    pixels = [_solid_colors(view, picture(view, colors_in(view, sh))).numpy() for view in views]
    pixels = [colors.astype(np.float64) for colors in pixels if len(colors)]
    palette = None
    for batch in range(BATCHES if pixels else 0):
        colors = pixels[batch % len(pixels)]
        order = torch.randperm(len(colors), generator=generator(seed, batch, "palette")).numpy()
        chosen = colors[order[:BATCH_PIXELS]]
        palette = updated(palette or started(chosen), chosen)
    if palette is None:
        # Too thin to cover a pixel: its Gaussians' own colors are all there is.
        own = (colors_in(views[0], sh)).double().numpy()
        palette = updated(started(own), own)
    return palette


def harmonized(problem: Problem, palette: Palette | None, config: Config, ctx: Context) -> Sh:
    """The target's harmonics afterwards."""
    sh = problem.target.sh
    first, rest = (part.clone().requires_grad_() for part in (sh[:, :1], sh[:, 1:]))
    groups = [{"params": [first], "rate": config.rate}]
    if rest.shape[1]:
        groups.append({"params": [rest], "rate": config.rate * REST_RATE})
    optimizer = torch.optim.Adam([{**group, "lr": 0.0} for group in groups], foreach=False)
    before, total = config.iterations[0], sum(config.iterations)
    order = _rounds(len(problem.views), ctx.seed)
    with ctx.progress("stitch", total) as bar:
        for iteration in range(total):
            for group in optimizer.param_groups:
                group["lr"] = group["rate"] * LAST_RATE ** (iteration / total)
            now = palette if iteration >= before else None
            loss = losses(problem, torch.cat([first, rest], dim=1), next(order), now, config)
            optimizer.zero_grad()
            loss.backward()
            for part in (first, rest):
                if part.grad is not None:
                    part.grad[~problem.free] = 0
            optimizer.step()
            bar.advance(note=f"loss {loss.item():.4f}")
    return torch.cat([first, rest], dim=1).detach()


def losses(
    problem: Problem, sh: Sh, number: int, palette: Palette | None, config: Config
) -> Float[Tensor, ""]:
    """L for one view."""
    view, members = problem.views[number], torch.from_numpy(problem.boundary.members)
    feature = (sh[members] - problem.wanted).square().mean()
    colors = colors_in(view, sh)
    original = colors_in(view, problem.target.sh)
    driven = colors.detach()[problem.driving].mean(dim=1)
    pull = problem.pull[:, None]
    goal = pull * driven + (1 - pull) * original
    others = torch.ones(len(sh), dtype=torch.bool)
    others[members] = False
    color = (colors - goal)[others].square().sum() / max(3 * int(others.sum()), 1)
    pixels = picture(view, colors)
    change = (sobel(view, pixels) - problem.slopes[number])[:, :, view.inner]
    grad = change.square().mean() if change.numel() else feature.new_zeros(())
    total = feature + config.color_weight * color + config.gradient_weight * grad
    if palette is None:
        return total
    return total + config.palette_weight * tune_loss(_solid_colors(view, pixels), palette)


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


def _rounds(count: int, seed: int) -> Iterator[int]:
    """All views in a random order, then all in another one, and so on."""
    for number in range(2**31):
        yield from torch.randperm(count, generator=generator(seed, number, "views")).tolist()
