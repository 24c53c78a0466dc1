"""The splats' density, its gradient, and what it says about distance (SuGaR, section 4).

    d(p)    = Σ_g α_g exp(-½ (p - μ_g)ᵀ Σ_g⁻¹ (p - μ_g))
    ∇d(p)   = -Σ_g α_g exp(…) Σ_g⁻¹ (p - μ_g)
    |f(p)|  = s_g sqrt(-2 ln d(p))            the ideal distance to a flat, opaque Gaussian's plane
    offset  = s sqrt(2 ln(d_surface / λ))     how far outside of the surface its level set λ lies

The sum is over the nearest neighbors of one Gaussian (by their centers), that one included.

Along a ray the density is looked up at evenly spaced places. The *level* is its first crossing of λ
from below, linear between two places; a ray that begins above, or never gets there, has none. The
*ridge* is its largest value, refined by the parabola through the logarithms of three places, which
is exact for a single Gaussian; at the ends there is none.
"""

from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import cKDTree

from . import kernels
from .shapes import Shapes

At = Literal["level", "ridge"]


class Density:
    """The field around given Gaussians, each at least `thinnest` times as thick as its middle axis
    is long."""

    def __init__(self, shapes: Shapes, *, neighbors: int, thinnest: float = 0.0) -> None:
        self.radii = shapes.radii
        least = thinnest * shapes.radii[:, None]
        scales = np.maximum(shapes.scales, np.maximum(least, 1e-12))
        self.scales = scales
        self.axes = shapes.axes
        self._means = np.ascontiguousarray(shapes.means)
        whiten = np.swapaxes(shapes.axes, 1, 2) / scales[:, :, None]
        self._whiten = np.ascontiguousarray(whiten.reshape(-1, 9))
        self._opacities = np.ascontiguousarray(shapes.opacities)
        count = min(neighbors, len(shapes.means))
        near = cKDTree(shapes.means).query(shapes.means, k=count)[1].reshape(-1, count)
        self._near = near.astype(np.int64)
        thin = shapes.scales.argmin(axis=1)
        self._normals = np.ascontiguousarray(
            np.take_along_axis(shapes.axes, thin[:, None, None], axis=2)[:, :, 0]
        )

    def nearest(
        self, points: Float[np.ndarray, "point 3"], of: Int[np.ndarray, " point"]
    ) -> Int[np.ndarray, " point"]:
        """The Gaussian with the nearest center among the neighbors of the Gaussians `of`."""
        out = np.empty(len(points), np.int64)
        kernels.nearest_of(np.ascontiguousarray(points), of, self._means, self._near, out)
        return out

    def value(
        self, points: Float[np.ndarray, "point 3"], of: Int[np.ndarray, " point"]
    ) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, "point 3"]]:
        """d and its gradient, among the neighbors of the Gaussians `of`."""
        found, slope = np.zeros(len(points)), np.zeros((len(points), 3))
        kernels.values(
            np.ascontiguousarray(points), of, self._means, self._whiten, self._opacities,
            self._near, found, slope,
        )  # fmt: skip
        return found, slope

    def normals(
        self,
        points: Float[np.ndarray, "point 3"],
        of: Int[np.ndarray, " point"],
        toward: Float[np.ndarray, "point 3"],
    ) -> Float[np.ndarray, "point 3"]:
        """The Gaussians' shortest axes, each turned against the ray `toward`, weighted by what they
        contribute; unit length."""
        out = np.zeros((len(points), 3))
        kernels.mean_normals(
            np.ascontiguousarray(points), of, np.ascontiguousarray(toward), self._means,
            self._whiten, self._opacities, self._near, self._normals, out,
        )  # fmt: skip
        return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-300)

    def width(
        self, of: Int[np.ndarray, " point"], directions: Float[np.ndarray, "point 3"]
    ) -> Float[np.ndarray, " point"]:
        """sqrt(vᵀ Σ v): the standard deviation of each Gaussian in a direction of unit length."""
        local = np.einsum("pji,pj->pi", self.axes[of], directions)
        return np.linalg.norm(local * self.scales[of], axis=1)

    def along(
        self,
        centers: Float[np.ndarray, "ray 3"],
        directions: Float[np.ndarray, "ray 3"],
        reach: Float[np.ndarray, " ray"],
        of: Int[np.ndarray, " ray"],
        *,
        samples: int,
        at: At,
        level: float = 0.3,
    ) -> Float[np.ndarray, " ray"]:
        """Where on centers + t directions, |t| <= reach, the surface lies: t, or nan."""
        out = np.full(len(centers), np.nan)
        kernels.along(
            np.ascontiguousarray(centers), np.ascontiguousarray(directions), reach, of,
            self._means, self._whiten, self._opacities, self._near,
            samples, -1.0 if at == "ridge" else level, out,
        )  # fmt: skip
        return out


def ideal_distance(
    density: Float[np.ndarray, " point"], thickness: Float[np.ndarray, " point"]
) -> Float[np.ndarray, " point"]:
    """|f| from d; densities above 1 count as 1."""
    return thickness * np.sqrt(-2 * np.log(np.clip(density, 1e-300, 1.0)))


def level_offset(thickness_m: float, surface_density: float, level: float) -> float:
    """How far outside the surface the level set lies."""
    return thickness_m * float(np.sqrt(2 * np.log(surface_density / level)))
