"""`field/1`: a field as one safetensors file, settings in its header."""

import dataclasses
from pathlib import Path
from typing import Any

import torch

from ...pipeline.errors import InputError
from ..formats import tensors
from .field import Field, FieldSettings
from .settings import Settings

FORMAT = "field/1"


def save(field: Field, path: Path) -> Path:
    """Write settings and parameters."""
    metadata = {"format": FORMAT, "field": dataclasses.asdict(field.settings)}
    return tensors.save(field.state_dict(), path, metadata)


def load(path: Path, *, threads: int = 1) -> Field:
    """Read a field. Raises InputError for anything that is none, or does not fit together."""
    found, metadata = tensors.load(path)
    if metadata.get("format") != FORMAT:
        raise InputError(f"{path}: no {FORMAT} file (format {metadata.get('format')!r}).")
    try:
        field = Field(_settings(metadata["field"]), threads=threads)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: its settings cannot be used ({error}).") from None
    expected = field.state_dict()
    for name in sorted(expected.keys() | found.keys()):
        shapes = [tuple(d[name].shape) if name in d else "absent" for d in (found, expected)]
        if shapes[0] != shapes[1]:
            raise InputError(f"{path}: {name} is {shapes[0]}; its settings ask for {shapes[1]}.")
        if not torch.isfinite(found[name]).all():
            raise InputError(f"{path}: {name} holds values that are not finite.")
    field.load_state_dict(found)
    return field


def _settings(given: dict[str, Any]) -> FieldSettings:
    encoding = Settings(**given["encoding"])
    return FieldSettings(**{**given, "encoding": encoding, "low": tuple(given["low"])})
