"""Pixel pairs: what is known to have gone where, from a matcher or by hand.

For each pair the Gaussians that the first pixel shows are looked up once; from then on the weighted
mean of their projections is to move as the pixel does:

    L_pairs = mean_p sqrt(|sum_k w_pk (pi(mu_k) - pi(mu0_k)) - (x1_p - x0_p)|^2 + s^2)

in units of the box's longer side. The root keeps a few wrong pairs from outvoting the others.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...renderers.cpu import render
from ...renderers.projection import image_points
from ...renderers.scene import Cameras, Gaussians

SHOWN = 8
"""Gaussians that a pixel is taken to show."""
SOFT = 0.01
"""s."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Bound to movable Gaussians of one view."""

    rows: Int[Tensor, "pair k"]
    """Places in the list of movable Gaussians."""
    weights: Float[Tensor, "pair k"]
    """Sum to 1."""
    goals: Float[Tensor, "pair 2"]
    """Where the weighted mean of the projections shall be, in pixels of the view."""


def bound(
    scene: Gaussians,
    movable: Int[Tensor, " m"],
    camera: Cameras,
    pairs: Float[np.ndarray, "pair 4"],
) -> Pairs | None:
    """Look up what the first pixels show; None if nothing that may move. `pairs` are in pixels of
    `camera`."""
    with torch.no_grad():
        found = render(scene, camera, contributors=SHOWN).contributors
        places = image_points(scene, camera)[0]
    assert found is not None
    columns = torch.from_numpy(pairs[:, 0].astype(int)).clamp(0, camera.width_px - 1)
    lines = torch.from_numpy(pairs[:, 1].astype(int)).clamp(0, camera.height_px - 1)
    ids, weights = found.ids[0, lines, columns].long(), found.weights[0, lines, columns]
    where = torch.full((len(scene.means),), -1)
    where[movable] = torch.arange(len(movable))
    rows = torch.where(ids >= 0, where[ids.clamp(min=0)], -1)
    weights = torch.where(rows >= 0, weights, 0.0)
    total = weights.sum(dim=1, keepdim=True)
    good = total[:, 0] > 0.1
    if not bool(good.any()):
        return None
    rows, weights = rows[good].clamp(min=0), (weights / total.clamp(min=1e-9))[good]
    shift = torch.from_numpy(pairs[:, 2:] - pairs[:, :2]).float()[good]
    now = (weights[..., None] * places[movable][rows]).sum(dim=1)
    return Pairs(rows, weights, now + shift)


def pair_loss(pairs: Pairs, scene: Gaussians, camera: Cameras) -> Float[Tensor, ""]:
    """L_pairs; the movable Gaussians come first in `scene`."""
    places = image_points(scene, camera)[0]
    now = (pairs.weights[..., None] * places[pairs.rows]).sum(dim=1)
    longer = max(camera.width_px, camera.height_px)
    off = (now - pairs.goals) / longer
    return (off.square().sum(dim=1) + SOFT**2).sqrt().mean()
