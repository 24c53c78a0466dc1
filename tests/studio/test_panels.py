"""What the controls do, without a browser: their values become edits."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from splatworks.pipeline.errors import InputError
from splatworks.stages.formats import edits, regions
from splatworks.studio.page import Page

from .scenes import workspace


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    found = Page(workspace(tmp_path, 200), "127.0.0.1", 0, None)
    yield found
    found.close()


def last(page: Page) -> edits.Edit:
    return edits.load(page.workspace.script_path).edits[-1]


def test_fields_move_and_go_back_to_nothing(page: Page) -> None:
    panels = page.panels
    panels._of.value = "all"
    page.refresh()
    panels._shift.value, panels._turn.value, panels._scale.value = (0.1, 0, 0), (0, 90, 0), 2.0
    assert "moved" in panels._moved(None)
    found = last(page)
    assert isinstance(found, edits.Move) and found.layer == "torus" and found.of == "all"
    assert found.translation == (0.1, 0, 0) and found.scale == 2
    assert found.rotation == pytest.approx((0.5**0.5, 0, 0.5**0.5, 0))
    assert found.pivot == pytest.approx((0.42, 0, 0), abs=0.05), "the middle of the torus"
    assert panels._shift.value == (0, 0, 0) and panels._scale.value == 1


def test_undo_and_redo_say_how_many_there_are(page: Page) -> None:
    panels = page.panels
    assert panels._undo.disabled and panels._redo.disabled
    panels.do(edits.Invert(layer="ball"))
    assert panels._undo.label == "Undo (1)" and not panels._undo.disabled
    assert panels._undone(None) == "undone" and panels._redo.label == "Redo (1)"
    assert panels._undone(None) == "there is nothing to undo"
    assert panels._redone(None) == "done again"


def test_a_line_is_an_edit_of_the_layer_that_is_worked_on(page: Page) -> None:
    panels = page.panels
    panels._layer.value = "ball"
    panels._line.value = '{"edit": "opacity", "factor": 0.5, "of": "all"}'
    panels._ran(None)
    assert last(page) == edits.Opacity(layer="ball", of="all", factor=0.5)
    panels._line.value = (
        '{"edit": "stitch", "layer": "torus", "source": "ball", "iterations": [2, 2], "views": 2,'
        ' "size_px": 32}'
    )
    assert "color difference" in panels._ran(None)
    for line, said in (
        ("{", "no readable JSON"),
        ("[]", "must be an object"),
        ('{"edit": "fly"}', "no edit 'fly'"),
        ('{"edit": "opacity", "factor": -1}', "factor must be positive"),
    ):
        panels._line.value = line
        assert not page.attempt(lambda: panels._ran(None))
        assert said in panels._status.content.replace("\\", ""), line
    assert page.workspace.counts == (2, 0)


def test_names_and_layers(page: Page) -> None:
    panels = page.panels
    panels._name.value = "../x"
    with pytest.raises(InputError, match="can not name a layer"):
        panels._named(edits.Duplicate, of="all")
    panels._name.value = "copy"
    panels.do(panels._named(edits.Duplicate, of="all"))
    assert tuple(panels._layer.options) == ("torus", "ball", "copy")
    assert panels._merged(None).startswith("torus has 600")
    assert tuple(panels._layer.options) == ("torus",)
    with pytest.raises(InputError, match="only one layer"):
        panels._merged(None)
    panels._undone(None)
    assert tuple(panels._layer.options) == ("torus", "ball", "copy")


def test_handles_of_the_histogram(page: Page) -> None:
    panel = page.panels._histogram
    with pytest.raises(InputError, match="whole range"):
        panel._select(None)
    panel._name.value = "x"
    panel._again()
    panel._handles.value = (50.0, 100.0)
    panel._select(None)
    found = last(page)
    assert isinstance(found, edits.Select) and isinstance(found.term.shape, regions.Range)
    assert found.term.shape.property == "x" and found.term.shape.high is None
    assert found.term.shape.low == pytest.approx(0.42, abs=0.05)


def test_hidden_layers_are_not_drawn(page: Page) -> None:
    assert set(page._proxy.owners) == {0, 1}
    page.panels._shown.value = False
    page.panels._hide()
    assert page.hidden == {"torus"} and page._proxy.layers == ("ball",)
    assert page.look.hidden == {"torus"}
    page.panels._shown.value = True
    page.panels._hide()
    assert not page.hidden


def test_keys_held_down_speak_louder_than_the_control(page: Page) -> None:
    panels = page.panels
    panels._how.value = "intersect"
    assert panels.pick().how == "intersect" and panels.pick("add").how == "add"
    assert panels.pick().through == "visible"
    panels._through.value = "everything"
    assert panels.pick().through == "everything"


def test_the_gizmo_stands_by_while_another_tool_is_used(page: Page) -> None:
    panels, tools = page.panels, page.tools
    panels._of.value = "all"
    page.refresh()
    assert tools._gizmo.visible
    tools.take("sphere")
    assert not tools._gizmo.visible
    panels._radius.value = 0.1
    assert tools.inside() == f"{page.workspace.scene.layer('torus').selected.sum()} of 200 in torus"
    found = last(page)
    assert isinstance(found, edits.Select) and found.term.shape == regions.Sphere(
        center=tuple(tools.pivot), radius=0.1
    )
    tools.take("look")
    assert tools._gizmo.visible
    panels.do(edits.Select(layer="torus", term=regions.Term(shape=regions.All(), how="remove")))
    panels._of.value = "selection"
    tools.take("box")
    assert tools._volume.position == pytest.approx((0.42, 0, 0), abs=0.05), "nothing is selected"
    tools.take("look")
    with pytest.raises(InputError, match="box or the sphere first"):
        tools.inside()
