"""`pipeline run` and `pipeline plan`."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import tyro

from ...stages import STAGES
from ..errors import ConfigError
from ..fault import faults_in
from ..history import StepState, examine
from ..plan import KEY_SHOWN, bind, needed
from ..recipe import Recipe, load_recipe, read_run, with_settings
from ..runner import held, run_steps
from ..store import open_store
from .options import RunOptions, print_results

Arguments = Annotated[tuple[str, ...], tyro.conf.UseAppendAction]


def run(
    recipe: tyro.conf.Positional[str],
    /,
    *,
    out: Path | None = None,
    arg: Arguments = (),
    seed: int | None = None,
    options: Annotated[RunOptions, tyro.conf.arg(name="")] = RunOptions(),  # noqa: B008
) -> int:
    """Run a recipe, or go on with a run directory.

    Args:
        recipe: A .toml file, the name of a preset, or a run directory.
        out: The run directory; by default runs/ and the recipe's name.
        arg: NAME=PATH, what $NAME stands for in the recipe; may be given several times.
        seed: Instead of the recipe's seed.
    """
    chosen, folder = _choose(recipe, out, arg, seed)
    chosen = with_settings(chosen, options.set, STAGES)
    steps = bind(chosen, STAGES)
    if options.until is not None:
        needed(steps, options.until)
    store, machine = open_store(folder, options.store), options.machine()
    with faults_in(store.run), held(store):
        finished = run_steps(chosen, steps, store, machine, options.until)
    print_results(store, finished)
    return 0


def plan(
    recipe: tyro.conf.Positional[str],
    /,
    *,
    out: Path | None = None,
    arg: Arguments = (),
    seed: int | None = None,
    set: Arguments = (),
    store: Path | None = None,
    json: bool = False,
) -> int:
    """Check a recipe and print what would be done, without running anything.

    Args:
        recipe: A .toml file, the name of a preset, or a run directory.
        out: The run directory; by default runs/ and the recipe's name.
        arg: NAME=PATH, what $NAME stands for in the recipe; may be given several times.
        seed: Instead of the recipe's seed.
        set: STEP.FIELD=VALUE, a setting of a step; may be given several times.
        store: A directory of results shared between runs; by default the run's own or last one.
        json: Print the requests that could be executed now, as JSON, one per line.
    """
    chosen, folder = _choose(recipe, out, arg, seed)
    chosen = with_settings(chosen, set, STAGES)
    states = examine(bind(chosen, STAGES, open_arguments=True), open_store(folder, store))
    for state in states:
        if not json:
            print(_line(state))
        elif state.request is not None and state.state in ("missing", "interrupted"):
            print(" ".join(state.request.to_json().split("\n ")).replace("\n", " "))
    return 0


def _line(state: StepState) -> str:
    step = state.step
    if state.request is None:
        return f"{step.name:12} {step.stage.name:12} waits for {', '.join(state.waits_for)}"
    words = {
        "done": "done",
        "missing": "to run",
        "interrupted": "to continue",
        "changed": f"CHANGED: {state.problem}",
    }
    key = state.request.key[:KEY_SHOWN]
    return f"{step.name:12} {step.stage.name:12} {key}  {words[state.state]}"


def _choose(
    name: str, out: Path | None, arguments: tuple[str, ...], seed: int | None
) -> tuple[Recipe, Path]:
    """The recipe and its run directory."""
    path = Path(name)
    if path.is_dir():
        if out is not None:
            raise ConfigError(f"{name} is a run directory already, so --out means nothing here.")
        recipe, folder = read_run(path), path
    else:
        recipe = load_recipe(name)
        folder = out or Path("runs") / (path.stem if path.suffix == ".toml" else name)
    given = dict(recipe.arguments)
    for text in arguments:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--arg {text}: expected NAME=PATH.")
        given[key.strip()] = str(Path(value.strip()).expanduser().absolute())
    recipe = replace(recipe, arguments=given)
    return (recipe if seed is None else replace(recipe, seed=seed)), folder
