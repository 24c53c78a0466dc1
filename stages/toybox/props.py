"""Stage `toybox-props`: the list of toys that the embedded prior is trained on.

A prop is a few words (kind, color, pattern, part color) and a seed for its proportions. One
fifth of the combinations of kind, color, pattern and part color is held out, by hash: no prop
of such a combination, whatever its pattern's color, is ever trained on.

Colors of patterns and of parts are a few by hash, not all: that every word is seen beside every
other is what matters, and forty kinds with everything would be a fortnight's pictures.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Literal

from ...pipeline.contract import Artifact, Context, replacing
from ...pipeline.errors import InputError
from . import catalog

VERSION = 2

Split = Literal["train", "heldout"]

ALWAYS_TRAINED: Mapping[tuple[str, str, str, str], str] = MappingProxyType(
    {("mushroom", "red", "dots", ""): "white"}
)
"""Combinations that the documentation promises, whatever their hash says, and a color of the
pattern that is among them."""


@dataclass(frozen=True, slots=True)
class PropsDir(Artifact):
    """A directory with `props.json`: a list of `Prop`, in the order of their ids."""

    kind = "props/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prop:
    """One toy in words. Empty strings stand for "does not apply"."""

    id: int
    kind: str
    color: str
    """One of `catalog.LOOKS`: a color or a material."""
    pattern: str
    """One of `catalog.PATTERNS`; `none` is a plain surface."""
    pattern_color: str
    part_color: str
    """Color of the part in `catalog.PARTS`; empty: the part's natural color, not named."""
    shape_seed: int
    """Proportions vary by it, within 10 %."""
    split: Split


@dataclass(frozen=True, slots=True)
class Inputs:
    """Nothing: the toys are made up here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """How many toys there are."""

    kinds: tuple[str, ...] = catalog.KINDS
    """Which kinds to make."""
    plain_props: int = 2
    """Props per combination that names no pattern and no part."""
    other_props: int = 1
    """Props per combination with a pattern or a part's color."""
    second_colors: int = 2
    """Colors of its pattern, and of its part, that a toy's color is combined with."""
    heldout_fraction: float = 0.2
    """Share of combinations that are kept for judging."""

    def __post_init__(self) -> None:
        for kind in self.kinds:
            if kind not in catalog.KINDS:
                raise ValueError(f"kinds has {kind!r}; there are {', '.join(catalog.KINDS)}.")
        for name in ("plain_props", "other_props", "second_colors"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if not 0 <= self.heldout_fraction < 1:
            raise ValueError(f"heldout_fraction must be in [0, 1), got {self.heldout_fraction}.")


@dataclass(frozen=True, slots=True)
class Outputs:
    """The list of toys."""

    props: PropsDir


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    """Write the list; the same seed and settings give the same list."""
    props = list(make(config, ctx.seed))
    heldout = sum(prop.split == "heldout" for prop in props)
    ctx.log.info("%d props, %d of them held out", len(props), heldout)
    folder = ctx.out / "props"
    folder.mkdir(exist_ok=True)
    with replacing(folder / "props.json") as path:
        lines = ",\n".join(json.dumps(asdict(prop)) for prop in props)
        path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    return Outputs(PropsDir(folder))


def load(artifact: PropsDir) -> list[Prop]:
    """Read `props.json` strictly."""
    path = artifact.path / "props.json"
    try:
        return [Prop(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not a list of props: {error}") from error


def make(config: Config, seed: int) -> Iterator[Prop]:
    """All props of the toybox, by kind."""
    number = 0
    for kind in config.kinds:
        for color, pattern, pattern_color, part_color in _combinations(kind, config.second_colors):
            plain = pattern == "none" and not part_color
            copies = config.plain_props if plain else config.other_props
            for copy in range(copies):
                labels = (kind, color, pattern, pattern_color, part_color, copy)
                yield Prop(
                    id=number,
                    kind=kind,
                    color=color,
                    pattern=pattern,
                    pattern_color=pattern_color,
                    part_color=part_color,
                    shape_seed=catalog.digest(seed, "shape", *labels),
                    split=split_of(kind, color, pattern, part_color, config.heldout_fraction),
                )
                number += 1


def split_of(
    kind: str, color: str, pattern: str, part_color: str, heldout_fraction: float = 0.2
) -> Split:
    """Whether a combination is trained on. Independent of the run's seed: a promise to users."""
    if (kind, color, pattern, part_color) in ALWAYS_TRAINED:
        return "train"
    drawn = catalog.fraction("heldout 2976", kind, color, pattern, part_color)
    return "heldout" if drawn < heldout_fraction else "train"


def _combinations(kind: str, count: int) -> Iterator[tuple[str, str, str, str]]:
    """(color, pattern, pattern color, part color) of one kind.

    Every look plain and with some part colors; every color with every pattern, in some other
    colors. Beside every second pattern (by hash) a part's color is named too.
    """
    named = kind in catalog.PARTS
    for look in catalog.LOOKS:
        yield look, "none", "", ""
        if named:
            for part_color in _some(list(catalog.COLORS), count, "part", kind, look):
                yield look, "none", "", part_color
    for color in catalog.COLORS:
        for pattern in catalog.PATTERNS[1:]:
            labels = (kind, color, pattern)
            others = [other for other in catalog.COLORS if other != color]
            chosen = _some(others, count, *labels)
            promised = ALWAYS_TRAINED.get((*labels, ""))
            if promised and promised not in chosen:
                chosen.append(promised)
            for pattern_color in chosen:
                yield color, pattern, pattern_color, ""
                pick = catalog.digest("part", *labels, pattern_color)
                if named and pick // 64 % 2:
                    part_color = _some(list(catalog.COLORS), 1, "part", *labels, pattern_color)[0]
                    yield color, pattern, pattern_color, part_color


def _some(colors: Sequence[str], count: int, *labels: str) -> list[str]:
    """The first `count` colors in an order that hangs on the labels."""
    return sorted(colors, key=lambda color: catalog.digest("some", *labels, color))[:count]
