"""View words: the caption says what the camera sees."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from splatworks.pipeline.errors import InputError
from splatworks.stages.guidance.view_words import (
    STABLE_DIFFUSION,
    Background,
    ViewWords,
    Word,
    load,
    to_json,
)

AGREED = {
    "template": "{prompt}, {azimuth} view, {elevation}",
    "azimuth": [
        {"word": word, "center_deg": 45 * k}
        for k, word in enumerate(
            [
                "front", "front-left", "left", "back-left",
                "back", "back-right", "right", "front-right",
            ]
        )
    ],
    "elevation": [
        {"word": "low", "center_deg": -10},
        {"word": "eye-level", "center_deg": 15},
        {"word": "overhead", "center_deg": 45},
    ],
    "jitter_deg": 7.5,
    "background_template": "{prompt}, {background} background",
    "backgrounds": [
        {"name": "white", "rgb": [1, 1, 1]},
        {"name": "gray", "rgb": [0.5, 0.5, 0.5]},
    ],
    "close_up_template": "close-up of {prompt}",
    "camera": {"distance_m": 1.8, "fovy_deg": 40.0, "object_radius_m": 0.5},
}  # fmt: skip
"""The format that all parts of the package agreed on."""


@pytest.fixture
def words(tmp_path: Path) -> ViewWords:
    (tmp_path / "view_words.json").write_text(json.dumps(AGREED))
    return load(tmp_path)


def test_the_full_caption_in_the_agreed_order(words) -> None:
    caption = words.text("a red mushroom with white dots", 45, 15, background="gray", close_up=True)
    assert caption == (
        "close-up of a red mushroom with white dots, front-left view, eye-level, gray background"
    )
    assert words.text("a mug", -4, -20) == "a mug, front view, low"
    assert words.text("a mug", 181, 80) == "a mug, back view, overhead"


@given(azimuth=st.floats(-720, 720), elevation=st.floats(-89, 89))
def test_the_nearest_word_around_the_circle(azimuth, elevation) -> None:
    words = ViewWords(
        azimuth=tuple(Word(e["word"], e["center_deg"]) for e in AGREED["azimuth"]),
        elevation=(Word("low", -10.0), Word("high", 45.0)),
        template="{prompt} {azimuth} {elevation}",
    )

    def apart(word: Word) -> float:
        turn = math.radians(word.center_deg - azimuth)
        return math.degrees(math.acos(max(-1.0, min(1.0, math.cos(turn)))))

    assert apart(words.nearest_azimuth(azimuth)) <= min(map(apart, words.azimuth)) + 1e-5
    chosen = words.nearest_elevation(elevation).center_deg
    assert abs(chosen - elevation) == min(abs(-10 - elevation), abs(45 - elevation))


def test_azimuth_90_is_the_objects_own_left(words) -> None:
    """The camera on +X looks at the left side of an object that faces +Z."""
    assert words.nearest_azimuth(90).word == "left"
    assert words.nearest_azimuth(270).word == "right"
    assert words.nearest_azimuth(359).word == "front"


def test_stable_diffusions_four_words() -> None:
    say = STABLE_DIFFUSION.text
    assert say("a mug", 0, 15) == "a mug, front view"
    assert say("a mug", 44, 15) == "a mug, front view"
    assert say("a mug", 46, 15) == say("a mug", 270, 15) == "a mug, side view"
    assert say("a mug", 180, 15) == "a mug, back view"
    assert say("a mug", 180, 75) == "a mug, overhead view"
    assert say("a mug", 0, 0, background="gray") == "a mug, front view"  # It names none.
    with pytest.raises(ValueError, match="close-up"):
        say("a mug", 0, 0, close_up=True)


def test_without_a_file_stable_diffusions_words_hold(tmp_path) -> None:
    assert load(tmp_path) is STABLE_DIFFUSION


def test_braces_in_a_prompt_stay_as_they_are(words) -> None:
    prompt = "a {azimuth} mug {elevation} {x}"
    assert words.text(prompt, 0, 15, background="gray") == (
        prompt + ", front view, eye-level, gray background"
    )


def test_what_a_template_does_not_know_stays() -> None:
    odd = ViewWords(template="{prompt} {azimuth} {light}", azimuth=(Word("front", 0.0),))
    assert odd.text("a mug", 0, 0) == "a mug front {light}"


def test_round_trip(words, tmp_path) -> None:
    for one in (words, STABLE_DIFFUSION):
        (tmp_path / "view_words.json").write_text(json.dumps(to_json(one)))
        assert load(tmp_path) == one
    assert words.backgrounds[1] == Background("gray", (0.5, 0.5, 0.5))
    assert words.camera.distance_m == 1.8


@pytest.mark.parametrize(
    "change, said",
    [
        ({"azimuth": None}, "'azimuth' is missing"),
        ({"template": "{prompt}, {azimuth}"}, r"template must contain \{elevation\}"),
        ({"background_template": "{prompt}"}, "background_template must contain"),
        ({"close_up_template": "near"}, "close_up_template must contain"),
        ({"jitter": 5}, "unknown entry 'jitter'"),
        ({"jitter_deg": "5"}, "finite number"),
        ({"jitter_deg": -1}, "jitter_deg"),
        ({"azimuth": []}, "at least one word"),
        ({"azimuth": [{"word": "front"}]}, "lacks 'center_deg'"),
        ({"azimuth": [{"word": 3, "center_deg": 0}]}, "must be text"),
        ({"backgrounds": [{"name": "red", "rgb": [255, 0, 0]}]}, "rgb must be in"),
        ({"camera": {"distance": 3}}, "distance"),
        ({"template": 3}, "template must be text"),
    ],
)
def test_bad_files_are_named_in_one_line(tmp_path, change, said) -> None:
    values = {k: v for k, v in {**AGREED, **change}.items() if v is not None}
    (tmp_path / "view_words.json").write_text(json.dumps(values))
    with pytest.raises(InputError, match=said) as caught:
        load(tmp_path)
    assert "view_words.json" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_what_is_no_json_object_is_refused(tmp_path, text) -> None:
    (tmp_path / "view_words.json").write_text(text)
    with pytest.raises(InputError, match="JSON"):
        load(tmp_path)
