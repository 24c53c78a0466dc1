"""`edits/1`: an edit script, a list of operations on one or several scenes. One operation a line:

    {"edit": "select", "layer": "horse", "how": "set", "shape": "sphere", "center": ..., ...}
    {"edit": "move", "layer": "horse", "translation": [0, 0.5, 0]}

`scenes` names the layers that the files become, in the order in which they are given. `layer` may
be left out while there is only one. Most operations work on the layer's `selection`, some may be
told to work on `all` of it. What they do is in `scene/operations.py`; this file is the schema.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

from ...pipeline.config import build, nearest, plain
from ...pipeline.errors import InputError
from . import documents
from .regions import (
    Quaternion,
    Term,
    Vector,
    Viewpoint,
    check_positive,
    check_quaternion,
    parse_term,
    plain_term,
)

KIND = "edits/1"
Of = Literal["selection", "all"]
LONGEST_NAME = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Select:
    """Change which Gaussians of a layer are selected."""

    term: Term
    layer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grow:
    """Also select the neighbors of what is selected: give `radius` or `neighbors`."""

    layer: str | None = None
    radius: float | None = None
    """Everything at most this far from a selected centre."""
    neighbors: int | None = None
    """The nearest so many of each selected Gaussian."""

    def __post_init__(self) -> None:
        _check_reach(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shrink:
    """Deselect what `Grow` would reach from the Gaussians that are not selected."""

    layer: str | None = None
    radius: float | None = None
    neighbors: int | None = None

    def __post_init__(self) -> None:
        _check_reach(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Invert:
    """Select what is not selected, and the other way round."""

    layer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """x -> scale * rotation (x - pivot) + pivot + translation."""

    layer: str | None = None
    of: Of = "selection"
    translation: Vector = (0.0, 0.0, 0.0)
    rotation: Quaternion = (1.0, 0.0, 0.0, 0.0)
    """(w, x, y, z), of any length but zero."""
    scale: float = 1.0
    pivot: Vector = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        check_quaternion(self.rotation)
        check_positive(self, "scale")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Scale along three perpendicular axes by different factors; a negative one mirrors."""

    factors: Vector
    layer: str | None = None
    of: Of = "selection"
    rotation: Quaternion = (1.0, 0.0, 0.0, 0.0)
    """From the axes of stretching to those of the scene."""
    pivot: Vector = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        check_quaternion(self.rotation)
        if not all(self.factors):
            raise ValueError(f"factors must not be zero, got {self.factors}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Remove the selected Gaussians."""

    layer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """Remove all but the selected Gaussians."""

    layer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """Copy Gaussians into a new layer."""

    name: str
    """Of the new layer."""
    layer: str | None = None
    of: Of = "selection"

    def __post_init__(self) -> None:
        check_name(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Separate:
    """Take the selected Gaussians out into a new layer."""

    name: str
    layer: str | None = None

    def __post_init__(self) -> None:
        check_name(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """Put other layers behind the Gaussians of `layer`; it gets the higher SH degree of all."""

    layer: str
    others: tuple[str, ...]

    def __post_init__(self) -> None:
        names = (self.layer, *self.others)
        if len(names) < 2 or len(set(names)) < len(names):
            raise ValueError(f"others must name other layers, each once, got {list(self.others)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recolor:
    """Change colors from every direction alike (see `scene/recolor.py` for the formula)."""

    layer: str | None = None
    of: Of = "selection"
    black: float = 0.0
    """This value becomes 0."""
    white: float = 1.0
    """This value becomes 1."""
    brightness: float = 0.0
    """Added to all channels."""
    saturation: float = 1.0
    """0 is gray."""
    temperature: float = 0.0
    """-1 is cold, 1 is warm."""
    tint: Vector = (1.0, 1.0, 1.0)
    """Factors of red, green and blue."""

    def __post_init__(self) -> None:
        if not self.white > self.black:
            raise ValueError(f"white must be above black, got {self.white} and {self.black}")
        if not -1 <= self.temperature <= 1:
            raise ValueError(f"temperature must lie between -1 and 1, got {self.temperature}")
        if self.saturation < 0 or min(self.tint) < 0:
            raise ValueError("saturation and tint must not be negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opacity:
    """Multiply opacities; what would become opaque stays a millionth below 1."""

    factor: float
    layer: str | None = None
    of: Of = "selection"

    def __post_init__(self) -> None:
        check_positive(self, "factor")


@dataclass(frozen=True, slots=True, kw_only=True)
class Degree:
    """Cut off spherical harmonics above a degree, or add ones of value 0 up to it."""

    degree: Literal[0, 1, 2, 3]
    layer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decimate:
    """Merge neighbors that look alike until only a share is left (see `scene/thinning.py`)."""

    keep: float
    layer: str | None = None
    of: Of = "selection"

    def __post_init__(self) -> None:
        if not 0 < self.keep < 1:
            raise ValueError(f"keep must lie between 0 and 1, got {self.keep}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sort:
    """Put the Gaussians in another order; `morton` keeps neighbors together."""

    layer: str | None = None
    by: Literal["morton", "size", "opacity"] = "morton"
    """Size and opacity: the largest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Turn and shift the whole layer so that the plane through the selection is the ground, y = 0.

    The plane is that with the most Gaussians near it; up is where more of the others are.
    """

    layer: str | None = None
    of: Of = "selection"
    tolerance: float | None = None
    """How far from the plane counts as near; by default 0.5 % of the selection's extent."""

    def __post_init__(self) -> None:
        if self.tolerance is not None:
            check_positive(self, "tolerance")


@dataclass(frozen=True, slots=True, kw_only=True)
class Center:
    """Shift the whole layer so that the middle of the selection's bounding box lies at `at`."""

    layer: str | None = None
    of: Of = "selection"
    at: Vector = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Give a layer the units and the up axis of another one, scaling and turning it to suit."""

    like: str
    layer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stitch:
    """Recolor a layer so that it goes with another one where they touch (`docs/stitching.md`).

    What the settings mean and which values they may have: `stages/stitch/__init__.py`.
    """

    layer: str
    source: str
    """The layer that gives the look; stays as it is."""
    beta: float = 0.05
    tau: float = 0.95
    iterations: tuple[int, int] = (300, 300)
    views: int = 32
    size_px: int = 160
    seam_only: bool = False
    seam_width: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.layer == self.source:
            raise ValueError(f"source must be another layer than {self.layer}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retouch:
    """Change a layer by one retouched picture of it (`docs/single-image-editing.md`).

    The picture shows this layer alone; what its settings mean stands in `stages/edit/__init__.py`.
    """

    camera: Viewpoint
    png: str
    """The retouched picture, a PNG in base64."""
    layer: str | None = None
    what: Literal["auto", "geometry", "texture", "both", "remove"] = "auto"
    background: Literal["auto", "white", "black"] = "auto"
    seed: int = 0


Edit = (
    Select | Grow | Shrink | Invert | Move | Stretch | Delete | Crop | Duplicate | Separate | Merge
    | Recolor | Opacity | Degree | Decimate | Sort | Ground | Center | Frame | Stitch | Retouch
)  # fmt: skip
EDITS: Mapping[str, type[Edit]] = MappingProxyType(
    {cls.__name__.lower(): cls for cls in get_args(Edit)}
)


@dataclass(frozen=True, slots=True)
class Script:
    """Operations on the scenes of these names."""

    scenes: tuple[str, ...]
    edits: tuple[Edit, ...] = ()

    def __post_init__(self) -> None:
        for name in self.scenes:
            check_name(name)
        if not self.scenes or len(set(self.scenes)) < len(self.scenes):
            raise ValueError(f"scenes must be names, each once, got {list(self.scenes)}")


def load(path: Path) -> Script:
    """Read a script; anything unknown in it is an error."""
    return _script(documents.read(path, KIND), str(path))


def parse(text: str, where: str) -> Script:
    """`load` for a text at hand."""
    return _script(documents.parse(text, KIND, where), where)


def save(script: Script, path: Path) -> Path:
    """Write a script, one edit a line, every setting written out. Returns `path`."""
    rows = [plain_edit(edit) for edit in script.edits]
    head = {"scenes": list(script.scenes)}
    return documents.write(path, documents.text_of(KIND, head, "edits", rows))


def plain_edit(edit: Edit) -> dict[str, Any]:
    """What `parse_edit` reads."""
    name = type(edit).__name__.lower()
    if isinstance(edit, Select):
        settings = {"layer": edit.layer, **plain_term(edit.term)}
    else:
        settings = plain(edit)
    return {"edit": name} | {k: v for k, v in settings.items() if v is not None}


def parse_edit(data: object, where: str) -> Edit:
    """An operation from plain data, strictly."""
    if not isinstance(data, dict):
        raise InputError(f"{where}: must be an object, got {type(data).__name__}.")
    name = data.get("edit")
    if not isinstance(name, str) or name not in EDITS:
        raise InputError(f"{where}: no edit {name!r}.{nearest(str(name), EDITS)}")
    where = f"{where} ({name})"
    rest = {key: value for key, value in data.items() if key != "edit"}
    if name != "select":
        return build(EDITS[name], rest, where)
    layer = rest.pop("layer", None)
    if not isinstance(layer, str | None):
        raise InputError(f"{where}: layer must be a name, got {layer!r}.")
    return Select(layer=layer, term=parse_term(rest, where))


def check_name(name: str) -> None:
    """Raise ValueError unless `name` can be a layer and, with an ending, a file on any system.

    So no separators, no `..`, nothing hidden, no control characters.
    """
    letters = all(
        unicodedata.category(letter)[0] in "LMN" or letter in " _.-+()" for letter in name
    )
    reserved = re.fullmatch(r"(con|prn|aux|nul|(com|lpt)\d)(\..*)?", name, re.IGNORECASE)
    ends = name[:1] in (".", " ", "-", "") or name[-1:] in (".", " ")
    if not letters or reserved or ends or len(name) > LONGEST_NAME:
        raise ValueError(
            f"{name[:LONGEST_NAME]!r} can not name a layer: use letters, digits, spaces and _.-+(),"
            f" at most {LONGEST_NAME}"
        )


def _script(document: dict[str, Any], where: str) -> Script:
    scenes, rows = document.pop("scenes", None), document.pop("edits", None)
    if document:
        raise InputError(f"{where}: unknown entry {next(iter(document))!r} in an edit script.")
    if not isinstance(scenes, list) or not all(isinstance(name, str) for name in scenes):
        raise InputError(f'{where}: "scenes" must be a list of names.')
    if not isinstance(rows, list):
        raise InputError(f'{where}: "edits" must be a list.')
    edits = tuple(parse_edit(row, f"{where}: edit {i}") for i, row in enumerate(rows, 1))
    try:
        return Script(tuple(scenes), edits)
    except ValueError as error:
        raise InputError(f"{where}: {error}.") from None


def _check_reach(edit: Grow | Shrink) -> None:
    if (edit.radius is None) == (edit.neighbors is None):
        raise ValueError("give either radius or neighbors")
    check_positive(edit, "radius" if edit.neighbors is None else "neighbors")
