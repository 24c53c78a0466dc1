"""Run a recipe here: a loop that makes one step after the other."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from .config import plain
from .contract import replacing
from .errors import InputError
from .execute import Finished, explained, obtain
from .locks import locked
from .machine import Machine
from .plan import BoundStep, Done, FileSource, Request, StepSource, bind, needed, request
from .recipe import RECORD, Recipe, Step, recipe_text
from .store import Store, sweep


def run_recipe(
    recipe: Recipe, table: Mapping[str, str], store: Store, machine: Machine | None = None
) -> list[Finished]:
    """Check the recipe, then make every step that is not made yet, under the run's lock."""
    with held(store):
        return run_steps(recipe, bind(recipe, table), store, machine or Machine())


@contextmanager
def held(store: Store) -> Iterator[None]:
    """Make the run directory ours; a second process waits here."""
    log = logging.getLogger("splatworks")

    def waiting(who: str) -> None:
        log.warning("%s: waiting for %s, which works in this directory", store.run, who)

    with ExitStack() as stack:
        with explained(str(store.run), store.run):
            made(store.run)
            if store.shared is not None:
                made(store.shared)
            stack.enter_context(locked(store.run_lock, waiting))
            sweep(store.run)
        yield


def made(folder: Path) -> None:
    """Make a directory, with those above it, if it is not there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InputError(
            f"{folder}: is a file, or lies below one; expected a directory. Choose another name."
        ) from None
    except FileNotFoundError:
        raise InputError(f"{folder}: can not be made there. Choose another place.") from None


def run_steps(
    recipe: Recipe,
    steps: Sequence[BoundStep],
    store: Store,
    machine: Machine,
    until: str | None = None,
) -> list[Finished]:
    """The loop. The caller holds the run's lock.

    `steps` are those of `recipe`, bound; with `until`, only that step and what it needs run.
    """
    record_run(recipe, steps, store)
    done: dict[str, Done] = {}
    finished: list[Finished] = []
    for step in steps if until is None else needed(steps, until):
        wanted = request(step, done, fresh=machine.fresh)
        assert isinstance(wanted, Request), "steps come in order"
        finished.append(obtain(wanted, store, machine))
        done[step.name] = Done(store.folder(wanted), finished[-1].manifest)
    return finished


def record_run(recipe: Recipe, steps: Sequence[BoundStep], store: Store) -> None:
    """Write `recipe.json`: enough to run, explain and tidy with the directory alone."""
    run = store.run
    seeds = {step.name: step.seed for step in recipe.steps}
    whole = Recipe(
        seed=recipe.seed, steps=tuple(_written_out(s, run, seeds[s.name]) for s in steps)
    )
    text = recipe_text(whole, store.shared)
    path = run / RECORD
    if path.is_file() and path.read_text("utf-8", errors="replace") == text:
        return
    with explained(str(path), run), replacing(path) as temporary:
        temporary.write_text(text, "utf-8")


def _written_out(step: BoundStep, run: Path, seed: int | None) -> Step:
    inputs: dict[str, str] = {}
    for name, source in step.sources.items():
        if isinstance(source, StepSource):
            inputs[name] = f"{source.step}.{source.output}"
        else:
            assert isinstance(source, FileSource), "nothing runs with open arguments"
            inputs[name] = _portable(source, run, several=len(step.stage.inputs[name].classes) > 1)
    return Step(
        name=step.name,
        stage=step.stage.name,
        inputs=inputs,
        config=plain(step.config),
        seed=seed,
    )


def _portable(source: FileSource, run: Path, *, several: bool) -> str:
    """Inside the run directory relative to it, so that it can be moved; else absolute."""
    path, run = source.artifact.path.absolute(), run.absolute()
    text = f"./{path.relative_to(run).as_posix()}" if path.is_relative_to(run) else str(path)
    return f"{source.artifact.kind}:{text}" if several else text
