"""Which part of the edited picture is which part of the render: optimal transport of tiles.

Notation: m render tiles and n target tiles with mean colors c, centers x (in units of the longer
side) and masses a, b; C_uv = lambda |c_u - c_v|^2 + (1 - lambda) |x_u - x_v|^2 (eq. 6 of Luo et al.
2024); eps the blur, rho the price of leaving mass behind. Log-domain Sinkhorn (Cuturi 2013),
unbalanced as in Chizat et al. 2018, k = rho / (rho + eps):

    f_u = -k eps log sum_v b_v exp((g_v - C_uv) / eps),     and g likewise
    P_uv = a_u b_v exp((f_u + g_v - C_uv) / eps)

The pull on a tile is the difference of two barycenters, towards the target and towards the render
itself, which is the gradient of the debiased Sinkhorn divergence (Feydy et al. 2019): a picture
that is right is not pulled at all, whatever eps blurs. Potentials are kept from step to step.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

TINY = 1e-30


@dataclass(frozen=True, slots=True)
class Tiles:
    """A picture in few numbers."""

    colors: Float[Tensor, "tile 3"]
    centers: Float[Tensor, "tile 2"]
    """Column and row, in units of the picture's longer side."""
    mass: Float[Tensor, " tile"]
    """Not negative; sums to about 1."""


@dataclass(frozen=True, slots=True)
class Price:
    """What moving costs."""

    color: float
    """lambda."""
    blur: float
    """eps."""
    leaving: float | None
    """rho; None: all mass has to arrive (balanced)."""


@dataclass(frozen=True, slots=True)
class Potentials:
    """What is kept between steps: f, g, and the render's own f."""

    render: Float[Tensor, " m"]
    target: Float[Tensor, " n"]
    own: Float[Tensor, " m"]


@dataclass(frozen=True, slots=True)
class Match:
    """Where tiles should go."""

    pull: Float[Tensor, "m 2"]
    """Column and row, in units of the longer side."""
    trust: Float[Tensor, " m"]
    """Share of a tile's mass that arrives: 1 where balanced, lower where no partner is found."""
    potentials: Potentials


def tile_means(picture: Float[Tensor, "height width value"], size: int) -> Float[Tensor, "t value"]:
    """Means over tiles of `size` pixels, row by row; those at the far edges may be smaller."""
    values = picture.permute(2, 0, 1)[None]
    means = torch.nn.functional.avg_pool2d(values, size, ceil_mode=True, count_include_pad=False)
    return means[0].flatten(1).T


def cost(left: Tiles, right: Tiles, price: Price) -> Float[Tensor, "m n"]:
    """C."""
    colors = torch.cdist(left.colors, right.colors, compute_mode="donot_use_mm_for_euclid_dist")
    places = torch.cdist(left.centers, right.centers, compute_mode="donot_use_mm_for_euclid_dist")
    return price.color * colors.square() + (1 - price.color) * places.square()


def match(
    render: Tiles, target: Tiles, price: Price, start: Potentials | None, iterations: int
) -> Match:
    """Pulls on the render's tiles. `start`: the potentials of the step before."""
    across, own = cost(render, target, price), cost(render, render, price)
    if start is None:
        start = _cold(across, own, render, target, price)
    f, g, h = start.render, start.target, start.own
    log_a, log_b = _log(render.mass), _log(target.mass)
    for _ in range(iterations):
        f = _softmin(across - g, log_b, price)
        g = _softmin(across.T - f, log_a, price)
        h = 0.5 * (h + _softmin(own - h, log_a, price))
    plan = ((f[:, None] + g - across) / price.blur + log_b).exp()
    self_plan = ((h[:, None] + h - own) / price.blur + log_a).exp()
    pull = _barycenter(plan, target.centers) - _barycenter(self_plan, render.centers)
    arriving = plan.sum(dim=1)
    trust = arriving.clamp(max=1.0) if price.leaving is not None else torch.ones_like(arriving)
    # A tile whose mass stays behind altogether has no barycenter worth the name.
    found = (plan.sum(dim=1) > TINY) & (render.mass > 0)
    return Match(torch.where(found[:, None], pull, 0.0), trust * found, Potentials(f, g, h))


def _cold(across: Tensor, own: Tensor, render: Tiles, target: Tiles, price: Price) -> Potentials:
    """Potentials by annealing: from a blur as wide as the picture down to the wanted one."""
    f, g = across.new_zeros(len(across)), across.new_zeros(across.shape[1])
    h = torch.zeros_like(f)
    log_a, log_b = _log(render.mass), _log(target.mass)
    blur = max(float(across.max()), price.blur)
    while True:
        now = replace(price, blur=blur)
        for _ in range(4):
            f = _softmin(across - g, log_b, now)
            g = _softmin(across.T - f, log_a, now)
            h = 0.5 * (h + _softmin(own - h, log_a, now))
        if blur == price.blur:
            return Potentials(f, g, h)
        blur = max(0.5 * blur, price.blur)


def _softmin(costs: Tensor, log_mass: Tensor, price: Price) -> Tensor:
    """-k eps log sum exp(log mass - cost / eps), over rows."""
    shrink = 1.0 if price.leaving is None else price.leaving / (price.leaving + price.blur)
    return -shrink * price.blur * torch.logsumexp(log_mass - costs / price.blur, dim=1)


def _log(mass: Tensor) -> Tensor:
    return mass.clamp(min=TINY).log()


def _barycenter(plan: Tensor, places: Tensor) -> Tensor:
    return (plan @ places) / plan.sum(dim=1, keepdim=True).clamp(min=TINY)
