"""`exposures/1`: how each photograph of a capture shows the colors of the scene; JSON.

    {"kind": "exposures/1",
     "photographs": [{"name": "images/0001.jpg", "gain": [red, green, blue],
                      "offset": [red, green, blue], "kept_aside": false}, ...]}

photograph = gain * scene + offset, per channel of sRGB from 0 to 1. Names are paths below the
capture's folder, with slashes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from logging import Logger
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from ...pipeline.errors import InputError
from ..geometry.exposure import Exposure
from . import documents
from .shots import Shot

KIND = "exposures/1"


@dataclass(frozen=True, slots=True)
class Exposures:
    """By name."""

    trained: Mapping[str, Exposure]
    kept_aside: Mapping[str, Exposure]
    """Of photographs that the scene was not made from: fitted to its pictures afterwards."""

    def of(self, name: str) -> Exposure | None:
        return self.trained.get(name, self.kept_aside.get(name))


def name_of(path: Path, folder: Path) -> str:
    """What a photograph of the capture in `folder` is called."""
    return path.relative_to(folder).as_posix()


def save(exposures: Exposures, path: Path) -> Path:
    """Write all, by name. Returns `path`."""
    both = {**exposures.trained, **exposures.kept_aside}
    photographs = [
        {
            "name": name,
            "gain": both[name].gain.tolist(),
            "offset": both[name].offset.tolist(),
            "kept_aside": name in exposures.kept_aside,
        }
        for name in sorted(both)
    ]
    return documents.write(path, documents.text_of(KIND, {}, "photographs", photographs))


def load(path: Path) -> Exposures:
    """Read what `save` wrote, or anyone in its form. InputError says what is wrong with it."""
    entries = documents.read(path, KIND).get("photographs")
    if not isinstance(entries, list):
        raise InputError(f'{path}: not {KIND}: a list of "photographs" is missing.')
    trained, kept_aside = {}, {}
    for number, entry in enumerate(entries):
        where = f"{path}: photograph {number}"
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise InputError(f'{where}: must be an object with a "name".')
        name = entry["name"]
        if name in trained or name in kept_aside:
            raise InputError(f"{where}: {name!r} is listed twice.")
        one = Exposure(_three(where, entry, "gain"), _three(where, entry, "offset"))
        if not bool((one.gain > 0).all()):
            raise InputError(f"{where}: gains must be positive, got {entry['gain']}.")
        (kept_aside if entry.get("kept_aside") is True else trained)[name] = one
    return Exposures(MappingProxyType(trained), MappingProxyType(kept_aside))


def of_shots(path: Path, folder: Path, shots: Sequence[Shot], log: Logger) -> dict[int, Exposure]:
    """Exposures of some photographs of the capture in `folder`, by their place in `shots`.

    What the file does not list is said. InputError if it lists none of them.
    """
    names = [name_of(shot.path, folder) for shot in shots]
    listed = load(path)
    found = {k: one for k, name in enumerate(names) if (one := listed.of(name)) is not None}
    lacking = [name for k, name in enumerate(names) if k not in found]
    if not found:
        raise InputError(f"{path}: lists none of the photographs of {folder}, such as {names[0]}.")
    if lacking:
        log.warning(
            "%s does not list %d of %d photographs, such as %s; these are taken as they are.",
            path,
            len(lacking),
            len(names),
            lacking[0],
        )
    return found


def _three(where: str, entry: Mapping[str, Any], name: str) -> torch.Tensor:
    values = entry.get(name)
    good = isinstance(values, list) and len(values) == 3
    if not good or not all(type(v) in (int, float) and math.isfinite(v) for v in values):
        raise InputError(f'{where}: "{name}" must be three finite numbers, got {values!r}.')
    return torch.tensor(values, dtype=torch.float32)
