"""The transform of each photograph's colors, found along with the Gaussians.

Cameras that choose exposure, contrast and white anew for each photograph contradict any one scene.
Splats hide that in view-dependent color and in layers before the camera, which are wrong from
everywhere else. So each photograph gets a gain and an offset per channel (`geometry/exposure.py`),
applied to the rendered picture before the loss, as the exposure compensation of the reference 3DGS
does (there: a 3 x 4 matrix, by gradient descent).

Gain and offset that fit best are known in closed form, so no gradient is needed. Notation, per
photograph and channel: x the rendered picture, y the photograph, M = `MIDDLE`; gain = 1 + a, and
b = what becomes of the middle, so that a (x - M) + b is added to x. Each time a photograph is due,

    minimize over a, b    mean (x + a (x - M) + b - y)^2 + h (SPREAD^2 a^2 + b^2),
                          h = hold / (1 + (S / ALIKE^2)^2)

where S is the mean of SPREAD^2 a^2 + b^2 over all photographs, and a, b move by `step` of the way
there. The second term keeps at 0 what the pictures do not decide, such as a brightness that turns
with the camera, which may as well be view dependence. How strongly follows from the spread found so
far: where photographs differ at all, large differences are probable, and are not to be held back
(empirical Bayes). After each move the means of a and of b over all photographs are taken off: the
scene is the one that an average photograph shows, and others can be compared with it as they are.

The first of it happens once the scene is roughly there and view dependence is not (`from_share`).
Before, what differs is content, not exposure.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from ..formats.photos import Target
from ..geometry.exposure import LARGEST, Exposure
from .loss import wanted
from .settings import Exposures

MIDDLE = 0.5
SPREAD = 0.25
"""Contrast of a usual picture, as a standard deviation of sRGB."""
ALIKE = 0.015
"""Change of sRGB, as a root mean square, below which photographs are taken for alike. A capture of
one exposure came out with 0.006 where all were held, with 0.012 where they were not; the fox's
photographs, which a telephone exposed, with 0.02 and 0.03."""
OPAQUE = 0.99
"""Pixels of photographs less covered than this say nothing."""

Table = Float[Tensor, "photo 2 3"]
"""Of each photograph: row 0 is a, row 1 is b."""


def start(photos: int, device: str) -> Table:
    """All alike."""
    return torch.zeros(photos, 2, 3, device=device)


def exposure(row: Float[Tensor, "2 3"]) -> Exposure:
    a, b = row
    return Exposure(1 + a, b - MIDDLE * a)


def both(
    exposure: Exposure,
    picture: Float[Tensor, "3 height width"],
    target: Target,
    background: Float[Tensor, "3"],
) -> tuple[Float[Tensor, "3 height width"], Float[Tensor, "3 height width"]]:
    """What is compared: the scene's picture as the photograph would show it, and the photograph,
    before the background as the photograph would show that."""
    return exposure.of(picture), wanted(target, exposure.of(background))


def due(settings: Exposures, iteration: int, iterations: int) -> bool:
    return iteration >= settings.from_share * iterations


@torch.no_grad()
def moved(
    table: Table,
    number: int,
    picture: Float[Tensor, "3 height width"],
    target: Target,
    background: Float[Tensor, "3"],
    settings: Exposures,
) -> Table:
    """One photograph's a and b moved, and the means of all taken off.

    Args:
        picture: As the scene is, on `background`.
        target: The photograph.
    """
    counts = target.counts
    if target.alpha is not None:
        opaque = (target.alpha >= OPAQUE).float()
        counts = opaque if counts is None else opaque * counts
    best = fitted(picture, wanted(target, background), counts, held(table, settings.hold))
    row = table[number] + settings.step * (best - table[number])
    table = table.index_copy(0, torch.tensor([number], device=table.device), row[None])
    return table - table.mean(dim=0)


def held(table: Table, most: float) -> float:
    """How strongly each is held where it is."""
    square = float((SPREAD**2 * table[:, 0].square() + table[:, 1].square()).mean())
    return most / (1 + (square / ALIKE**2) ** 2)


def fitted(
    picture: Float[Tensor, "3 height width"],
    photo: Float[Tensor, "3 height width"],
    counts: Float[Tensor, "1 height width"] | None,
    hold: float,
) -> Float[Tensor, "2 3"]:
    """The best a and b: two equations per channel, in float64. Nothing where no pixel counts."""
    x, y = (part.clamp(0, 1).flatten(1).double() for part in (picture, photo))
    if counts is not None:
        there = counts.flatten() > 0.5
        x, y = x[:, there], y[:, there]
    if x.shape[1] == 0:
        return picture.new_zeros(2, 3)
    u, missing = x - MIDDLE, y - x
    square = u.square().mean(dim=1) + hold * SPREAD**2
    mixed = u.mean(dim=1)
    right_a, right_b = (u * missing).mean(dim=1), missing.mean(dim=1)
    determinant = square * (1 + hold) - mixed.square()
    a = (right_a * (1 + hold) - mixed * right_b) / determinant
    a = a.clamp(1 / LARGEST - 1, LARGEST - 1)
    b = (right_b - mixed * a) / (1 + hold)
    return torch.stack([a, b]).to(picture.dtype)
