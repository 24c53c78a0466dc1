"""The controls that bring a retouched picture back: a downloaded view, changed in a paint program.

What becomes of the layer is computed by the stage `edit`, and is a line of the script.
"""

import time
from typing import Any, get_args

import numpy as np
import torch

from ..pipeline.errors import InputError
from ..stages.formats.edits import Retouch
from ..stages.formats.pictures import to_bytes
from . import uploads
from .pictures import Forming
from .uploads import View, What

NO_VIEW = "none yet"
REPORT_S = 0.2
"""The progress bar moves no more often."""


class RetouchPanel:
    """One picture in, one layer changed."""

    def __init__(self, page: Any, panels: Any) -> None:
        self._page, gui = page, page.gui
        self._views: dict[str, View] = {}
        self._told = 0.0
        gui.add_markdown(
            "Download the view of one layer, change its picture in a paint program, and send it."
        )
        self._view = gui.add_dropdown("Picture of", (NO_VIEW,))
        self._what = gui.add_dropdown("Changed", get_args(What))
        self._upload = gui.add_upload_button("Send the retouched picture", mime_type="image/*")
        self._bar = gui.add_progress_bar(0.0, visible=False)
        nothing = np.zeros((2, 2, 3), np.uint8)
        self._picture = gui.add_image(nothing, label="As it forms", visible=False)
        self._upload.on_upload(self._sent)
        panels.button("Stop the change", lambda _: page.workspace.job.stop())

    def add(self, view: View) -> None:
        """A view was downloaded."""
        self._views[view.name] = view
        self._view.options = tuple(reversed(self._views))
        self._view.value = view.name

    def run(self, edit: Retouch) -> str:
        """The whole of it, into the script."""
        page = self._page
        page.shown = None

        def show(picture: torch.Tensor, stage: str) -> None:
            pixels = to_bytes(picture.numpy())
            self._picture.image, self._picture.visible = pixels, True
            page.show_forming(Forming(edit.camera, pixels))

        try:
            return page.workspace.do_long(edit, self._report, show).said
        finally:
            self._bar.visible = self._picture.visible = False
            page.show_forming(None)

    def _sent(self, event: Any) -> None:
        file = event.target.value

        def work() -> str:
            view = self._views.get(self._view.value)
            if view is None:
                raise InputError("download a view first, the picture belongs to it")
            return self.run(uploads.retouch(file.name, file.content, view, self._what.value))

        self._page.attempt(work, event.client)

    def _report(self, done: int, total: int, note: str) -> None:
        if time.monotonic() - self._told > REPORT_S or done == total:
            self._told = time.monotonic()
            self._bar.visible = True
            self._bar.value = 100.0 * done / max(total, 1)
