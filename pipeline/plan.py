"""From a recipe to step requests.

`bind` checks everything that can be checked before anything runs: stages, names, kinds, settings,
cycles, files. The key of a step needs the content of its inputs, so it is known only when the
steps before it are done: `request` makes it then.

    key = SHA-256 of (schema, stage, VERSION, settings, seed, per input its kind and content hash)

Not in the key: paths, device, host, library versions, step names, settings marked `RUNTIME`.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .config import build, canonical, nearest, plain
from .contract import Artifact
from .errors import ConfigError, InputError
from .face import Port, Stage, find_stage
from .hashing import hash_artifact, hash_text
from .manifest import Manifest
from .recipe import REFERENCE, Recipe, Step

SCHEMA = 1
KEY_SHOWN = 12


@dataclass(frozen=True, slots=True)
class FileSource:
    """An input that the user gave."""

    artifact: Artifact


@dataclass(frozen=True, slots=True)
class StepSource:
    """An input that another step makes."""

    step: str
    output: str
    cls: type[Artifact]


@dataclass(frozen=True, slots=True)
class OpenSource:
    """An argument of the recipe that nobody has given yet."""

    argument: str


Source = FileSource | StepSource | OpenSource


@dataclass(frozen=True, slots=True)
class BoundStep:
    """A step whose stage, inputs and settings are known to be right."""

    name: str
    stage: Stage
    sources: Mapping[str, Source]
    config: Any
    seed: int

    @property
    def depends(self) -> tuple[str, ...]:
        steps = (s.step for s in self.sources.values() if isinstance(s, StepSource))
        return tuple(dict.fromkeys(steps))

    @property
    def open_arguments(self) -> tuple[str, ...]:
        """`$name` of each argument that has to be given before the step can run."""
        given = (s.argument for s in self.sources.values() if isinstance(s, OpenSource))
        return tuple(f"${name}" for name in given)


@dataclass(frozen=True, slots=True)
class RequestInput:
    kind: str
    hash: str
    path: str


@dataclass(frozen=True, slots=True)
class Request:
    """All that `execute` needs to make one step, as plain data: it can go to another machine."""

    schema: int
    step: str
    stage: str
    module: str
    version: int
    config: Mapping[str, Any]
    inputs: Mapping[str, RequestInput]
    seed: int
    key: str
    depends: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return f"{self.step}-{self.key[:KEY_SHOWN]}"

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Request":
        data = json.loads(text)
        data["inputs"] = {name: RequestInput(**value) for name, value in data["inputs"].items()}
        return cls(**data | {"depends": tuple(data["depends"])})


@dataclass(frozen=True, slots=True)
class Done:
    """A finished step, as the steps after it see it."""

    folder: Path
    manifest: Manifest


def bind(
    recipe: Recipe, table: Mapping[str, str], *, open_arguments: bool = False
) -> tuple[BoundStep, ...]:
    """The steps in an order in which they can run; raises on anything wrong.

    Args:
        open_arguments: Let steps wait for arguments that are not given, for looking only.
    """
    stages = {s.name: find_stage(s.stage, table, f"step '{s.name}'") for s in recipe.steps}
    bound: dict[str, BoundStep] = {}
    for step in recipe.steps:
        stage = stages[step.name]
        bound[step.name] = BoundStep(
            name=step.name,
            stage=stage,
            sources=_sources(step, stages, recipe, open_arguments),
            config=build(stage.config, step.config, f"step.{step.name}.config"),
            seed=step_seed(recipe.seed, step.name) if step.seed is None else step.seed,
        )
    return _in_order(bound)


def needed(steps: Sequence[BoundStep], name: str) -> tuple[BoundStep, ...]:
    """Only the step `name` and what it needs, in the same order."""
    named = {step.name: step for step in steps}
    if name not in named:
        raise ConfigError(f"--until {name}: there is no such step.{nearest(name, named)}")
    wanted = {name}
    for step in reversed(steps):  # Steps stand behind all that they depend on.
        if step.name in wanted:
            wanted.update(step.depends)
    return tuple(step for step in steps if step.name in wanted)


def step_seed(seed: int, name: str) -> int:
    """63 bits from the run's seed and the step's name."""
    digest = hashlib.sha256(f"{seed}\0{name}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def request(
    step: BoundStep, done: Mapping[str, Done], *, fresh: bool = False
) -> Request | tuple[str, ...]:
    """The request for a step, or the names of the steps that it still waits for."""
    waits = tuple(name for name in step.depends if name not in done) + step.open_arguments
    if waits:
        return waits
    inputs = {name: _input(s, done, fresh) for name, s in sorted(step.sources.items())}
    return Request(
        schema=SCHEMA,
        step=step.name,
        stage=step.stage.name,
        module=step.stage.path,
        version=step.stage.version,
        config=plain(step.config),
        inputs=inputs,
        seed=step.seed,
        key=step_key(step, inputs),
        depends=step.depends,
    )


def step_key(step: BoundStep, inputs: Mapping[str, RequestInput]) -> str:
    return hash_text(
        canonical(
            {
                "schema": SCHEMA,
                "stage": step.stage.name,
                "version": step.stage.version,
                "config": plain(step.config, runtime=False),
                "seed": step.seed,
                "inputs": {n: {"kind": i.kind, "hash": i.hash} for n, i in inputs.items()},
            }
        )
    )


def _input(source: Source, done: Mapping[str, Done], fresh: bool) -> RequestInput:
    if isinstance(source, FileSource):
        path = source.artifact.path
        try:
            digest = hash_artifact(source.artifact, fresh=fresh)
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror}).") from error
        return RequestInput(source.artifact.kind, digest, str(path))
    assert isinstance(source, StepSource)
    before = done[source.step]
    made = before.manifest.outputs[source.output]
    return RequestInput(made.kind, made.hash, str(before.folder / made.path))


def _sources(
    step: Step, stages: Mapping[str, Stage], recipe: Recipe, open_arguments: bool
) -> dict[str, Source]:
    ports = stages[step.name].inputs
    for name in step.inputs:
        if name not in ports:
            raise ConfigError(f"step '{step.name}' has no input '{name}'.{nearest(name, ports)}")
    for port in ports.values():
        if port.required and port.name not in step.inputs:
            raise ConfigError(
                f"step '{step.name}': input '{port.name}' ({port.kinds}) is not given."
            )
    return {
        name: OpenSource(text[1:])
        if open_arguments and text.startswith("$") and text[1:] not in recipe.arguments
        else _source(step, ports[name], stages, recipe)
        for name, text in step.inputs.items()
    }


def _source(step: Step, port: Port, stages: Mapping[str, Stage], recipe: Recipe) -> Source:
    text = step.inputs[port.name]
    where = f"step '{step.name}': input '{port.name}' wants {port.kinds}, but"
    if text.startswith("$"):
        if text[1:] not in recipe.arguments:
            raise ConfigError(f"{where} {text} is not given.{nearest(text[1:], recipe.arguments)}")
        return _file(port, recipe.arguments[text[1:]], recipe.base, where)
    match = REFERENCE.fullmatch(text)
    if not match or match[1] not in stages:
        if match and not (recipe.base / text).exists():
            names = [f"{n}.{o}" for n, s in stages.items() for o in s.outputs]
            raise ConfigError(f"{where} {text} does not exist.{nearest(text, names)}")
        return _file(port, text, recipe.base, where)
    outputs = stages[match[1]].outputs
    if match[2] not in outputs:
        raise ConfigError(f"{where} {text} does not exist.{nearest(match[2], outputs)}")
    made = outputs[match[2]].classes[0]
    cls = next((c for c in port.classes if c.kind == made.kind), None)
    if cls is None:
        fitting = [
            f"{n}.{o.name}"
            for n, s in stages.items()
            for o in s.outputs.values()
            if n != step.name and o.classes[0].kind in {c.kind for c in port.classes}
        ]
        hint = f" Fitting would be: {', '.join(fitting)}." if fitting else ""
        raise ConfigError(f"{where} {text} is {made.kind}.{hint}")
    return StepSource(match[1], match[2], cls)


def _file(port: Port, text: str, base: Path, where: str) -> FileSource:
    classes = list(port.classes)
    for cls in port.classes:
        if text.startswith(f"{cls.kind}:"):
            classes, text = [cls], text[len(cls.kind) + 1 :]
    path = base / Path(text).expanduser()
    if not path.exists():
        raise InputError(f"{where} {path} does not exist.")
    if len(classes) > 1:
        raise ConfigError(
            f"{where} the kind of {path} is not stated. Write '{classes[0].kind}:{text}'."
        )
    return FileSource(classes[0](path))


def _in_order(bound: Mapping[str, BoundStep]) -> tuple[BoundStep, ...]:
    """Topological order, otherwise as written."""
    order: dict[str, BoundStep] = {}
    path: list[str] = []

    def visit(name: str) -> None:
        if name in order:
            return
        if name in path:
            circle = " -> ".join([*path[path.index(name) :], name])
            raise ConfigError(f"the steps wait for each other in a circle: {circle}.")
        path.append(name)
        for before in bound[name].depends:
            visit(before)
        path.pop()
        order[name] = bound[name]

    for name in bound:
        visit(name)
    return tuple(order.values())
