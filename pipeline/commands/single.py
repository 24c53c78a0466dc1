"""What the commands of one step, or a short chain, have in common: a recipe, run and printed."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ...stages import STAGES
from ..fault import faults_in
from ..plan import bind
from ..recipe import Recipe, Step, with_settings
from ..runner import Finished, held, run_steps
from ..store import Store, open_store
from .options import MachineOptions, print_results

Prepare = Callable[[Store, Step], Step]


def run_single(
    step: Step,
    *,
    out: Path,
    set: Sequence[str],
    options: MachineOptions,
    seed: int = 0,
    store: Path | None = None,
    prepare: Prepare = lambda target, step: step,
) -> tuple[Store, list[Finished]]:
    """Run `step` in the run directory `out`, print where its results lie, and return these.

    Args:
        set: STEP.FIELD=VALUE, settings of the step.
        store: A directory of results shared between runs.
        prepare: Writes inputs into the run directory once it is held, and names them in the step.
    """
    return run_chain(
        (step,), out=out, set=set, options=options, seed=seed, store=store, prepare=prepare
    )


def run_chain(
    steps: Sequence[Step],
    *,
    out: Path,
    set: Sequence[str],
    options: MachineOptions,
    seed: int = 0,
    store: Path | None = None,
    prepare: Prepare = lambda target, step: step,
) -> tuple[Store, list[Finished]]:
    """As `run_single`, of several steps whose inputs name each other's outputs."""
    recipe = with_settings(Recipe(steps=tuple(steps), seed=seed), tuple(set), STAGES)
    target = open_store(out, store)
    machine = options.machine()
    with faults_in(target.run), held(target):
        recipe = replace(recipe, steps=tuple(prepare(target, step) for step in recipe.steps))
        finished = run_steps(recipe, bind(recipe, STAGES), target, machine)
    print_results(target, finished)
    return target, finished
