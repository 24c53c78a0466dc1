"""Strict settings: messages as printed, round trips, and what enters a key."""

import json
import math
from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from splatworks.pipeline.config import build, canonical, merged, nearest, plain, setting
from splatworks.pipeline.contract import RUNTIME
from splatworks.pipeline.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Ramp:
    start: float
    stop: float
    over_steps: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    radius_m: float = 1.0
    steps: int = 10
    norm: Literal["l2", "linf"] = "l2"
    fovy_deg: tuple[float, float] = (40.0, 70.0)
    levels: tuple[int, ...] = (1, 2)
    on: bool = False
    limit: float | None = None
    title: str = ""
    noise: Ramp = Ramp(0.98, 0.3, over_steps=3)
    log_every: int = field(default=50, metadata=RUNTIME)

    def __post_init__(self) -> None:
        if not self.radius_m > 0:
            raise ValueError(f"radius_m must be positive, got {self.radius_m}.")


WRONG = [
    ({"radius": 1}, "step.hand.config.radius is not a setting. Did you mean 'radius_m'?"),
    ({"radius_m": "1"}, 'step.hand.config.radius_m: found "1", expected a number.'),
    ({"radius_m": -1}, "step.hand.config: radius_m must be positive, got -1.0."),
    ({"radius_m": math.nan}, "step.hand.config.radius_m: found nan, expected a finite number."),
    ({"radius_m": True}, "step.hand.config.radius_m: found true, expected a number."),
    ({"steps": 2.0}, "step.hand.config.steps: found 2.0, expected a whole number."),
    ({"steps": False}, "step.hand.config.steps: found false, expected a whole number."),
    ({"on": 1}, "step.hand.config.on: found 1, expected true or false."),
    ({"norm": "l3"}, "step.hand.config.norm: found \"l3\", expected one of 'l2', 'linf'."),
    ({"fovy_deg": [1]}, "step.hand.config.fovy_deg: found [1], expected a list of 2: a number,"
     " a number."),
    ({"levels": [1, "x"]}, 'step.hand.config.levels[1]: found "x", expected a whole number.'),
    ({"levels": 3}, "step.hand.config.levels: found 3, expected a list of which each is"
     " a whole number."),
    ({"noise": {"strat": 1}}, "step.hand.config.noise.strat is not a setting."
     " Did you mean 'start'?"),
    ({"noise": 3}, "step.hand.config.noise: found 3, expected a table of settings."),
    ({"limit": "no"}, 'step.hand.config.limit: found "no", expected a number.'),
    ({"title": 7}, "step.hand.config.title: found 7, expected a text."),
]  # fmt: skip


@pytest.mark.parametrize(("data", "message"), WRONG, ids=lambda x: str(x)[:20])
def test_messages(data: dict, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(Config, data, "step.hand.config")
    assert str(caught.value) == message


def test_a_required_setting_is_asked_for() -> None:
    with pytest.raises(ConfigError, match=r"^x.stop is required but not given\.$"):
        build(Ramp, {"start": 1}, "x")


def test_whole_numbers_stand_for_floats_and_hash_alike() -> None:
    one, other = build(Config, {"radius_m": 2}, "x"), build(Config, {"radius_m": 2.0}, "x")
    assert type(one.radius_m) is float
    assert canonical(plain(one)) == canonical(plain(other)) == canonical(plain(Config(radius_m=2)))


def test_a_nested_table_keeps_the_other_defaults_of_its_field() -> None:
    config = build(Config, {"noise": {"start": 0.5}}, "x")
    assert config.noise == Ramp(0.5, 0.3, over_steps=3)


def test_runtime_settings_are_not_in_the_key() -> None:
    assert "log_every" in plain(Config())
    assert plain(Config(log_every=1), runtime=False) == plain(Config(log_every=2), runtime=False)


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("radius_m", "2", {"radius_m": 2.0}),
        ("steps", "-3", {"steps": -3}),
        ("norm", "linf", {"norm": "linf"}),
        ("fovy_deg", "30, 50", {"fovy_deg": [30.0, 50.0]}),
        ("fovy_deg", "[30,50]", {"fovy_deg": [30.0, 50.0]}),
        ("levels", "", {"levels": []}),
        ("on", "true", {"on": True}),
        ("limit", "none", {"limit": None}),
        ("limit", "0.5", {"limit": 0.5}),
        ("title", "a=b", {"title": "a=b"}),
        ("noise.start", "0.5", {"noise": {"start": 0.5}}),
        ("noise.over_steps", "none", {"noise": {"over_steps": None}}),
    ],
)
def test_settings_from_the_command_line(path: str, text: str, expected: dict) -> None:
    assert setting(Config, path, text, "x") == expected
    build(Config, expected, "x")


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("radis_m", "2", "x.radis_m is not a setting. Did you mean 'radius_m'?"),
        ("steps", "2.5", 'x.steps: found "2.5", expected a whole number.'),
        ("on", "yes", 'x.on: found "yes", expected true or false.'),
        ("steps.more", "1", "x.steps has no parts, so x.steps.more is not a setting."),
        ("noise.stat", "1", "x.noise.stat is not a setting. Did you mean 'start'?"),
        ("norm", "l1", "x.norm: found \"l1\", expected one of 'l2', 'linf'."),
    ],
)
def test_wrong_settings_from_the_command_line(path: str, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        setting(Config, path, text, "x")
    assert str(caught.value) == message


def test_nearest_name_or_all_names() -> None:
    assert nearest("qqq", ["b", "a"]) == " There is: a, b."
    assert nearest("distil", ["distill", "mesh"]) == " Did you mean 'distill'?"
    assert nearest("x", []) == ""


def test_tables_are_merged_table_by_table() -> None:
    assert merged({"a": 1, "n": {"x": 1, "y": 2}}, {"n": {"y": 3}}) == {
        "a": 1,
        "n": {"x": 1, "y": 3},
    }


finite = st.floats(allow_nan=False, allow_infinity=False)
configs = st.builds(
    Config,
    radius_m=st.floats(1e-9, 1e9),
    steps=st.integers(),
    norm=st.sampled_from(["l2", "linf"]),
    fovy_deg=st.tuples(finite, finite),
    levels=st.lists(st.integers(), max_size=4).map(tuple),
    on=st.booleans(),
    limit=st.none() | finite,
    title=st.text(st.characters(exclude_categories=["Cs"])),
    noise=st.builds(Ramp, finite, finite, st.none() | st.integers()),
)


@given(configs)
def test_round_trip_through_json(config: Config) -> None:
    text = canonical(plain(config))
    again = build(Config, json.loads(text), "x")
    assert again == config
    assert canonical(plain(again)) == text


@given(configs, configs)
def test_equal_text_means_equal_settings(one: Config, other: Config) -> None:
    same = canonical(plain(one)) == canonical(plain(other))
    # -0.0 == 0.0, but they are two texts: a different key is the safe side.
    assert not same or one == other
