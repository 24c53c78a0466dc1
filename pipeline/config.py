"""Settings: from plain data (TOML, JSON, `--set`) to a frozen dataclass and back, strictly.

Nothing is guessed: an unknown name, a wrong type or a value out of range is an error that names
the full path of the setting. The one conversion is that a whole number may stand for a float.
"""

import dataclasses
import difflib
import json
import math
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from .errors import ConfigError

T = TypeVar("T")

_WORDS: Mapping[type, str] = types.MappingProxyType(
    {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
)


def nearest(name: str, names: Iterable[str]) -> str:
    """` Did you mean 'x'?`, or the list of names where none is near (or nothing for none)."""
    names = sorted(names)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if not close:  # 'radius' for 'radius_m', 'up' for 'up_axis'
        close = [n for n in names if n.startswith(name) or name.startswith(n)][:1]
    if close:
        return f" Did you mean '{close[0]}'?"
    return f" There is: {', '.join(names)}." if names else ""


def canonical(data: object) -> str:
    """The one JSON text of plain data: sorted keys, no blanks, no NaN."""
    return json.dumps(
        data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def build(cls: type[T], data: Mapping[str, Any], where: str, default: T | None = None) -> T:
    """An instance of the dataclass `cls` from plain data.

    Args:
        cls: A dataclass whose fields are bool, int, float, str, Literal, tuple, Optional, or a
            dataclass again.
        data: Field names to plain values. Fields that are absent keep their default.
        where: What to call `data` in messages, such as `step.hand.config`.
        default: Gives the values of absent fields instead of the defaults of `cls`.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where}: found {_show(data)}, expected a table of settings.")
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    for name in data:
        if name not in fields:
            raise ConfigError(f"{where}.{name} is not a setting.{nearest(str(name), fields)}")
    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    for name, field in fields.items():
        base = getattr(default, name) if default is not None else _default(field)
        if name in data:
            base_of_nested = None if base is dataclasses.MISSING else base
            values[name] = _value(hints[name], data[name], f"{where}.{name}", base_of_nested)
        elif base is dataclasses.MISSING:
            raise ConfigError(f"{where}.{name} is required but not given.")
        else:
            values[name] = base
    try:
        return cls(**values)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error


def plain(config: object, *, runtime: bool = True) -> dict[str, Any]:
    """All fields of a dataclass as plain data, the same whichever way it was written.

    `runtime=False` leaves out the fields marked `RUNTIME`, which do not shape the result.
    """
    hints = typing.get_type_hints(type(config))
    return {
        f.name: _plain(hints[f.name], getattr(config, f.name), runtime)
        for f in dataclasses.fields(config)  # type: ignore[arg-type]
        if f.init and (runtime or not f.metadata.get("runtime"))
    }


def setting(cls: type, path: str, text: str, where: str) -> dict[str, Any]:
    """Plain data for one command-line setting: `("noise.start", "0.5")` -> nested dict.

    The text is read by the type of the field: `true`/`false`, numbers, `none`, and
    comma-separated values for a tuple.
    """
    name, _, rest = path.partition(".")
    hints = typing.get_type_hints(cls)
    names = [f.name for f in dataclasses.fields(cls) if f.init]
    if name not in names:
        raise ConfigError(f"{where}.{name} is not a setting.{nearest(name, names)}")
    hint = hints[name]
    if rest:
        inner = next((h for h in _choices(hint) if dataclasses.is_dataclass(h)), None)
        if inner is None:
            raise ConfigError(f"{where}.{name} has no parts, so {where}.{path} is not a setting.")
        return {name: setting(typing.cast(type, inner), rest, text, f"{where}.{name}")}
    return {name: _read(hint, text, f"{where}.{name}")}


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`below` with the values of `above` put over it, table by table."""
    result = dict(below)
    for name, value in above.items():
        old = result.get(name)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[name] = merged(old, value) if both else value  # type: ignore[arg-type]
    return result


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _choices(hint: Any) -> tuple[Any, ...]:
    """The alternatives of `A | B | None`; any other type is its own only alternative."""
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _show(value: object) -> str:
    text = json.dumps(value, default=repr, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _expected(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(repr(v) for v in get_args(hint))
    if get_origin(hint) is tuple:
        args = get_args(hint)
        if len(args) == 2 and args[1] is Ellipsis:
            return f"a list of which each is {_expected(args[0])}"
        return f"a list of {len(args)}: " + ", ".join(_expected(a) for a in args)
    if dataclasses.is_dataclass(hint):
        return "a table of settings"
    if hint is type(None):
        return "nothing"
    return _WORDS.get(hint, str(hint))


def _value(hint: Any, value: Any, where: str, default: Any) -> Any:
    """`value` as the type `hint`; `default` completes a nested table."""
    choices = _choices(hint)
    if len(choices) > 1:
        if value is None and type(None) in choices:
            return None
        rest = [c for c in choices if c is not type(None)]
        if len(rest) == 1:
            return _value(rest[0], value, where, default)
        for choice in rest:
            try:
                return _value(choice, value, where, default)
            except ConfigError:
                continue
        raise _wrong(hint, value, where)
    if get_origin(hint) is Literal:
        for allowed in get_args(hint):
            if type(value) is type(allowed) and value == allowed:
                return allowed
        raise _wrong(hint, value, where)
    if get_origin(hint) is tuple:
        return _tuple(hint, value, where)
    if dataclasses.is_dataclass(hint):
        if isinstance(value, hint):  # type: ignore[arg-type]
            return value
        base = default if isinstance(default, hint) else None  # type: ignore[arg-type]
        return build(hint, value, where, base)  # type: ignore[arg-type,type-var]
    if hint is float and type(value) in (int, float):
        if not math.isfinite(value):
            raise ConfigError(f"{where}: found {value}, expected a finite number.")
        return float(value)
    if hint in (bool, int, str) and type(value) is hint:
        return value
    raise _wrong(hint, value, where)


def _wrong(hint: Any, value: object, where: str) -> ConfigError:
    expected = " or ".join(_expected(c) for c in _choices(hint))
    return ConfigError(f"{where}: found {_show(value)}, expected {expected}.")


def _tuple(hint: Any, value: Any, where: str) -> tuple[Any, ...]:
    args = get_args(hint)
    if not isinstance(value, list | tuple):
        raise _wrong(hint, value, where)
    if len(args) == 2 and args[1] is Ellipsis:
        args = (args[0],) * len(value)
    if len(args) != len(value):
        raise _wrong(hint, value, where)
    pairs = zip(args, value, strict=True)
    return tuple(_value(a, v, f"{where}[{i}]", None) for i, (a, v) in enumerate(pairs))


def _plain(hint: Any, value: Any, runtime: bool) -> Any:
    if dataclasses.is_dataclass(value):
        return plain(value, runtime=runtime)
    if isinstance(value, tuple | list):
        args = get_args(hint) if get_origin(hint) is tuple else ()
        if len(args) != len(value) or Ellipsis in args:
            args = (args[0] if args else Any,) * len(value)
        return [_plain(a, v, runtime) for a, v in zip(args, value, strict=True)]
    if type(value) is int and float in _choices(hint) and int not in _choices(hint):
        return float(value)
    return value


def _read(hint: Any, text: str, where: str) -> Any:
    """Command-line text as plain data for the type `hint`."""
    choices = _choices(hint)
    if type(None) in choices and text.lower() in ("none", "null"):
        return None
    failures: list[ConfigError] = []
    for choice in (c for c in choices if c is not type(None)):
        try:
            return _read_one(choice, text, where)
        except ConfigError as error:
            failures.append(error)
    raise failures[0] if len(failures) == 1 else _wrong(hint, text, where)


def _read_one(hint: Any, text: str, where: str) -> Any:
    if hint is str:
        return text
    if get_origin(hint) is Literal:
        for allowed in get_args(hint):
            if str(allowed) == text:
                return allowed
        _value(hint, text, where, None)
    if get_origin(hint) is tuple:
        args = get_args(hint)
        parts = [p.strip() for p in text.strip("[]() ").split(",") if p.strip()]
        if len(args) == 2 and args[1] is Ellipsis:
            args = (args[0],) * len(parts)
        if len(args) != len(parts):
            raise _wrong(hint, text, where)
        return [_read(a, p, where) for a, p in zip(args, parts, strict=True)]
    if hint is bool and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if hint in (int, float):
        try:
            return hint(text)
        except ValueError:
            pass
    raise _wrong(hint, text, where)
