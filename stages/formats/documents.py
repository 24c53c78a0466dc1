"""JSON documents. Ours have a `kind` with a version, and a list of which every row is one line.

One row per line keeps them readable, and lets `diff` and version control show what changed.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ...pipeline.contract import replacing
from ...pipeline.errors import InputError

LARGEST_BYTES = 1 << 28


def read(path: Path, kind: str) -> dict[str, Any]:
    """The document at `path` without its `kind`, which must be `kind`, such as `region/1`.

    An `InputError` tells apart: no such file, no JSON, another kind, a newer version of the kind.
    """
    return parse(_text(path, kind), kind, str(path))


def read_any(path: Path) -> dict[str, Any]:
    """The object in a JSON file of any program, which may repeat entries or hold NaN.

    An `InputError` tells apart: no such file, no JSON, something else than an object.
    """
    try:
        values = json.loads(_text(path, "JSON that is read here"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: no readable JSON ({error}).") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: must be a JSON object, not {type(values).__name__}.")
    return values


def parse(text: str, kind: str, where: str) -> dict[str, Any]:
    """`read` for a text at hand; `where` names it in messages."""
    try:
        document = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: no readable JSON ({error}).") from None
    if not isinstance(document, dict):
        raise InputError(f'{where}: must be an object with "kind": "{kind}".')
    check_kind(document.pop("kind", None), kind, where)
    return document


def text_of(kind: str, head: Mapping[str, Any], name: str, rows: Iterable[object]) -> str:
    """The text of a document: `kind`, the entries of `head`, then `rows` under `name`."""
    entries = [f"{json.dumps(key)}: {_line(value)}" for key, value in head.items()]
    lines = ",\n".join(f"  {_line(row)}" for row in rows)
    body = f"[\n{lines}\n ]" if lines else "[]"
    entries = [f'"kind": "{kind}"', *entries, f"{json.dumps(name)}: {body}"]
    return "{\n " + ",\n ".join(entries) + "\n}\n"


def write(path: Path, text: str) -> Path:
    """Write all of `text` or nothing. Returns `path`."""
    with replacing(Path(path)) as temporary:
        temporary.write_text(text, "utf-8")
    return Path(path)


def check_kind(found: object, kind: str, where: str) -> None:
    """Raise InputError unless a document says that it is of this kind and version."""
    if found == kind:
        return
    name, _, version = kind.partition("/")
    start, _, other = found.partition("/") if isinstance(found, str) else ("", "", "")
    if start == name and other.isascii() and other.isdigit() and int(other) > int(version):
        raise InputError(
            f"{where}: is {found}, written by a newer version of Splatworks; this one reads {kind}."
            f" Update Splatworks, or save the file as {kind} there."
        )
    raise InputError(f'{where}: has "kind": {json.dumps(found)}, expected "{kind}".')


def _text(path: Path, what: str) -> str:
    path = Path(path)
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise InputError(f"{path}: larger than {LARGEST_BYTES >> 20} MiB, so no {what}.")
        return path.read_text("utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: can not be read as text ({error}).") from None


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the entry {twice!r} stands twice in one object")
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number in JSON")
