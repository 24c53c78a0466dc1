"""Spherical harmonics: orthonormal, and the ones scipy has, with our signs."""

import numpy as np
import pytest
import scipy.special
import torch
from splatworks.renderers import sh


def sphere(rings: int = 8, sectors: int = 17) -> tuple[torch.Tensor, torch.Tensor]:
    """Points and weights that integrate polynomials of degree 6 on the sphere exactly."""
    heights, weights = np.polynomial.legendre.leggauss(rings)
    angles = 2 * np.pi * np.arange(sectors) / sectors
    z, phi = (a.ravel() for a in np.meshgrid(heights, angles, indexing="ij"))
    radius = np.sqrt(1 - z * z)
    points = np.stack([radius * np.cos(phi), radius * np.sin(phi), z], axis=-1)
    return torch.from_numpy(points), torch.from_numpy(
        np.repeat(weights, sectors) * 2 * np.pi / sectors
    )


def test_the_gram_matrix_is_the_identity() -> None:
    points, weights = sphere()
    values = sh.basis(points, 16)
    gram = values.T @ (weights[:, None] * values)
    torch.testing.assert_close(gram, torch.eye(16, dtype=torch.float64), rtol=0, atol=1e-13)


def test_signs_against_scipy() -> None:
    """√2 Re Y and √2 Im Y with scipy's Condon-Shortley phase left in are the signs of 3DGS."""
    points, _ = sphere()
    x, y, z = points.numpy().T
    polar, azimuth = np.arccos(z), np.arctan2(y, x)
    found = sh.basis(points, 16).numpy()
    for degree in range(4):
        for order in range(-degree, degree + 1):
            if hasattr(scipy.special, "sph_harm_y"):
                y_lm = scipy.special.sph_harm_y(degree, abs(order), polar, azimuth)
            else:
                y_lm = scipy.special.sph_harm(abs(order), degree, azimuth, polar)
            wanted = y_lm.real if order >= 0 else y_lm.imag
            wanted = wanted * (np.sqrt(2) if order else 1)
            np.testing.assert_allclose(
                found[:, degree * degree + degree + order], wanted, atol=1e-13
            )


@pytest.mark.parametrize("count", sh.COUNTS)
def test_fewer_coefficients_are_the_first_ones(count: int) -> None:
    points, _ = sphere()
    assert torch.equal(sh.basis(points, count), sh.basis(points, 16)[:, :count])


def test_other_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="got 5"):
        sh.basis(torch.zeros(1, 3), 5)


def test_color_is_offset_and_cut_at_zero() -> None:
    up = torch.tensor([[[0.0, 0.0, 1.0]]])
    coefficients = torch.tensor([[[1.0, -9.0, 0.0], [9, 9, 9], [0.5, 0.0, 0.0], [9, 9, 9]]])
    wanted = [0.5 + 0.28209479 + 0.5 * 0.48860251, 0.0, 0.5]
    torch.testing.assert_close(sh.colors(coefficients, up)[0, 0], torch.tensor(wanted))
