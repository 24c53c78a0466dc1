"""The fine stage: anchors are gone, every Gaussian that the edit moved is moved by itself.

    L = photometric + l_arap L_arap + l_rot L_rot + l_dist L_dist + l_mask L_mask + l_s L_scale
    L_scale = mean_i |exp(s_i - s0_i) - 1|                                           eq. 20

(Luo et al. 2024), the stiffness now between neighboring Gaussians. Colors and opacities stay as
they are: optimized along with the geometry, they paint the picture onto what is in the wrong place
(as the re-test in Kim et al. 2025 found), which shows from everywhere else.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...renderers.cpu import render
from ...renderers.scene import Gaussians
from . import masks
from .anchors import Graph
from .photometric import photometric
from .settings import Fine, Rigidity
from .shading import constant, seen_colors
from .skinning import product
from .state import State, advance, value
from .stiffness import stiffness
from .views import View, composited


@dataclass(frozen=True, slots=True)
class Problem:
    """What the fine stage works on."""

    scene: Gaussians
    """The whole scene before the edit."""
    free: Int[Tensor, " m"]
    """Gaussians that the coarse stage has moved, in order."""
    still: Sequence[Gaussians]
    """Per view, what else it shows."""
    places: Float[Tensor, "m 3"]
    """Where the coarse stage has put them."""
    turns: Float[Tensor, "m 4"]
    """And how it has turned them."""
    edges: Graph
    """Between them, at rest."""
    views: Sequence[View]
    size: float
    """Of the edit's box at the depth of what is edited, in scene units."""
    rigidity: Rigidity
    fine: Fine
    ssim: float
    threads: int = 1


def start(problem: Problem) -> State:
    """Where the coarse stage ended."""
    settings = problem.fine
    logits = torch.full((3, len(problem.edges.start)), masks.OPEN)
    mask_rate = problem.rigidity.mask_rate if problem.rigidity.adaptive else 0.0
    values = {
        "places": value(problem.places, settings.place_rate * problem.size),
        "turns": value(problem.turns, settings.turn_rate),
        "growth": value(torch.zeros(len(problem.free), 3), settings.scale_rate, vectors=False),
        "masks": value(logits, mask_rate, vectors=False),
    }
    return State(values, [None] * len(problem.views))


def step(problem: Problem, state: State) -> None:
    """One iteration, in place."""
    share = state.iteration / max(1, problem.fine.iterations)
    masks.reset_now(state["masks"], state.iteration, problem.rigidity)
    loss = resting(problem, state)
    for number, view in enumerate(problem.views):
        frames = render(seen(problem, state, number), view.camera, threads=problem.threads)
        picture = composited(frames, view.background)
        one = photometric(picture, view.target, problem.ssim)
        loss = loss + one / len(problem.views)
    advance(state, loss, problem.fine.last_rate**share)


def resting(problem: Problem, state: State) -> Float[Tensor, ""]:
    """All terms that no picture enters."""
    rest, edges = problem.scene.means[problem.free], problem.edges
    loss = stiffness(rest, state["places"], state["turns"], edges, state["masks"], problem.rigidity)
    grown = (torch.exp(state["growth"]) - 1).abs().mean()
    return loss + problem.fine.scale_price * grown


def seen(problem: Problem, state: State, number: int) -> Gaussians:
    """The scene as it is now, with its colors towards one camera."""
    scene, rows, still = problem.scene, problem.free, problem.still[number]
    camera = problem.views[number].camera
    turns = state["turns"] / state["turns"].norm(dim=1, keepdim=True)
    colors = seen_colors(scene.sh[rows], state["places"].detach(), turns.detach(), camera)
    scales = scene.scales[rows] * torch.exp(state["growth"])
    return Gaussians(
        means=torch.cat([state["places"], still.means]),
        quaternions=torch.cat([product(turns, scene.quaternions[rows]), still.quaternions]),
        scales=torch.cat([scales, still.scales]),
        opacities=torch.cat([scene.opacities[rows], still.opacities]),
        sh=torch.cat([constant(colors), still.sh]),
    )
