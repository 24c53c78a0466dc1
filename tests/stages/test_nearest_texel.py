"""Nearest valid texels against SciPy's exact distance transform."""

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt
from splatworks.stages.geometry.nearest_texel import complete, nearest_valid


@pytest.mark.parametrize(("share", "reach"), [(0.2, 50.0), (0.01, 9.0), (0.002, 22.6), (0.0, 5.0)])
def test_as_near_as_the_exact_transform_says(share: float, reach: float) -> None:
    rng = np.random.default_rng(0)
    valid = rng.random((61, 87)) < share
    found = nearest_valid(valid, reach)
    if not valid.any():
        assert (found == -1).all()
        return
    distance = distance_transform_edt(~valid)
    np.testing.assert_array_equal(found >= 0, distance <= reach)
    rows, columns = np.nonzero(found >= 0)
    row, column = np.divmod(found[rows, columns], 87)
    assert valid[row, column].all()
    gone = np.hypot(row - rows, column - columns)
    np.testing.assert_allclose(gone, distance[rows, columns], atol=1e-12)


def test_of_equally_near_ones_the_nearer_column_then_left_then_up() -> None:
    valid = np.zeros((5, 5), bool)
    valid[0, 2] = valid[4, 2] = valid[2, 0] = valid[2, 4] = True
    assert nearest_valid(valid, 9.0)[2, 2] == 0 * 5 + 2
    valid[0, 2] = valid[4, 2] = False
    assert nearest_valid(valid, 9.0)[2, 2] == 2 * 5 + 0


def test_values_are_copied_and_far_ones_replaced() -> None:
    valid = np.zeros((9, 9), bool)
    valid[4, 4] = True
    picture = np.zeros((9, 9, 2), np.uint8)
    picture[4, 4] = (7, 9)
    complete(picture, nearest_valid(valid, 2.0), np.uint8([1, 2]))
    y, x = np.mgrid[:9, :9]
    near = np.hypot(y - 4, x - 4) <= 2
    np.testing.assert_array_equal(picture[near], np.tile(np.uint8([7, 9]), (near.sum(), 1)))
    np.testing.assert_array_equal(picture[~near], np.tile(np.uint8([1, 2]), ((~near).sum(), 1)))
