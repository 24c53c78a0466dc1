"""What reruns and what does not, what is noticed, and who waits for whom."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from splatworks.pipeline import store as store_module
from splatworks.pipeline.errors import ChangedError, ConfigError, InputError, StorageError
from splatworks.pipeline.execute import execute
from splatworks.pipeline.hashing import hash_artifact, hash_text
from splatworks.pipeline.machine import Machine
from splatworks.pipeline.manifest import read_manifest
from splatworks.pipeline.plan import Request, bind, request, step_seed
from splatworks.pipeline.recipe import Recipe, Step, load_recipe, parse_recipe, read_run
from splatworks.pipeline.runner import run_recipe
from splatworks.pipeline.store import Store
from toys import TABLE, upper
from toys.faults import contents, leftovers
from toys.kinds import TextDir

HERE = Path(__file__).parent
RECIPE = HERE / "toys" / "recipe.toml"


def toy(step: str = "", **config: object) -> Recipe:
    recipe = load_recipe(str(RECIPE))
    steps = (
        replace(s, config={**s.config, **config}) if s.name == step else s for s in recipe.steps
    )
    return replace(recipe, steps=tuple(steps))


def made(finished: list) -> list[str]:
    return [one.request.step for one in finished if not one.reused]


def test_a_second_run_reruns_nothing(tmp_path: Path) -> None:
    assert len(made(run_recipe(toy(), TABLE, Store(tmp_path)))) == 4
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}
    assert made(run_recipe(toy(), TABLE, Store(tmp_path))) == []
    after = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}
    for path in (tmp_path / ".locks").iterdir():
        before.pop(path), after.pop(path)
    assert before == after


def test_one_changed_setting_reruns_that_step_and_what_follows(tmp_path: Path) -> None:
    run_recipe(toy(), TABLE, Store(tmp_path))
    assert made(run_recipe(toy("turns", rounds=7), TABLE, Store(tmp_path))) == ["turns", "whole"]
    assert made(run_recipe(toy("whole", between="+"), TABLE, Store(tmp_path))) == ["whole"]
    # A setting that shapes nothing reruns nothing.
    assert made(run_recipe(toy("first", log_every=9), TABLE, Store(tmp_path))) == []


def test_a_rerun_with_the_same_outcome_stops_there(tmp_path: Path) -> None:
    """Keys hang on content: if `first` makes the same bytes again, nothing behind it reruns."""
    run_recipe(toy(), TABLE, Store(tmp_path))
    step = toy().steps[0]
    recipe = toy("first", word="hello")
    seed = step_seed(recipe.seed, "first")
    again = replace(recipe, steps=(replace(step, seed=seed), *recipe.steps[1:]))
    assert made(run_recipe(again, TABLE, Store(tmp_path))) == []


def test_keys_hang_on_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the place of the run, nor names of input files, nor step names with a fixed seed."""
    keys = set()
    for place in ("a", "b"):
        folder = tmp_path / place
        folder.mkdir()
        (folder / f"{place}.txt").write_text("same")
        only = Step(
            name=place, stage="upper", inputs={"text": str(folder / f"{place}.txt")}, seed=1
        )
        wanted = request(bind(Recipe(steps=(only,)), TABLE)[0], {})
        assert isinstance(wanted, Request)
        keys.add(wanted.key)
    assert len(keys) == 1


def test_the_key_is_what_the_design_says(tmp_path: Path) -> None:
    wanted = request(bind(toy(), TABLE)[0], {})
    assert isinstance(wanted, Request)
    text = (
        '{"config":{"times":3,"word":"hello"},"inputs":{},"schema":1,"seed":'
        f'{step_seed(7, "first")},"stage":"make","version":1}}'
    )
    assert wanted.key == hash_text(text)
    assert Request.from_json(wanted.to_json()) == wanted


