"""`pipeline simplify` as a user meets it: one line, one file; and one line for what is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh
from splatworks.pipeline.cli import main
from splatworks.stages.formats import gltf


@pytest.fixture
def mesh(tmp_path) -> Path:
    shape = trimesh.creation.icosphere(3)
    uvs = np.column_stack([shape.vertices[:, 0], shape.vertices[:, 1]]).astype(np.float32)
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    made = gltf.Mesh(np.asarray(shape.vertices, np.float32), np.asarray(shape.faces, np.int64),
                     uvs=uvs, base_color=picture)  # fmt: skip
    return gltf.save(made, tmp_path / "ball.glb")


def test_faces_into_one_file(mesh, tmp_path, capsys) -> None:
    out = tmp_path / "new" / "small.glb"
    line = ["simplify", str(mesh), "--faces", "200", "--texture-size", "64", "--out", str(out)]
    assert main(line) == 0
    said = capsys.readouterr().out
    assert "200 faces" in said and "64 px" in said and str(out) in said and "error" in said
    assert [path.name for path in out.parent.iterdir()] == ["small.glb"], "nothing else is left"
    before = out.read_bytes()
    assert main([*line, "--threads", "2"]) == 0
    assert out.read_bytes() == before


def test_what_it_does_not_need_is_not_imported(mesh, tmp_path) -> None:
    """Each of these takes longer to import than a small mesh to simplify."""
    line = ["simplify", str(mesh), "--faces", "200", "--texture-size", "64", "--out"]
    assert main([*line, str(tmp_path / "first.glb")]) == 0, "compiles what is to be compiled"
    heavy = {"torch", "open3d", "trimesh", "typeguard", "rich"}
    code = (
        "import sys; from splatworks.pipeline.cli import main;"
        f"main({[*line, str(tmp_path / 'second.glb')]!r});"
        f"print(sorted({heavy!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert (tmp_path / "first.glb").read_bytes() == (tmp_path / "second.glb").read_bytes()


def test_a_chain_of_levels_with_its_index(mesh, tmp_path) -> None:
    out = tmp_path / "lods"
    line = ["simplify", str(mesh), "--lods", "50%,10%,2%", "--out", str(out), "--texture-size"]
    assert main([*line, "64"]) == 0
    levels = json.loads((out / "index.json").read_text())["lods"]
    assert [level["faces"] for level in levels] == [640, 128, pytest.approx(26, abs=2)]
    errors = [level["error_m"] for level in levels]
    assert errors == sorted(errors) and errors[0] > 0
    assert all((out / level["file"]).is_file() for level in levels)
    assert main([*line, "64"]) == 0, "levels may be made anew"


@pytest.mark.parametrize(
    ("words", "faces"),
    [(["--ratio", "10%"], 128), (["--ratio", "0.1"], 128),
     (["--vertex-colors", "--faces", "90"], 90),
     (["--keep-uvs", "--faces", "90"], 90), (["--prune", "1%", "--faces", "90"], 90),
     (["--keep-topology", "--lock-borders", "--faces", "90"], 90),
     (["--virtual-edges", "local", "--faces", "90", "--no-normal-map"], 90)],
)  # fmt: skip
def test_switches(mesh, tmp_path, capsys, words, faces) -> None:
    line = ["simplify", str(mesh), *words, "--out", str(tmp_path / "a.glb"), "--texture-size", "64"]
    assert main(line) == 0
    assert abs(int(capsys.readouterr().out.split()[0]) - faces) <= 1


def test_errors_in_metres_and_of_the_diagonal_mean_the_same(mesh, tmp_path, capsys) -> None:
    counts = []
    diagonal = float(np.linalg.norm(np.ptp(gltf.load(mesh).positions.astype(float), axis=0)))
    for error in ("0.5%", str(0.005 * diagonal)):
        line = ["simplify", str(mesh), "--error", error, "--out", str(tmp_path / "a.glb")]
        assert main([*line, "--texture-size", "64"]) == 0
        counts.append(capsys.readouterr().out.split()[0])
    assert counts[0] == counts[1] and 20 < int(counts[0]) < 600


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "exactly one of --faces"), (["--faces", "9", "--ratio", "1%"], "exactly one of"),
        (["--faces", "0"], "expected 1 or more"), (["--faces", "99999"], "has only 1280"),
        (["--ratio", "2"], "at most 100%"), (["--ratio", "x"], "expected a number"),
        (["--error", "-1"], "more than 0"), (["--error", "nan"], "more than 0"),
        (["--lods", "10.5,5.2"], "at most 100%"),
        (["--faces", "9", "--texture-size", "3"], "texture_px"),
        (["--faces", "9", "--prune", "200%"], "at most 100%"),
        (["--faces", "9", "--threads", "0"], "--threads"),
        (["--faces", "9", "--keep-uvs", "--vertex-colors"], "cannot both"),
    ],
)  # fmt: skip
def test_wrong_options_are_one_line(mesh, tmp_path, capsys, words, said) -> None:
    out = tmp_path / "out.glb"
    out.write_bytes(b"precious")
    assert main(["simplify", str(mesh), *words, "--out", str(out)]) == 2
    text = capsys.readouterr().err.strip().splitlines()[-1]
    assert said in text and "Traceback" not in text
    assert out.read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ball.glb", "out.glb"]


def test_wrong_places_are_refused(mesh, tmp_path, capsys) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    for out, more, said in (
        (mesh, ["--faces", "9"], "is the input itself"),
        (tmp_path / "a.obj", ["--faces", "9"], "ends in .glb"),
        (tmp_path / "full", ["--lods", "50%"], "is not empty"),
        (mesh, ["--lods", "50%"], "is a file"),
        (tmp_path / "new", ["--lods", "5,10"], "fall from level to level"),
    ):
        assert main(["simplify", str(mesh), *more, "--out", str(out)]) == 2
        assert said in capsys.readouterr().err
    for name, content in (("gone.glb", None), ("cut.glb", mesh.read_bytes()[:99])):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        path = tmp_path / name
        assert main(["simplify", str(path), "--faces", "9", "--out", str(tmp_path / "b.glb")]) == 2
        assert name in capsys.readouterr().err


def test_one_triangle_stays_one(tmp_path, capsys) -> None:
    (tmp_path / "one.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    line = ["simplify", str(tmp_path / "one.obj"), "--ratio", "10%", "--out"]
    assert main([*line, str(tmp_path / "a.glb")]) == 0
    assert capsys.readouterr().out.split()[0] == "1"
