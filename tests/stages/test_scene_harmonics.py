"""Spherical harmonics under rotations, against least squares, tensors and the colors themselves."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from splatworks.renderers import sh
from splatworks.stages.scene.harmonics import BANDS, band_matrices, turned

ROTATIONS = [Rotation.random(random_state=seed).as_matrix() for seed in range(5)]
MIRROR = np.diag([1.0, -1.0, 1.0]) @ ROTATIONS[0]


def directions(count: int, seed: int = 0) -> np.ndarray:
    found = np.random.default_rng(seed).normal(size=(count, 3))
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def values(at: np.ndarray) -> np.ndarray:
    return sh.basis(torch.from_numpy(at), 16).numpy()


@pytest.mark.parametrize("orthogonal", [*ROTATIONS, MIRROR, np.eye(3), -np.eye(3)])
def test_matches_least_squares_over_sampled_directions(orthogonal: np.ndarray) -> None:
    """f'(d) = f(Qᵀ d), solved for the coefficients of every band."""
    at = directions(64)
    for band, matrix in zip(BANDS, band_matrices(orthogonal, 3), strict=True):
        left, right = values(at)[:, band], values(at @ orthogonal)[:, band]
        found = np.linalg.lstsq(left, right, rcond=None)[0]
        np.testing.assert_allclose(matrix, found, atol=1e-13)


@pytest.mark.parametrize("orthogonal", ROTATIONS)
def test_band_one_is_the_rotation_of_a_vector(orthogonal: np.ndarray) -> None:
    """The basis is (-y, z, -x), so the matrix is Q with its axes renamed; nothing is sampled."""
    rename = np.array([[0, -1, 0], [0, 0, 1], [-1, 0, 0]])
    expected = rename @ orthogonal @ rename.T
    np.testing.assert_allclose(band_matrices(orthogonal, 1)[1], expected, atol=1e-14)


@pytest.mark.parametrize("orthogonal", ROTATIONS)
def test_band_two_is_the_rotation_of_a_symmetric_tensor(orthogonal: np.ndarray) -> None:
    """Y(d) = dᵀ T d; T turns to Q T Qᵀ. The tensors are written here by hand, to scale."""
    tensors = np.zeros((5, 3, 3))
    tensors[0, 0, 1] = tensors[0, 1, 0] = 1
    tensors[1, 1, 2] = tensors[1, 2, 1] = -1
    tensors[2] = np.diag([-1, -1, 2]) / np.sqrt(3)
    tensors[3, 0, 2] = tensors[3, 2, 0] = -1
    tensors[4] = np.diag([1, -1, 0])
    moved = orthogonal @ tensors @ orthogonal.T
    expected = np.einsum("aij,bij->ab", tensors, moved) / 2
    np.testing.assert_allclose(band_matrices(orthogonal, 2)[2], expected, atol=1e-14)


def test_the_matrices_represent_the_group() -> None:
    first, second = ROTATIONS[:2]
    both = zip(
        band_matrices(first @ second, 3),
        band_matrices(first, 3),
        band_matrices(second, 3),
        strict=True,
    )
    for product, one, two in both:
        np.testing.assert_allclose(product, one @ two, atol=1e-13)
        np.testing.assert_allclose(one @ one.T, np.eye(len(one)), atol=1e-13)


@pytest.mark.parametrize("coefficients", [1, 4, 9, 16])
@pytest.mark.parametrize("orthogonal", [ROTATIONS[3], MIRROR])
def test_colors_go_along(coefficients: int, orthogonal: np.ndarray) -> None:
    """What is seen from direction d before is seen from Q d after, to float32 precision."""
    before = np.random.default_rng(1).normal(size=(7, coefficients, 3)).astype(np.float32)
    after = turned(before, orthogonal)
    assert after.dtype == np.float32
    assert (after[:, 0] == before[:, 0]).all()
    at = torch.from_numpy(np.tile(directions(20)[:, None], (1, 7, 1)))
    seen = sh.colors(torch.from_numpy(before).double(), at)
    turn = torch.from_numpy(orthogonal)
    seen_after = sh.colors(torch.from_numpy(after).double(), at @ turn.T)
    assert (seen - seen_after).abs().max() < 1e-6
