import pytest
from splatworks.renderers import cpu, gsplat, reference
from splatworks.renderers.choose import CAPABILITIES, named, require, splat_renderer
from splatworks.renderers.errors import MissingOutputError

from .scenes import ALL, cameras, gaussians


def test_the_device_decides() -> None:
    assert splat_renderer("cpu", ALL) is cpu.render
    assert splat_renderer("cuda") is gsplat.render


def test_every_line_of_the_table_leads_to_a_renderer() -> None:
    assert {name: named(name) for name in CAPABILITIES} == {
        "reference": reference.render,
        "cpu": cpu.render,
        "gsplat": gsplat.render,
    }
    with pytest.raises(TypeError):
        CAPABILITIES["mine"] = CAPABILITIES["cpu"]


def test_a_missing_output_names_who_makes_it() -> None:
    with pytest.raises(
        MissingOutputError, match=r"'gsplat' does not make median_depth; these do: reference, cpu"
    ):
        splat_renderer("cuda", frozenset({"rgb", "median_depth"}))
    require("cpu", ALL)


def test_unknown_names_are_refused() -> None:
    # A TypeError where types are checked at run time.
    with pytest.raises((ValueError, TypeError), match="device"):
        splat_renderer("tpu")
    with pytest.raises(ValueError, match="no renderer 'warp'; there are reference, cpu, gsplat"):
        named("warp")


def test_an_unknown_output_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no output colour; there are rgb, alpha"):
        cpu.render(gaussians(2), cameras(4, 4), frozenset({"rgb", "colour"}))
