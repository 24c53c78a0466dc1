"""The page itself, served by viser: the only file that knows viser.

Controls are shared by all browsers; each has its own camera, its own splats (so that they can be
hidden behind its picture) and its own picture, which is taken whenever its camera rests.
"""

import contextlib
import io
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import viser
import websockets.asyncio.server
from viser import _messages as messages

from ..pipeline.errors import ConfigError, MissingError, SplatworksError
from ..pipeline.fault import write_fault
from ..stages.scene.layers import Scene, positions
from . import uploads
from .gate import answer, is_local
from .gestures import Eye
from .job import Stopped
from .panels import Panels
from .pictures import BACKGROUND, Forming, Look, Pictures
from .proxy import Proxies, Proxy
from .still import Rest
from .tools import Tools
from .warming import warm
from .workspace import Workspace

JPEG_QUALITY = 92
GONE_S = 8.0
"""How long a message stays."""


@dataclass(slots=True)
class Visitor:
    """One browser."""

    client: viser.ClientHandle
    rest: Rest
    splats: dict[str, Any] = field(default_factory=dict)
    covered: bool = False
    """Its picture is shown, its splats are hidden."""
    lock: threading.RLock = field(default_factory=threading.RLock)


class Page:
    """The server with everything on it."""

    def __init__(self, workspace: Workspace, host: str, port: int, token: str | None) -> None:
        self.workspace = workspace
        self.shown: Scene | None = None
        """Shown instead of the workspace's scene: the preview of a stitch."""
        self.forming: Forming | None = None
        """Shown to whoever looks from where that view was taken."""
        self.hidden: frozenset[str] = frozenset()
        """Layers that are not shown."""
        self._visitors: dict[int, Visitor] = {}
        self._drawing = threading.RLock()
        self._worker = ThreadPoolExecutor(max_workers=1)
        self._proxies, self._proxy = Proxies(), Proxies().of(Scene(()))
        self._pictures, self._camera_taken = Pictures(workspace.ctx.threads), threading.Lock()
        self.server = _served(host, port, token)
        self.gui: Any = self.server.gui
        self.scene: Any = self.server.scene
        self._dress()
        self.tools = Tools(self)
        self.panels = Panels(self)
        self._limit_uploads()
        workspace.watch(self.refresh)
        self.server.on_client_connect(self._arrived)
        self.server.on_client_disconnect(self._left)
        self.refresh()

    @property
    def current(self) -> Scene:
        """What is shown."""
        return self.shown or self.workspace.scene

    def attempt(self, work: Callable[[], str | None], client: Any = None) -> bool:
        """Do what a user asked for and say what came of it, errors too: nothing else would see
        them. Whether it worked."""
        try:
            said = work()
        except Stopped as stopped:
            self.panels.say(str(stopped))
        except SplatworksError as error:
            self.complain(str(error), client)
        except Exception as error:
            self.complain(write_fault(error, self.workspace.folder), client)
        else:
            if said:
                self.panels.say(said)
            return True
        return False

    def later(self, work: Callable[[], None]) -> None:
        """Do it in a thread for such things, one after the other."""
        self._worker.submit(work)

    def complain(self, text: str, client: Any = None) -> None:
        """Say what went wrong, in the page of whoever asked for it."""
        self.panels.say(text, wrong=True)
        found = [visitor.client for visitor in self._visitors.values()]
        for one in found if client is None else [client]:
            one.add_notification("That did not work", text, color="red", auto_close_seconds=GONE_S)

    def eye(self, client: Any) -> Eye:
        """The camera of a browser."""
        camera = client.camera
        return Eye(
            rotation=tuple(float(value) for value in camera.wxyz),  # type: ignore[arg-type]
            position=tuple(float(value) for value in camera.position),  # type: ignore[arg-type]
            fovy_rad=float(camera.fov),
            size_px=(int(camera.image_width), int(camera.image_height)),
        )

    def clients(self) -> list[Any]:
        """Of all browsers."""
        return [visitor.client for visitor in list(self._visitors.values())]

    def refresh(self) -> None:
        """Show the scene as it is now, to everybody."""
        with self._drawing:
            self.panels.refresh()
            self.tools.refresh()
            tinted = self.panels.tinted
            self._proxy = self._proxies.of(self.current, self.hidden, tinted=tinted)
            for visitor in list(self._visitors.values()):
                self._send(visitor)
                visitor.rest.stir(at_once=True)

    def look_again(self) -> None:
        """Take all pictures anew: how the scene is shown has changed."""
        for visitor in list(self._visitors.values()):
            visitor.rest.stir(at_once=True)

    def picture(self, client: Any, look: Look | None = None) -> np.ndarray:
        """What a browser's camera sees of the full scene, by default as it is shown."""
        camera = self.eye(client).viewpoint(self.panels.picture_side_px)
        with self._camera_taken:
            return self._pictures.take(self.current, camera, look or self.look)

    def show_forming(self, forming: Forming | None) -> None:
        """Show how far a retouched view is, or the scene again."""
        self.forming = forming
        self.look_again()

    @property
    def look(self) -> Look:
        """How the scene is shown."""
        panels = self.panels
        return Look(mode=panels.mode, hidden=self.hidden, tinted=panels.tinted)

    def uncover(self) -> None:
        """Show the splats themselves, which can follow a gizmo."""
        for visitor in list(self._visitors.values()):
            self._uncover(visitor)

    def carry(self, rotation: np.ndarray, shift: np.ndarray) -> None:
        """Show what would move already moved: x -> rotation x + shift (a quaternion, a vector)."""
        for visitor in list(self._visitors.values()):
            node = visitor.splats.get("/moving")
            if node is not None:
                node.wxyz, node.position = rotation, shift

    def close(self) -> None:
        """Serve no more."""
        self.workspace.job.stop()
        for visitor in list(self._visitors.values()):
            visitor.rest.close()
        self._worker.shutdown(wait=False)
        with _hushed():
            self.server.stop()

    def _dress(self) -> None:
        gray = round(255 * BACKGROUND)
        self.gui.configure_theme(
            show_share_button=False,
            show_logo=False,
            dark_mode=True,
            control_layout="collapsible",
            control_width="large",
        )
        self.gui.set_panel_label("Splatworks studio")
        self.scene.set_background_image(np.full((2, 2, 3), gray, np.uint8), format="png")
        layers = self.workspace.scene.layers
        self.scene.set_up_direction(layers[0].values.sidecar.up_axis)
        points = np.concatenate([positions(layer) for layer in layers])
        low, high = np.percentile(points, [2, 98], axis=0)
        middle, size = (low + high) / 2, float(np.linalg.norm(high - low)) or 1.0
        camera = self.server.initial_camera
        camera.fov = np.radians(50)
        camera.position = middle + size * np.array([0.45, 0.35, 1.1])
        camera.look_at = middle
        camera.near, camera.far = size / 500, size * 100

    def _arrived(self, client: viser.ClientHandle) -> None:
        visitor = Visitor(client, Rest(lambda wanted: self._cover(client.client_id, wanted)))
        self._visitors[client.client_id] = visitor

        @client.camera.on_update
        def moved(_: Any) -> None:
            self._uncover(visitor)
            self.tools.follow(client)
            visitor.rest.stir()

        with self._drawing:
            self._send(visitor)
        self.tools.follow(client)
        visitor.rest.stir()

    def _left(self, client: viser.ClientHandle) -> None:
        visitor = self._visitors.pop(client.client_id, None)
        if visitor is not None:
            visitor.rest.close()

    def _send(self, visitor: Visitor) -> None:
        """The splats, those that a gizmo would move apart from the others."""
        proxy, scene = self._proxy, visitor.client.scene
        moving = proxy.of(self.panels.layer, everything=self.panels.of == "all")
        with visitor.lock, visitor.client.atomic():
            for name, rows in (("/others", ~moving), ("/moving", moving)):
                old = visitor.splats.pop(name, None)
                if rows.any():
                    visitor.splats[name] = self._add(scene, name, proxy, rows, visitor)
                elif old is not None:
                    old.remove()

    def _add(self, scene: Any, name: str, proxy: Proxy, rows: np.ndarray, visitor: Visitor) -> Any:
        visible = not visitor.covered
        if self.panels.mode == "centers":
            size = float(np.ptp(proxy.centers, axis=0).max()) / 400
            return scene.add_point_cloud(
                name, proxy.centers[rows], proxy.colors[rows], point_size=size, visible=visible
            )
        return scene.add_gaussian_splats(
            name,
            centers=proxy.centers[rows],
            covariances=proxy.covariances[rows],
            rgbs=proxy.colors[rows],
            opacities=proxy.opacities[rows],
            visible=visible,
        )

    def _cover(self, number: int, wanted: Callable[[], bool]) -> None:
        """Put the picture of the full scene before a browser whose camera rests."""
        visitor = self._visitors.get(number)
        if visitor is None or not self.panels.pictures_wanted:
            return

        def work() -> None:
            forming = self.forming
            if forming is not None and self.eye(visitor.client).sees(forming.camera):
                image = forming.picture
            else:
                image = self.picture(visitor.client)
            with visitor.lock:
                if wanted():
                    visitor.client.scene.set_background_image(
                        image, format="jpeg", jpeg_quality=JPEG_QUALITY
                    )
                    self._show_splats(visitor, visible=False)

        self.attempt(work, visitor.client)

    def _uncover(self, visitor: Visitor) -> None:
        with visitor.lock:
            if visitor.covered:
                self._show_splats(visitor, visible=True)
                gray = np.full((2, 2, 3), round(255 * BACKGROUND), np.uint8)
                visitor.client.scene.set_background_image(gray, format="png")

    def _show_splats(self, visitor: Visitor, *, visible: bool) -> None:
        visitor.covered = not visible
        for node in visitor.splats.values():
            node.visible = visible

    def _limit_uploads(self) -> None:
        """Refuse what is too large before its parts arrive, which viser would hold in memory."""
        start, socket_server = messages.FileTransferStartUpload, self.server._websock_server
        usual = self.gui._handle_file_transfer_start
        socket_server.unregister_handler(start, usual)

        def limited(client_id: int, message: messages.FileTransferStartUpload) -> None:
            try:
                uploads.check_size(message.filename, message.size_bytes)
            except SplatworksError as error:
                client = self.server.get_clients().get(client_id)
                socket_server.queue_message(
                    messages.FileTransferPartAck(
                        message.source_component_uuid, message.transfer_uuid,
                        message.size_bytes, message.size_bytes,
                    )
                )  # fmt: skip
                self.complain(str(error), client)
            else:
                usual(client_id, message)

        socket_server.register_handler(start, limited)


