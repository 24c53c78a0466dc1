"""Histograms: every Gaussian in one bin, and handles that select what they enclose."""

import numpy as np
import pytest
from splatworks.pipeline.errors import InputError
from splatworks.stages.formats import edits, regions
from splatworks.stages.scene.measures import measured
from splatworks.stages.scene.operations import perform
from splatworks.studio.gestures import Pick
from splatworks.studio.histogram import (
    BIN_PX,
    BINS,
    HEIGHT_PX,
    LOGARITHMIC,
    Histogram,
    drawn,
    histogram,
    select_range,
)
from splatworks.studio.histogram_panel import PROPERTIES

from ..stages import scene_setup as made
from .scenes import looking

PICK = Pick(layer="a")
CAMERA = looking().viewpoint()


@pytest.mark.parametrize("name", PROPERTIES)
def test_counts_are_numpys(name: regions.Property) -> None:
    scene = made.scene_of(a=made.cloud(400))
    half = regions.Term(shape=regions.Plane(point=(0, 0, 0), normal=(0, 1, 0)))
    layer = perform(scene, edits.Select(term=half)).scene.layers[0]
    found = histogram(layer, name, CAMERA)
    values = measured(layer, name, CAMERA if name == "depth" else None)
    assert (found.counts == np.histogram(values, found.edges)[0]).all()
    assert (found.selected == np.histogram(values[layer.selected], found.edges)[0]).all()
    assert found.counts.sum() == 400 and found.selected.sum() == layer.selected.sum()
    ratios = found.edges[1:] / found.edges[:-1] if name in LOGARITHMIC else np.diff(found.edges)
    assert np.allclose(ratios, ratios[0])


@pytest.mark.parametrize("name", PROPERTIES)
def test_handles_select_what_lies_between(name: regions.Property) -> None:
    scene = made.scene_of(a=made.cloud(400))
    found = histogram(scene.layers[0], name, CAMERA)
    edit = select_range(found, 0.25, 0.75, PICK)
    selected = perform(scene, edit).scene.layers[0].selected
    low, high = found.value_at(0.25), found.value_at(0.75)
    values = measured(scene.layers[0], name, CAMERA if name == "depth" else None)
    assert (selected == ((low <= values) & (values <= high))).all()


def test_a_handle_at_the_end_is_no_limit() -> None:
    layer = made.scene_of(a=made.cloud(100)).layers[0]
    found = histogram(layer, "opacity")
    shape = select_range(found, 0.0, 0.5, PICK).term.shape
    assert shape.low is None and shape.high is not None
    shape = select_range(found, 0.5, 1.0, PICK).term.shape
    assert shape.low is not None and shape.high is None
    with pytest.raises(InputError, match="Move a handle"):
        select_range(found, 0.0, 1.0, PICK)
    with pytest.raises(InputError, match="depth needs a camera"):
        histogram(layer, "depth")


def test_a_layer_in_which_all_are_alike() -> None:
    cloud = made.cloud(50)
    cloud.log_scales[:] = -3
    found = histogram(made.scene_of(a=cloud).layers[0], "scale")
    assert found.counts.sum() == 50
    assert drawn(found, 0.0, 1.0).shape == (HEIGHT_PX, BINS * BIN_PX, 3)


def test_the_drawing_has_a_bar_for_every_bin() -> None:
    scene = made.scene_of(a=made.cloud(400))
    found = histogram(scene.layers[0], "opacity")
    picture = drawn(found, 0.25, 0.75)
    for bar in range(BINS):
        column = picture[:, bar * BIN_PX]
        ink = (column != 245).any(axis=1).sum()
        wanted = (HEIGHT_PX - 4) * np.sqrt(found.counts[bar] / found.counts.max())
        assert abs(ink - wanted) <= 1
    blue = (picture == (40, 110, 200)).all(axis=2).any(axis=0)
    assert blue[BINS * BIN_PX // 4 :].any() and not blue[: BINS * BIN_PX // 4 - BIN_PX].any()


def test_a_value_on_an_edge_belongs_to_the_bin_on_its_right() -> None:
    cloud = made.cloud(BINS + 1)
    cloud.means[:, 0] = np.arange(BINS + 1)
    found = histogram(made.scene_of(a=cloud).layers[0], "x")
    assert found.counts.tolist() == [1] * (BINS - 1) + [2]


def test_a_single_one_among_many_is_drawn() -> None:
    counts = np.zeros(BINS, np.int64)
    counts[3], counts[50] = 100_000, 1
    found = Histogram("x", np.linspace(0, 1, BINS + 1), counts, np.zeros_like(counts))
    ink = (drawn(found, 0.0, 1.0) == (40, 110, 200)).all(axis=2).sum(axis=0)
    assert ink[50 * BIN_PX] == 1 and ink[51 * BIN_PX] == 0
