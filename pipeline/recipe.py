"""Recipes: which stages run, on what, with which settings. A TOML file, or `recipe.json` in a
run directory, which is the same with every argument filled in and every setting written out.

    seed = 0
    [[step]]
    name = "hand"                                    # unique; the name of the result
    stage = "normalize"                              # from the table, an entry point, a module path
    inputs = { mesh = "unit.mesh", prompt = "$prompt" }   # a step's output, an argument, or a file
    config = { radius_m = 0.1 }                      # what is not given keeps its default
    seed = 3                                         # optional; else from the run's seed and name
"""

import importlib.resources
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .config import build, merged, nearest, setting
from .errors import ConfigError, InputError
from .face import find_stage

NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
REFERENCE = re.compile(rf"({NAME.pattern})\.([A-Za-z_][A-Za-z0-9_]*)")
PRESETS = "splatworks.configs"
RECORD = "recipe.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step as written, names checked but nothing looked up yet."""

    name: str
    stage: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Input name to a file, `step.output` or `$argument`."""
    config: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    steps: tuple[Step, ...]
    seed: int = 0
    arguments: Mapping[str, str] = field(default_factory=dict)
    """What `$name` stands for: a file or directory."""
    base: Path = Path()
    """Relative file names start here: the current directory, or the run directory."""


def load_recipe(name: str) -> Recipe:
    """A recipe from a TOML file, or a preset of the package by its name."""
    path = Path(name)
    if path.suffix == ".toml":
        try:
            return parse_recipe(path.read_text("utf-8"), str(path))
        except FileNotFoundError:
            raise InputError(f"{path}: there is no such recipe.") from None
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path} is not UTF-8 text ({error.reason}).") from error
    known = presets()
    if name not in known:
        raise ConfigError(f"'{name}' is neither a preset nor a .toml file.{nearest(name, known)}")
    file = importlib.resources.files(PRESETS) / f"{name}.toml"
    return parse_recipe(file.read_text("utf-8"), f"preset {name}")


def presets() -> list[str]:
    """Names of the recipes shipped with the package."""
    files = importlib.resources.files(PRESETS).iterdir()
    return sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml"))


def parse_recipe(text: str, where: str) -> Recipe:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where} is not TOML: {error}.") from error
    return recipe_from(data, where)


def recipe_from(data: Mapping[str, Any], where: str, base: Path = Path()) -> Recipe:
    """Check the outline of a recipe: known keys, right types, unique names."""
    _only(data, ("seed", "step", "arguments"), where)
    tables = data.get("step", [])
    if not isinstance(tables, list) or not tables:
        raise ConfigError(f"{where} has no steps. Write each as a [[step]] table.")
    steps: list[Step] = []
    for number, table in enumerate(tables, 1):
        step = _step(table, f"{where}, step {number}")
        if step.name in (s.name for s in steps):
            raise ConfigError(f"{where}: two steps are called '{step.name}'. Rename one.")
        steps.append(step)
    seed = _typed(data, "seed", int, where, 0)
    arguments = _typed(data, "arguments", dict, where, {})
    return Recipe(steps=tuple(steps), seed=seed, arguments=arguments, base=base)


def read_run(run: Path) -> Recipe:
    """The recipe that a run directory was made with."""
    data = _read(run)
    if data is None:
        if not run.is_dir():
            raise InputError(f"{run}: there is no such run directory.")
        raise InputError(f"{run} is not a run directory: it has no recipe.json.")
    recipe = {key: value for key, value in data.items() if key != "store"}
    return recipe_from(recipe, str(run / RECORD), base=run)


def read_store(run: Path) -> Path | None:
    """The shared store that a run directory was last made with; `None`: its own, or no run yet."""
    text = _typed(_read(run) or {}, "store", str, str(run / RECORD), "")
    return Path(text) if text else None


def _read(run: Path) -> Mapping[str, Any] | None:
    path = run / RECORD
    try:
        data = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise ConfigError(
            f"{path} is not JSON ({error}). Delete it and run the original line again."
        ) from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path} is no recipe. Delete it and run the original line again.")
    return data


def recipe_text(recipe: Recipe, store: Path | None = None) -> str:
    """What `read_run` and `read_store` read."""
    steps = [
        {"name": s.name, "stage": s.stage, "inputs": dict(s.inputs), "config": dict(s.config)}
        | ({} if s.seed is None else {"seed": s.seed})
        for s in recipe.steps
    ]
    data = {"seed": recipe.seed, "arguments": dict(recipe.arguments), "step": steps}
    if store is not None:
        data["store"] = str(store.absolute())
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def with_settings(recipe: Recipe, settings: Sequence[str], table: Mapping[str, str]) -> Recipe:
    """The recipe with `STEP.FIELD=VALUE` settings put in; the last of several wins."""
    steps = {s.name: s for s in recipe.steps}
    for text in settings:
        left, equals, value = text.partition("=")
        name, dot, path = left.strip().partition(".")
        if not (equals and dot and path):
            raise ConfigError(f"--set {text}: expected STEP.FIELD=VALUE.")
        if name not in steps:
            raise ConfigError(f"--set {text}: there is no step '{name}'.{nearest(name, steps)}")
        step = steps[name]
        stage = find_stage(step.stage, table, f"step '{name}'")
        where = f"step.{name}.config"
        config = merged(step.config, setting(stage.config, path, value.strip(), where))
        build(stage.config, config, where)
        steps[name] = replace(step, config=config)
    return replace(recipe, steps=tuple(steps.values()))


def _step(table: object, where: str) -> Step:
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: expected a table with name, stage, inputs and config.")
    _only(table, ("name", "stage", "inputs", "config", "seed"), where)
    name = _typed(table, "name", str, where)
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"{where}: the name {name!r} must be lower-case letters, digits, '-' and '_'."
        )
    where = f"{where} ('{name}')"
    inputs = _typed(table, "inputs", dict, where, {})
    for key, value in inputs.items():
        if not isinstance(value, str):
            raise ConfigError(f"{where}: input '{key}' must be a text, found {value!r}.")
    return Step(
        name=name,
        stage=_typed(table, "stage", str, where),
        inputs=inputs,
        config=_typed(table, "config", dict, where, {}),
        seed=_typed(table, "seed", int, where, None),
    )


def _only(table: Mapping[str, Any], allowed: Sequence[str], where: str) -> None:
    for key in table:
        if key not in allowed:
            raise ConfigError(f"{where}: '{key}' means nothing here.{nearest(key, allowed)}")


def _typed(table: Mapping[str, Any], key: str, cls: type, where: str, *default: Any) -> Any:
    value = table.get(key)
    if value is None:
        if default:
            return default[0]
        raise ConfigError(f"{where}: '{key}' is missing.")
    if type(value) is not cls:
        words = {int: "a whole number", str: "a text", dict: "a table"}
        raise ConfigError(f"{where}: '{key}' is {value!r}, expected {words[cls]}.")
    return value
