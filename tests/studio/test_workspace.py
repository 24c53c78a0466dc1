"""The session on disk: nothing is lost, what is saved can be replayed to the same bytes."""

import threading
import time
from pathlib import Path

import pytest
from splatworks.pipeline.cli import main
from splatworks.pipeline.errors import InputError, StorageError
from splatworks.stages.formats import edits, regions, splats
from splatworks.studio.job import Job, Stopped
from splatworks.studio.still import Rest
from splatworks.studio.workspace import Workspace, layer_names, open_workspace

from ..stages import scene_setup as made
from .scenes import files, looking, workspace

SELECT = edits.Select(
    layer="torus",
    term=regions.Term(shape=regions.Plane(point=(0.42, 0, 0), normal=(1, 0, 0))),
)
MOVE = edits.Move(layer="torus", rotation=(1, 0.1, 0, 0), translation=(0, 0.05, 0))
RECOLOR = edits.Recolor(layer="ball", of="all", saturation=0.5)
STITCH = edits.Stitch(layer="torus", source="ball", iterations=(5, 5), views=3, size_px=32)


def silent(done: int, total: int, note: str) -> None: ...


def test_every_edit_is_on_disk_when_it_is_done(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    heard = []
    space.watch(lambda: heard.append(len(edits.load(space.script_path).edits)))
    for edit in (SELECT, MOVE, RECOLOR):
        space.do(edit)
    assert edits.load(space.script_path).edits == (SELECT, MOVE, RECOLOR)
    assert space.undo() and space.counts == (2, 1) and space.redo() and not space.redo()
    assert heard == [1, 2, 3, 2, 3], "pages hear of it when it is on disk"


def test_a_failed_edit_changes_nothing(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    before, script = space.scene, space.script_path.read_bytes()
    with pytest.raises(InputError, match="nothing is selected in layer torus"):
        space.do(MOVE)
    assert space.scene is before and space.script_path.read_bytes() == script


def test_opening_again_goes_on(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    for edit in (SELECT, MOVE):
        space.do(edit)
    again, count = open_workspace(files(tmp_path / "in"), tmp_path / "out", threads=1)
    assert count == 2 and again.counts == (2, 0)
    assert (
        made.same_bits(again.scene.layer("torus").values, space.scene.layer("torus").values)
        and (again.scene.layer("torus").selected == space.scene.layer("torus").selected).all()
    )


def replayed(space: Workspace, saved: list[Path], folder: Path, *words: str) -> bytes:
    """The bytes that the command line makes of the saved script."""
    scenes = [str(folder / "in" / f"{name}.ply") for name in ("torus", "ball")]
    out = folder / "replayed.ply"
    assert main(["apply", str(saved[-1]), *scenes, "--out", str(out), *words]) == 0
    return out.read_bytes()


def test_what_is_saved_is_what_the_command_line_makes_of_its_script(tmp_path: Path) -> None:
    space, eye = workspace(tmp_path), looking()
    from splatworks.studio import gestures

    pick = gestures.Pick(layer="torus", through="visible")
    space.do(gestures.rectangle(eye, (0.5, 0.1), (0.9, 0.9), pick))
    space.do(gestures.move("torus", "selection", turn_deg=(3, 0, 5), scale=1.1))
    space.do(gestures.brush(eye, [(0.75, 0.4), (0.75, 0.55)], pick))
    space.do(edits.Recolor(layer="torus", brightness=0.1))
    space.do_long(STITCH, silent)
    space.do(edits.Delete(layer="torus"))
    space.undo()
    saved = space.save_scene("scene")
    assert [path.name for path in saved] == ["scene.ply", "scene.edits.json"]
    assert replayed(space, saved, tmp_path) == saved[0].read_bytes()
    space.undo()
    other = space.save_scene("scene")
    assert other[0].name == "scene-2.ply" and other[0].read_bytes() != saved[0].read_bytes()


def test_nothing_edited_is_saved_byte_for_byte(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    space.do(RECOLOR)
    space.undo()
    torus, ball, _ = space.save_scene("as it was", each=True)
    assert torus.name == "as it was-torus.ply"
    assert torus.read_bytes() == (tmp_path / "in" / "torus.ply").read_bytes()
    assert ball.read_bytes() == (tmp_path / "in" / "ball.ply").read_bytes()


@pytest.mark.parametrize("name", ["../x", "a/b", "..", "", "con", ".hidden", "x\n", "a" * 99])
def test_names_that_are_no_file_of_the_folder_are_refused(name: str, tmp_path: Path) -> None:
    space = workspace(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match="can not name"):
        space.save_scene(name)
    assert sorted(tmp_path.rglob("*")) == before


def test_nothing_in_the_folder_is_overwritten(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    (space.folder / "a.ply").write_text("mine")
    (space.folder / "b.json").write_text("mine")
    assert space.save_scene("a")[0].name == "a-2.ply"
    assert space.save_scene("b")[0].name == "b-2.ply"
    assert space.save_scene("edits")[0].name == "edits-2.ply", "edits.json is the script"
    assert space.keep_file("view", ".png", b"1").name == "view.png"
    assert space.keep_file("view", ".png", b"2").name == "view-2.png"


def test_a_script_of_other_scenes_or_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    paths, out = files(tmp_path / "in"), tmp_path / "out"
    out.mkdir()
    kept = edits.save(edits.Script(("horse", "bag"), ()), out / "edits.json")
    before = kept.read_bytes()
    with pytest.raises(InputError, match="is for the scenes horse, bag, got torus, ball"):
        open_workspace(paths, out, threads=1)
    kept.write_bytes(before.replace(b"edits/1", b"edits/2"))
    with pytest.raises(InputError, match="written by a newer version"):
        open_workspace(paths, out, threads=1)
    assert kept.read_bytes() == before.replace(b"edits/1", b"edits/2")


def test_a_script_can_be_where_one_begins(tmp_path: Path) -> None:
    paths = files(tmp_path / "in")
    script = edits.save(
        edits.Script(("a", "b"), (edits.Center(layer="a", of="all"),)), tmp_path / "s.json"
    )
    space, count = open_workspace(paths, tmp_path / "out", script, threads=1)
    assert count == 1 and [layer.name for layer in space.scene.layers] == ["a", "b"]
    with pytest.raises(InputError, match="there are edits already"):
        open_workspace(paths, tmp_path / "out", script, threads=1)
    broken = edits.save(edits.Script(("a", "b"), (edits.Delete(layer="a"),)), tmp_path / "t.json")
    with pytest.raises(InputError, match=r"t.json: edit 1 \(delete\): nothing is selected"):
        open_workspace(paths, tmp_path / "other", broken, threads=1)


def test_layers_are_named_like_files_that_may_be_called_anything() -> None:
    names = ["a.ply", "b/A.ply", "c d!.ply", "..ply", "-x.ply", "名前.ply", f"{'l' * 99}.ply"]
    found = layer_names([Path(name) for name in names])
    assert found[:3] == ("a", "A-2", "c d_") and found[5] == "名前"
    assert len({name.lower() for name in found}) == len(found)


def test_what_can_not_be_written_down_is_said(tmp_path: Path, monkeypatch) -> None:
    space = workspace(tmp_path)

    def full(*_) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(edits, "save", full)
    heard = []
    space.watch(lambda: heard.append(space.counts))
    with pytest.raises(StorageError, match="could not be written down \\(No space left"):
        space.do(SELECT)
    assert heard == [(1, 0)]
    monkeypatch.undo()
    space.do(MOVE)
    assert edits.load(space.script_path).edits == (SELECT, MOVE)


def test_a_stitch_reports_can_be_stopped_and_keeps_others_out(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    told, refused = [], []

    def report(done: int, total: int, note: str) -> None:
        told.append((done, total))
        if done == 3:
            with pytest.raises(InputError, match="another edit is at work"):
                space.do(SELECT)
            refused.append(True)
            space.job.stop()

    before = space.scene
    with pytest.raises(Stopped):
        space.do_long(STITCH, report)
    assert told == [(1, 10), (2, 10), (3, 10)] and refused
    assert space.scene is before and not edits.load(space.script_path).edits
    assert not space.job.running and not list(space.ctx.scratch.iterdir())
    assert "color difference" in space.do_long(STITCH, silent).said
    seen = []
    space.do_long(STITCH, lambda *told: seen.append(told))
    count = len(seen)
    space.do(STITCH)
    assert count == 10 and len(seen) == count, "only the one that was asked for reports"


def test_a_preview_leaves_the_script_alone(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    seen = []
    outcome = Job().preview(space.scene, STITCH, space.ctx, lambda *told: seen.append(told[:2]))
    assert seen[-1] == (60, 60) and space.counts == (0, 0)
    assert not made.same_bits(
        outcome.scene.layer("torus").values, space.scene.layer("torus").values
    )


def test_parts_that_do_not_meet_are_said(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    space.do(edits.Move(layer="torus", of="all", translation=(9, 0, 0)))
    with pytest.raises(InputError, match="do not meet"):
        space.do_long(STITCH, silent)
    assert space.counts == (1, 0)


def test_two_pages_at_once(tmp_path: Path) -> None:
    """Every edit of both is done, in some order, and all are in the script."""
    space = workspace(tmp_path)

    def one() -> None:
        for _ in range(20):
            space.do(edits.Move(layer="torus", of="all", translation=(0.01, 0, 0)))

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert space.counts == (40, 0) and len(edits.load(space.script_path).edits) == 40
    moved = splats.load(space.save_scene("x", each=True)[0]).means[:, 0]
    assert abs(float((moved - files_means(tmp_path)).mean()) - 0.4) < 1e-5


def files_means(folder: Path):
    return splats.load(folder / "in" / "torus.ply").means[:, 0]


def test_something_at_rest_is_done_once_and_old_work_is_not_wanted() -> None:
    done, begun = [], threading.Event()

    def work(wanted) -> None:
        begun.set()
        time.sleep(0.1)
        done.append(wanted())

    rest = Rest(work, rest_s=0.05)
    for _ in range(5):
        rest.stir()
    assert begun.wait(5)
    rest.stir(at_once=True)
    deadline = time.monotonic() + 5
    while len(done) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.2)
    rest.close()
    assert done == [False, True]
