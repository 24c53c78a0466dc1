"""`pipeline step` and `pipeline stages`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from ...stages import STAGES
from ..config import plain
from ..errors import ConfigError, SplatworksError
from ..face import Port, Stage, find_stage
from ..fault import faults_in
from ..plan import bind
from ..recipe import NAME, Recipe, Step
from ..runner import held, run_steps
from ..store import open_store
from .options import MachineOptions, print_results
from .parse import call


def step(words: Sequence[str]) -> int:
    """Run one stage alone; its options are the stage's inputs and settings."""
    if not words or words[0] in ("-h", "--help"):
        print("usage: pipeline step STAGE --inputs.NAME FILE ... --config.NAME VALUE ... --out DIR")
        print(f"\nSTAGE is one of: {', '.join(STAGES)}, or a module path.")
        print("pipeline step STAGE --help shows the options of a stage.")
        return 0
    stage = find_stage(words[0], STAGES, "step")
    return int(call(_command(stage), f"step {words[0]}", words[1:]))


def stages() -> int:
    """List the stages with their inputs and outputs."""
    for name in STAGES:
        try:
            stage = find_stage(name, STAGES, name)
        except (SplatworksError, ImportError) as error:
            print(f"{name:18} not available: {error}")
            continue
        print(f"{name:18} {stage.summary}")
        print(f"{'':18} {_ports(stage.inputs)} -> {_ports(stage.outputs)}")
    return 0


def _ports(ports: Any) -> str:
    shown = (f"{p.name}: {p.kinds}" + ("" if p.required else "?") for p in ports.values())
    return ", ".join(shown) or "nothing"


def _command(stage: Stage) -> Any:
    """A function whose signature is the stage's face, for tyro."""
    files = dataclasses.make_dataclass(
        "Files", [_option(port) for port in stage.inputs.values()], frozen=True, kw_only=True
    )

    def command(
        *,
        out: Path,
        inputs: Any,
        config: Any,
        seed: int = 0,
        store: Path | None = None,
        options: Annotated[MachineOptions, tyro.conf.arg(name="")] = MachineOptions(),  # noqa: B008
    ) -> int:
        """Run one stage alone.

        Args:
            out: The run directory; results appear below its latest/.
            inputs: Files and directories to work on.
            config: Settings of the stage.
            seed: Another seed, another result.
            store: A directory of results shared between runs; OUT remembers it.
        """
        return _run_alone(stage, inputs, config, out, seed, store, options)

    command.__annotations__ |= {"inputs": files, "config": stage.config}
    command.__kwdefaults__ = (command.__kwdefaults__ or {}) | {
        name: cls()
        for name, cls in (("inputs", files), ("config", stage.config))
        if not any(_must_be_given(field) for field in dataclasses.fields(cls))
    }
    command.__doc__ = (command.__doc__ or "").replace("Run one stage alone.", stage.summary, 1)
    return command


def _must_be_given(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def _option(port: Port) -> Any:
    hint = Annotated[Path, tyro.conf.arg(help=port.kinds)]
    if port.required:
        return (port.name, hint)
    optional = Annotated[Path | None, tyro.conf.arg(help=f"{port.kinds}, optional")]
    return (port.name, optional, dataclasses.field(default=None))


def _located(path: Path, port: Port) -> str:
    """The absolute path with its kind; where none is stated, the first that fits the input."""
    for kind in (cls.kind for cls in port.classes):
        if str(path).startswith(f"{kind}:"):
            return f"{kind}:{Path(str(path)[len(kind) + 1 :]).absolute()}"
    return f"{port.classes[0].kind}:{path.absolute()}"


def _run_alone(
    stage: Stage,
    files: Any,
    config: Any,
    out: Path,
    seed: int,
    store_folder: Path | None,
    options: MachineOptions,
) -> int:
    name = stage.name.rpartition(".")[2].lower()
    if not NAME.fullmatch(name):
        raise ConfigError(f"the stage {stage.name} needs a name of lower-case letters and digits.")
    given = {f.name: getattr(files, f.name) for f in dataclasses.fields(files)}
    only = Step(
        name=name,
        stage=stage.name,
        inputs={
            key: _located(path, stage.inputs[key])
            for key, path in given.items()
            if path is not None
        },
        config=plain(config),
    )
    recipe = Recipe(steps=(only,), seed=seed)
    steps = bind(recipe, STAGES)
    store = open_store(out, store_folder)
    machine = options.machine()
    with faults_in(store.run), held(store):
        finished = run_steps(recipe, steps, store, machine)
    print_results(store, finished)
    return 0