def serve(workspace: Workspace, *, host: str, port: int, token: str | None) -> None:
    """Serve the page until Ctrl-C."""
    page = Page(workspace, host, port, token)
    threading.Thread(target=warm, args=(workspace.ctx.threads,), daemon=True).start()
    query = f"/?token={token}" if token else ""
    shown = f"[{host}]" if ":" in host else host
    print(f"the studio: http://{shown}:{page.server.get_port()}{query}", flush=True)
    if not is_local(host):
        print("others can connect, who know the token; nothing is encrypted", flush=True)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
    finally:
        page.close()


def check_port(host: str, port: int) -> None:
    """Raise ConfigError where nothing can be served at that address."""
    try:
        family, kind, *_, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise ConfigError(
            f"--port {port}: {host} can not be served there ({error.strerror}). Another studio may"
            f" be running; choose another one, such as --port {port + 1}."
        ) from None


def _served(host: str, port: int, token: str | None) -> viser.ViserServer:
    """A server that lets nobody in whom `gate.answer` refuses, and has no tunnel to the world."""
    with _hushed(), _guarded(token) as guarded:
        server = viser.ViserServer(host=host, port=port, verbose=False)
    if not guarded or (port and server.get_port() != port):
        server.stop()
        if not guarded:
            raise MissingError("this version of viser can not be guarded. Install viser 1.1.")
        raise ConfigError(f"--port {port}: was taken meanwhile. Choose another one.")
    server.request_share_url = lambda verbose=True: None  # Any browser could ask for one.
    return server


@contextlib.contextmanager
def _guarded(token: str | None) -> Iterator[list[bool]]:
    """While viser opens its socket, put the gate before it. viser has no setting for that, but
    websockets has: whatever looks at requests first."""
    real, used = websockets.asyncio.server.serve, []

    def serve(handler: Any, *args: Any, process_request: Any = None, **rest: Any) -> Any:
        used.append(True)

        def check(connection: Any, request: Any) -> Any:
            refused = answer(request.path, request.headers, token)
            if refused is None:
                response = process_request(connection, request) if process_request else None
            else:
                response = connection.respond(refused.status, refused.text)
                for name, value in refused.headers.items():
                    response.headers[name] = value
            if response is not None:
                response.headers["X-Frame-Options"] = "DENY"
                response.headers["Referrer-Policy"] = "no-referrer"
            return response

        return real(handler, *args, process_request=check, **rest)

    websockets.asyncio.server.serve = serve  # type: ignore[assignment]
    try:
        yield used
    finally:
        websockets.asyncio.server.serve = real


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """viser greets on standard output; we say where the page is ourselves."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield
