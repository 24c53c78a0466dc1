"""Connected components against SciPy's, and points that chain together."""

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph
from scipy.spatial import cKDTree
from splatworks.stages.geometry.connected import connected, near_each_other


def components(count: int, pairs: np.ndarray) -> np.ndarray:
    ones = np.ones(len(pairs), np.int8)
    links = sparse.coo_matrix((ones, (pairs[:, 0], pairs[:, 1])), (count, count))
    return csgraph.connected_components(links, directed=False)[1]


def test_labels_are_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    for links in (0, 40, 100, 400):
        pairs = rng.integers(0, 200, (links, 2))
        np.testing.assert_array_equal(connected(200, pairs), components(200, pairs))
    chain = np.stack([np.arange(99, 0, -1), np.arange(98, -1, -1)], axis=1)
    assert not connected(100, chain).any()


def test_near_points_chain_together() -> None:
    rng = np.random.default_rng(1)
    points = rng.random((400, 3)) * [1, 1, 0.05]
    for radius in (1e-6, 0.01, 0.03, 0.2):
        pairs = cKDTree(points).query_pairs(radius, output_type="ndarray")
        expected = components(400, pairs)
        np.testing.assert_array_equal(near_each_other(points, radius), expected)


def test_points_at_the_very_radius_are_near_whichever_way_they_lie() -> None:
    steps = np.random.default_rng(2).normal(size=(200, 3))
    steps /= np.linalg.norm(steps, axis=1, keepdims=True) * (1 + 1e-12)
    for step in steps:
        assert near_each_other(np.array([[0.0, 0, 0], step]), 1.0).tolist() == [0, 0]
    assert near_each_other(np.array([[0.0, 0, 0], [0, 0, 1.001]]), 1.0).tolist() == [0, 1]
    assert not len(near_each_other(np.zeros((0, 3)), 1.0))
