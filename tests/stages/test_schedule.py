"""Which noise levels an iteration looks at."""

import itertools
import math

import pytest
from splatworks.stages.distill.ramp import Ramp
from splatworks.stages.distill.schedule import level_of, shoulder
from splatworks.stages.distill.settings import Noise

WIDE = {"max": Ramp(start=1.0, stop=1.0), "min": Ramp(start=0.0, stop=0.0)}


def test_uniform_lies_between_the_ramps() -> None:
    noise = Noise(max=Ramp(start=0.8, stop=0.4), min=Ramp(start=0.2, stop=0.0))
    assert level_of(noise, 0, 11, 101, 0.0) == pytest.approx(20)
    assert level_of(noise, 0, 11, 101, 0.5) == pytest.approx(50)
    assert level_of(noise, 10, 11, 101, 1.0) == pytest.approx(40)


def test_linear_is_the_upper_ramp_itself() -> None:
    noise = Noise(max=Ramp(start=1.0, stop=0.0), min=Ramp(start=0.0, stop=0.0), schedule="linear")
    found = [level_of(noise, k, 5, 101, 0.77) for k in range(5)]
    assert found == pytest.approx([100, 75, 50, 25, 0])


def test_dreamtime_spends_its_iterations_by_the_weight() -> None:
    """How many of many iterations fall below a level is the weight below it, summed anew."""
    noise, levels, count = Noise(**WIDE, schedule="dreamtime"), 1000, 2000
    found = [level_of(noise, k, count, levels, 0.5) for k in range(count)]
    assert all(a >= b for a, b in itertools.pairwise(found))
    weights = [shoulder(t / levels) for t in range(levels)]
    for level in (300, 500, 700, 900):
        expected = sum(weights[:level]) / sum(weights)
        assert sum(t < level for t in found) / count == pytest.approx(expected, abs=2e-3)


def test_the_shoulder_by_hand() -> None:
    assert shoulder(0.5) == shoulder(0.65) == shoulder(0.8) == 1
    assert shoulder(0.4) == pytest.approx(math.exp(-0.5))
    assert shoulder(0.95) == pytest.approx(math.exp(-0.125))


def test_dreamtime_stays_between_the_ramps_and_reaches_the_end() -> None:
    noise = Noise(
        max=Ramp(start=0.7, stop=0.7), min=Ramp(start=0.3, stop=0.3), schedule="dreamtime"
    )
    found = [level_of(noise, k, 50, 1000, u) for k in range(50) for u in (0.0, 0.999999)]
    assert min(found) == pytest.approx(0.3 * 999) and max(found) == pytest.approx(0.7 * 999)
    wide = Noise(**WIDE, schedule="dreamtime")
    assert level_of(wide, 49, 50, 1000, 0.9999999) < 300
