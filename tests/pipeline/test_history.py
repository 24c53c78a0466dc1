"""`status`, `explain` and `gc` on a run directory alone."""

from dataclasses import replace
from pathlib import Path

import pytest
from splatworks.pipeline.collect import collect, garbage
from splatworks.pipeline.errors import ConfigError, InputError, StorageError
from splatworks.pipeline.history import examine_run, explain, older_results
from splatworks.pipeline.locks import locked_at_once
from splatworks.pipeline.plan import bind
from splatworks.pipeline.recipe import Recipe, load_recipe
from splatworks.pipeline.runner import record_run, run_recipe
from splatworks.pipeline.store import Store, remove
from toys import TABLE, make

RECIPE = Path(__file__).parent / "toys" / "recipe.toml"


def toy(step: str = "", seed: int = 7, **config: object) -> Recipe:
    recipe = replace(load_recipe(str(RECIPE)), seed=seed)
    steps = (
        replace(s, config={**s.config, **config}) if s.name == step else s for s in recipe.steps
    )
    return replace(recipe, steps=tuple(steps))


def ask_for(recipe: Recipe, run: Path) -> None:
    """As if a run with this recipe had been stopped before its first step."""
    record_run(recipe, bind(recipe, TABLE), Store(run))


def states(run: Path) -> dict[str, str]:
    return {s.step.name: s.state for s in examine_run(run, TABLE)}


def test_status(tmp_path: Path) -> None:
    run_recipe(toy(), TABLE, Store(tmp_path))
    assert set(states(tmp_path).values()) == {"done"}
    ask_for(toy("turns", rounds=7), tmp_path)
    assert states(tmp_path) == {
        "first": "done",
        "loud": "done",
        "turns": "missing",
        "whole": "waits",
    }
    (tmp_path / "latest/first/text.txt").write_text("x")
    assert states(tmp_path)["first"] == "changed"


