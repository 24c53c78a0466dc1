"""Real spherical harmonics under rotations: the matrices that turn coefficients along.

Let Q be orthogonal (a rotation, or one with a mirror). The function f(d) = Σ_k c_k Y_k(d), carried
along by Q, is f'(d) = f(Qᵀ d). Each band stays in itself: c'_l = D_l c_l with

    D_l[a, b] = ∫ Y_la(d) Y_lb(Qᵀ d) dω

because the Y are orthonormal. The integrand is a polynomial of degree 2l <= 6 in d, so a product
of Gauss-Legendre nodes in z and equal steps in azimuth gives the integral exactly; no table of
recurrences, and no second place that fixes the signs of the basis.
"""

import functools
import math

import numpy as np
import torch
from jaxtyping import Float

from ...renderers import sh

BANDS = (slice(0, 1), slice(1, 4), slice(4, 9), slice(9, 16))
_ROWS = 1 << 13
"""Turned at once, each by its own matrix: bounds the memory."""
_NODES_Z, _NODES_AZIMUTH = 4, 8
"""Exact up to degree 7 in both."""


def band_matrices(
    orthogonal: Float[np.ndarray, "3 3"], degree: int
) -> list[Float[np.ndarray, "m m"]]:
    """D_0 … D_degree in float64. A translation or a uniform scale does not touch harmonics."""
    directions, weights = quadrature()
    here = _basis(directions)
    before = _basis(np.einsum("ij,ni->nj", orthogonal, directions))
    return [
        np.einsum("na,n,nb->ab", here[:, band], weights, before[:, band])
        for band in BANDS[: degree + 1]
    ]


def turned(
    coefficients: Float[np.ndarray, "n coefficient 3"], orthogonal: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "n coefficient 3"]:
    """The coefficients of the same functions, carried along by `orthogonal`. Band 0 stays as it is,
    bit for bit; the type of the numbers is kept, the sums are in float64.
    """
    degree = math.isqrt(coefficients.shape[1]) - 1
    out = coefficients.copy()
    for band, matrix in list(zip(BANDS, band_matrices(orthogonal, degree), strict=False))[1:]:
        out[:, band] = np.einsum("ab,nbc->nac", matrix, coefficients[:, band].astype(np.float64))
    return out


def turned_each(
    coefficients: Float[np.ndarray, "n coefficient 3"], orthogonal: Float[np.ndarray, "n 3 3"]
) -> Float[np.ndarray, "n coefficient 3"]:
    """`turned`, each by a matrix of its own."""
    degree = math.isqrt(coefficients.shape[1]) - 1
    directions, weights = quadrature()
    here = _basis(directions)
    out = coefficients.copy()
    for start in range(0, len(coefficients), _ROWS):
        rows = slice(start, start + _ROWS)
        before = _basis(np.einsum("nij,qi->nqj", orthogonal[rows], directions))
        for band in BANDS[1 : degree + 1]:
            matrices = (here[:, band] * weights[:, None]).T @ before[..., band]
            out[rows, band] = matrices @ coefficients[rows, band].astype(np.float64)
    return out


def _basis(directions: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 16"]:
    return sh.basis(torch.from_numpy(directions), 16).numpy()


@functools.cache
def quadrature() -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, " n"]]:
    """Directions and weights that integrate products of two of the functions exactly."""
    z, weights = np.polynomial.legendre.leggauss(_NODES_Z)
    azimuth = 2 * np.pi * np.arange(_NODES_AZIMUTH) / _NODES_AZIMUTH
    z, azimuth = (grid.ravel() for grid in np.meshgrid(z, azimuth, indexing="ij"))
    ring = np.sqrt(1 - z * z)
    directions = np.stack([ring * np.cos(azimuth), ring * np.sin(azimuth), z], axis=1)
    return directions, np.repeat(weights, _NODES_AZIMUTH) * (2 * np.pi / _NODES_AZIMUTH)