def test_seeds_of_steps_are_their_own_and_stay_what_they_are() -> None:
    assert step_seed(7, "first") == 4631829526836958911  # Or no result could be made again.
    seeds = {step_seed(seed, name) for seed in (0, 1, -1) for name in ("a", "b", "0")}
    assert len(seeds) == 9
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_results_can_be_moved(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("hello")
    only = Step(name="up", stage="upper", inputs={"text": str(tmp_path / "old/inputs/text.txt")})
    (tmp_path / "old" / "inputs").mkdir(parents=True)
    (tmp_path / "text.txt").rename(tmp_path / "old/inputs/text.txt")
    run_recipe(Recipe(steps=(only,)), TABLE, Store(tmp_path / "old"))
    (tmp_path / "old").rename(tmp_path / "new")
    assert made(run_recipe(read_run(tmp_path / "new"), TABLE, Store(tmp_path / "new"))) == []


def tampered(tmp_path: Path, damage: str) -> tuple[Path, str]:
    run_recipe(toy(), TABLE, Store(tmp_path))
    file = tmp_path / "latest/turns/parts/1.txt"
    data = file.read_bytes()
    if damage == "edited":
        file.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    elif damage == "truncated":
        file.write_bytes(data[:5])
    elif damage == "deleted":
        file.unlink()
    elif damage == "added":
        (file.parent / "2.txt").write_text("more")
        return file.parent / "2.txt", "was added"
    elif damage == "manifest":
        file = tmp_path / "latest/turns/manifest.json"
        file.write_text(file.read_text().replace('"rounds": 6', '"rounds": 8'))
    elif damage == "manifest cut":
        file = tmp_path / "latest/turns/manifest.json"
        file.write_text(file.read_text()[:100])
    words = {
        "edited": "was changed after the step finished (sha256 ",
        "truncated": "was cut short after the step finished (5 bytes, manifest says 32)",
        "deleted": "is gone (manifest says 32 bytes)",
        "manifest": "was changed after the step finished",
        "manifest cut": "cannot be understood any more",
    }
    return file, words[damage]


@pytest.mark.parametrize(
    "damage", ["edited", "truncated", "deleted", "added", "manifest", "manifest cut"]
)
def test_what_was_changed_is_named_before_it_is_used(tmp_path: Path, damage: str) -> None:
    file, words = tampered(tmp_path, damage)
    expected = None
    with pytest.raises(ChangedError) as caught:
        run_recipe(toy("whole", between="+"), TABLE, Store(tmp_path))
    message = str(caught.value)
    folder = (tmp_path / "latest/turns").resolve()
    name = file.name if file.name.endswith(".json") else f"parts/{file.name}"
    assert f"{folder}/{name} {words}" in message
    assert message.endswith(f"Delete {folder} to have it made again.")
    # Doing what the message says mends it.
    expected = contents_without_turns(tmp_path)
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()
    assert made(run_recipe(toy(), TABLE, Store(tmp_path))) == ["turns"]
    assert contents_without_turns(tmp_path) == expected


def with_tray() -> Recipe:
    """`turns` lies in its step's directory itself, and `whole` reads it there."""
    first, loud, _, whole = toy().steps
    tray = Step(name="turns", stage="toys.tray", inputs={"text": "first.text"})
    return replace(toy(), steps=(first, loud, tray, whole))


@pytest.mark.parametrize("shared", [False, True])
def test_a_whole_directory_may_be_the_output(tmp_path: Path, shared: bool) -> None:
    """Found under `latest/STEP`; the runner's notes there, with the time in them, do not count."""
    store = Store(tmp_path / "run", tmp_path / "store" if shared else None)
    finished = run_recipe(with_tray(), TABLE, store)
    folder = tmp_path / "run/latest/turns"
    assert (folder / "a.txt").is_file() and (folder / "b/c.txt").is_file()
    assert (folder / "provenance.json").is_file()
    made_hash = finished[2].manifest.outputs["parts"].hash
    assert hash_artifact(TextDir(folder)) == made_hash
    assert made(run_recipe(with_tray(), TABLE, store)) == []
    # As an input from outside it is the same as its bare files.
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "manifest.json").unlink()
    with_one_note = hash_artifact(TextDir(copy))
    (copy / "provenance.json").unlink()
    assert hash_artifact(TextDir(copy)) == made_hash != with_one_note
    # What is added there is found before it is used.
    (folder / "b" / "e.txt").write_text("more")
    with pytest.raises(ChangedError, match=r"b/e\.txt was added after the step finished"):
        run_recipe(with_tray(), TABLE, store)


@pytest.mark.parametrize("name", ["manifest.json", "provenance.json"])
def test_the_names_of_the_notes_are_the_runners_own(tmp_path: Path, name: str) -> None:
    only = Step(name="t", stage="toys.tray", inputs={"text": "x.txt"}, config={"names": [name]})
    (tmp_path / "x.txt").write_text("x")
    recipe = Recipe(steps=(only,), base=tmp_path)
    with pytest.raises(RuntimeError, match=rf"wrote {name}, which is the runner's own name"):
        run_recipe(recipe, TABLE, Store(tmp_path / "run"))
    assert list(Store(tmp_path / "run").results()) == []