def test_status_of_an_interrupted_step(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        run_recipe(toy("first", word="bad"), TABLE, Store(tmp_path))
    assert states(tmp_path)["loud"] == "interrupted"


def test_looking_changes_nothing(tmp_path: Path) -> None:
    run_recipe(toy(), TABLE, Store(tmp_path))
    before = {p: p.lstat().st_mtime_ns for p in tmp_path.rglob("*")}
    examine_run(tmp_path, TABLE)
    explain(tmp_path, "whole", TABLE)
    garbage(tmp_path, TABLE)
    assert before == {p: p.lstat().st_mtime_ns for p in tmp_path.rglob("*")}


def test_looking_at_a_cleared_store_changes_nothing(tmp_path: Path) -> None:
    run, shared = tmp_path / "run", tmp_path / "shared"
    run_recipe(toy(), TABLE, Store(run, shared))
    for folder in shared.glob("make-*"):
        remove(folder)
    before = {p: p.lstat().st_mtime_ns for p in tmp_path.rglob("*")}
    assert states(run) == {
        "first": "missing",
        "loud": "waits",
        "turns": "waits",
        "whole": "waits",
    }
    assert before == {p: p.lstat().st_mtime_ns for p in tmp_path.rglob("*")}


def test_explain_names_the_changed_setting(tmp_path: Path) -> None:
    run_recipe(toy(), TABLE, Store(tmp_path))
    ask_for(toy("turns", rounds=7), tmp_path)
    lines = explain(tmp_path, "turns", TABLE)
    assert lines[0].startswith("turns: would run again; compared with turns-")
    assert lines[1:] == ["  config.rounds 6 -> 7"]


def test_explain_follows_the_change_upstream(tmp_path: Path) -> None:
    run_recipe(toy(), TABLE, Store(tmp_path))
    ask_for(toy("turns", rounds=7), tmp_path)
    lines = explain(tmp_path, "whole", TABLE)
    assert lines[0] == "whole: its inputs are not made yet, it waits for turns."
    assert "  config.rounds 6 -> 7" in lines
    run_recipe(toy("turns", rounds=7), TABLE, Store(tmp_path))
    lines = explain(tmp_path, "whole", TABLE)
    assert "would not run again" in lines[0]
    assert any("input parts changed" in line and "step turns" in line for line in lines)
    assert "    turns: config.rounds 6 -> 7" in lines


def test_explain_seed_version_and_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_recipe(toy(), TABLE, Store(tmp_path))
    ask_for(toy(seed=8), tmp_path)
    assert any(line.startswith("  seed ") for line in explain(tmp_path, "first", TABLE))
    ask_for(toy(), tmp_path)
    monkeypatch.setattr(make, "VERSION", 2)
    assert "  VERSION 1 -> 2 (the method changed)" in explain(tmp_path, "first", TABLE)


def test_explain_finds_the_nearest_result(tmp_path: Path) -> None:
    run_recipe(toy("first", word="a", times=2), TABLE, Store(tmp_path))
    run_recipe(toy("first", word="b", times=3), TABLE, Store(tmp_path))
    ask_for(toy("first", word="a", times=4), tmp_path)
    assert explain(tmp_path, "first", TABLE)[1:] == ["  config.times 2 -> 4"]


def test_explain_a_step_that_is_done_or_unknown(tmp_path: Path) -> None:
    run_recipe(toy(), TABLE, Store(tmp_path))
    (line,) = explain(tmp_path, "whole", TABLE)
    assert line.startswith("whole: would not run again; whole-")
    with pytest.raises(ConfigError, match=r"no step 'hole'\. Did you mean 'whole'"):
        explain(tmp_path, "hole", TABLE)


def test_gc_keeps_what_is_used(tmp_path: Path) -> None:
    run_recipe(toy(), TABLE, Store(tmp_path))
    run_recipe(toy("turns", rounds=7), TABLE, Store(tmp_path))
    names = {item.path.name.split("-")[0] for item in garbage(tmp_path, TABLE)}
    assert names == {"turns", "whole"}
    assert len(list(Store(tmp_path).results())) == 6
    assert len(collect(tmp_path, TABLE)) == 2
    assert len(list(Store(tmp_path).results())) == 4
    assert collect(tmp_path, TABLE) == []
    assert set(states(tmp_path).values()) == {"done"}


def test_gc_removes_abandoned_checkpoints_but_not_wanted_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        run_recipe(toy("first", word="bad"), TABLE, Store(tmp_path))
    assert collect(tmp_path, TABLE) == []
    run_recipe(toy(), TABLE, Store(tmp_path))
    assert any(item.path.parent.name == ".scratch" for item in collect(tmp_path, TABLE))
    assert not list((tmp_path / ".scratch").iterdir())


def test_gc_does_not_disturb_a_run(tmp_path: Path) -> None:
    run_recipe(toy(), TABLE, Store(tmp_path))
    run_recipe(toy("turns", rounds=7), TABLE, Store(tmp_path))
    with locked_at_once(Store(tmp_path).run_lock) as ours:
        assert ours
        with pytest.raises(StorageError, match="in use by another process"):
            collect(tmp_path, TABLE)


def test_gc_of_links_leaves_the_shared_store_alone(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    run_recipe(toy(), TABLE, Store(tmp_path / "run", shared))
    run_recipe(toy("turns", rounds=7), TABLE, Store(tmp_path / "run", shared))
    assert len(collect(tmp_path / "run", TABLE)) == 2
    assert len([p for p in shared.iterdir() if not p.name.startswith(".")]) == 6


def test_older_results_of_a_step_that_left_the_recipe_stay_while_latest_shows_them(
    tmp_path: Path,
) -> None:
    run_recipe(toy(), TABLE, Store(tmp_path))
    recipe = toy()
    run_recipe(replace(recipe, steps=recipe.steps[:2]), TABLE, Store(tmp_path))
    assert older_results(examine_run(tmp_path, TABLE), Store(tmp_path)) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "is not a run directory"), ("{", "is not JSON"), ("{}", "has no steps")],
)
def test_not_a_run_directory(tmp_path: Path, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / "recipe.json").write_text(text)
    with pytest.raises((InputError, ConfigError), match=words):
        examine_run(tmp_path, TABLE)
    with pytest.raises(InputError, match="no such run directory"):
        examine_run(tmp_path / "none", TABLE)
