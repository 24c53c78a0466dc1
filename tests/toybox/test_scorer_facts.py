"""Prompts are read by the captions' own words."""

from itertools import product

import pytest
from splatworks.pipeline.errors import InputError
from splatworks.stages.toybox import captions, catalog
from splatworks.stages.toybox.props import Prop
from splatworks.stages.toybox.scorer import facts


def toys(kind: str) -> list[Prop]:
    """Every pattern, with and without a part's color; three different colors."""
    first, second, third = list(catalog.COLORS)[-3:]
    parts = ("", third) if kind in catalog.PARTS else ("",)
    return [
        Prop(
            id=0,
            kind=kind,
            color=first,
            pattern=pattern,
            pattern_color="" if pattern == "none" else second,
            part_color=part,
            shape_seed=0,
            split="train",
        )
        for pattern, part in product(catalog.PATTERNS, parts)
    ]


@pytest.mark.parametrize("kind", catalog.KINDS)
def test_every_wording_is_read_back(kind: str) -> None:
    for toy in toys(kind):
        for prompt in captions.prompts(toy):
            assert facts.read(prompt) == facts.of(toy), prompt


def test_other_names_of_kinds_and_colors_are_read() -> None:
    for kind, names in captions.KIND_WORDS.items():
        for name in names:
            said = facts.read(f"The red {name}, with white dots.")
            assert (said.kind, said.color, said.pattern_color) == (kind, "red", "white")
    for color, other in captions.COLOR_WORDS.items():
        if color in catalog.LOOKS:
            assert facts.read(f"a {other} duck").color == color


def test_what_is_not_said_is_no_fact() -> None:
    said = facts.read("a yellow duck").said()
    assert said == {"kind": "duck", "color": "yellow", "pattern": "none"}
    assert facts.read("a golden car with a red roof").color == "golden"
    said = facts.read("a green striped red mug with a blue handle").said()
    assert said == {
        "kind": "mug",
        "color": "red",
        "pattern": "stripes",
        "pattern_color": "green",
        "part_color": "blue",
    }


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("a red unicorn", "'unicorn', which no caption has"),
        ("a yelow duck", "did you mean 'yellow'"),
        ("a duck", "not worded like a caption"),
        ("dots red mug white", "not worded like a caption"),
        ("a red duck with a blue roof", "not worded like a caption"),
        ("a wooden duck with white dots", "not worded like a caption"),
        ("a red duck with wooden dots", "not worded like a caption"),
        ("", "not worded like a caption"),
    ],
)
def test_other_prompts_are_refused_in_one_line(prompt: str, text: str) -> None:
    with pytest.raises(InputError, match=text) as caught:
        facts.read(prompt)
    assert "\n" not in str(caught.value)
