"""The command line: one line per mistake, exit codes, and what is printed."""

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from splatworks.pipeline.cli import COMMANDS, main
from splatworks.pipeline.commands.generate import slug
from splatworks.pipeline.commands.parse import one_line
from toys.faults import contents

HERE = Path(__file__).parent
RECIPE = str(HERE / "toys" / "recipe.toml")
PRESET = str(HERE / "toys" / "generate.toml")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = tmp_path / "model"
    model.mkdir()
    (model / "model_index.json").write_text("{}")
    return tmp_path


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]):
    def line(*words: str) -> tuple[int, str, str]:
        try:
            code = main(words)
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return line


GENERATE = ("generate", "--preset", PRESET, "--guidance", "model")

MISTAKES = [
    (["generat"], "'generat' is not a command. Did you mean 'generate'?"),
    (["generate"], "generate: give either one PROMPT or --prompts FILE."),
    ([*GENERATE, ""], "the prompt is empty. Say what to make, such as 'a red mushroom'."),
    ([*GENERATE, " \t "], "the prompt is empty. Say what to make, such as 'a red mushroom'."),
    ([*GENERATE, "x" * 10_000], "the prompt has 10000 characters, at most 1000 are possible."
     " Shorten it."),
    ([*GENERATE, "a\nb"], "the prompt holds a line break or control character ('\\n' at character"
     " 2). Write it on one line."),
    ([*GENERATE, "a", "--sed", "3"], "generate: Unrecognized options: --sed, 3. Did you mean"
     " --seed? See pipeline generate --help."),
    ([*GENERATE, "a", "--seed", "x"], "generate: Error parsing --seed: invalid literal for int()"
     " with base 10: 'x'. See pipeline generate --help."),
    ([*GENERATE, "a", "--threads", "0"], "--threads 0: expected 1 or more."),
    ([*GENERATE, "a", "--until", "lod"], "--until lod: there is no such step. Did you mean"
     " 'loud'?"),
    ([*GENERATE, "a", "--set", "loud.ent=x"], "step.loud.config.ent is not a setting. Did you mean"
     " 'end'?"),
    ([*GENERATE, "a", "--set", "lout.end=x"], "--set lout.end=x: there is no step 'lout'."
     " Did you mean 'loud'?"),
    ([*GENERATE, "a", "--set", "loud"], "--set loud: expected STEP.FIELD=VALUE."),
    (["generate", "a", "--guidance", "no such"], "--guidance no such: there is no such directory,"
     " and it is neither 'toybox' nor a hub name OWNER/NAME."),
    (["generate", "a", "--guidance", "."], "--guidance .: . is no diffusers pipeline: it has no"
     " model_index.json. Give the directory that holds it."),
    (["generate", "a", "--guidance", "model/model_index.json"], "--guidance model/model_index.json"
     " is a file, expected a diffusers model directory."),
    (["generate", "a", "--preset", "none.toml"], "none.toml: there is no such recipe."),
    (["generate", "--prompts", "none.txt"], "--prompts none.txt cannot be read as UTF-8 text"
     " ([Errno 2] No such file or directory: 'none.txt')."),
    (["run"], "run: Missing from pipeline run: STR A .toml file, the name of a preset, or a run"
     " directory. (required). See pipeline run --help."),
    (["run", "model"], "model is not a run directory: it has no recipe.json."),
    (["run", RECIPE, "--arg", "x"], "--arg x: expected NAME=PATH."),
    (["run", RECIPE, "--until", "hole"], "--until hole: there is no such step. Did you mean"
     " 'whole'?"),
    (["run", PRESET], "step 'speak': input 'prompt' wants prompt/1, but $prompt is not given."),
    (["status", "none"], "none: there is no such run directory."),
    (["run", RECIPE, "--store", "model/model_index.json"], "--store model/model_index.json is a"
     " file, expected a directory."),
    (["step", "distil"], "step: 'distil' is not a stage. Did you mean 'distill'?"),
    (["step", "toys.upper", "--inputs.text", "no.txt", "--out", "o"], "step 'upper': input 'text'"
     " wants text/1, but {here}/no.txt does not exist."),
    (["step", "toys.make", "--config.times", "0", "--out", "o"], "step toys.make: Error parsing"
     " config: times must be positive, got 0. See pipeline step toys.make --help."),
]  # fmt: skip


@pytest.mark.parametrize(("words", "message"), MISTAKES, ids=range(len(MISTAKES)))
def test_mistakes_are_one_line(call, elsewhere: Path, words: list[str], message: str) -> None:
    code, out, err = call(*words)
    assert err == f"splatworks: {message}\n".replace("{here}", str(elsewhere))
    assert (code, out) == (2, "")
    assert not (elsewhere / "runs").exists()


