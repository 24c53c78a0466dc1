"""What a prompt says of a toy, as one value per fact; prompts are read by the captions' own words.

Nothing here lists words twice: a prompt is understood if `captions.prompts` could have made it
(articles and the usual other names of kinds and colors aside), and it means what that caption
was made from.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

from ....pipeline.errors import InputError
from .. import captions, catalog
from ..props import Prop

UNSAID = ""
ARTICLES = frozenset({"a", "an", "the", "one"})
SLOTS: Mapping[str, str] = {
    "<color>": "color",
    "<pattern>": "pattern_color",
    "<part>": "part_color",
}
"""Stand for colors in a caption, and the fact that each of them is."""
ANY_COLOR, ANY_KIND = "<any>", "<kind>"
Form = tuple[str, ...]
"""A caption's words, colors and kind replaced by `ANY_COLOR` and `ANY_KIND`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """As in `props.Prop`: the colors of a pattern and of a part are empty where there are none."""

    kind: str
    color: str
    pattern: str
    pattern_color: str = UNSAID
    part_color: str = UNSAID

    def said(self) -> dict[str, str]:
        """The facts that have a value."""
        values = {name: getattr(self, name) for name in NAMES}
        return {name: value for name, value in values.items() if value != UNSAID}


NAMES: tuple[str, ...] = tuple(Facts.__dataclass_fields__)


def values(kinds: Sequence[str] = catalog.KINDS) -> dict[str, tuple[str, ...]]:
    """What each fact can be."""
    colors = tuple(catalog.COLORS)
    return {
        "kind": tuple(kinds),
        "color": tuple(catalog.LOOKS),
        "pattern": catalog.PATTERNS,
        "pattern_color": colors,
        "part_color": colors,
    }


def of(toy: Prop) -> Facts:
    """What is true of a toy."""
    return Facts(**{name: getattr(toy, name) for name in NAMES})


def read(prompt: str) -> Facts:
    """The facts that a prompt states.

    Raises:
        InputError: A word that no caption has, or words in an order that none has.
    """
    said = [word for word in captions.words(prompt) if word not in ARTICLES]
    _check_words(prompt, said)
    for kind, name in _names():
        for start in _places(said, name):
            rest = [*said[:start], ANY_KIND, *said[start + len(name) :]]
            colors = [_color(word) for word in rest if _color(word)]
            form = tuple(ANY_COLOR if _color(word) else word for word in rest)
            if form in _forms(kind):
                pattern, slots = _forms(kind)[form]
                found = Facts(kind=kind, pattern=pattern, **dict(zip(slots, colors, strict=True)))
                if _can_be(found):
                    return found
    raise InputError(
        f'The prompt "{prompt}" is not worded like a caption, such as '
        '"a red mushroom with white dots and a yellow stem": one toy, its color, what is on it.'
    )


def _can_be(found: Facts) -> bool:
    """Patterns and parts have colors, not materials, and materials have no patterns."""
    known = values()
    painted = found.color in catalog.COLORS or found.pattern == "none"
    return painted and all(value in known[name] for name, value in found.said().items())


def _check_words(prompt: str, said: Sequence[str]) -> None:
    for word in said:
        if word not in _vocabulary():
            near = difflib.get_close_matches(word, sorted(_vocabulary()), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise InputError(f'The prompt "{prompt}" has {word!r}, which no caption has{hint}')


@lru_cache(maxsize=1)
def _vocabulary() -> frozenset[str]:
    return frozenset(captions.vocabulary())


@lru_cache(maxsize=1)
def _names() -> tuple[tuple[str, Form], ...]:
    """(kind, what it is called), the longest names first."""
    pairs = [
        (kind, tuple(captions.words(name)))
        for kind in catalog.KINDS
        for name in (kind, *captions.KIND_WORDS.get(kind, ()))
    ]
    return tuple(sorted(pairs, key=lambda pair: -len(pair[1])))


@lru_cache(maxsize=len(catalog.KINDS))
def _forms(kind: str) -> dict[Form, tuple[str, tuple[str, ...]]]:
    """Every form of a caption of this kind: its pattern, and which facts its colors are."""
    forms: dict[Form, tuple[str, tuple[str, ...]]] = {}
    parts = ("", "<part>") if kind in catalog.PARTS else ("",)
    for pattern, part in product(catalog.PATTERNS, parts):
        toy = Prop(
            id=0,
            kind=kind,
            color="<color>",
            pattern=pattern,
            pattern_color="" if pattern == "none" else "<pattern>",
            part_color=part,
            shape_seed=0,
            split="train",
        )
        for text in captions.prompts(toy):
            caption = [word for word in captions.words(text) if word not in ARTICLES]
            slots = tuple(SLOTS[word] for word in caption if word in SLOTS)
            name = tuple(captions.words(kind))
            start = next(_places(caption, name))
            caption[start : start + len(name)] = [ANY_KIND]
            form = tuple(ANY_COLOR if word in SLOTS else word for word in caption)
            forms.setdefault(form, (pattern, slots))
    return forms


def _places(said: Sequence[str], name: Form) -> Iterator[int]:
    """Where a name stands among words."""
    for start in range(len(said) - len(name) + 1):
        if tuple(said[start : start + len(name)]) == name:
            yield start


def _color(word: str) -> str:
    """The catalog's name of a color or material, empty for other words."""
    if word in catalog.LOOKS:
        return word
    return next((color for color, other in captions.COLOR_WORDS.items() if other == word), "")
