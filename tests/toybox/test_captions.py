"""Captions: a closed list of words, and a canonical form that `distill` can ask for again."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from splatworks.stages.guidance import view_words
from splatworks.stages.toybox import captions, catalog, images, props

TOYS = list(props.make(props.Config(), seed=1))
KNOWN = set(captions.vocabulary())


def find(**wanted: str) -> props.Prop:
    return next(t for t in TOYS if all(getattr(t, k) == v for k, v in wanted.items()))


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (
            dict(kind="mushroom", color="red", pattern="dots", pattern_color="white"),
            "a red mushroom with white dots",
        ),
        (dict(kind="duck", color="blue", pattern="none"), "a blue duck"),
        (
            dict(kind="rocket", color="red", pattern="none", part_color="yellow"),
            "a red rocket with yellow fins",
        ),
        (
            dict(kind="house", color="orange", pattern="none", part_color="orange"),
            "an orange house with an orange roof",
        ),
        (dict(kind="duck", color="wooden", pattern="none"), "a wooden duck"),
    ],
)
def test_the_canonical_prompt(wanted: dict, text: str) -> None:
    toy = find(kind=wanted["kind"], pattern=wanted["pattern"])
    assert captions.describe(replace(toy, **{"part_color": "", **wanted})) == text


def test_a_part_joins_the_pattern() -> None:
    toy = replace(find(kind="house", pattern="stripes"), color="red", part_color="blue")
    assert captions.describe(toy) == (
        f"a {toy.color} house with {toy.pattern_color} stripes and a {toy.part_color} roof"
    )


def test_all_colors_are_said_and_every_known_word_is_taught_and_no_other() -> None:
    taught: set[str] = set()
    for toy in TOYS:
        for entry in images.plan(toy, images.Config(views_per_prop=6), 1, 16 * toy.id):
            for text in captions.wordings(toy, entry, 1):
                said = set(captions.words(text))
                assert said <= KNOWN, text
                taught.update(said if toy.split == "train" else ())
                for color in (toy.color, toy.pattern_color, toy.part_color):
                    assert not color or {color, captions.COLOR_WORDS.get(color, color)} & said
                assert len(captions.words(text)) <= 30, "the text encoder takes 32 tokens"
                assert not re.search(r"  |[{}]|\ba a\b", text)
    assert taught == KNOWN


def test_the_first_wordings_are_what_the_templates_say(tmp_path: Path) -> None:
    (tmp_path / view_words.FILE_NAME).write_text(json.dumps(captions.view_words()))
    words = view_words.load(tmp_path)
    for toy in TOYS[::50]:
        for entry in images.plan(toy, images.Config(), 1, 0):
            texts = captions.wordings(toy, entry, 1)
            assert len(texts) == 2 * captions.WORDINGS
            for background, text in ((None, texts[0]), (entry.background, texts[3])):
                assert text == words.text(
                    captions.describe(toy),
                    entry.azimuth_deg,
                    entry.elevation_deg,
                    background=background,
                    close_up=entry.zoom > 1,
                )


def test_backgrounds_are_named_in_the_second_half_only() -> None:
    only_backgrounds = set(catalog.BACKGROUNDS) - set(catalog.COLORS) - {"gray"}
    for toy in TOYS[::20]:
        for entry in images.plan(toy, images.Config(), 1, 0):
            texts = captions.wordings(toy, entry, 1)
            for text in texts[:3]:
                assert not only_backgrounds & set(captions.words(text))
            names = {entry.background, captions.COLOR_WORDS.get(entry.background)}
            for text in texts[3:]:
                assert names & set(captions.words(text))
