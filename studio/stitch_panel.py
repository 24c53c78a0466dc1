"""The controls of stitching: a preview that follows every move, and the stitch itself."""

import time
from typing import Any

from ..pipeline.errors import InputError
from ..stages.formats.edits import Stitch
from .job import Stopped
from .still import Rest

REPORT_S = 0.2
"""The progress bar moves no more often."""


class StitchPanel:
    """Which layer takes over the look of which."""

    def __init__(self, page: Any, panels: Any) -> None:
        self._page, gui = page, page.gui
        names = [layer.name for layer in page.workspace.scene.layers]
        self._target = gui.add_dropdown("Recolor", names)
        self._source = gui.add_dropdown("To go with", names, initial_value=names[-1])
        self._beta = gui.add_number("Seam width", 0.05, min=1e-4, step=0.01, hint="of the size")
        self._seam_only = gui.add_checkbox("Only near the seam", False)
        self._bar = gui.add_progress_bar(0.0, visible=False)
        self._live = gui.add_checkbox("Live preview", False)
        panels.on_change(self._live, self._changed)
        for handle in (self._target, self._source, self._beta, self._seam_only):
            panels.on_change(handle, self._changed)
        panels.button("Stitch", lambda _: self.stitch(self._edit()))
        panels.button("Stop", lambda _: page.workspace.job.stop())
        self._rest = Rest(self._preview, rest_s=0.5)
        self._of: object = None
        self._told = 0.0

    def refresh(self, names: list[str]) -> None:
        """The scene has changed: what was previewed is out of date."""
        for handle in (self._target, self._source):
            if list(handle.options) != names:
                handle.options = names
        if self._page.workspace.scene is not self._of:
            self._page.shown = None
            if self._live.value:
                self._rest.stir()

    def stitch(self, edit: Stitch) -> str:
        """The whole of it, into the script."""
        self._live.value = False
        self._rest.stir()  # A preview at work is not wanted any more.
        self._page.shown = None
        try:
            return self._page.workspace.do_long(edit, self._report).said
        finally:
            self._bar.visible = False

    def _edit(self) -> Stitch:
        try:
            return Stitch(
                layer=self._target.value, source=self._source.value, beta=self._beta.value,
                seam_only=bool(self._seam_only.value),
            )  # fmt: skip
        except ValueError as error:
            raise InputError(str(error)) from None

    def _changed(self) -> None:
        self._of = None
        if self._live.value:
            self._rest.stir(at_once=True)
        elif self._page.shown is not None:
            self._page.shown = None
            self._page.refresh()

    def _preview(self, wanted: Any) -> None:
        page, workspace = self._page, self._page.workspace
        if not self._live.value:
            return

        def work() -> str | None:
            scene = workspace.scene

            def report(done: int, total: int, note: str) -> None:
                self._report(done, total, note)
                if not wanted():
                    raise Stopped("stopped")

            try:
                outcome = workspace.job.preview(scene, self._edit(), workspace.ctx, report)
            except Stopped:
                return None
            finally:
                self._bar.visible = False
            if not wanted() or workspace.scene is not scene or not self._live.value:
                return None
            self._of, page.shown = scene, outcome.scene
            page.refresh()
            return f"preview: {outcome.said}"

        page.attempt(work)

    def _report(self, done: int, total: int, note: str) -> None:
        if time.monotonic() - self._told > REPORT_S or done == total:
            self._told = time.monotonic()
            self._bar.visible = True
            self._bar.value = 100.0 * done / max(total, 1)
