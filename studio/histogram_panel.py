"""The control that selects by a range of a property: the histogram with two handles."""

from typing import Any, get_args

from ..stages.formats.regions import Property
from .histogram import Histogram, drawn, histogram, select_range

PROPERTIES = get_args(Property)


class HistogramPanel:
    """Counts the layer that is worked on, once for every state of it."""

    def __init__(self, page: Any, panels: Any) -> None:
        self._page, self._panels, gui = page, panels, page.gui
        self._found: Histogram | None = None
        self._of: object = None
        self._name = gui.add_dropdown("Property", PROPERTIES, initial_value="opacity")
        panels.on_change(self._name, self._again)
        layer = page.workspace.scene.layers[0]
        self._picture = gui.add_image(drawn(histogram(layer, "opacity"), 0.0, 1.0), format="png")
        self._handles = gui.add_multi_slider("Range %", 0.0, 100.0, 0.5, (0.0, 100.0))
        panels.on_change(self._handles, self._draw)
        self._values = gui.add_markdown("")
        panels.button("Select range", self._select)

    def refresh(self) -> None:
        """Count anew where the layer has changed. `depth` waits until it is asked for."""
        layer = next((one for one in self._page.workspace.scene.layers if self._is(one)), None)
        if layer is not None and layer is not self._of and self._name.value != "depth":
            self._count(None)

    def _is(self, layer: Any) -> bool:
        return layer.name == self._panels.layer

    def _again(self) -> None:
        self._handles.value = (0.0, 100.0)
        clients = self._page.clients()
        self._count(clients[0] if clients else None)

    def _count(self, client: Any) -> None:
        layer, name = self._page.workspace.scene.layer(self._panels.layer), self._name.value
        camera = self._page.eye(client).viewpoint() if name == "depth" and client else None
        self._found, self._of = histogram(layer, name, camera), layer
        self._draw()

    def _draw(self) -> None:
        if self._found is None:
            return
        low, high = self._ends()
        self._picture.image = drawn(self._found, low, high)
        ends = [self._found.value_at(share) for share in (low, high)]
        self._values.content = f"{ends[0]:.4g} to {ends[1]:.4g}"

    def _ends(self) -> tuple[float, float]:
        low, high = self._handles.value
        return low / 100, high / 100

    def _select(self, client: Any) -> str:
        if self._name.value == "depth":
            self._count(client)
        assert self._found is not None
        return self._panels.do(select_range(self._found, *self._ends(), self._panels.pick()))
