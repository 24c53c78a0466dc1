"""Where two parts meet, and whose colors every other Gaussian shall take.

Gao et al. 2024 (arXiv 2408.15708), steps as its readers describe them; what they leave open is
named here. Notation: a target Gaussian at x; K nearest neighbors; L the size of both together;
B the boundary.

    x in B   iff   mean distance to its K nearest source Gaussians < β L  and  opacity > τ
    φ(x) = x + A sin(γ d / L)       d: distance from x to B; the shift is the same along x, y, z
    the driving points of x: the K members of B nearest to φ(x)

L is the diagonal of the box between the 1st and the 99th percentile. φ is in units of L: the paper
has amplitude 1 and γ = 10 for an object of unit size.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import cKDTree

from ...pipeline.errors import InputError

Points = Float[np.ndarray, "n 3"]


@dataclass(frozen=True, slots=True)
class Boundary:
    """b target Gaussians at the seam."""

    members: Int[np.ndarray, " b"]
    """Their numbers."""
    neighbors: Int[np.ndarray, "b k"]
    """The source Gaussians nearest to each."""
    opacity: float
    """The least opacity that was asked for in the end."""
    lowered: bool
    """None was above τ, so the most opaque share 1 - τ of the near ones was taken."""


def extent(points: Points) -> float:
    """L."""
    low, high = np.percentile(points, [1, 99], axis=0)
    return float(np.linalg.norm(high - low))


def find_boundary(
    target: Points,
    opacities: Float[np.ndarray, " n"],
    source: Float[np.ndarray, "m 3"],
    *,
    reach: float,
    tau: float,
    k: int,
) -> Boundary:
    """The boundary for a mean distance below `reach` = β L.

    An `InputError` where the parts do not come so near to each other.
    """
    k = min(k, len(source))
    low, high = source.min(axis=0) - k * reach, source.max(axis=0) + k * reach
    # No neighbor of those outside is near enough for the mean to be.
    maybe = np.flatnonzero(((target >= low) & (target <= high)).all(axis=1))
    tree = cKDTree(source)
    distance, index = tree.query(target[maybe], k=k)
    distance, index = distance.reshape(len(maybe), k), index.reshape(len(maybe), k)
    near = distance.mean(axis=1) < reach
    candidates = maybe[near]
    if not len(candidates):
        gap = float(tree.query(target, k=1)[0].min())
        raise InputError(
            f"target and source do not meet: no target Gaussian has its {k} nearest source"
            f" Gaussians within {reach:.4g} on average (the nearest one is {gap:.4g} away)."
            " Move the parts together, or raise beta"
        )
    least, solid = tau, opacities[candidates] > tau
    lowered = not solid.any()
    if lowered:
        least = float(np.quantile(opacities[candidates], tau))
        solid = opacities[candidates] >= least
    return Boundary(candidates[solid], index[near][solid], least, lowered)


def driving_points(
    target: Points, members: Int[np.ndarray, " b"], *, size: float, amplitude: float,
    gamma: float, k: int,
) -> tuple[Int[np.ndarray, "n k"], Float[np.ndarray, " n"]]:  # fmt: skip
    """Per target Gaussian the numbers of its driving points, and its distance to B."""
    tree = cKDTree(target[members])
    distance, _ = tree.query(target, k=1)
    shift = amplitude * size * np.sin(gamma * distance / size)
    k = min(k, len(members))
    _, index = tree.query(target + shift[:, None], k=k)
    return members[index.reshape(len(target), k)], distance