def contents_without_turns(run: Path) -> dict[str, bytes]:
    files = run.glob("latest/[!t]*/*")
    return {str(f): f.read_bytes() for f in files if f.name != "provenance.json"}


def test_a_step_without_its_inputs_unchanged_is_refused(tmp_path: Path) -> None:
    """`execute` alone, as a farm calls it: the request promises the content of the inputs."""
    text = tmp_path / "text.txt"
    text.write_text("hello")
    only = Step(name="up", stage="upper", inputs={"text": str(text)})
    wanted = request(bind(Recipe(steps=(only,)), TABLE)[0], {})
    assert isinstance(wanted, Request)
    text.write_text("other")
    with pytest.raises(ChangedError, match=r"text\.txt changed while it was in use"):
        execute(wanted, Store(tmp_path / "run"))
    text.unlink()
    with pytest.raises(InputError, match=r"text\.txt is gone"):
        execute(wanted, Store(tmp_path / "run"))
    text.write_text("hello")
    manifest = execute(Request.from_json(wanted.to_json()), Store(tmp_path / "run"))
    assert read_manifest(tmp_path / "run" / wanted.label) == manifest


def test_an_input_that_changes_under_a_running_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The result would be filed under a key that it does not belong to."""
    text = tmp_path / "text.txt"
    text.write_text("hello")
    real = upper.run

    def meddle(*args: object) -> object:
        text.write_text("other")
        return real(*args)

    monkeypatch.setattr(upper, "run", meddle)
    recipe = Recipe(steps=(Step(name="up", stage="upper", inputs={"text": str(text)}),))
    with pytest.raises(ChangedError, match=r"text\.txt changed while it was in use"):
        run_recipe(recipe, TABLE, Store(tmp_path / "run"))
    assert list(Store(tmp_path / "run").results()) == []
    assert made(run_recipe(recipe, TABLE, Store(tmp_path / "run"))) == ["up"]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_out_of_memory_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*args: object) -> None:
        raise error

    monkeypatch.setattr(upper, "run", fail)
    with pytest.raises(StorageError, match=r"^step 'loud': out of memory\. Close"):
        run_recipe(toy(), TABLE, Store(tmp_path))


@pytest.mark.parametrize(
    "error",
    [
        OSError("28 requested and 0 written: No space left on device"),  # numpy's tofile
        RuntimeError("Error while serializing: IoError(Os { code: 28 }): os error 28"),
    ],
)
def test_a_full_disk_that_a_library_reports_in_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*args: object) -> None:
        raise error

    monkeypatch.setattr(upper, "run", fail)
    with pytest.raises(StorageError, match=r"^step 'loud': the disk of .* is full\. Free some"):
        run_recipe(toy(), TABLE, Store(tmp_path))


def test_a_step_continues_from_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = 0

    class Count:
        def advance(self, steps: int = 1, note: str = "") -> None:
            nonlocal rounds
            rounds += 1
            if rounds == 5:
                raise KeyboardInterrupt

    @contextmanager
    def progress(title: str, total: int, done: int = 0) -> Iterator[Count]:
        yield Count()

    machine = Machine(progress=progress)
    with pytest.raises(KeyboardInterrupt):
        run_recipe(toy(), TABLE, Store(tmp_path), machine)
    assert made(run_recipe(toy(), TABLE, Store(tmp_path), machine)) == ["turns", "whole"]
    assert rounds == 5 + 2  # Four of six rounds were in the checkpoint.
    about = json.loads((tmp_path / "latest/turns/provenance.json").read_text())
    assert about["resumed"] is True
    run_recipe(toy(), TABLE, Store(tmp_path / "whole"))
    assert contents(tmp_path) == contents(tmp_path / "whole")


def test_provenance(tmp_path: Path) -> None:
    run_recipe(toy(), TABLE, Store(tmp_path))
    about = json.loads((tmp_path / "latest/turns/provenance.json").read_text())
    assert {"started", "finished", "wall_s", "host", "versions", "commit", "device"} <= {*about}
    assert about["peak_memory_bytes"] > 1_000_000
    assert about["resumed"] is False
    assert about["config"] == {"rounds": 6, "pause_s": 0.0}
    assert "pause_s" not in (tmp_path / "latest/turns/manifest.json").read_text()


def test_a_shared_store_is_used_by_several_runs(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    run_recipe(toy(), TABLE, Store(tmp_path / "a", shared))
    assert made(run_recipe(toy(), TABLE, Store(tmp_path / "b", shared))) == []
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    # Cleared, it is filled again, and the links of the first run are renewed.
    for folder in shared.iterdir():
        if folder.name.startswith("make"):
            store_module.remove(folder)
    assert made(run_recipe(toy(), TABLE, Store(tmp_path / "a", shared))) == ["first"]


def test_without_links_results_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    run_recipe(toy(), TABLE, Store(tmp_path / "expected"))
    monkeypatch.setattr(os, "symlink", refuse)
    for shared in (None, tmp_path / "shared"):
        run = tmp_path / f"run{bool(shared)}"
        for _ in range(2):
            run_recipe(toy(), TABLE, Store(run, shared))
        latest = Store(run).latest()
        assert sorted(latest) == ["first", "loud", "turns", "whole"]
        joined = (latest["whole"] / "joined.txt").read_bytes()
        assert joined == (tmp_path / "expected/latest/whole/joined.txt").read_bytes()


WRONG_RECIPES = [
    ("", "r has no steps. Write each as a [[step]] table."),
    ("seed = 'x'", "r has no steps. Write each as a [[step]] table."),
    ("x = 1\n[[step]]", "r: 'x' means nothing here. There is: arguments, seed, step."),
    ("[[step]]\nname='A'\nstage='make'", "r, step 1: the name 'A' must be lower-case letters,"
     " digits, '-' and '_'."),
    ("[[step]]\nname='a'", "r, step 1 ('a'): 'stage' is missing."),
    ("[[step]]\nname='a'\nstage='make'\n[[step]]\nname='a'\nstage='make'",
     "r: two steps are called 'a'. Rename one."),
    ("[[step]]\nname='a'\nstage='mak'", "step 'a': 'mak' is not a stage. Did you mean 'make'?"),
    ("[[step]]\nname='a'\nstage='no.such'", "step 'a': the module no.such of stage 'no.such' cannot"
     " be found. Install the package that holds it, or mend the name."),
    ("[[step]]\nname='a'\nstage='toys'", "step 'a': 'toys' is not a stage. There is: join, loop,"
     " make, upper."),
    ("[[step]]\nname='a'\nstage='toys.kinds'", "step 'a': toys.kinds is not a stage: it lacks"
     " VERSION, Inputs, Config, Outputs, run."),
    ("[[step]]\nname='a'\nstage='make'\ninputs={x='y'}", "step 'a' has no input 'x'."),
    ("[[step]]\nname='a'\nstage='upper'", "step 'a': input 'text' (text/1) is not given."),
    ("[[step]]\nname='a'\nstage='upper'\ninputs={txt='y'}", "step 'a' has no input 'txt'."
     " Did you mean 'text'?"),
    ("[[step]]\nname='a'\nstage='upper'\ninputs={text='y.text'}", "step 'a': input 'text' wants"
     " text/1, but y.text does not exist. Did you mean 'a.text'?"),
    ("[[step]]\nname='m'\nstage='make'\n[[step]]\nname='a'\nstage='upper'\ninputs={text='m.txt'}",
     "step 'a': input 'text' wants text/1, but m.txt does not exist. Did you mean 'text'?"),
    ("[[step]]\nname='m'\nstage='make'\n[[step]]\nname='l'\nstage='loop'\ninputs={text='m.text'}\n"
     "[[step]]\nname='a'\nstage='upper'\ninputs={text='l.parts'}",
     "step 'a': input 'text' wants text/1, but l.parts is texts/1. Fitting would be: m.text."),
    ("[[step]]\nname='a'\nstage='upper'\ninputs={text='$what'}",
     "step 'a': input 'text' wants text/1, but $what is not given."),
    ("[[step]]\nname='a'\nstage='upper'\ninputs={text='b.text'}\n"
     "[[step]]\nname='b'\nstage='upper'\ninputs={text='a.text'}",
     "the steps wait for each other in a circle: a -> b -> a."),
    ("[[step]]\nname='a'\nstage='make'\nconfig={tims=3}",
     "step.a.config.tims is not a setting. Did you mean 'times'?"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), WRONG_RECIPES, ids=range(len(WRONG_RECIPES)))
def test_wrong_recipes(text: str, message: str) -> None:
    with pytest.raises((ConfigError, InputError)) as caught:
        bind(parse_recipe(text, "r"), TABLE)
    assert str(caught.value) == message


def test_an_input_of_several_kinds(tmp_path: Path) -> None:
    recipe = toy()
    whole = recipe.steps[-1]

    def with_more(source: str) -> Recipe:
        inputs = {**whole.inputs, "more": source}
        return replace(recipe, steps=(*recipe.steps[:-1], replace(whole, inputs=inputs)))

    bind(with_more("turns.parts"), TABLE)
    bind(with_more("loud.text"), TABLE)
    file = tmp_path / "x.txt"
    file.write_text("x")
    with pytest.raises(ConfigError, match=r"kind of .*x\.txt is not stated\. Write 'text/1:"):
        bind(with_more(str(file)), TABLE)
    run_recipe(with_more(f"text/1:{file}"), TABLE, Store(tmp_path / "run"))
    assert made(run_recipe(read_run(tmp_path / "run"), TABLE, Store(tmp_path / "run"))) == []


SLOW_LINE = [
    *(sys.executable, "-m", "splatworks.pipeline.cli", "run", str(RECIPE)),
    *("--set", "turns.rounds=40", "--set", "turns.pause_s=0.05", "--out"),
]


def start(run: Path, *more: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(HERE)}
    return subprocess.Popen(
        [*SLOW_LINE, str(run), *more],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(path: Path, pattern: str) -> None:
    for _ in range(600):
        if list(path.glob(pattern)):
            return
        time.sleep(0.05)
    raise AssertionError(f"{pattern} did not appear")


def quick(run: Path) -> list:
    recipe = toy("turns", rounds=40)
    return run_recipe(recipe, TABLE, Store(run))


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_stopped_by_a_signal_and_continued(tmp_path: Path, number: signal.Signals) -> None:
    process = start(tmp_path / "run")
    wait_for(tmp_path / "run", ".scratch/turns-*/checkpoints/state.json")
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    if number is signal.SIGKILL:
        assert process.returncode == -9
    else:
        assert process.returncode == 130
        last = said.splitlines()[-1]
        assert last == "splatworks: interrupted. Run the same line again to continue."
    # Without pauses the rest goes quickly; a pause is no part of the key.
    assert made(run_with_names(tmp_path / "run")) == ["turns", "whole"]
    run_with_names(tmp_path / "whole")
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")
    assert leftovers(tmp_path / "run") == []


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_waits_for_nobody(tmp_path: Path, number: signal.Signals) -> None:
    """Neither for threads at work, nor for what libraries do on leaving: both take a minute."""
    run = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "splatworks.pipeline.cli", "step", "toys.stuck", "--out", str(run)],
        env=os.environ | {"PYTHONPATH": str(HERE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(run, ".scratch/stuck-*/checkpoints/checkpoint")
    time.sleep(0.3)
    process.send_signal(number)
    said = process.communicate(timeout=20)[1]
    assert process.returncode == 130, said
    assert said.splitlines()[-1] == "splatworks: interrupted. Run the same line again to continue."
    (kept,) = run.glob(".scratch/stuck-*/checkpoints/checkpoint")
    assert kept.read_text() == "so far"


def run_with_names(run: Path) -> list:
    """The toy recipe as the command line sees it: its stages go by their module paths."""
    return run_recipe(toy("turns", rounds=40), {}, Store(run))


@pytest.mark.parametrize("shared", [False, True], ids=["one run", "one store"])
def test_two_processes_at_once(tmp_path: Path, shared: bool) -> None:
    """The second waits and then reuses."""
    more = ["--store", str(tmp_path / "store")] if shared else []
    runs = [tmp_path / "a", tmp_path / ("b" if shared else "a")]
    processes = [start(run, *more) for run in runs]
    answers = [p.communicate(timeout=60) for p in processes]
    assert [p.returncode for p in processes] == [0, 0], answers
    lines = [line for out, _ in answers for line in out.splitlines()[1:]]
    assert sum(" made " in line for line in lines) == 4, lines
    assert sum(" reused " in line for line in lines) == 4, lines
    assert any("waiting" in said for _, said in answers), answers
    run_with_names(tmp_path / "whole")
    for run in runs:
        assert contents(run) == contents(tmp_path / "whole")
        assert leftovers(run) == []


def test_threads_of_one_process_do_not_harm_each_other(tmp_path: Path) -> None:
    finished: list[list] = []
    threads = [
        threading.Thread(
            target=lambda: finished.append(run_recipe(toy(), TABLE, Store(tmp_path / "run")))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(len(made(f)) for f in finished) == 4
    assert len(finished) == 4


def test_a_plan_may_wait_for_arguments() -> None:
    recipe = load_recipe(str(HERE / "toys" / "generate.toml"))
    with pytest.raises(ConfigError, match=r"\$prompt is not given"):
        bind(recipe, TABLE)
    steps = bind(recipe, TABLE, open_arguments=True)
    waits = request(steps[0], {})
    assert isinstance(waits, tuple)
    assert "$prompt" in waits
