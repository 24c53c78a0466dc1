"""`pipeline simplify` on files that are broken, hostile or odd, and interrupted."""

import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from splatworks.pipeline.cli import main
from splatworks.stages.formats import gltf, wild

QUAD = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
FACES = "usemtl m\nf 1/1 2/2 3/3\nf 1/1 3/3 4/4\n"
THREE = "v 0 0 0\nv 1 0 0\nv 0 1 0\n"
OBJ = f"mtllib a.mtl\n{QUAD}{FACES}"


def png(width: int, height: int, data: bytes | None = None) -> bytes:
    """8 bit RGB, black; with `data`, whatever that inflates to."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(height * (3 * width + 1)), 9) if data is None else data
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def ball(path: Path) -> Path:
    import trimesh

    shape = trimesh.creation.icosphere(2)
    return gltf.save(
        gltf.Mesh(np.asarray(shape.vertices, np.float32), np.asarray(shape.faces)), path
    )


def write(folder: Path, name: str, files: dict[str, str | bytes]) -> Path:
    for key, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        (folder / key).write_bytes(data)
    return folder / name


CASES: dict[str, tuple[dict[str, str | bytes], str]] = {
    "nothing in it": ({"a.obj": ""}, "a.obj"),
    "no faces": ({"a.obj": QUAD}, "a.obj"),
    "all degenerate": (
        {"a.obj": "v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\nf 1 1 2\n"},
        "degenerate; there is no surface",
    ),
    "not a number": ({"a.obj": "v 0 0 0\nv nan 0 0\nv 0 1 0\nf 1 2 3\n"}, "are not finite"),
    "infinite": ({"a.obj": "v 0 0 0\nv 1 0 0\nv 0 inf 0\nf 1 2 3\n"}, "are not finite"),
    "no such vertex": ({"a.obj": THREE + "f 1 2 7\n"}, "line 4: a face names index 7"),
    "index 0": ({"a.obj": THREE + "f 0 1 2\n"}, "line 4: a face names index 0"),
    "no such picture": ({"a.obj": OBJ, "a.mtl": "newmtl m\nmap_Kd gone.png\n"}, "gone.png"),
    "picture outside": (
        {"a.obj": OBJ, "a.mtl": "newmtl m\nmap_Kd ../x.png\n"},
        "lies outside of its folder",
    ),
    "materials outside": (
        {"a.obj": OBJ.replace("a.mtl", "../a.mtl")},
        "lies outside of its folder",
    ),
    "too wide": (
        {"a.obj": OBJ, "a.mtl": "newmtl m\nmap_Kd t.png\n", "t.png": png(16_385, 1)},
        "at most 16384 px on a side",
    ),
    "too many pixels": (
        {
            "a.obj": OBJ,
            "a.mtl": "newmtl m\nmap_Kd t.png\nmap_Ke t2.png\nnorm t3.png\n",
            **{name: png(16_384, 16_384, b"") for name in ("t.png", "t2.png", "t3.png")},
        },
        "t.png",
    ),
    "no picture": ({"a.obj": OBJ, "a.mtl": "newmtl m\nmap_Kd t.png\n", "t.png": b"hello"}, "t.png"),
    "text as GLB": ({"a.glb": "hello"}, "a.glb"),
    "not a mesh": ({"a.txt": "hello"}, "a mesh ends in"),
}


@pytest.mark.parametrize("case", CASES)
def test_broken_input_is_one_line(tmp_path, capsys, case: str) -> None:
    files, said = CASES[case]
    mesh = write(tmp_path, next(iter(files)), files)
    before = sorted(path.name for path in tmp_path.iterdir())
    out = tmp_path / "out.glb"
    out.write_bytes(b"precious")
    assert main(["simplify", str(mesh), "--ratio", "50%", "--out", str(out)]) == 2
    text = capsys.readouterr().err.strip()
    assert said in text and "Traceback" not in text
    assert text.splitlines()[-1].startswith("splatworks: ") and len(text.splitlines()) == 1
    assert out.read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*before, "out.glb"])


def test_a_bomb_of_a_picture_is_refused_before_it_is_unpacked(tmp_path, capsys) -> None:
    """100 kB that would inflate to 100 MB, while the header claims 8 by 8; and one that says so."""
    squeezer = zlib.compressobj(9)
    data = b"".join([*(squeezer.compress(bytes(1 << 20)) for _ in range(100)), squeezer.flush()])
    files = {"a.obj": OBJ, "a.mtl": "newmtl m\nmap_Kd t.png\n"}
    mesh = write(tmp_path, "a.obj", {**files, "t.png": png(100_000, 100_000, data)})
    begun = time.process_time()
    assert main(["simplify", str(mesh), "--ratio", "1", "--out", str(tmp_path / "b.glb")]) == 2
    assert "at most 16384 px on a side" in capsys.readouterr().err
    assert time.process_time() - begun < 5
    write(tmp_path, "t.png", {"t.png": png(8, 8, data)})
    pixels = wild.read(mesh).materials[0].base_color
    assert pixels is not None and pixels.pixels.shape == (8, 8, 3), "only 8 by 8 are unpacked"


@pytest.mark.parametrize("size", [(1, 1), (16_384, 1)])
def test_pictures_of_odd_sizes_are_fine(tmp_path, size) -> None:
    files = {"a.obj": OBJ, "a.mtl": "newmtl m\nmap_Kd t.png\n", "t.png": png(*size)}
    mesh = write(tmp_path, "a.obj", files)
    line = ["simplify", str(mesh), "--faces", "1", "--texture-size", "64", "--out"]
    assert main([*line, str(tmp_path / "b.glb")]) == 0
    assert len(wild.read(tmp_path / "b.glb").faces) == 1


def test_truncated_files_are_refused_wherever_they_end(tmp_path, capsys) -> None:
    whole = ball(tmp_path / "ball.glb").read_bytes()
    for share in (0.0, 0.01, 0.3, 0.7, 0.999):
        cut = tmp_path / "cut.glb"
        cut.write_bytes(whole[: int(share * len(whole))])
        assert main(["simplify", str(cut), "--faces", "9", "--out", str(tmp_path / "b.glb")]) == 2
        assert "cut.glb" in capsys.readouterr().err
    assert not (tmp_path / "b.glb").exists()


@pytest.mark.parametrize("words", [["--faces", "0"], ["--ratio", "0"], ["--faces", "321"],
                                   ["--lods", "50%,0%"], ["--error", "0"]])  # fmt: skip
def test_impossible_targets_are_refused(tmp_path, capsys, words) -> None:
    mesh = ball(tmp_path / "ball.glb")
    assert main(["simplify", str(mesh), *words, "--out", str(tmp_path / "b.glb")]) == 2
    text = capsys.readouterr().err.strip()
    assert len(text.splitlines()) == 1 and "Traceback" not in text
    assert [path.name for path in tmp_path.iterdir()] == ["ball.glb"]


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "r.json"), ('{"kind": "region/1", "terms": []}', "a list of at least one"),
     ('{"kind": "region/1", "terms": [{"shape": "sphere", "how": "set", "center": [9, 9, 9], '
      '"radius": 0.1}]}', "selects no vertex")],
)  # fmt: skip
@pytest.mark.parametrize("option", ["--lock", "--focus"])
def test_useless_regions_are_refused(tmp_path, capsys, option, text, said) -> None:
    mesh = ball(tmp_path / "ball.glb")
    (tmp_path / "r.json").write_text(text)
    line = ["simplify", str(mesh), "--faces", "9", option, str(tmp_path / "r.json"), "--out"]
    assert main([*line, str(tmp_path / "b.glb")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "b.glb").exists()


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_nothing_behind(tmp_path, number) -> None:
    """While it simplifies: what was there stays, what is new is gone."""
    import trimesh

    shape = trimesh.creation.icosphere(7)
    mesh = gltf.save(
        gltf.Mesh(np.asarray(shape.vertices, np.float32), np.asarray(shape.faces)),
        tmp_path / "ball.glb",
    )
    out = tmp_path / "out.glb"
    out.write_bytes(b"precious")
    line = [sys.executable, "-m", "splatworks.pipeline.cli", "simplify", str(mesh)]
    process = subprocess.Popen(
        [*line, "--ratio", "10%", "--out", str(out)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    for _ in range(1200):
        if list(tmp_path.glob(".out.glb.*/out")):
            break
        time.sleep(0.05)
    time.sleep(1.0)
    process.send_signal(number)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert "interrupted" in said.splitlines()[-1] and "Traceback" not in said
    assert out.read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ball.glb", "out.glb"]
