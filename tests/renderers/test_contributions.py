"""Blending as a sparse matrix: the same pictures as the renderer, and the same weights."""

import numpy as np
import torch
from splatworks.renderers.choose import named
from splatworks.renderers.cpu.contributions import contributions

from . import scenes


def test_the_matrix_times_the_colors_is_the_picture() -> None:
    scene = scenes.gaussians(300, seed=3)
    cameras = scenes.cameras(61, 47, azimuths_deg=(0.0, 130.0))
    frames = named("cpu")(scene, cameras, frozenset({"channels", "alpha", "weights"}))
    for index, matrix in enumerate(contributions(scene, cameras)):
        blended = (matrix @ scene.channels.numpy()).reshape(47, 61, -1)
        off = np.abs(blended - frames.channels[index].numpy()).max(axis=-1)
        # The rest: pixels where a test at 1/255 or 1e-4 falls differently in float32.
        assert (off < 1e-4).mean() > 0.999 and off.max() < 0.02
        alpha = np.asarray(matrix.sum(axis=1)).reshape(47, 61)
        assert np.abs(alpha - frames.alpha[index, ..., 0].numpy()).max() < 0.01
        weights = np.asarray(matrix.sum(axis=0))
        np.testing.assert_allclose(weights, frames.weights[index].numpy(), rtol=1e-3, atol=0.02)
        assert (weights > 0.1).sum() > 50


def test_what_is_not_drawn_has_no_entries() -> None:
    scene, cameras = scenes.gaussians(20), scenes.cameras(32, 32)
    means = scene.means.clone()
    means[3] = torch.tensor([0.0, 0.0, 1e6])
    means[4] = float("nan")
    (matrix,) = contributions(scenes.changed(scene, means=means), cameras)
    assert (np.diff(matrix.indptr)[[3, 4]] == 0).all() and matrix.nnz > 0
