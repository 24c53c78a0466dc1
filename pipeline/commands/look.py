"""`pipeline status`, `explain` and `gc`: looking at a run directory and tidying it."""

from pathlib import Path

import tyro

from ...stages import STAGES
from ..collect import collect, garbage, size_of
from ..history import abandoned, examine_run, older_results
from ..history import explain as reasons
from ..plan import KEY_SHOWN
from ..progress import duration, size
from ..store import open_store


def status(run: tyro.conf.Positional[Path], /, *, verify: bool = False) -> int:
    """The steps of a run: done, interrupted, missing, waiting or changed.

    Args:
        run: A run directory.
        verify: Hash every file again instead of trusting sizes and times.
    """
    store = open_store(run)
    states = examine_run(run, STAGES, fresh=verify)
    for state in states:
        key = state.request.key[:KEY_SHOWN] if state.request else "-" * KEY_SHOWN
        line = f"{state.step.name:12} {state.state:12} {key}"
        if state.state == "done" and state.request is not None:
            about = state.about(store)
            folder = store.folder(state.request)
            line += f"  {size(size_of(folder.resolve())):>9}"
            line += f"  {duration(about.get('wall_s', 0)):>12}  {about.get('finished', '')}"
        elif state.state == "waits":
            line += f"  for {', '.join(state.waits_for)}"
        elif state.problem:
            line += f"  {state.problem}"
        print(line)
    spare = [*older_results(states, store), *abandoned(states, store)]
    if spare:
        total = sum(size_of(path) for path in spare)
        print(f"{len(spare)} older results, {size(total)}; pipeline gc {run} deletes them")
    return 0


def explain(run: tyro.conf.Positional[Path], step: tyro.conf.Positional[str], /) -> int:
    """Why would this step run again? The difference to its nearest finished result.

    Args:
        run: A run directory.
        step: The name of a step.
    """
    for line in reasons(run, step, STAGES):
        print(line)
    return 0


def gc(run: tyro.conf.Positional[Path], /, *, dry_run: bool = False) -> int:
    """Delete results that neither the recipe of the run nor its latest/ links use.

    Args:
        run: A run directory.
        dry_run: Only show what would be deleted.
    """
    found = garbage(run, STAGES) if dry_run else collect(run, STAGES)
    for item in found:
        print(f"{size(item.size):>9}  {item.path}")
    verb = "would be deleted" if dry_run else "deleted"
    print(f"{len(found)} results, {size(sum(item.size for item in found))} {verb}")
    return 0
