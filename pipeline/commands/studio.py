"""`pipeline studio`: the web page for looking, selecting, moving, stitching and saving."""

import secrets
from pathlib import Path

import tyro

from ..errors import ConfigError, InputError, StorageError
from ..locks import locked_at_once
from ..machine import cores
from ..progress import prepare_terminal

FOLDER_NAME = 60


def studio(
    scenes: tyro.conf.Positional[tuple[Path, ...]],
    /,
    *,
    out: Path | None = None,
    script: Path | None = None,
    port: int = 8080,
    host: str = "127.0.0.1",
    token: str | None = None,
    threads: int | None = None,
) -> int:
    """Open scenes in a web page: select, move, recolor, stitch, save. Ctrl-C ends it.

    The edits are on disk after each of them; the same line again goes on from there.

    Args:
        scenes: Splat PLYs, one layer each.
        out: The folder that keeps the script of all edits and what is saved; by default
            runs/studio-NAMES.
        script: Begin with the edits of this script.
        port: Where the page is served.
        host: Another address than this machine's own lets others connect, who need a token.
        token: The token to ask for instead of one made up; at least 16 letters.
        threads: How many threads pictures and stitches may keep busy; by default all cores.
    """
    if not scenes:
        raise ConfigError("studio: give at least one SCENE.ply.")
    for path in (*scenes, *([script] if script else [])):
        if not path.is_file():
            raise InputError(f"{path}: no such file.")
    if not 0 <= port <= 65535:
        raise ConfigError(f"--port {port}: expected 0 to 65535.")
    if token is not None and len(token) < 16:
        raise ConfigError("--token: give at least 16 letters.")
    if threads is not None and threads < 1:
        raise ConfigError(f"--threads {threads}: expected 1 or more.")
    if out is None:
        out = Path("runs") / f"studio-{'-'.join(path.stem for path in scenes)[:FOLDER_NAME]}"
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is a file, expected a folder.")
    terminal = prepare_terminal()

    from ...studio.gate import is_local
    from ...studio.page import check_port, serve
    from ...studio.workspace import open_workspace

    check_port(host, port)
    if token is None and not is_local(host):
        token = secrets.token_urlsafe(16)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"--out {out}: {error.strerror}.") from None
    with locked_at_once(out / ".studio.lock") as held:
        if not held:
            raise InputError(f"--out {out}: another studio works in it. Choose another folder.")
        workspace, count = open_workspace(
            scenes, out, script, threads=threads or cores(), progress=terminal.progress
        )
        if count:
            print(f"goes on after {count} edits of {script or workspace.script_path}")
        serve(workspace, host=host, port=port, token=token)
    print(f"\nevery edit is in {workspace.script_path}; the same line goes on from there")
    return 0
