"""Bent pictures: formulas by hand, finite differences, and straightening what was bent."""

import math

import pytest
import torch
from splatworks.stages.formats.lens import Lens, bend, resized, straighten, straightened

F64 = torch.float64


def lens(**changes) -> Lens:
    values = {
        "width_px": 96, "height_px": 64, "focal_px": (70.0, 72.0), "center_px": (50.0, 30.0)
    }  # fmt: skip
    return Lens(**(values | changes))


def test_a_pinhole_bends_nothing() -> None:
    rays = torch.randn(7, 2, dtype=F64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(bend(lens(), rays), rays) and lens().is_straight
    assert not lens(radial=(0.0, 0.1)).is_straight
    assert not lens(model="fisheye").is_straight


def test_brown_by_hand() -> None:
    found = bend(
        lens(radial=(0.1, -0.2, 0.05, 0.3, 0.01, 0.02), tangential=(0.01, -0.02)),
        torch.tensor([0.3, -0.4], dtype=F64),
    )
    r2 = 0.25
    f = (1 + 0.1 * r2 - 0.2 * r2**2 + 0.05 * r2**3) / (1 + 0.3 * r2 + 0.01 * r2**2 + 0.02 * r2**3)
    u = 0.3 * f + 2 * 0.01 * 0.3 * -0.4 - 0.02 * (r2 + 2 * 0.09)
    v = -0.4 * f + 0.01 * (r2 + 2 * 0.16) + 2 * -0.02 * 0.3 * -0.4
    assert found.tolist() == pytest.approx([u, v])


def test_fisheye_by_hand() -> None:
    found = bend(lens(model="fisheye", radial=(0.1, 0.02)), torch.tensor([3.0, 4.0], dtype=F64))
    t = math.atan(5.0)
    length = t * (1 + 0.1 * t**2 + 0.02 * t**4)
    assert found.tolist() == pytest.approx([0.6 * length, 0.8 * length])
    assert bend(lens(model="fisheye"), torch.zeros(1, 2, dtype=F64)).tolist() == [[0, 0]]


def painted(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """A smooth picture as a function of the pinhole's direction."""
    return torch.stack([torch.sin(4 * x) + 0.3 * y, torch.cos(3 * y), x * y])


def directions(at: Lens) -> torch.Tensor:
    columns = (torch.arange(at.width_px, dtype=F64) + 0.5 - at.center_px[0]) / at.focal_px[0]
    rows = (torch.arange(at.height_px, dtype=F64) + 0.5 - at.center_px[1]) / at.focal_px[1]
    return torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)


def unbend(bent: Lens, landed: torch.Tensor) -> torch.Tensor:
    """The direction that lands where wanted: fixed-point iteration."""
    guess = landed.clone()
    for _ in range(200):
        guess = guess + 0.7 * (landed - bend(bent, guess))
    return guess


@pytest.mark.parametrize(
    "bent",
    [
        lens(radial=(0.15, -0.05), tangential=(0.004, -0.003)),
        lens(radial=(-0.2, 0.03)),
        lens(model="fisheye", radial=(0.03, -0.01)),
    ],
)
def test_a_bent_picture_comes_out_straight(bent) -> None:
    """The bent picture is painted by its own inverse, so that both sides are independent."""
    rays = unbend(bent, directions(bent))
    picture = painted(*rays.unbind(-1))
    found, seen = straighten(picture, bent)
    expected = painted(*directions(straightened(bent)).unbind(-1))
    # Half a pixel at the picture's edge has one neighbor only.
    outside = (~seen).double()[None]
    inner = torch.nn.functional.max_pool2d(outside, 5, stride=1, padding=2)[0] == 0
    inner[:2], inner[-2:], inner[:, :2], inner[:, -2:] = False, False, False, False
    assert inner.float().mean() > 0.6
    error = (found - expected).abs()[:, inner]
    assert error.max() < 0.01  # Bilinear on a smooth picture.


def test_what_the_lens_did_not_see_is_marked() -> None:
    barrel = lens(radial=(0.8,))  # The straight picture shows more than this one has.
    _, seen = straighten(torch.ones(3, 64, 96, dtype=F64), barrel)
    assert not seen[0, 0] and seen[30, 50]
    assert straighten(torch.ones(1, 64, 96, dtype=F64), lens())[1].all()


def test_resizing_scales_everything_that_is_in_pixels() -> None:
    half = resized(lens(radial=(0.1,)), 48, 16)
    assert half.focal_px == (35, 18) and half.center_px == (25, 7.5) and half.radial == (0.1,)
