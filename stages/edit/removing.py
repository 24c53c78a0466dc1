"""Removal: what the edited picture shows no more is taken out, its hidden side as well.

Notation: anchor k with presence s_k in (0, 1), Gaussian i with skinning weights w_ik.

    opacity_i = o_i sum_k w_ik s_k
    L = photometric + smooth 1/N sum_ij khat_ij (s_i - s_j)^2

Nothing moves. At the start everything near whose center lies inside of the edit is gone, and what
the picture does show comes back: the other way round, a surface that fades first shows its own
back, and nothing ever goes. What no view shows follows its neighbors by the second term. A Gaussian
is deleted if its presence ends below one half and its center lies inside of the edit in every
picture; all others stay bit for bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...renderers.cpu import render
from ...renderers.projection import image_points, view_depths
from ...renderers.scene import Gaussians
from . import coarse
from .photometric import photometric
from .settings import Removal
from .state import State, advance, value
from .views import View, composited

PRESENT = 3.0
"""Logit of a presence of 0.95, which is taken as 1."""
OWN_SHARE = 0.3
"""Rate of each anchor's own logit against that shared with its surroundings."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A coarse problem in which nothing moves."""

    base: coarse.Problem
    removal: Removal


def start(problem: Problem) -> State:
    """Before the first iteration: everything inside of the edit is gone."""
    base, rate = problem.base, problem.removal.rate
    inside = inside_all(base.scene, base.views)[base.movable].float()
    count = base.skin.transposed @ np.ones(len(inside), np.float32)
    shares = (base.skin.transposed @ inside.numpy()) / np.maximum(count, 1e-9)
    logits = torch.where(torch.from_numpy(shares) > 0.5, -PRESENT, PRESENT)
    values = {
        "shared": value(torch.zeros_like(logits), rate, vectors=False),
        "own": value(logits, OWN_SHARE * rate, vectors=False),
    }
    return State(values, [])


def shares_of(problem: Problem, state: State) -> Float[Tensor, " anchor"]:
    """s. A part of the logits is smoothed over the graph, so that bodies come and go as a whole."""
    return torch.sigmoid(state["own"] + problem.base.smoothing @ state["shared"])


def presence(problem: Problem, state: State) -> Float[Tensor, " m"]:
    """Of the movable Gaussians, at most 1."""
    full = torch.sigmoid(torch.tensor(PRESENT))
    shares = (shares_of(problem, state) / full).clamp(max=1.0)
    return problem.base.skin.blended(shares[:, None])[:, 0]


def step(problem: Problem, state: State) -> None:
    """One iteration, in place."""
    base, settings = problem.base, problem.removal
    shares = shares_of(problem, state)
    edges = base.edges
    rough = edges.kernel * (shares[edges.start] - shares[edges.end]).square()
    loss = settings.smooth * rough.sum() / edges.count
    scene = faded(problem, state)
    for view in base.views:
        picture = composited(render(scene, view.camera, threads=base.threads), view.background)
        loss = loss + photometric(picture, view.target, base.ssim) / len(base.views)
    advance(state, loss, 1.0)


def faded(problem: Problem, state: State) -> Gaussians:
    """The scene with the presences as they are now."""
    scene, rows = problem.base.scene, problem.base.movable
    opacities = scene.opacities.index_copy(
        0, rows, scene.opacities[rows] * presence(problem, state)
    )
    return replace(scene, opacities=opacities)


def removed(problem: Problem, state: State) -> Int[np.ndarray, " k"]:
    """Which Gaussians of the scene go."""
    base = problem.base
    with torch.no_grad():
        gone = presence(problem, state) < 0.5
    inside = inside_all(base.scene, base.views)[base.movable]
    return base.movable[gone & inside].numpy()


def inside_all(scene: Gaussians, views: Sequence[View]) -> Bool[Tensor, " n"]:
    """Whose center lies inside of the edit in every picture."""
    out = torch.ones(len(scene.means), dtype=torch.bool)
    for view in views:
        height, width = view.mask.shape
        places = image_points(scene, view.camera)[0].nan_to_num(-1.0)
        column, row = places[:, 0].floor(), places[:, 1].floor()
        shown = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        shown &= view_depths(scene.means, view.camera)[0] > 0
        columns, rows = (torch.where(shown, part, 0.0).long() for part in (column, row))
        out &= shown & view.mask[rows, columns]
    return out
