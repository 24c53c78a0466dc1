"""The controls of the page, and what each of them does."""

import re
from collections.abc import Callable
from typing import Any, get_args

from ..pipeline.errors import InputError
from ..stages.formats import documents, edits
from ..stages.formats.edits import EDITS, Edit, Of, Retouch, Stitch
from ..stages.formats.regions import All, How, Term
from . import gestures
from .gestures import Pick
from .histogram_panel import HistogramPanel
from .pictures import Mode
from .stitch_panel import StitchPanel
from .tools import HINTS, TOOLS
from .view_panel import MaskPanel, ViewPanel

MODES: dict[str, Mode] = {
    "splats": "splats", "centers": "centers", "depth": "depth", "normals": "normals",
}  # fmt: skip
THROUGH = {"what is seen": "visible", "everything": "everything"}
SIDES_PX = {"coarse": 400, "normal": 800, "fine": 1600}
UPS = ("+x", "-x", "+y", "-y", "+z", "-z")


class Panels:
    """All controls; their values are what gestures and pictures go by."""

    def __init__(self, page: Any) -> None:
        self._page, self._gui = page, page.gui
        gui, layers = page.gui, [layer.name for layer in page.workspace.scene.layers]
        self._status = gui.add_markdown(HINTS["look"])
        self._undo = self.button("Undo", self._undone, hint="Ctrl Z")
        self._redo = self.button("Redo", self._redone, hint="Ctrl Shift Z")
        self._keys("Undo", "Z", "cmd/ctrl", self._undone)
        self._keys("Redo", "Z", "cmd/ctrl+shift", self._redone)
        self._layer = gui.add_dropdown("Layer", layers)
        self._of = gui.add_dropdown("Works on", ("selection", "all"))
        for handle in (self._layer, self._of):
            self.on_change(handle, page.refresh)
        tabs = gui.add_tab_group()
        for title, fill in (
            ("Select", self._add_select),
            ("Move", self._add_move),
            ("Edit", self._add_edit),
            ("Stitch", self._add_stitch),
            ("View", self._add_view),
            ("Save", self._add_save),
        ):
            with tabs.add_tab(title):
                fill()

    @property
    def layer(self) -> str:
        """The layer that is worked on."""
        return str(self._layer.value)

    @property
    def of(self) -> Of:
        """Whether edits work on its selection or on all of it."""
        return "all" if self._of.value == "all" else "selection"

    @property
    def gizmo_wanted(self) -> bool:
        return bool(self._gizmo.value)

    @property
    def box_size(self) -> tuple[float, float, float]:
        return self._box_size.value

    @property
    def sphere_radius(self) -> float:
        return float(self._radius.value)

    @property
    def mode(self) -> Mode:
        """How the scene is shown."""
        return MODES[self._mode.value]

    @property
    def tinted(self) -> bool:
        """Whether the selection is orange."""
        return bool(self._tint.value)

    @property
    def picture_side_px(self) -> int:
        return SIDES_PX[self._sharpness.value]

    @property
    def pictures_wanted(self) -> bool:
        return bool(self._pictures.value)

    def pick(self, how: str | None = None) -> Pick:
        """How a gesture is to be taken; keys held down say `how` louder than the control."""
        wanted: How = how or self._how.value  # type: ignore[assignment]
        return Pick(
            layer=self.layer,
            how=wanted,
            through=THROUGH[self._through.value],  # type: ignore[arg-type]
            radius_px=float(self._brush.value),
        )

    def say(self, text: str, *, wrong: bool = False) -> None:
        """One line at the top."""
        line = plain_markdown(text)
        self._status.content = f"**{line}**" if wrong else line

    def refresh(self) -> None:
        """What depends on the scene."""
        names = [layer.name for layer in self._page.workspace.scene.layers]
        if list(self._layer.options) != names:
            self._layer.options = names
        done, undone = self._page.workspace.counts
        self._undo.disabled, self._redo.disabled = done == 0, undone == 0
        self._undo.label = f"Undo ({done})"
        self._redo.label = f"Redo ({undone})"
        self._shown.value = self.layer not in self._page.hidden
        self._histogram.refresh()
        self._stitch.refresh(names)

    def button(self, label: str, work: Callable[[Any], str | None], **more: Any) -> Any:
        """A button; `work` is given the browser and returns what to say."""
        handle = self._gui.add_button(label, **more)
        handle.on_click(lambda event: self._page.attempt(lambda: work(event.client), event.client))
        return handle

    def group(self, label: str, works: dict[str, Callable[[Any], str | None]]) -> None:
        """Small buttons in a row, each as in `button`."""
        handle = self._gui.add_button_group(label, tuple(works))
        handle.on_click(
            lambda event: self._page.attempt(
                lambda: works[event.target.value](event.client), event.client
            )
        )

    def on_change(self, handle: Any, work: Callable[[], object]) -> None:
        """When a user changes a control; not when the program does."""

        def changed(event: Any) -> None:
            if event.client is not None:
                self._page.attempt(lambda: work() and None, event.client)

        handle.on_update(changed)

    def do(self, edit: Edit) -> str:
        """An edit, and what came of it."""
        outcome = self._page.workspace.do(edit)
        return f"{outcome.said}. {outcome.warning}" if outcome.warning else outcome.said

    def _keys(self, label: str, key: str, modifier: str, work: Callable[[Any], str]) -> None:
        command = self._gui.add_command(label, hotkey=key, modifier=modifier)
        command.on_trigger(
            lambda event: self._page.attempt(lambda: work(event.client), event.client)
        )

    def _undone(self, _: Any) -> str:
        return "undone" if self._page.workspace.undo() else "there is nothing to undo"

    def _redone(self, _: Any) -> str:
        return "done again" if self._page.workspace.redo() else "there is nothing to do again"

    def _add_select(self) -> None:
        gui, page = self._gui, self._page
        self._tool = gui.add_dropdown("Tool", TOOLS, hint="Shift adds, Ctrl removes")
        self.on_change(self._tool, lambda: page.tools.take(self._tool.value))
        self._how = gui.add_dropdown("How", get_args(How))
        self._through = gui.add_dropdown("Takes", tuple(THROUGH))
        self._brush = gui.add_slider("Brush px", 2, 100, 1, 12)
        self._box_size = gui.add_vector3("Box", (0.5, 0.5, 0.5), step=0.01)
        self._radius = gui.add_number("Sphere", 0.25, min=1e-6, step=0.01)
        for handle in (self._box_size, self._radius):
            self.on_change(handle, page.tools.resize_volume)
        self.button("Select inside", lambda _: page.tools.inside(), hint="the box or the sphere")
        self._neighbors = gui.add_number("Neighbors", 6, min=1, step=1, hint="for grow and shrink")
        self.group("Selection", {
            "all": lambda _: self.do(self._everything("set")),
            "none": lambda _: self.do(self._everything("remove")),
            "invert": lambda _: self.do(edits.Invert(layer=self.layer)),
            "grow": lambda _: self.do(edits.Grow(layer=self.layer, neighbors=self._near())),
            "shrink": lambda _: self.do(edits.Shrink(layer=self.layer, neighbors=self._near())),
        })  # fmt: skip
        with gui.add_folder("By a property", expand_by_default=False):
            self._histogram = HistogramPanel(page, self)
        with gui.add_folder("By a painted mask", expand_by_default=False):
            self._masks = MaskPanel(page, self)

    def _everything(self, how: How) -> edits.Select:
        return edits.Select(layer=self.layer, term=Term(shape=All(), how=how))

    def _near(self) -> int:
        return int(self._neighbors.value)

    def _add_move(self) -> None:
        gui, page = self._gui, self._page
        self._gizmo = gui.add_checkbox("Gizmo", True, hint="with the tool look")
        self.on_change(self._gizmo, page.tools.refresh)
        self._shift = gui.add_vector3("Shift", (0.0, 0.0, 0.0), step=0.01)
        self._turn = gui.add_vector3("Turn deg", (0.0, 0.0, 0.0), step=1.0)
        self._scale = gui.add_number("Scale", 1.0, min=1e-6, step=0.01)
        self.button("Move", self._moved)
        self.group("Whole layer", {
            "center": lambda _: self.do(edits.Center(layer=self.layer, of=self.of)),
            "to the ground": lambda _: self.do(edits.Ground(layer=self.layer, of=self.of)),
        })  # fmt: skip

    def _moved(self, _: Any) -> str:
        said = self.do(
            gestures.move(
                self.layer, self.of, translation=self._shift.value, turn_deg=self._turn.value,
                scale=self._scale.value, pivot=self._page.tools.pivot,
            )
        )  # fmt: skip
        self._shift.value = self._turn.value = (0.0, 0.0, 0.0)
        self._scale.value = 1.0
        return said

    def _add_edit(self) -> None:
        gui = self._gui
        self.group("Selection", {
            "delete": lambda _: self.do(edits.Delete(layer=self.layer)),
            "crop": lambda _: self.do(edits.Crop(layer=self.layer)),
            "separate": lambda _: self.do(self._named(edits.Separate)),
            "duplicate": lambda _: self.do(self._named(edits.Duplicate, of=self.of)),
        })  # fmt: skip
        self._name = gui.add_text("New layer", "part", hint="for separate and duplicate")
        self.button("Merge all layers", self._merged)
        with gui.add_folder("Color"):
            self._brightness = gui.add_slider("Brightness", -0.5, 0.5, 0.01, 0.0)
            self._saturation = gui.add_slider("Saturation", 0.0, 2.0, 0.01, 1.0)
            self._temperature = gui.add_slider("Temperature", -1.0, 1.0, 0.01, 0.0)
            self._tint_color = gui.add_vector3("Tint", (1.0, 1.0, 1.0), step=0.01)
            self.button("Recolor", self._recolored)
            self._opacity = gui.add_number("Opacity times", 1.0, min=1e-6, step=0.05)
            self.button("Fade", lambda _: self.do(
                edits.Opacity(layer=self.layer, of=self.of, factor=self._opacity.value)
            ))  # fmt: skip
        with gui.add_folder("Any edit", expand_by_default=False):
            gui.add_markdown(plain_markdown(f"Edits: {', '.join(EDITS)}. See docs/editing.md."))
            self._line = gui.add_text("Line", '{"edit": "decimate", "keep": 0.5, "of": "all"}')
            self.button("Run line", self._ran)

    def _named(self, kind: Callable[..., Edit], **more: Any) -> Edit:
        try:
            return kind(layer=self.layer, name=self._name.value, **more)
        except ValueError as error:
            raise InputError(str(error)) from None

    def _merged(self, _: Any) -> str:
        names = [layer.name for layer in self._page.workspace.scene.layers]
        others = tuple(name for name in names if name != self.layer)
        if not others:
            raise InputError("there is only one layer")
        return self.do(edits.Merge(layer=self.layer, others=others))

    def _recolored(self, _: Any) -> str:
        return self.do(
            edits.Recolor(
                layer=self.layer, of=self.of, brightness=self._brightness.value,
                saturation=self._saturation.value, temperature=self._temperature.value,
                tint=tuple(max(0.0, value) for value in self._tint_color.value),  # type: ignore
            )
        )  # fmt: skip

    def _ran(self, client: Any) -> str:
        text = '{"kind": "line/1", "row": ' + self._line.value + "}"
        row = documents.parse(text, "line/1", "the line").pop("row")
        if isinstance(row, dict):
            row.setdefault("layer", self.layer)
        edit = edits.parse_edit(row, "the line")
        if isinstance(edit, Retouch):
            return self._views.retouch(edit)
        if isinstance(edit, Stitch):
            return self._stitch.stitch(edit)
        return self.do(edit)

    def _add_stitch(self) -> None:
        self._stitch = StitchPanel(self._page, self)

    def _add_view(self) -> None:
        gui, page = self._gui, self._page
        self._mode = gui.add_dropdown("Show", tuple(MODES))
        self._tint = gui.add_checkbox("Selection in orange", True)
        self._shown = gui.add_checkbox("Show this layer", True)
        self._pictures = gui.add_checkbox("Full picture at rest", True)
        self._sharpness = gui.add_dropdown("Picture", tuple(SIDES_PX), initial_value="normal")
        self._up = gui.add_dropdown("Up", UPS, initial_value=self._up_axis())
        for handle in (self._mode, self._tint, self._pictures):
            self.on_change(handle, self._look)
        self.on_change(self._shown, self._hide)
        self.on_change(self._sharpness, page.look_again)
        self.on_change(self._up, lambda: page.scene.set_up_direction(self._up.value))
        self._views = ViewPanel(page, self, self._masks)

    def _up_axis(self) -> str:
        return self._page.workspace.scene.layers[0].values.sidecar.up_axis

    def _look(self) -> None:
        self._page.uncover()
        self._page.refresh()

    def _hide(self) -> None:
        page, name = self._page, self.layer
        hidden = page.hidden - {name} if self._shown.value else page.hidden | {name}
        if hidden != page.hidden:
            page.hidden = hidden
            page.refresh()

    def _add_save(self) -> None:
        gui = self._gui
        self._save_name = gui.add_text("Name", "scene")
        self.button("Save as one PLY", lambda client: self._saved(client, each=False))
        self.button("Save every layer", lambda client: self._saved(client, each=True))
        self._download = gui.add_checkbox("Also download", False)
        gui.add_markdown(
            plain_markdown(f"The script of all edits is {self._page.workspace.script_path}.")
        )

    def _saved(self, client: Any, *, each: bool) -> str:
        paths = self._page.workspace.save_scene(self._save_name.value, each=each)
        if self._download.value:
            for path in paths:
                client.send_file_download(path.name, path.read_bytes())
        return f"saved {', '.join(path.name for path in paths)} in {paths[0].parent}"


def plain_markdown(text: str) -> str:
    """Text as it is, in the page's Markdown."""
    return re.sub(r"([\\`*_{}\[\]<>#|~$&])", r"\\\1", " ".join(str(text).split()))