def test_a_preset_that_does_not_exist_is_named(call) -> None:
    code, _, err = call("generate", "a", "--preset", "drafty")
    assert code == 2
    assert err.startswith("splatworks: 'drafty' is neither a preset nor a .toml file.")


def test_the_hub_cannot_be_reached(call, monkeypatch: pytest.MonkeyPatch) -> None:
    class Hub:
        class errors:
            HfHubHTTPError = RuntimeError

        @staticmethod
        def snapshot_download(*args: object, **options: object) -> str:
            raise OSError("offline")

    monkeypatch.setitem(sys.modules, "huggingface_hub", Hub)
    code, _, err = call("generate", "a", "--guidance", "owner/name")
    assert code == 2
    assert err.count("\n") == 1
    assert "the model hub cannot be reached or does not have it (OSError)" in err


def test_generate_and_again(call, elsewhere: Path) -> None:
    code, out, _ = call(*GENERATE, "a red mushroom")
    assert code == 0
    assert out == (
        "runs/a-red-mushroom\n"
        "  speak       made    runs/a-red-mushroom/latest/speak/text.txt\n"
        "  loud        made    runs/a-red-mushroom/latest/loud/text.txt\n"
    )
    assert (elsewhere / "runs/a-red-mushroom/latest/loud/text.txt").read_text() == (
        "A RED MUSHROOM!\n"
    )
    code, out, err = call(*GENERATE, "a red mushroom")
    assert (code, out.count("reused"), err) == (0, 2, "runs/a-red-mushroom: a red mushroom\n")
    code, out, _ = call("run", "runs/a-red-mushroom", "--set", "loud.end=?")
    assert (code, out.count("reused"), out.count("made")) == (0, 1, 1)
    code, out, _ = call("explain", "runs/a-red-mushroom", "loud")
    assert '  config.end "" -> "?"' in out
    code, out, _ = call("gc", "runs/a-red-mushroom", "--dry-run")
    assert "1 results" in out
    code, out, _ = call("status", "runs/a-red-mushroom")
    assert (code, out.count(" done ")) == (0, 2)


def test_a_run_remembers_its_store(call, elsewhere: Path) -> None:
    """All that looks at the directory, or goes on in it, sees the same results."""
    code, _, _ = call("run", RECIPE, "--out", "r", "--store", "s", "--until", "turns")
    assert code == 0
    assert json.loads((elsewhere / "r/recipe.json").read_text())["store"] == str(elsewhere / "s")
    before = {p: p.lstat().st_mtime_ns for p in elsewhere.rglob("*")}
    # Another run made the last step meanwhile: here it is done as well.
    assert call("run", RECIPE, "--out", "other", "--store", "s")[0] == 0
    _, out, _ = call("status", "r")
    assert [line.split()[1] for line in out.splitlines()] == ["done"] * 4
    assert "would not run again" in call("explain", "r", "whole")[1]
    assert call("gc", "r")[0] == 0
    for path, time_ns in before.items():
        if elsewhere / "r" in path.parents and path.parent.name != ".locks":
            assert path.lstat().st_mtime_ns == time_ns, path
    _, out, _ = call("run", "r")
    assert out.count(" reused ") == 4
    # New results go there too, even where the line says nothing of it.
    for words in (["run", "r", "--set", "whole.between=+"], ["run", RECIPE, "--out", "r"]):
        assert call(*words)[0] == 0
        assert all(link.is_symlink() for link in (elsewhere / "r").glob("whole-*"))
    _, out, _ = call("plan", "r")
    assert [line.split()[-1] for line in out.splitlines()] == ["done"] * 4


def test_a_store_that_is_gone_or_given_up(call, elsewhere: Path) -> None:
    call("run", RECIPE, "--out", "r", "--store", "s")
    store = elsewhere / "s"
    store.rename(elsewhere / "away")
    for words in (["status", "r"], ["explain", "r", "whole"], ["gc", "r"], ["run", "r"]):
        before = sorted((elsewhere / "r").rglob("*"))
        code, _, err = call(*words)
        assert (code, err) == (
            2,
            f"splatworks: r keeps its results in the store {store}, which is not there. Bring it"
            " back, or make them anew: pipeline run r --store r (or another directory).\n",
        )
        assert not store.exists() and sorted((elsewhere / "r").rglob("*")) == before
    # Back again, nothing is lost.
    (elsewhere / "away").rename(store)
    assert call("run", "r")[1].count(" reused ") == 4
    # What the message says is true.
    store.rename(elsewhere / "away")
    code, out, _ = call("run", "r", "--store", "r")
    assert (code, out.count(" made ")) == (0, 4)
    assert "store" not in json.loads((elsewhere / "r/recipe.json").read_text())
    assert call("status", "r")[1].count(" done ") == 4
    assert not [p for p in (elsewhere / "r").iterdir() if p.is_symlink()]


