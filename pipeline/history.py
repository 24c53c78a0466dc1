"""What a run directory holds, and why a step would run again. Reads only, locks nothing."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .config import nearest, plain
from .errors import ChangedError, ConfigError, InputError
from .manifest import PROVENANCE, Manifest, read_manifest
from .plan import BoundStep, Done, Request, StepSource, bind, request
from .recipe import read_run
from .store import SCRATCH, Store, open_store

State = Literal["done", "interrupted", "missing", "waits", "changed"]


@dataclass(frozen=True, slots=True)
class StepState:
    """One step of a recipe, compared with what is on disk."""

    step: BoundStep
    state: State
    request: Request | None = None
    waits_for: tuple[str, ...] = ()
    problem: str = ""

    def about(self, store: Store) -> dict[str, Any]:
        """The provenance of a finished step; empty if there is none."""
        if self.request is None:
            return {}
        try:
            text = (store.folder(self.request) / PROVENANCE).read_text("utf-8")
            return dict(json.loads(text))
        except (OSError, ValueError):
            return {}


def examine(steps: Sequence[BoundStep], store: Store, *, fresh: bool = False) -> list[StepState]:
    """The state of every step, in order. A step behind an unfinished one waits."""
    done: dict[str, Done] = {}
    states: list[StepState] = []
    for step in steps:
        wanted = request(step, done, fresh=fresh)
        if not isinstance(wanted, Request):
            states.append(StepState(step, "waits", waits_for=wanted))
            continue
        try:
            found = store.finished(wanted, fresh=fresh)
        except ChangedError as error:
            states.append(StepState(step, "changed", wanted, problem=str(error)))
            continue
        if found is not None:
            done[step.name] = Done(_present(store, wanted), found.manifest)
            states.append(StepState(step, "done", wanted))
        else:
            begun = store.scratch(wanted).is_dir()
            states.append(StepState(step, "interrupted" if begun else "missing", wanted))
    return states


def examine_run(run: Path, table: Mapping[str, str], *, fresh: bool = False) -> list[StepState]:
    return examine(bind(read_run(run), table), open_store(run), fresh=fresh)


def older_results(states: Sequence[StepState], store: Store) -> list[Path]:
    """Step directories that neither the recipe nor `latest/` uses."""
    used = {store.folder(s.request).name for s in states if s.request is not None}
    used |= {path.name for path in store.latest().values()}
    return [path for path in store.results() if path.name not in used]


def abandoned(states: Sequence[StepState], store: Store) -> list[Path]:
    """Scratch directories of steps that the recipe does not want any more."""
    wanted = {store.scratch(s.request).name for s in states if s.request is not None}
    folder = store.run / SCRATCH
    if not folder.is_dir():
        return []
    return [path for path in sorted(folder.iterdir()) if path.name not in wanted]


def explain(run: Path, name: str, table: Mapping[str, str]) -> list[str]:
    """Lines that say why step `name` would run again, or that it would not."""
    states = {s.step.name: s for s in examine_run(run, table)}
    if name not in states:
        raise ConfigError(f"{run}: there is no step '{name}'.{nearest(name, states)}")
    return list(_why(name, states, open_store(run)))


def _why(name: str, states: Mapping[str, StepState], store: Store) -> Iterator[str]:
    state = states[name]
    if state.state == "done":
        assert state.request is not None
        when = state.about(store).get("finished", "an unknown time")
        yield f"{name}: would not run again; {state.request.label} was made at {when}."
        yield from _since(state, store)
        return
    if state.state == "changed":
        yield f"{name}: cannot be used: {state.problem}"
        return
    if state.state == "waits":
        yield f"{name}: its inputs are not made yet, it waits for {', '.join(state.waits_for)}."
        for before in state.waits_for:
            yield from _why(before, states, store)
        own = list(_own_changes(state.step, store))
        if own:
            yield f"{name}: besides, compared with its last result:"
            yield from own
        return
    yield from _unmade(state, store)


def _unmade(state: StepState, store: Store) -> Iterator[str]:
    assert state.request is not None
    name = state.step.name
    if state.state == "interrupted":
        saved = store.scratch(state.request) / "checkpoints"
        if saved.is_dir() and any(saved.iterdir()):
            yield f"{name}: was interrupted and would continue from its last checkpoint."
        else:
            yield f"{name}: was interrupted before its first checkpoint and would start over."
    near = _nearest(state.request, store)
    if near is None:
        yield f"{name}: has never been finished in this directory."
        return
    folder, manifest = near
    yield f"{name}: would run again; compared with {folder.name}:"
    yield from _differences(state, manifest, store)


def _since(state: StepState, store: Store) -> Iterator[str]:
    """For a finished step: what made it differ from the result before it."""
    assert state.request is not None
    near = _nearest(state.request, store)
    if near is not None:
        folder, manifest = near
        yield f"  compared with {folder.name}:"
        yield from _differences(state, manifest, store)


def _differences(state: StepState, old: Manifest, store: Store) -> Iterator[str]:
    """Each thing in the key that differs from a finished sibling."""
    new = state.request
    assert new is not None
    yield from _setting_changes(state.step, old)
    for name in sorted({*new.inputs, *old.inputs}):
        before, after = old.inputs.get(name), new.inputs.get(name)
        if before is None or after is None:
            yield f"  input {name} was {'added' if before is None else 'removed'}"
        elif (before.kind, before.hash) != (after.kind, after.hash):
            yield f"  input {name} changed ({before.hash[:12]} -> {after.hash[:12]})" + _origin(
                state.step, name, after.path
            )
            source = state.step.sources[name]
            if isinstance(source, StepSource):
                yield from _upstream(source, before.hash, Path(after.path), store)


def _setting_changes(step: BoundStep, old: Manifest) -> Iterator[str]:
    if old.stage != step.stage.name:
        yield f"  stage {old.stage} -> {step.stage.name}"
    if old.version != step.stage.version:
        yield f"  VERSION {old.version} -> {step.stage.version} (the method changed)"
    if old.seed != step.seed:
        yield f"  seed {old.seed} -> {step.seed}"
    before, after = _flat(old.config), _flat(plain(step.config))
    hidden = set(after) - set(_flat(plain(step.config, runtime=False)))
    for name in sorted({*before, *after} - hidden):
        if before.get(name) != after.get(name):
            shown = [json.dumps(c[name]) if name in c else "absent" for c in (before, after)]
            yield f"  config.{name} {shown[0]} -> {shown[1]}"


def _own_changes(step: BoundStep, store: Store) -> Iterator[str]:
    """For a step whose inputs are not made: the differences that are known already."""
    siblings = [m for _, m in _siblings(step.name, store)]
    if siblings:
        yield from _setting_changes(step, siblings[0])


def _origin(step: BoundStep, name: str, path: str) -> str:
    source = step.sources[name]
    if isinstance(source, StepSource):
        return f", because step {source.step} made another result"
    return f": the file {path} is another one"


def _upstream(source: StepSource, old_hash: str, now: Path, store: Store) -> Iterator[str]:
    """Why the step before made another result: its two manifests side by side."""
    folders = {f.name: m for f, m in _siblings(source.step, store)}
    new = folders.get(next((p.name for p in now.parents if p.name in folders), ""))
    old = next((m for m in folders.values() if _made(m, source.output) == old_hash), None)
    if new is None or old is None:
        return
    if old.version != new.version:
        yield f"    {source.step}: VERSION {old.version} -> {new.version}"
    if old.seed != new.seed:
        yield f"    {source.step}: seed {old.seed} -> {new.seed}"
    before, after = _flat(old.config), _flat(new.config)
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            yield f"    {source.step}: config.{name} {before.get(name)} -> {after.get(name)}"
    for name in sorted({*old.inputs} & {*new.inputs}):
        if old.inputs[name] != new.inputs[name]:
            yield f"    {source.step}: input {name} changed (see: explain {source.step})"


def _made(manifest: Manifest, output: str) -> str:
    record = manifest.outputs.get(output)
    return record.hash if record else ""


def _siblings(name: str, store: Store) -> list[tuple[Path, Manifest]]:
    """Finished results of a step, newest first."""
    found: list[tuple[float, Path, Manifest]] = []
    for path in store.results():
        if path.name.rpartition("-")[0] != name:
            continue
        try:
            found.append((path.stat().st_mtime, path, read_manifest(path)))
        except (ChangedError, InputError, OSError):
            continue
    found.sort(key=lambda item: (-item[0], item[1].name))
    return [(path, manifest) for _, path, manifest in found]


def _nearest(wanted: Request, store: Store) -> tuple[Path, Manifest] | None:
    """The other finished result of the step that differs least, the newest of equals."""

    def distance(old: Manifest) -> int:
        before, after = _flat(old.config), _flat(wanted.config)
        count = sum(before.get(n) != after.get(n) for n in {*before, *after})
        count += sum(
            n not in old.inputs or old.inputs[n].hash != i.hash for n, i in wanted.inputs.items()
        )
        return count + (old.version != wanted.version) + (old.seed != wanted.seed)

    others = [(f, m) for f, m in _siblings(wanted.step, store) if m.key != wanted.key]
    return min(others, key=lambda pair: distance(pair[1]), default=None)


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"noise": {"start": 1}}` -> `{"noise.start": 1}`."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = list(value) if isinstance(value, tuple) else value
    return flat


def _present(store: Store, wanted: Request) -> Path:
    folder = store.folder(wanted)
    return folder if folder.is_dir() else store.home(wanted)
