import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from splatworks.stages.distill.ramp import Ramp

numbers = st.floats(-10, 10)


@given(start=numbers, stop=numbers, share=st.floats(0.01, 1), iterations=st.integers(2, 999))
def test_begins_and_ends_as_told_and_stays_between(start, stop, share, iterations) -> None:
    ramp = Ramp(start=start, stop=stop, over_share=share)
    values = [ramp.at(k, iterations) for k in range(iterations)]
    assert values[0] == start
    assert values[-1] == pytest.approx(stop, abs=1e-12)
    slack = 1e-12
    assert all(min(start, stop) - slack <= v <= max(start, stop) + slack for v in values)
    steps = [(b - a) * math.copysign(1, stop - start) for a, b in itertools.pairwise(values)]
    assert min(steps) >= -slack


def test_the_middle_of_a_line() -> None:
    assert Ramp(start=1.0, stop=0.0).at(5, 11) == 0.5
    assert Ramp(start=1.0, stop=0.0, over_share=0.5).at(5, 11) == 0.0
    assert Ramp(start=1.0, stop=0.0).at(1, 2) == 0.0
    assert Ramp(start=1.0, stop=0.0, over_share=0.5).at(2, 11) == pytest.approx(0.6)


def test_one_iteration_has_the_first_value() -> None:
    assert Ramp(start=3.0, stop=1.0).at(0, 1) == 3.0


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1, math.nan])
def test_a_share_outside_is_refused(share) -> None:
    with pytest.raises(ValueError, match="over_share"):
        Ramp(start=0.0, stop=1.0, over_share=share)


def test_what_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        Ramp(start=math.inf, stop=1.0)
