"""`pipeline apply`: scripts on files, the same bytes again, and what it says to bad input."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from splatworks.pipeline.cli import main
from splatworks.stages.formats import edits, regions, splats

from . import scene_setup as made

TOP = edits.Select(
    layer="one", term=regions.Term(shape=regions.Plane(point=(0, 0, 0), normal=(0, 1, 0)))
)
EDITS = (
    TOP,
    edits.Move(layer="one", translation=(0, 1, 0), rotation=(1, 0, 0, 1)),
    edits.Recolor(layer="one", saturation=0.5),
    edits.Separate(layer="one", name="lid"),
    edits.Center(layer="two", of="all"),
)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """A script and its two scenes, of different SH degree."""
    script = edits.save(edits.Script(("one", "two"), EDITS), tmp_path / "script.json")
    one = splats.save(made.cloud(60, 3), tmp_path / "a.ply")
    two = splats.save(made.cloud(40, 1, seed=1), tmp_path / "b.ply")
    return [str(script), str(one), str(two)]


def said(capsys: pytest.CaptureFixture[str]) -> str:
    text = capsys.readouterr().err
    assert "Traceback" not in text
    return text


def test_into_one_file(files, tmp_path: Path) -> None:
    assert main(["apply", *files, "--out", str(tmp_path / "out.ply")]) == 0
    out = splats.load(tmp_path / "out.ply")
    assert len(out) == 100 and out.sh.shape[1] == 16
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"script.json", "a.ply", "b.ply", "out.ply"}, "nothing else is left behind"


def test_into_a_run_directory_that_is_reused(files, tmp_path: Path, capsys) -> None:
    run = tmp_path / "run"
    assert main(["apply", *files, "--out", str(run), "--each"]) == 0
    folder = run / "latest" / "apply" / "scenes"
    assert sorted(p.name for p in folder.glob("*.ply")) == ["lid.ply", "one.ply", "two.ply"]
    assert json.loads((folder / "index.json").read_text())["scenes"][0] == {"name": "one"}
    report = json.loads((run / "latest" / "apply" / "report.json").read_text())
    assert [row["edit"] for row in report][-1] == "edit 5 (center)"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    capsys.readouterr()
    assert main(["apply", *files, "--out", str(run), "--each"]) == 0
    assert "reused" in capsys.readouterr().out
    assert main(["apply", *files, "--out", str(tmp_path / "other"), "--each"]) == 0
    again = tmp_path / "other" / "latest" / "apply" / "scenes"
    assert {path.name: path.read_bytes() for path in again.iterdir()} == before
    # A changed scene is another result.
    splats.save(made.cloud(40, 1, seed=2), Path(files[2]))
    capsys.readouterr()
    assert main(["apply", *files, "--out", str(run), "--each"]) == 0
    assert "made" in capsys.readouterr().out


def test_no_edits_are_the_original_bytes(tmp_path: Path) -> None:
    script = str(edits.save(edits.Script(("one",), (replace(TOP), EDITS[1])), tmp_path / "s.json"))
    scene = splats.save(
        replace(made.cloud(30), sidecar=splats.Sidecar(up_axis="+z")), tmp_path / "a.ply"
    )
    whole = ["apply", script, str(scene), "--out"]
    assert main([*whole, str(tmp_path / "whole.ply")]) == 0
    assert (tmp_path / "whole.ply").read_bytes() != scene.read_bytes()
    assert main([*whole, str(tmp_path / "none.ply"), "--upto", "0"]) == 0
    for name in ("none.ply", "none.json"):
        original = scene.with_suffix(Path(name).suffix)
        assert (tmp_path / name).read_bytes() == original.read_bytes()
    # Over an older result, whose sidecar must not stay.
    assert main([*whole, str(tmp_path / "none.ply"), "--upto", "1"]) == 0
    plain = splats.save(made.cloud(30), tmp_path / "b.ply")
    words = ["apply", script, str(plain), "--out", str(tmp_path / "none.ply"), "--upto", "1"]
    assert main(words) == 0
    assert not (tmp_path / "none.json").exists()


def test_the_stage_alone_and_its_result_as_its_input(files, tmp_path: Path) -> None:
    words = ["apply", *files, "--out", str(tmp_path / "first"), "--each"]
    assert main(words) == 0
    scenes = tmp_path / "first" / "latest" / "apply" / "scenes"
    join = edits.Script(("x", "y", "z"), (edits.Merge(layer="z", others=("x", "y")),))
    script = edits.save(join, tmp_path / "join.json")
    words = ["step", "apply", "--inputs.script", str(script)]
    words += ["--inputs.scenes", f"scenes/1:{scenes}", "--out", str(tmp_path / "second")]
    assert main(words) == 0
    out = splats.load(tmp_path / "second" / "latest" / "apply" / "scene.ply")
    parts = [splats.load(scenes / f"{name}.ply") for name in ("lid", "one", "two")]
    expected = np.concatenate([part.means for part in parts])
    assert (out.means == expected).all()


def test_a_warning_reaches_the_user(files, tmp_path: Path, capsys) -> None:
    stretch = edits.Stretch(layer="one", of="all", factors=(1, 2, 1))
    edits.save(edits.Script(("one", "two"), (stretch,)), Path(files[0]))
    assert main(["apply", *files, "--out", str(tmp_path / "run")]) == 0
    assert "edit 1 (stretch): one has view-dependent colors" in said(capsys)
    report = json.loads((tmp_path / "run" / "latest" / "apply" / "report.json").read_text())
    assert "no exact answer" in report[0]["warning"]


def spoil(path: Path) -> None:
    """One NaN in the first mean."""
    data = bytearray(path.read_bytes())
    start = data.index(b"end_header\n") + 11
    data[start : start + 4] = np.float32(np.nan).tobytes()
    path.write_bytes(data)


def test_bad_input_is_one_line_and_writes_nothing(files, tmp_path: Path, capsys) -> None:
    script, one, two = files
    out = tmp_path / "out.ply"

    def refused(words: list[str], message: str) -> None:
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        assert main(["apply", *words]) == 2
        text = said(capsys)
        assert message in text, text
        assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before

    def with_edits(*some: edits.Edit, scenes=("one", "two")) -> None:
        edits.save(edits.Script(scenes, some), Path(script))

    refused([script, one, "--out", str(out)], "is for 2 scenes (one, two), got 1")
    refused([script, one, str(tmp_path / "no.ply"), "--out", str(out)], "no.ply: no such file")
    refused([script, one, two, "--out", one], "is a scene to be read")
    refused([script, one, two, "--out", str(tmp_path / "no" / "out.ply")], "no directory")
    refused([script, one, two, "--out", str(out), "--each"], "need a directory")
    refused([script, one, two, "--out", str(out), "--upto", "-1"], "--upto -1")
    refused([one, one, two, "--out", str(out)], "a.ply: can not be read as text")
    (tmp_path / "out.json").write_text("{}")
    refused([script, one, two, "--out", str(out)], "out.json stands where its sidecar belongs")
    (tmp_path / "out.json").unlink()

    with_edits(edits.Delete(layer="one"))
    refused([*files, "--out", str(out)], "script.json: edit 1 (delete): nothing is selected in")
    with_edits(edits.Merge(layer="one", others=("three",)))
    refused([*files, "--out", str(out)], "edit 1 (merge): no layer 'three'; there is one, two")
    with_edits(edits.Move(layer="one", of="all", scale=1e39))
    refused([*files, "--out", str(out)], "layer one: after the edits, ")
    text = Path(script).read_text().replace("edits/1", "edits/7")
    Path(script).write_text(text)
    refused([*files, "--out", str(out)], "is edits/7, written by a newer version of Splatworks")
    Path(script).write_text('{"kind": "edits/1", "scenes": ["../one", "two"], "edits": []}')
    refused([*files, "--out", str(out)], "'../one' can not name a layer")
    with_edits()
    spoil(Path(one))
    refused([*files, "--out", str(out)], "x holds 1 NaN and 0 infinite values")
    with_edits(scenes=("one",))
    sidecar = splats.Sidecar(antialiased=True)
    splats.save(replace(made.cloud(5), sidecar=sidecar), Path(one))
    with_edits()
    refused([*files, "--out", str(out)], "all layers in one file: antialiased is True in one")
