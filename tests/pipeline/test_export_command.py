"""`pipeline export` from the command line: what it writes, and what it refuses in one line."""

import sys
from pathlib import Path

import numpy as np
import pytest
from splatworks.pipeline.cli import main
from splatworks.stages.formats import gltf_model, splats
from splatworks.stages.formats.model import Material, Model, Texture

CORNERS = np.array([[0.0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]])
FACES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])


def tetrahedron(faces: int = 4) -> Model:
    picture = np.full((8, 8, 3), 90, np.uint8)
    return Model(
        positions=CORNERS,
        faces=FACES[:faces],
        face_materials=np.zeros(faces, np.int64),
        materials=(Material("skin", Texture(picture), metallic_factor=0.0),),
        uvs=(CORNERS[:, :2].astype(np.float32) / 2,),
    )


@pytest.fixture
def mesh(tmp_path: Path) -> Path:
    return gltf_model.save(tetrahedron(), tmp_path / "thing.glb")


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    ones = np.ones((5, 3), np.float32)
    raw = splats.RawSplats(
        np.arange(15, dtype=np.float32).reshape(5, 3), -ones, ones[:, 0],
        np.tile(np.float32([1, 0, 0, 0]), (5, 1)), ones[:, None],
    )  # fmt: skip
    return splats.save(raw, tmp_path / "scan.ply")


def refused(capsys: pytest.CaptureFixture, *words: object) -> str:
    """The one line that is said; nothing may be left behind."""
    folder = Path(words[0]).parent
    before = sorted(folder.rglob("*"))
    assert main(["export", *map(str, words)]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert sorted(folder.rglob("*")) == before
    return [line for line in said if line.startswith("splatworks:")][-1]


def test_a_directory_for_a_tool(mesh: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "made" / "unity"
    assert main(["export", str(mesh), "--for", "unity", "--out", str(out)]) == 0
    assert sorted(p.name for p in out.iterdir()) == ["thing.fbx", "thing_Albedo.png"]
    assert str(out / "thing.fbx") in capsys.readouterr().out


def test_levels_as_files_or_as_a_directory_of_simplify(mesh: Path, tmp_path: Path) -> None:
    low = gltf_model.save(tetrahedron(2), tmp_path / "low.glb")
    out = tmp_path / "out"
    words = ["export", str(mesh), "--for", "blender", "--lods", str(low), "--out", str(out)]
    assert main(words) == 0
    assert sorted(p.name for p in out.iterdir()) == ["thing_LOD0.glb", "thing_LOD1.glb"]
    lods = tmp_path / "lods"
    lods.mkdir()
    (lods / "lod0.glb").write_bytes(mesh.read_bytes())  # `simplify` may begin with the mesh.
    (lods / "lod1.glb").write_bytes(low.read_bytes())
    (lods / "index.json").write_text('{"lods": [{"file": "lod0.glb"}, {"file": "lod1.glb"}]}')
    again = tmp_path / "again"
    words = ["export", str(mesh), "--for", "blender", "--lods", str(lods), "--out", str(again)]
    assert main(words) == 0
    for path in out.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes()


def test_nothing_is_overwritten_unasked(mesh: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "thing.obj"
    out.write_text("mine")
    assert "exists already" in refused(capsys, mesh, "--out", out)
    assert out.read_text() == "mine"
    out.unlink()
    picture = tmp_path / "thing_BaseColor.png"
    picture.write_text("mine too")
    assert "thing_BaseColor.png exists already" in refused(capsys, mesh, "--out", out)
    assert main(["export", str(mesh), "--out", str(out), "--overwrite"]) == 0
    assert out.read_text().startswith("mtllib thing.mtl")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_names_are_made_fit_and_that_is_said(mesh: Path, tmp_path: Path, capsys) -> None:
    words = ["--format", "obj", "--name", "../evil name", "--out", str(tmp_path / "out")]
    assert main(["export", str(mesh), *words]) == 0
    assert "it is called evil_name" in capsys.readouterr().err
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "evil_name.obj", "evil_name.mtl", "evil_name_BaseColor.png"
    }  # fmt: skip
    assert not (tmp_path / "evil name.obj").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out", "{}/out"], "--for TOOL or --format FORMAT is needed"),
        (["--out", "{}/x.dae"], "must end in .glb"),
        (["--out", "{}/x.obj", "--format", "fbx"], "no name for --format fbx"),
        (["--out", "{}/thing.glb", "--overwrite"], "is the input itself"),
        (["--out", "{}/x.glb", "--format", "gltf-splats"], "is a mesh"),
        (["--out", "{}/x.glb", "--for", "blender", "--collision", "hull"], "FBX files for Unreal"),
        (["--out", "{}/x.fbx", "--lods", "{}/none.glb"], "none.glb: no such file"),
        (["--out", "{}/x.fbx", "--lods", "{}/thing.glb", "{}/thing.glb"], "no fewer than"),
        (["--out", "{}/x.obj", "--lods", "{}/low.glb"], "Name a directory"),
        (["--out", "{}/x.fbx", "--texture-size", "0"], "texture_px must lie between"),
    ],
)
def test_refusals(mesh: Path, tmp_path: Path, capsys, words: list[str], said: str) -> None:
    gltf_model.save(tetrahedron(2), tmp_path / "low.glb")
    assert said in refused(capsys, mesh, *(word.format(tmp_path) for word in words))


def test_what_splats_do_not_do(scan: Path, tmp_path: Path, capsys) -> None:
    assert "holds no splats" in refused(capsys, scan, "--out", tmp_path / "x.fbx")
    assert "holds no splats" in refused(capsys, scan, "--out", tmp_path / "x.usdz")
    assert main(["export", str(scan), "--out", str(tmp_path / "x.glb")]) == 0
    lods = refused(capsys, scan, "--out", tmp_path / "y.glb", "--lods", scan)
    assert "GLB files" in lods


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("empty.obj", "v 0 0 0\n", "holds no triangles"),
        ("lost.obj", "mtllib lost.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl m\nf 1 2 3\n",
         "no such file"),
        ("flat.obj", "v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n", "degenerate"),
        ("cut.glb", "glTF", "no GLB file"),
    ],
)  # fmt: skip
def test_bad_meshes(tmp_path: Path, capsys, name: str, text: str, said: str) -> None:
    (tmp_path / "lost.mtl").write_text("newmtl m\nmap_Kd gone.png\n")
    (tmp_path / name).write_text(text)
    assert said in refused(capsys, tmp_path / name, "--out", tmp_path / "x.fbx")


def test_a_missing_package_is_named(mesh: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    for module in [name for name in sys.modules if name.startswith("pxr")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "pxr", None)
    said = refused(capsys, mesh, "--out", tmp_path / "x.usda")
    assert "usd-core" in said and "pip install" in said
