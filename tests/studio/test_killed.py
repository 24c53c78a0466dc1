"""`kill -9` in the middle of anything: what was done is there, and nothing is left lying about."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from splatworks.stages.formats import edits
from splatworks.studio.workspace import open_workspace

from .scenes import files

WORK = """
import sys
from pathlib import Path
from splatworks.stages.formats import edits
from splatworks.studio.workspace import open_workspace

out, torus, ball, task, number = *map(Path, sys.argv[1:4]), sys.argv[4], int(sys.argv[5])
space, _ = open_workspace([torus, ball], out, threads=1)
print("open", flush=True)
while task == "edits":
    if number % 4 == 3:
        space.undo()
    else:
        space.do(edits.Move(layer="torus", of="all", translation=(number / 1000, 0, 0)))
    number += 1
    print(number, flush=True)
edit = edits.Stitch(layer="torus", source="ball", iterations=(1_000_000, 0), views=2, size_px=32)
space.do_long(edit, lambda done, total, note: print("stitching", flush=True))
"""


@contextmanager
def at_work(scenes: list[Path], out: Path, task: str, number: int) -> Iterator[subprocess.Popen]:
    words = [sys.executable, "-c", WORK, out, *scenes, task, number]
    process = subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE, text=True)
    with process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "open\n"
            yield process
        finally:
            os.kill(process.pid, signal.SIGKILL)


def shifts(count: int) -> list[float]:
    """What is in the script after so many of the edits and undos above."""
    found: list[float] = []
    for number in range(count):
        if number % 4 == 3:
            found.pop()
        else:
            found.append(number / 1000)
    return found


def test_at_any_moment_every_edit_that_was_done_is_in_the_script(tmp_path: Path) -> None:
    scenes, out, done = files(tmp_path / "in", 60), tmp_path / "out", 0
    for seed in range(3):
        with at_work(scenes, out, "edits", done) as process:
            time.sleep(random.Random(seed).uniform(0.05, 0.6))
            process.kill()
            assert process.stdout is not None
            said = process.stdout.read().split()
        assert said, "killed before it had done anything"
        told = int(said[-1])
        rows = json.loads((out / "edits.json").read_text("utf-8"))["edits"]
        found = [row["translation"][0] for row in rows]
        # Killed between writing it down and telling, one more is done.
        done = told if found == shifts(told) else told + 1
        assert found == shifts(done)
    space, count = open_workspace(scenes, out, threads=1)
    assert count == len(shifts(done)) == space.counts[0]
    assert sorted(path.name for path in out.iterdir()) == ["edits.json"], "nothing else is left"


def test_in_a_stitch_what_was_before_it_is_kept_and_it_can_be_done_again(tmp_path: Path) -> None:
    scenes, out = files(tmp_path / "in", 200), tmp_path / "out"
    space, _ = open_workspace(scenes, out, threads=1)
    move = edits.Move(layer="torus", of="all", translation=(0.01, 0, 0))
    space.do(move)
    with at_work(scenes, out, "stitch", 0) as process:
        assert process.stdout is not None and process.stdout.readline() == "stitching\n"
    assert list((out / ".scratch").iterdir()), "it was killed in the middle"
    space, count = open_workspace(scenes, out, threads=1)
    assert count == 1 and edits.load(space.script_path).edits == (move,)
    assert sorted(path.name for path in out.iterdir()) == ["edits.json"], "nothing else is left"
    stitch = edits.Stitch(layer="torus", source="ball", iterations=(5, 5), views=2, size_px=32)
    assert "color difference" in space.do_long(stitch, lambda *_: None).said
    assert space.counts == (2, 0)
