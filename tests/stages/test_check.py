"""The linter: says everything at once, changes nothing, and knows what is sound."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import trimesh
from splatworks.pipeline.cli import main
from splatworks.stages.check.lint import lint
from splatworks.stages.formats import splats

from . import photo_folders as made
from .splat_objects import sphere


def said(path: Path, report: Path) -> dict[str, list[str]]:
    """What was remarked, by level, with the kind under `kind`."""
    document = json.loads(lint(path, report).read_text())
    out: dict[str, list[str]] = {"kind": [document["kind"]]}
    for level in ("fact", "note", "warning", "error"):
        out[level] = [r["what"] for r in document["remarks"] if r["level"] == level]
    return out


def some(found: list[str], *parts: str) -> bool:
    return any(all(part in text for part in parts) for text in found)


@pytest.fixture
def scene(tmp_path) -> Path:
    return splats.save(sphere(500, 0.5, (0, 0, 0)), tmp_path / "scene.ply")


def rewritten(path: Path, change) -> Path:
    """The PLY with its table changed in place."""
    header, _, body = path.read_bytes().partition(b"end_header\n")
    names = [line.split()[2].decode() for line in header.split(b"\n") if b"property" in line]
    rows = np.frombuffer(body, np.dtype([(name, "<f4") for name in names])).copy()
    change(rows)
    path.write_bytes(header + b"end_header\n" + rows.tobytes())
    return path


def test_sound_splats_have_facts_only(scene, tmp_path) -> None:
    found = said(scene, tmp_path / "r.json")
    assert found["kind"] == ["splats"] and not found["warning"] and not found["error"]
    assert some(found["fact"], "500 Gaussians") and some(found["fact"], "degree 0")
    assert some(found["fact"], "bounds (-0.", "to (0.4") and some(found["fact"], "as .splat")


def test_all_that_is_wrong_with_splats_is_said_at_once(scene, tmp_path) -> None:
    def change(rows) -> None:
        rows["x"][3] = np.nan
        rows["opacity"][7] = np.inf
        rows["scale_1"][9] = -np.inf
        for k in range(4):
            rows[f"rot_{k}"][11] = 0
        rows["y"][20] = 3e5

    rewritten(scene, change)
    before = scene.read_bytes()
    found = said(scene, tmp_path / "r.json")
    assert scene.read_bytes() == before
    assert some(found["error"], "x: 1 (0.2%)", "Gaussian 3")
    assert some(found["error"], "opacity: 1") and some(found["error"], "scale_1: 1")
    assert some(found["error"], "1 (0.2%) quaternions are zero")
    assert some(found["warning"], "far as 3e+05") and some(found["note"], "lie far outside")


def test_comments_order_and_saved_opacities(scene, tmp_path) -> None:
    rewritten(scene, lambda rows: rows["opacity"].__setitem__(slice(None), 0.7))
    data = scene.read_bytes().replace(b"format binary", b"format binary", 1)
    head, _, body = data.partition(b"end_header\n")
    head = head.replace(b"\nelement", b"\ncomment made by somebody\nelement", 1)
    lines = head.split(b"\n")
    x, y = lines.index(b"property float x"), lines.index(b"property float y")
    lines[x], lines[y] = lines[y], lines[x]
    scene.write_bytes(b"\n".join(lines) + b"end_header\n" + body)
    found = said(scene, tmp_path / "r.json")
    assert some(found["warning"], "comment lines") and some(found["warning"], "reference order")
    assert some(found["warning"], "saved after the sigmoid")


def test_wrong_numbers_of_coefficients_and_missing_fields(scene, tmp_path) -> None:
    data = scene.read_bytes()
    scene.write_bytes(data.replace(b"property float nx", b"property float f_rest_0"))
    assert some(said(scene, tmp_path / "r.json")["error"], "1 f_rest properties")
    scene.write_bytes(data.replace(b"property float rot_3", b"property float rat_3"))
    assert some(said(scene, tmp_path / "r.json")["error"], "lacks rot_3")
    scene.write_bytes(data[:-7])
    found = said(scene, tmp_path / "r.json")
    assert found["kind"] == ["unreadable"] and some(found["error"], "cut short")


def test_a_claimed_count_larger_than_the_file(scene, tmp_path) -> None:
    scene.write_bytes(scene.read_bytes().replace(b"vertex 500", b"vertex 99999999999"))
    assert some(said(scene, tmp_path / "r.json")["error"], "cut short", "promises 99999999999")


def test_a_box_is_sound_and_an_inverted_one_is_not(tmp_path) -> None:
    box = trimesh.creation.box()
    box.export(tmp_path / "box.glb")
    found = said(tmp_path / "box.glb", tmp_path / "r.json")
    assert some(found["fact"], "1 parts, 0 border edges, watertight")
    assert not found["warning"] and some(found["note"], "no textures")
    box.invert()
    box.apply_scale(5e3)
    box.export(tmp_path / "bad.glb")
    found = said(tmp_path / "bad.glb", tmp_path / "r.json")
    assert some(found["warning"], "inside out") and some(found["warning"], "huge")


def test_soup_is_described(tmp_path) -> None:
    box = trimesh.creation.box()
    faces = np.concatenate([box.faces[:10], box.faces[:1], [[0, 0, 1]]])
    trimesh.Trimesh(box.vertices, faces, process=False).export(tmp_path / "soup.ply")
    found = said(tmp_path / "soup.ply", tmp_path / "r.json")
    assert found["kind"] == ["mesh"]
    assert some(found["warning"], "1 (8.3%) triangles have no area")
    assert some(found["note"], "1 (8.3%) triangles lie on another")
    assert not some(found["fact"], "watertight")


def test_captures(tmp_path) -> None:
    folder = made.nerfstudio(tmp_path / "c", 9, k1=0.1)
    (folder / "images" / "004.png").unlink()
    pose = json.loads((folder / "transforms.json").read_text())["frames"][0]["transform_matrix"]
    made.edited(folder, lambda d: d["frames"][1].update(transform_matrix=pose))
    found = said(folder, tmp_path / "r.json")
    assert found["kind"] == ["capture"] and some(found["fact"], "8 photographs, up is +z")
    assert some(found["warning"], "1 (11.1%) of 9", "004.png")
    assert some(found["warning"], "1 cameras stand exactly")
    assert some(found["note"], "fewer than 20") and some(found["fact"], "8 with a lens that bends")


def test_the_command_and_its_exit_codes(scene, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert main(["check", "scene.ply"]) == 0
    out = capsys.readouterr().out
    assert (
        out.startswith("scene.ply: splats\n  500 Gaussians")
        and sorted(tmp_path.iterdir()) == before
    )
    rewritten(scene, lambda rows: rows["x"].__setitem__(3, np.nan))
    assert main(["check", str(scene)]) == 2
    assert "\nx x: 1 (0.2%) are not finite" in capsys.readouterr().out
    (tmp_path / "note.txt").write_text("hello")
    assert main(["check", "note.txt"]) == 2
    assert "neither a splat PLY" in capsys.readouterr().out
    assert main(["check", "nothing.ply"]) == 2
    assert "no such file" in capsys.readouterr().err
    (tmp_path / "empty.ply").write_bytes(struct.pack("<3s", b"ply"))
    assert main(["check", "empty.ply"]) == 2