def test_an_interrupted_step_in_a_store_is_seen(call, elsewhere: Path) -> None:
    words = ["run", RECIPE, "--out", "r", "--store", "s", "--set", "first.word=bad"]
    assert call(*words)[0] == 2
    _, out, _ = call("status", "r")
    assert out.splitlines()[1].split()[:2] == ["loud", "interrupted"]
    assert call("plan", "r")[1].splitlines()[1].endswith("to continue")
    assert call("explain", "r", "loud")[1].startswith("loud: was interrupted before its first")


def test_until(call, elsewhere: Path) -> None:
    code, out, _ = call(*GENERATE, "a", "--until", "speak", "--out", "r")
    assert code == 0 and "loud" not in out
    code, out, _ = call("status", "r")
    assert [line.split()[1] for line in out.splitlines()] == ["done", "missing"]


def test_the_seed_is_part_of_the_run(call) -> None:
    for seed, made in (("0", 2), ("0", 0), ("1", 2)):
        _, out, _ = call("generate", "--preset", PRESET, "--guidance", "model", "a", "--seed", seed)
        assert out.count(" made ") == made, seed


def test_many_prompts(call, elsewhere: Path) -> None:
    """One that fails does not stop the others."""
    (elsewhere / "list.txt").write_text("# things\na red mug\n\na bad thing\na blue mug\n")
    code, out, err = call(*GENERATE, "--prompts", "list.txt", "--out", "many")
    assert code == 2
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == ["done", "failed", "done"]
    assert "many/a-bad-thing" in lines[1] and "holds a bad word" in lines[1]
    assert sorted(p.name for p in (elsewhere / "many").iterdir()) == [
        "a-bad-thing",
        "a-blue-mug",
        "a-red-mug",
    ]
    (elsewhere / "list.txt").write_text("a crash\na bad thing\n")
    assert call(*GENERATE, "--prompts", "list.txt", "--out", "many")[0] == 1
    (elsewhere / "list.txt").write_text("# nothing\n")
    code, _, err = call(*GENERATE, "--prompts", "list.txt")
    assert (code, err) == (2, "splatworks: --prompts list.txt holds no prompt.\n")


def test_our_fault_is_one_line_and_a_file(call, elsewhere: Path) -> None:
    code, _, err = call("run", RECIPE, "--out", "r", "--set", "first.word=crash")
    assert code == 1
    last = err.splitlines()[-1]
    assert last.startswith("splatworks: step 'loud': ZeroDivisionError: one over nothing. This is")
    (log,) = (elsewhere / "r" / "logs").glob("error-*.txt")
    assert str(log.relative_to(elsewhere)) in last
    assert "Traceback" in log.read_text()


def test_one_stage_alone(call, elsewhere: Path) -> None:
    (elsewhere / "in.txt").write_text("hi")
    words = ["step", "toys.upper", "--inputs.text", "in.txt", "--config.end", "!", "--out", "o"]
    code, out, _ = call(*words)
    assert code == 0
    assert out == "o\n  upper       made    o/latest/upper/text.txt\n"
    assert (elsewhere / "o/latest/upper/text.txt").read_text() == "HI!\n"
    assert "reused" in call(*words)[1]


def test_of_a_directory_it_is_said_what_is_in_it(call, elsewhere: Path) -> None:
    (elsewhere / "in.txt").write_text("hi")
    words = ["step", "toys.tray", "--inputs.text", "in.txt", "--out", "o"]
    assert call(*words)[1] == "o\n  tray        made    o/latest/tray/ (a.txt, b/)\n"
    names = [f"{number}.txt" for number in range(9)]
    out = call(*words, "--config.names", *names)[1]
    assert out == "o\n  tray        made    o/latest/tray/ (9 files)\n"
    out = call("run", RECIPE, "--out", "r")[1]
    assert "  turns       made    r/latest/turns/parts/ (0.txt, 1.txt)\n" in out


