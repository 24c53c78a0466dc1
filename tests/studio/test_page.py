"""The page without a browser: who is let in, and what stops the command before it begins."""

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import viser
import websockets.sync.client
from splatworks.pipeline.cli import main
from splatworks.stages.formats import edits, splats
from splatworks.studio.page import Page
from websockets.exceptions import InvalidStatus

from ..stages import scene_setup as made
from .scenes import files, workspace

TOKEN = "a-token-that-is-long-enough"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    found = Page(workspace(tmp_path_factory.mktemp("page"), 50), "127.0.0.1", 0, None)
    yield found
    found.close()


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    found = Page(workspace(tmp_path_factory.mktemp("locked"), 50), "127.0.0.1", 0, TOKEN)
    yield found
    found.close()


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def get(page: Page, path: str = "/", **headers: str) -> tuple[int, dict[str, str]]:
    url = f"http://127.0.0.1:{page.server.get_port()}{path}"
    opener = urllib.request.build_opener(Stay)
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=20) as answer:
            answer.read()
            return answer.status, dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers)


def connects(page: Page, **headers: str) -> bool:
    """Whether a web socket is opened, as the page does."""
    port = page.server.get_port()
    origin = headers.pop("Origin", f"http://127.0.0.1:{port}")
    try:
        with websockets.sync.client.connect(
            f"ws://127.0.0.1:{port}", origin=origin, additional_headers=headers,  # type: ignore
            subprotocols=[f"viser-v{viser.__version__}"],  # type: ignore[list-item]
        ) as socket:  # fmt: skip
            return len(socket.recv(timeout=20)) > 0
    except InvalidStatus as error:
        assert error.response.status_code == 403
        return False


def test_this_machine_is_let_in_and_the_page_cannot_be_framed(page: Page) -> None:
    status, headers = get(page)
    assert status == 200 and headers["X-Frame-Options"] == "DENY"
    assert connects(page) and page.server.get_host() == "127.0.0.1"


def test_other_sites_are_not(page: Page) -> None:
    assert get(page, Host="evil.example")[0] == 403
    assert not connects(page, Origin="http://evil.example")
    assert get(page, "/../../etc/passwd")[0] == 404


def test_with_a_token_nobody_comes_in_without(locked: Page) -> None:
    assert get(locked)[0] == 403 and get(locked, "/?token=wrong")[0] == 403
    assert not connects(locked)
    status, headers = get(locked, f"/?token={TOKEN}")
    assert status == 302
    cookie = headers["Set-Cookie"].partition(";")[0]
    assert get(locked, Cookie=cookie)[0] == 200 and connects(locked, Cookie=cookie)
    assert not connects(locked, Cookie=cookie, Origin="http://evil.example")


def test_no_tunnel_can_be_asked_for(page: Page) -> None:
    assert page.server.request_share_url() is None


def test_errors_are_said_and_written_down(page: Page) -> None:
    def fails() -> str:
        raise RuntimeError("boom")

    assert not page.attempt(fails)
    said = page.panels._status.content
    assert "RuntimeError: boom" in said and "report it with" in said
    assert "boom" in next((page.workspace.folder / "logs").iterdir()).read_text()
    assert page.attempt(lambda: "a <b> *c* {d}") and "\\<b\\> \\*c\\* \\{d\\}" in (
        page.panels._status.content
    )


def test_a_taken_port_is_said(tmp_path: Path, capsys) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        (scene, _) = files(tmp_path / "in", 50)
        words = ["studio", str(scene), "--out", str(tmp_path / "out"), "--port", str(port)]
        assert main(words) == 2
    said = capsys.readouterr().err
    assert f"--port {port}: 127.0.0.1 can not be served there (Address already in use)" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give at least one SCENE.ply"),
        (["gone.ply"], "gone.ply: no such file"),
        (["{scene}", "--port", "99999"], "expected 0 to 65535"),
        (["{scene}", "--token", "short"], "at least 16 letters"),
        (["{scene}", "--host", "no.such.host.invalid"], "can not be served there"),
        (["{scene}", "--threads", "0"], "expected 1 or more"),
        (["{scene}", "--out", "{scene}"], "is a file, expected a folder"),
        (["{nan}", "--out", "{out}"], "x holds 1 NaN"),
        (["{text}", "--out", "{out}"], "text.ply"),
        (["{scene}", "--out", "{out}", "--script", "{newer}"], "written by a newer version"),
        (["{scene}", "--out", "{out}", "--script", "{text}"], "text.ply"),
    ],
)
def test_bad_words_and_files_are_one_line(
    words: list[str], said: str, tmp_path: Path, capsys
) -> None:
    (scene, _) = files(tmp_path, 50)
    bad = splats.load(scene)
    raw = splats.save(bad, tmp_path / "nan.ply").read_bytes()
    head, mark, body = raw.partition(b"end_header\n")
    (tmp_path / "nan.ply").write_bytes(head + mark + np.float32(np.nan).tobytes() + body[4:])
    (tmp_path / "text.ply").write_text("hello")
    places = {"scene": scene, "nan": tmp_path / "nan.ply", "out": tmp_path / "out"}
    places["text"] = tmp_path / "text.ply"
    places["newer"] = edits.save(edits.Script(("a",), ()), tmp_path / "newer.json")
    newer = places["newer"].read_text("utf-8").replace("edits/1", "edits/2")
    places["newer"].write_text(newer, "utf-8")
    filled = [word.format(**places) for word in words]
    assert main(["studio", *filled]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not (tmp_path / "out" / "edits.json").exists()


def test_scenes_of_any_degree_and_scale_are_shown_together(tmp_path: Path) -> None:
    from splatworks.studio.workspace import open_workspace

    far = made.cloud(30, 3)
    far = replace(far, means=far.means * 1000)
    paths = [
        splats.save(values, tmp_path / f"{name}.ply")
        for name, values in (("far", far), ("near", made.cloud(30, 0)))
    ]
    space, _ = open_workspace(paths, tmp_path / "out", threads=1)
    page = Page(space, "127.0.0.1", 0, None)
    try:
        assert page.panels.layer == "far" and len(page._proxy.centers) == 60
    finally:
        page.close()
