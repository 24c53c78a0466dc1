"""The face of a stage: what the runner knows about it without running it."""

import dataclasses
import importlib
import importlib.metadata
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union, get_args, get_origin

from .config import nearest
from .contract import Artifact
from .errors import ConfigError

ENTRY_POINTS = "splatworks.stages"


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output of a stage."""

    name: str
    classes: tuple[type[Artifact], ...]
    """The artifact classes it may hold; an output has exactly one."""
    required: bool = True

    @property
    def kinds(self) -> str:
        return " or ".join(c.kind for c in self.classes)

    def artifact(self, kind: str, path: Path) -> Artifact:
        return next(c for c in self.classes if c.kind == kind)(path)


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage module, looked at from outside."""

    name: str
    """As the table or the entry point calls it; for others, the module path."""
    module: types.ModuleType
    version: int
    inputs: Mapping[str, Port]
    outputs: Mapping[str, Port]
    config: type

    @property
    def path(self) -> str:
        return self.module.__name__

    @property
    def summary(self) -> str:
        return (self.module.__doc__ or "").strip().split("\n")[0]


def find_stage(name: str, table: Mapping[str, str], where: str) -> Stage:
    """The stage that a recipe calls `name`: from the table, an entry point or a module path."""
    for known, path in table.items():
        if name in (known, path):
            return load_stage(known, path, where)
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        if name in (point.name, point.value):
            return load_stage(point.name, point.value, where)
    if "." in name:
        return load_stage(name, name, where)
    raise ConfigError(f"{where}: '{name}' is not a stage.{nearest(name, table)}")


def load_stage(name: str, path: str, where: str) -> Stage:
    """Import a stage module and check its face."""
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name and (path == error.name or path.startswith(error.name + ".")):
            raise ConfigError(
                f"{where}: the module {path} of stage '{name}' cannot be found."
                " Install the package that holds it, or mend the name."
            ) from error
        raise
    absent = [n for n in ("VERSION", "Inputs", "Config", "Outputs", "run") if n not in vars(module)]
    if absent:
        raise ConfigError(f"{where}: {path} is not a stage: it lacks {', '.join(absent)}.")
    return Stage(
        name=name,
        module=module,
        version=module.VERSION,
        inputs=_ports(module.Inputs, f"{path}.Inputs"),
        outputs=_ports(module.Outputs, f"{path}.Outputs"),
        config=module.Config,
    )


def _ports(cls: type, where: str) -> dict[str, Port]:
    hints = typing.get_type_hints(cls)
    return {
        field.name: _port(field, hints[field.name], where)
        for field in dataclasses.fields(cls)  # type: ignore[arg-type]
    }


def _port(field: dataclasses.Field[Any], hint: Any, where: str) -> Port:
    several = get_origin(hint) in (Union, types.UnionType)
    classes = [c for c in (get_args(hint) if several else (hint,)) if c is not type(None)]
    for cls in classes:
        if not (isinstance(cls, type) and issubclass(cls, Artifact) and cls.kind):
            raise ConfigError(f"{where}.{field.name}: {cls} is not an Artifact with a kind.")
    required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    return Port(field.name, tuple(classes), required)
