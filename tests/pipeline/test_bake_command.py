"""`pipeline bake`: what it refuses at once, in one line."""

from pathlib import Path

import pytest
from splatworks.pipeline.cli import main


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["{mesh}"], "give --capture, --splats or both"),
        (["{mesh}", "--capture", "{tmp}/none"], "none: no such directory"),
        (["{tmp}/no.glb", "--splats", "{mesh}"], "no.glb: no such file"),
        (["{mesh}", "--splats", "{mesh}", "--texture-size", "0"], "texture_size_px must lie"),
    ],
)
def test_one_line_and_nothing_written(tmp_path: Path, capsys, words: list[str], told: str) -> None:
    mesh = tmp_path / "mesh.glb"
    mesh.write_bytes(b"glTF")
    given = [word.format(mesh=mesh, tmp=tmp_path) for word in words]
    assert main(["bake", *given, "--out", str(tmp_path / "run")]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) <= 2 and told in " ".join(lines)
    assert not (tmp_path / "run" / "latest").exists()
