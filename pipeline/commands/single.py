"""What the commands of one step have in common: a recipe of that step, run and printed."""

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


def run_single(
    step: Step,
    *,
    out: Path,
    set: Sequence[str],
    options: MachineOptions,
    seed: int = 0,
    store: Path | None = None,
    prepare: Callable[[Store, Step], Step] = lambda target, step: step,
) -> tuple[Store, list[Finished]]:
    """Run `step` in the run directory `out`, print where its results lie, and return these.

    Args:
        set: STEP.FIELD=VALUE, settings of the step.
        store: A directory of results shared between runs.
        prepare: Writes inputs into the run directory once it is held, and names them in the step.
    """
    recipe = with_settings(Recipe(steps=(step,), seed=seed), tuple(set), STAGES)
    target = open_store(out, store)
    machine = options.machine()
    with faults_in(target.run), held(target):
        recipe = replace(recipe, steps=(prepare(target, recipe.steps[0]),))
        finished = run_steps(recipe, bind(recipe, STAGES), target, machine)
    print_results(target, finished)
    return target, finished
