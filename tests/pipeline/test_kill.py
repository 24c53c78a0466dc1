"""Killed at every write, fsync, rename, link, mkdir and unlink: the same bytes after a rerun."""

import os
import random
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from splatworks.pipeline.collect import collect
from splatworks.pipeline.errors import SplatworksError, StorageError
from splatworks.pipeline.manifest import read_manifest, verify
from splatworks.pipeline.recipe import Recipe, Step, load_recipe
from splatworks.pipeline.runner import run_recipe
from splatworks.pipeline.store import Store
from toys import TABLE
from toys.faults import KILLED, Faults, contents, disk_full, in_child, leftovers, read_only, refused

RECIPE = Path(__file__).parent / "toys" / "recipe.toml"

pytestmark = pytest.mark.skipif(
    not (hasattr(os, "fork") and os.path.isdir("/proc/self/fd")), reason="needs fork and /proc"
)


def recipe(**changes: object) -> Recipe:
    whole = load_recipe(str(RECIPE))
    steps = (
        replace(s, config={**s.config, **changes}) if s.name == "first" else s for s in whole.steps
    )
    return replace(whole, steps=tuple(steps))


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    run = tmp_path_factory.mktemp("uninterrupted")
    run_recipe(recipe(), TABLE, Store(run))
    return contents(run)


def count_boundaries(run: Path, shared: Path | None = None) -> int:
    with Faults() as faults:
        run_recipe(recipe(), TABLE, Store(run, shared))
    return faults.count


def assert_whole(root: Path) -> None:
    """Every directory that looks like a finished step is one."""
    for folder in root.iterdir() if root.exists() else ():
        if folder.is_dir() and "-" in folder.name:
            verify(folder, read_manifest(folder))


def test_killed_everywhere(tmp_path: Path, expected: dict[str, bytes]) -> None:
    total = count_boundaries(tmp_path / "count")
    assert total > 100
    for number in range(1, total + 1):
        run = tmp_path / f"run{number}"
        with Faults(number):
            code = in_child(partial(run_recipe, recipe(), TABLE, Store(run)))
        assert code == KILLED, number
        assert_whole(run)
        with Faults():  # Counts nothing that matters; spares the real fsync.
            run_recipe(recipe(), TABLE, Store(run))
        assert contents(run) == expected, number
        assert leftovers(run) == [], number


def test_killed_everywhere_with_a_shared_store(tmp_path: Path, expected: dict[str, bytes]) -> None:
    total = count_boundaries(tmp_path / "count", tmp_path / "count-store")
    for number in range(1, total + 1):
        run, shared = tmp_path / f"run{number}", tmp_path / f"store{number}"
        with Faults(number):
            code = in_child(partial(run_recipe, recipe(), TABLE, Store(run, shared)))
        assert code == KILLED, number
        assert_whole(shared)
        with Faults():
            run_recipe(recipe(), TABLE, Store(run, shared))
        assert contents(run) == expected, number
        assert leftovers(run) == leftovers(shared) == [], number


def test_killed_everywhere_where_the_output_is_the_whole_directory(tmp_path: Path) -> None:
    first = recipe().steps[0]
    tray = Step(name="tray", stage="toys.tray", inputs={"text": "first.text"})
    two = replace(recipe(), steps=(first, tray))
    with Faults() as faults:
        run_recipe(two, TABLE, Store(tmp_path / "whole"))
    for number in range(1, faults.count + 1):
        run = tmp_path / f"run{number}"
        with Faults(number):
            assert in_child(partial(run_recipe, two, TABLE, Store(run))) == KILLED, number
        assert_whole(run)
        with Faults():
            run_recipe(two, TABLE, Store(run))
        assert contents(run) == contents(tmp_path / "whole"), number
        assert leftovers(run) == [], number


def test_killed_again_and_again(tmp_path: Path, expected: dict[str, bytes]) -> None:
    """Each attempt gets a little further, as on a machine that is taken away all the time."""
    rng = random.Random(0)
    for trial in range(20):
        run = tmp_path / f"run{trial}"
        kills = 0
        while True:
            with Faults(rng.randint(1, 60)):
                code = in_child(partial(run_recipe, recipe(), TABLE, Store(run)))
            assert_whole(run)
            if code == 0:
                break
            kills += 1
            assert kills < 500
        assert contents(run) == expected
        assert leftovers(run) == []


def test_gc_killed_everywhere(tmp_path: Path) -> None:
    def prepared(run: Path) -> Store:
        run_recipe(recipe(word="old"), TABLE, Store(run))
        run_recipe(recipe(), TABLE, Store(run))
        return Store(run)

    with Faults():
        prepared(tmp_path / "count")
    with Faults() as faults:
        assert len(collect(tmp_path / "count", TABLE)) == 4
    for number in range(1, faults.count + 1):
        with Faults():
            store = prepared(tmp_path / f"run{number}")
        with Faults(number):
            assert in_child(partial(collect, store.run, TABLE)) == KILLED
        assert_whole(store.run)
        collect(store.run, TABLE)
        assert len(list(store.results())) == 4
        assert leftovers(store.run) == []


@pytest.mark.parametrize("how", [disk_full, read_only, refused])
@pytest.mark.parametrize("stay", [False, True], ids=["once", "from-then-on"])
def test_a_disk_that_refuses(tmp_path: Path, expected: dict[str, bytes], how, stay: bool) -> None:
    """One clear line, nothing half-written that looks whole, and resumable."""
    total = count_boundaries(tmp_path / "count")
    for number in range(1, total + 1, 3 if how is disk_full else 11):
        run = tmp_path / f"run{number}"
        try:
            with Faults(number, how, stay=stay):
                run_recipe(recipe(), TABLE, Store(run))
        except StorageError as error:
            assert "\n" not in str(error) and str(error).endswith("."), number
            assert ("full" if how is disk_full else "may not be") in str(error), number
        except SplatworksError as error:
            pytest.fail(f"boundary {number}: {error!r}")
        assert_whole(run)
        with Faults():
            run_recipe(recipe(), TABLE, Store(run))
        assert contents(run) == expected, number
        assert leftovers(run) == [], number


def test_everything_is_on_disk_before_it_appears(tmp_path: Path) -> None:
    """Between the last write to a file and the rename that publishes it lies its fsync."""
    with Faults() as faults:
        run_recipe(recipe(), TABLE, Store(tmp_path / "run"))
    unsynced: set[str] = set()
    published = 0
    for name, path in faults.trace:
        if name == "write":
            unsynced.add(os.path.abspath(path))
        elif name == "fsync":
            unsynced.discard(path)
        elif name == "rename" and path.endswith("/out"):
            published += 1
            assert not [p for p in unsynced if p.startswith(path)], path
    assert published == 4
