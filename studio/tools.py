"""What the pointer does in the scene: pick, draw, drag gizmos. Each becomes an edit.

Lasso and brush are drawn on an invisible ball around the browser's camera, which catches the drag
before the camera does.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from scipy.spatial.transform import Rotation

from ..pipeline.errors import InputError
from ..stages.formats.edits import Move
from ..stages.scene.layers import positions
from . import gestures
from .gestures import Place
from .proxy import HIGHLIGHT

Tool = Literal["look", "click", "rectangle", "lasso", "brush", "box", "sphere"]
_ADDS = "Shift adds, Ctrl removes."
HINTS: dict[Tool, str] = {
    "look": "Drag to orbit, W A S D and arrows to fly.",
    "click": f"Click on what to select. {_ADDS}",
    "rectangle": f"Drag a rectangle over what to select. {_ADDS}",
    "lasso": f"Draw around what to select. {_ADDS}",
    "brush": f"Paint over what to select. {_ADDS}",
    "box": "Put the box around something, then press Select inside.",
    "sphere": "Put the sphere around something, then press Select inside.",
}
TOOLS: tuple[Tool, ...] = tuple(HINTS)
PANE = "/pane"
STROKE = "/pane-stroke"
GIZMO, VOLUME = "/gizmo", "/volume"
COLOR = tuple(round(255 * value) for value in HIGHLIGHT)


class Tools:
    """Pointer and gizmos of all browsers."""

    def __init__(self, page: Any) -> None:
        self._page = page
        self._tool: Tool = "look"
        self._strokes: dict[int, list[Place]] = {}
        self._pivot = np.zeros(3)
        self._dragging = False
        self._gizmo: Any = None
        self._volume: Any = None
        self._inside: Any = None

    def take(self, tool: Tool) -> None:
        """Another tool for everybody."""
        scene = self._page.scene
        scene.remove_click_callback()
        scene.remove_rect_select_callback()
        self._tool = tool
        for client in self._page.clients():
            self.follow(client)
        self._put_away_volume()
        self.refresh()
        if tool == "click":
            self._listen(scene.on_click, lambda event: [event.screen_pos])
        elif tool == "rectangle":
            self._listen(scene.on_rect_select, lambda event: [event.screen_min, event.screen_max])
        elif tool in ("box", "sphere"):
            self._place_volume()
        self._page.panels.say(HINTS[tool])

    def follow(self, client: Any) -> None:
        """Put the pane around a browser's camera, or away."""
        scene = client.scene
        if self._tool not in ("lasso", "brush"):
            if scene.get_handle_by_name(PANE) is not None:
                scene.remove_by_name(PANE)
            return
        eye = self._page.eye(client)
        found = scene.get_handle_by_name(PANE)
        if found is not None:
            found.position = eye.position
            return
        pane = scene.add_icosphere(
            PANE, radius=self._reach(client), subdivisions=2, opacity=0.0, side="double",
            cast_shadow=False, receive_shadow=False, position=eye.position,
        )  # fmt: skip
        for modifier in (None, "shift", "cmd/ctrl"):
            pane.on_drag("left", modifier=modifier)(self._drawn)

    def refresh(self) -> None:
        """Put the gizmo where the selection is now; it would be in the way of other tools."""
        if self._dragging:
            return
        panels = self._page.panels
        layer = next((one for one in self._page.current.layers if one.name == panels.layer), None)
        points = positions(layer) if layer is not None else np.zeros((0, 3))
        if layer is not None and panels.of == "selection":
            points = points[layer.selected]
        if not panels.gizmo_wanted or self._tool != "look" or not len(points):
            if self._gizmo is not None:
                self._gizmo.visible = False
            return
        self._pivot, size = _middle(points)
        if self._gizmo is None:
            self._gizmo = self._page.scene.add_transform_controls(GIZMO, depth_test=False)
            self._gizmo.on_update(self._turned)
        self._gizmo.scale = max(0.35 * size, 1e-6)
        self._gizmo.position, self._gizmo.wxyz = self._pivot, np.array([1.0, 0, 0, 0])
        self._gizmo.visible = True

    @property
    def pivot(self) -> np.ndarray:
        """Where the gizmo stands while nobody drags it."""
        return self._pivot

    def inside(self, how: str | None = None) -> str:
        """Select what is inside the box or the sphere."""
        if self._volume is None:
            raise InputError("choose the box or the sphere first (Tool)")
        pick = self._page.panels.pick(how)
        center, panels = self._volume.position, self._page.panels
        if self._tool == "box":
            edit = gestures.box(center, self._volume.wxyz, panels.box_size, pick)
        else:
            edit = gestures.sphere(center, panels.sphere_radius, pick)
        return self._page.workspace.do(edit).said

    def resize_volume(self) -> None:
        """The box or the sphere as large as its fields say."""
        if self._volume is None:
            return
        panels, scene = self._page.panels, self._page.scene
        common = {"color": COLOR, "wireframe": True, "cast_shadow": False}
        name = f"{VOLUME}/shape"
        if self._tool == "box":
            scene.add_box(name, dimensions=tuple(panels.box_size), **common)
        else:
            scene.add_icosphere(name, radius=panels.sphere_radius, subdivisions=2, **common)

    def _place_volume(self) -> None:
        panels = self._page.panels
        layer = self._page.current.layer(panels.layer)
        points = positions(layer)
        if panels.of == "selection" and layer.selected.any():
            points = points[layer.selected]
        self._volume = self._page.scene.add_transform_controls(
            VOLUME, scale=max(panels.sphere_radius, 1e-6), position=_middle(points)[0],
            depth_test=False,
        )  # fmt: skip
        self.resize_volume()

    def _put_away_volume(self) -> None:
        if self._volume is not None:
            self._volume.remove()
            self._volume = None

    def _listen(self, register: Callable[..., Any], places: Callable[[Any], list[Place]]) -> None:
        def done(event: Any) -> None:
            self._select(places(event), event.modifier, event.client)

        for modifier in (None, "shift", "cmd/ctrl"):
            register(modifier=modifier)(done)

    async def _drawn(self, event: Any) -> None:
        """A drag on the pane. Runs in the server's own loop, so in order and quickly."""
        path = self._strokes.setdefault(event.client_id, [])
        if event.phase == "start":
            path[:] = [event.start_screen_pos]
            return
        path.append(event.end_screen_pos)
        scene = event.client.scene
        if event.phase == "update":
            points = gestures.on_sphere(
                self._page.eye(event.client), path, 0.95 * self._reach(event.client)
            )
            pieces = np.stack([points[:-1], points[1:]], axis=1)
            if len(pieces):
                scene.add_line_segments(STROKE, pieces, COLOR)
            return
        if scene.get_handle_by_name(STROKE) is not None:
            scene.remove_by_name(STROKE)
        drawn = list(path)  # The next stroke may begin before this one is taken.
        self._page.later(lambda: self._select(drawn, event.modifier, event.client))

    def _select(self, places: list[Place], modifier: str | None, client: Any) -> None:
        how = {"shift": "add", "cmd/ctrl": "remove"}.get(modifier or "")
        page = self._page

        def work() -> str:
            eye, pick = page.eye(client), page.panels.pick(how)
            if self._tool == "rectangle":
                edit = gestures.rectangle(eye, places[0], places[1], pick)
            elif self._tool == "lasso":
                edit = gestures.lasso(eye, places, pick)
            else:
                edit = gestures.brush(eye, places, pick)
            return page.workspace.do(edit).said

        page.attempt(work, client)

    async def _turned(self, event: Any) -> None:
        """The gizmo is dragged: what it moves follows at once, the edit is done at the end. Runs in
        the server's own loop, like `_drawn`."""
        handle, page = event.target, self._page
        turn = Rotation.from_quat(np.roll(handle.wxyz, -1))
        if event.phase == "start":
            self._dragging = True
            page.uncover()
        elif event.phase == "update":
            page.carry(handle.wxyz, handle.position - turn.apply(self._pivot))
        elif event.phase == "end":
            self._dragging = False
            if np.allclose(handle.position, self._pivot) and abs(handle.wxyz[0]) > 1 - 1e-12:
                return
            edit = gestures.dragged(
                page.panels.layer, page.panels.of, pivot=self._pivot, position=handle.position,
                rotation=handle.wxyz,
            )  # fmt: skip
            page.later(lambda: self._carried(edit, event.client))

    def _carried(self, edit: Move, client: Any) -> None:
        page = self._page
        if not page.attempt(lambda: page.workspace.do(edit).said, client):
            page.refresh()  # Back to where it was.

    def _reach(self, client: Any) -> float:
        """Radius of the pane: beyond the near plane, nearer than what is looked at."""
        camera = client.camera
        away = float(np.linalg.norm(np.subtract(camera.look_at, camera.position)))
        return max(3 * float(camera.near), 0.2 * away)


def _middle(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Of the box around points without extremes, and how large it is."""
    low, high = np.percentile(points, [1, 99], axis=0)
    return (low + high) / 2, float(np.linalg.norm(high - low))