def test_one_stage_alone_on_an_input_of_several_kinds(call, elsewhere: Path) -> None:
    (elsewhere / "in.txt").write_text("hi")
    (elsewhere / "parts").mkdir()
    (elsewhere / "parts" / "0.txt").write_text("a")
    words = ["step", "toys.join", "--inputs.text", "in.txt", "--inputs.parts", "parts"]
    for source in ("in.txt", "text/1:in.txt"):
        code, _, err = call(*words, "--inputs.more", source, "--out", "o")
        assert code == 0, err


def test_plan_as_json_lists_what_could_run_now(call) -> None:
    code, out, _ = call("plan", RECIPE, "--json")
    assert code == 0
    (line,) = out.splitlines()
    assert json.loads(line)["step"] == "first"
    code, out, _ = call("plan", RECIPE)
    assert [line.split()[-1] for line in out.splitlines()] == ["run", "first", "first", "turns"]


def test_a_read_only_place(call, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object, *args: object, **options: object) -> None:
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(os, "mkdir", refuse)
    code, _, err = call("run", RECIPE, "--out", "r")
    assert code == 2
    assert err == (
        "splatworks: r: r may not be written or read (Read-only file system)."
        " Allow it or use --out.\n"
    )


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root to mount")
def test_a_disk_that_is_really_full(elsewhere: Path) -> None:
    disk = elsewhere / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    try:
        done = subprocess.run(mount, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no mount")
    if done.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        line = [*cli("run", RECIPE, "--out", str(disk / "r")), "--set", "first.times=20000"]
        environment = os.environ | {"PYTHONPATH": str(HERE)}
        full = subprocess.run(line, env=environment, capture_output=True, text=True)
        assert full.returncode == 2, full.stderr
        assert full.stderr.splitlines()[-1].startswith("splatworks: step 'first': the disk of ")
        assert not list(disk.glob("r/first-*"))
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        assert subprocess.run(line, env=environment, capture_output=True).returncode == 0
        plain = [*cli("run", RECIPE, "--out", "plain"), "--set", "first.times=20000"]
        subprocess.run(plain, env=environment, capture_output=True, check=True)
        assert contents(disk / "r") == contents(elsewhere / "plain")
    finally:
        subprocess.run(["umount", str(disk)], check=False)


def cli(*words: str) -> list[str]:
    return [sys.executable, "-m", "splatworks.pipeline.cli", *words]


def test_help_is_quick_and_lists_the_commands(call) -> None:
    code, out, _ = call("--help")
    assert code == 0
    assert all(f"\n  {name} " in out for name in COMMANDS)
    start = time.process_time()
    subprocess.run(cli("--help"), capture_output=True, check=True)
    assert time.process_time() - start < 1


@pytest.mark.parametrize("name", [n for n in COMMANDS if n not in ("step", "doctor")])
def test_every_command_explains_itself(call, name: str) -> None:
    code, out, _ = call(name, "--help")
    assert code == 0
    assert out.startswith(f"usage: pipeline {name}")


def test_step_explains_itself(call) -> None:
    assert call("step")[0] == 0
    code, out, _ = call("step", "toys.upper", "--help")
    assert code == 0 and "--inputs.text" in out and "--config.end" in out


def test_every_command_exists() -> None:
    for place, _ in COMMANDS.values():
        module, _, function = place.partition(":")
        spec = importlib.util.find_spec(f"splatworks.pipeline{module}")
        assert spec is not None and spec.origin
        assert f"def {function}(" in Path(spec.origin).read_text()


def test_stages_lists_the_table(call) -> None:
    code, out, _ = call("stages")
    assert code == 0
    assert "distill" in out


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("a red mushroom", "a-red-mushroom"),
        ("A red mushroom!", "a-red-mushroom-59ba5f"),
        ("красный гриб", "2e7c6a"),
        ("..", "5ec1f7"),
    ],
)
def test_slugs_tell_prompts_apart(prompt: str, name: str) -> None:
    found = slug(prompt)
    assert found.rpartition("-")[0] == name.rpartition("-")[0]
    assert len(found) == len(name) and "/" not in found and found not in ("", ".", "..")


FRAMED = """\
╭─ Unrecognized options ───╮
│ Unrecognized options:    │
│ --sed                    │
│ ──────────────────────── │
│ Perhaps you meant:       │
│     --seed INT           │
╰──────────────────────────╯
"""
PLAIN = """\
 Unrecognized options
 --------------------------
  Unrecognized options:
  --sed
  --------------------------
  Perhaps you meant:
      --seed INT

"""


@pytest.mark.parametrize("box", [FRAMED, PLAIN])
def test_one_line_of_a_box(box: str) -> None:
    assert one_line(box) == "Unrecognized options: --sed. Did you mean --seed?"
