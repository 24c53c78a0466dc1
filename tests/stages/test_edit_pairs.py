"""Pixel pairs: read strictly, bound to what the pixels show, and followed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from splatworks.pipeline.errors import InputError
from splatworks.renderers.projection import image_points
from splatworks.stages.edit.pairs import SOFT, bound, pair_loss
from splatworks.stages.formats import pairs
from splatworks.stages.geometry.activation import activate

from .edit_setup import camera, two_balls


def written(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def test_pairs_are_read_with_and_without_a_header(tmp_path: Path) -> None:
    rows = "1,2,3,4\n5.5,6,7,8\n"
    for text in (rows, "x0, y0, x1, y1\n" + rows, "\ufeff" + rows + "\n"):
        found = pairs.load(written(tmp_path / "p.csv", text), 10, 10)
        assert found.tolist() == [[1, 2, 3, 4], [5.5, 6, 7, 8]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no pairs"),
        ("x0,y0,x1,y1\n", "holds no pairs"),
        ("1,2,3,4\n1,2,3\n", "line 2 must be four numbers"),
        ("1,2,3,four\n", "line 1 must be four numbers"),
        ("1,2,3,nan\n", "line 1 must be four numbers"),
        ("1,2,3,4\n1,2,11,4\n", "line 2 lies outside of the picture of 10 x 10"),
        ("-1,2,3,4\n", "line 1 lies outside"),
    ],
)
def test_bad_pairs_are_explained(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        pairs.load(written(tmp_path / "p.csv", text), 10, 10)


def scene_and_view():
    return activate(two_balls(150)), camera(64)


def pixels_of(scene, view, rows) -> np.ndarray:
    return image_points(scene, view)[0][rows].double().numpy()


def test_pairs_are_bound_to_what_their_pixels_show() -> None:
    scene, view = scene_and_view()
    right = torch.where(scene.means[:, 0] > 0)[0]
    front = right[scene.means[right, 2].argmax()]
    start = pixels_of(scene, view, [int(front)])
    found = bound(scene, right, view, np.hstack([start, start + np.array([3.0, -5.0])]))
    assert found is not None
    shown = scene.means[right][found.rows[0]]
    near = shown[found.weights[0] > 0.05]
    assert (near - scene.means[front]).norm(dim=1).max() < 0.12
    assert float(found.weights.sum()) == pytest.approx(1.0, abs=1e-5)


def test_the_loss_is_least_where_the_pairs_say_and_pulls_there() -> None:
    scene, view = scene_and_view()
    right = torch.where(scene.means[:, 0] > 0)[0]
    order = torch.cat([right, torch.where(scene.means[:, 0] <= 0)[0]])
    front = right[scene.means[right, 2] > 0.15]
    start = pixels_of(scene, view, front)
    found = bound(scene, right, view, np.hstack([start, start + np.array([0.0, -8.0])]))
    assert found is not None
    shift = 8.0 * (2.0 - 0.17) / float(view.focal_px[0, 1])

    def loss(up: float) -> tuple[torch.Tensor, torch.Tensor]:
        means = scene.means[order].clone()
        means[: len(right), 1] += up
        leaf = means.requires_grad_()
        value = pair_loss(found, replace(scene, means=leaf), view)
        return value.detach(), torch.autograd.grad(value, leaf)[0]

    assert float(loss(0.0)[0]) == pytest.approx(np.hypot(8 / 64, SOFT), rel=0.02)
    assert float(loss(shift)[0]) < 1.3 * SOFT
    assert float(loss(0.0)[1][:, 1].sum()) < 0  # Down the loss is up the world.
    assert loss(0.0)[1][len(right) :].abs().max() == 0


def test_pairs_on_nothing_are_none() -> None:
    scene, view = scene_and_view()
    everything = torch.arange(len(scene.means))
    assert bound(scene, everything, view, np.array([[1.0, 1.0, 5.0, 5.0]])) is None
