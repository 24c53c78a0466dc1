"""The controls that take pictures away and bring masks back.

A downloaded view is a picture and its camera (`camera/1`), both also in the folder. What is painted
on the picture in white comes back as a selection.
"""

import io
from pathlib import Path
from typing import Any

from PIL import Image

from ..pipeline.errors import InputError
from ..stages.formats import cameras
from ..stages.formats.edits import Retouch
from . import uploads
from .pictures import Look
from .retouch_panel import RetouchPanel
from .uploads import View

NO_VIEW = "none yet"


class MaskPanel:
    """Selects by a mask over a view that was downloaded before."""

    def __init__(self, page: Any, panels: Any) -> None:
        self._page, self._panels, gui = page, panels, page.gui
        self._views: dict[str, View] = {}
        gui.add_markdown(
            "Download the view (View), paint white over what you want, black over all else, "
            "and send the picture."
        )
        self._view = gui.add_dropdown("Of view", (NO_VIEW,))
        self._upload = gui.add_upload_button("Send the mask", mime_type="image/*")
        self._upload.on_upload(self._sent)

    def add(self, view: View) -> None:
        """A view was downloaded."""
        self._views[view.name] = view
        self._view.options = tuple(reversed(self._views))
        self._view.value = view.name

    def _sent(self, event: Any) -> None:
        file = event.target.value

        def work() -> str:
            view = self._views.get(self._view.value)
            if view is None:
                raise InputError("download a view first (View), the mask belongs to it")
            pick = self._panels.pick()
            return self._panels.do(uploads.select_mask(file.name, file.content, view.eye, pick))

        self._page.attempt(work, event.client)


class ViewPanel:
    """Takes pictures away."""

    def __init__(self, page: Any, panels: Any, masks: MaskPanel) -> None:
        self._page, self._masks = page, masks
        self._retouch = RetouchPanel(page, panels)
        panels.button("Download view", self._view)
        panels.button("Screenshot", self._screenshot)

    def retouch(self, edit: Retouch) -> str:
        """Into the script, with progress."""
        return self._retouch.run(edit)

    def _view(self, client: Any) -> str:
        """The scene alone on black, without orange: as a picture to be edited is wanted."""
        eye, look = (
            self._page.eye(client),
            Look(hidden=self._page.hidden, tinted=False, background=0.0),
        )
        path = self._kept(client, "view", look)
        camera = eye.viewpoint(self._page.panels.picture_side_px)
        beside = cameras.save(camera.cameras(), path.with_name(f"{path.stem}.camera.json"))
        client.send_file_download(path.name, path.read_bytes(), save_immediately=True)
        client.send_file_download(beside.name, beside.read_bytes())
        names = [layer.name for layer in self._page.current.layers]
        view = View(path.stem, eye, camera, tuple(n for n in names if n not in look.hidden))
        self._masks.add(view)
        self._retouch.add(view)
        return f"{path.name} and {beside.name} are in {path.parent}"

    def _screenshot(self, client: Any) -> str:
        path = self._kept(client, "screenshot", None)
        client.send_file_download(path.name, path.read_bytes(), save_immediately=True)
        return f"{path.name} is in {path.parent}"

    def _kept(self, client: Any, name: str, look: Look | None) -> Path:
        out = io.BytesIO()
        Image.fromarray(self._page.picture(client, look)).save(out, format="PNG")
        return self._page.workspace.keep_file(name, ".png", out.getvalue())
