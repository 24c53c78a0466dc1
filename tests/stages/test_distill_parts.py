"""Views, Adam, regularizers, settings: the parts of distillation that need no guidance."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from splatworks.stages import distill
from splatworks.stages.distill.ramp import Ramp
from splatworks.stages.distill.regularize import regularize
from splatworks.stages.distill.settings import (
    Clipping,
    Density,
    Guide,
    ImageTerms,
    Inversion,
    Looks,
    LowRank,
    Noise,
    Rates,
    Wishes,
)
from splatworks.stages.distill.views import CLOSE_UP_ZOOM, View, cameras_of, draw
from splatworks.stages.geometry.activation import Parameters
from splatworks.stages.geometry.adam import BETAS, EPSILON, adam_step
from splatworks.stages.geometry.densify import born
from splatworks.stages.guidance.view_words import (
    STABLE_DIFFUSION,
    Background,
    TrainingCamera,
    ViewWords,
    Word,
)

F64 = torch.float64
WORDS = ViewWords(
    template="{prompt}, {azimuth} view, {elevation}",
    azimuth=tuple(Word(f"w{k}", 45.0 * k) for k in range(8)),
    elevation=(Word("low", -10), Word("level", 15), Word("high", 45)),
    jitter_deg=7.5,
    background_template="{prompt}, {background} background",
    backgrounds=tuple(Background(f"b{k}", (k / 8, 0.0, 1.0)) for k in range(8)),
    close_up_template="close-up of {prompt}",
)

# --- views ---


def apart(a: float, b: float) -> float:
    return abs((a - b + 180) % 360 - 180)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**31), iteration=st.integers(0, 10**6), count=st.integers(1, 8))
def test_views_stand_where_the_words_are_and_are_named_so(seed, iteration, count) -> None:
    for view in draw(WORDS, "a mug", seed, iteration, count=count, close_up_share=0.5):
        around = WORDS.nearest_azimuth(view.azimuth_deg)
        lift = WORDS.nearest_elevation(view.elevation_deg)
        assert apart(view.azimuth_deg, around.center_deg) <= 7.5
        assert abs(view.elevation_deg - lift.center_deg) <= 7.5
        name = next(b.name for b in WORDS.backgrounds if b.rgb == view.background)
        start = "close-up of a mug" if view.zoom > 1 else "a mug"
        assert view.caption == f"{start}, {around.word} view, {lift.word}, {name} background"


@given(seed=st.integers(0, 2**31), count=st.sampled_from([1, 2, 3, 4, 8]))
@settings(deadline=None, max_examples=30)
def test_azimuths_are_stratified(seed, count) -> None:
    for words in (WORDS, STABLE_DIFFUSION):
        azimuths = [v.azimuth_deg for v in draw(words, "x", seed, 0, count=count)]
        if words is WORDS:
            slots = [round(a / 45) % 8 for a in azimuths]
        else:
            slots = [a / 45 for a in azimuths]
        for k, slot in enumerate(slots):
            assert math.floor(8 * k / count) <= slot < math.ceil(8 * (k + 1) / count)


def test_every_word_is_used_and_jitter_fills_its_range() -> None:
    views = [v for k in range(400) for v in draw(WORDS, "x", 0, k, count=4)]
    for k in range(8):
        offsets = [
            (v.azimuth_deg - 45 * k + 180) % 360 - 180
            for v in views
            if apart(v.azimuth_deg, 45 * k) <= 7.5
        ]
        assert 120 <= len(offsets) <= 280
        assert min(offsets) < -6.5 and max(offsets) > 6.5
    assert len({v.background for v in views}) == 8
    assert all(v.zoom == 1 for v in views)


@pytest.mark.parametrize("weights", [(1.0, 0.0, 0.0), (0.0, 0.0, 2.0), (1.0, 2.0, 1.0)])
def test_elevations_follow_their_weights(weights) -> None:
    views = [v for k in range(500) for v in draw(
        WORDS, "x", 1, k, count=4, elevation_weights=weights)]  # fmt: skip
    for word, weight in zip(WORDS.elevation, weights, strict=True):
        share = sum(abs(v.elevation_deg - word.center_deg) <= 7.5 for v in views) / len(views)
        assert share == pytest.approx(weight / sum(weights), abs=0.03)


def test_wrong_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="elevation_weights has 2"):
        draw(WORDS, "x", 0, 0, count=1, elevation_weights=(1.0, 1.0))


def test_close_ups_come_as_often_as_asked() -> None:
    views = [v for k in range(500) for v in draw(WORDS, "x", 2, k, count=4, close_up_share=0.25)]
    close = [v.zoom for v in views if v.zoom > 1]
    assert len(close) / len(views) == pytest.approx(0.25, abs=0.03)
    low, high = CLOSE_UP_ZOOM
    assert low <= min(close) < low + 0.05 and high - 0.05 < max(close) <= high
    assert not any(v.zoom > 1 for v in draw(STABLE_DIFFUSION, "x", 0, 0, count=8, close_up_share=1))


def test_sides_may_go_unnamed() -> None:
    """The cameras and backgrounds stay, only the captions lose where they stand."""
    for k in range(20):
        named = draw(WORDS, "x", 2, k, count=4, close_up_share=0.25)
        silent = draw(WORDS, "x", 2, k, count=4, close_up_share=0.25, name_sides=False)
        assert [replace(v, caption="") for v in named] == [replace(v, caption="") for v in silent]
        for view in silent:
            start = "close-up of x" if view.zoom > 1 else "x"
            assert view.caption == f"{start}, {view.background_name} background"


def test_a_model_without_names_gets_any_background_and_any_side() -> None:
    views = [v for k in range(200) for v in draw(STABLE_DIFFUSION, "x", 0, k, count=4)]
    assert len({v.background for v in views}) == len(views)
    colors = torch.tensor([v.background for v in views])
    assert colors.min() >= 0 and colors.max() <= 1
    assert colors.mean(dim=0).tolist() == pytest.approx([0.5] * 3, abs=0.05)
    elevations = [v.elevation_deg for v in views]
    assert min(elevations) >= -10 and max(elevations) <= 45 and max(elevations) > 40
    assert {v.caption for v in views} == {"x, front view", "x, side view", "x, back view"}


def test_views_are_determined_by_seed_and_iteration() -> None:
    assert draw(WORDS, "x", 3, 7, count=4) == draw(WORDS, "x", 3, 7, count=4)
    assert draw(WORDS, "x", 3, 7, count=4) != draw(WORDS, "x", 3, 8, count=4)
    assert draw(WORDS, "x", 3, 7, count=4) != draw(WORDS, "x", 4, 7, count=4)


def seen(cameras, k: int, point: torch.Tensor) -> list[float]:
    """Where a point appears, written out."""
    pose = cameras.world_to_camera[k].double()
    x, y, z = (pose[:3, :3] @ point.double() + pose[:3, 3]).tolist()
    (fx, fy), (cx, cy) = cameras.focal_px[k].tolist(), cameras.center_px[k].tolist()
    return [fx * x / z + cx, fy * y / z + cy]


def test_cameras_stand_where_the_view_says() -> None:
    views = [View(0.0, 0.0, (0, 0, 0), ""), View(90.0, 30.0, (0, 0, 0), "")]
    cameras = cameras_of(views, TrainingCamera(), 128)
    centers = [-(p[:3, :3].T @ p[:3, 3]) for p in cameras.world_to_camera]
    assert centers[0].tolist() == pytest.approx([0, 0, 1.8], abs=1e-6)
    lifted = [1.8 * math.cos(math.pi / 6), 0.9, 0]
    assert centers[1].tolist() == pytest.approx(lifted, abs=1e-6)
    assert seen(cameras, 1, torch.zeros(3)) == pytest.approx([64, 64], abs=1e-4)
    assert (cameras.width_px, cameras.height_px) == (128, 128)
    expected = 64 / math.tan(math.radians(20))
    assert cameras.focal_px.flatten().tolist() == pytest.approx([expected] * 4)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**31), zoom=st.floats(1.5, 4), pick=st.floats(0, 0.999))
def test_a_close_up_is_a_crop_of_the_whole_picture_around_a_gaussian(seed, zoom, pick) -> None:
    means = 0.4 * (torch.rand(9, 3, generator=torch.Generator().manual_seed(seed)) - 0.5)
    view = View(40.0, 15.0, (0, 0, 0), "", zoom)
    whole = cameras_of([View(40.0, 15.0, (0, 0, 0), "")], TrainingCamera(), 128)
    close = cameras_of([view], TrainingCamera(), 128, means, [pick])
    aim = means[int(pick * 9)]
    at = seen(whole, 0, aim)
    # The same ray, magnified: pixel p of the whole is zoom * (p - corner) of the close-up.
    corner = [seen(whole, 0, torch.zeros(3))[i] - seen(close, 0, torch.zeros(3))[i] / zoom
              for i in range(2)]  # fmt: skip
    for point in means:
        expected = [zoom * (p - c) for p, c in zip(seen(whole, 0, point), corner, strict=True)]
        assert seen(close, 0, point) == pytest.approx(expected, abs=2e-2)
    for i in range(2):
        assert -1e-3 <= corner[i] <= 128 - 128 / zoom + 1e-3
        middle = min(max(at[i], 64 / zoom), 128 - 64 / zoom)
        assert corner[i] + 64 / zoom == pytest.approx(middle, abs=1e-2)


def test_a_close_up_needs_something_to_look_at() -> None:
    with pytest.raises(ValueError, match="means"):
        cameras_of([View(0.0, 0.0, (0, 0, 0), "", 2.0)], TrainingCamera(), 64)


# --- Adam ---


def test_adam_is_torchs() -> None:
    assert (BETAS, EPSILON) == ((0.9, 0.99), 1e-15)
    rng = torch.Generator().manual_seed(0)
    theirs = torch.randn(3, 4, generator=rng, dtype=F64).requires_grad_()
    value, first, second = theirs.detach().clone(), *(torch.zeros(3, 4, dtype=F64),) * 2
    reference = torch.optim.Adam([theirs], lr=0.03, betas=BETAS, eps=EPSILON)
    for k in range(20):
        gradient = torch.randn(3, 4, generator=rng, dtype=F64) * 10.0 ** (k % 5 - 2)
        theirs.grad = gradient.clone()
        reference.step()
        step = adam_step(value, gradient, first, second, steps_before=k, rate=0.03)
        value, first, second = step.value, step.first, step.second
        torch.testing.assert_close(value, theirs.detach(), rtol=1e-12, atol=1e-12)


@given(scale=st.floats(1e-6, 1e6))
@settings(deadline=None)
def test_adam_does_not_see_the_unit_of_the_gradient(scale) -> None:
    rng = torch.Generator().manual_seed(0)
    gradient, zero = torch.randn(5, generator=rng, dtype=F64), torch.zeros(5, dtype=F64)
    a = adam_step(zero, gradient, zero, zero, steps_before=0, rate=0.1)
    b = adam_step(zero, scale * gradient, zero, zero, steps_before=0, rate=0.1)
    torch.testing.assert_close(a.value, b.value)
    torch.testing.assert_close(a.value.abs(), torch.full((5,), 0.1, dtype=F64))


def test_without_gradients_nothing_moves() -> None:
    zero = torch.zeros(3)
    step = adam_step(torch.ones(3), zero, zero, zero, steps_before=0, rate=1.0)
    assert torch.equal(step.value, torch.ones(3))


# --- regularizers ---


def parameters(log_scales: list[list[float]]) -> Parameters:
    scales = torch.tensor(log_scales, dtype=F64)
    n = len(scales)
    return Parameters(
        torch.zeros(n, 3, dtype=F64), scales, torch.zeros(n, dtype=F64),
        torch.ones(n, 4, dtype=F64), torch.zeros(n, 1, 3, dtype=F64),
    )  # fmt: skip


def test_wishes_do_what_they_say() -> None:
    small, needle = [-5.0, -5.5, -6.0], [-6.0, -3.0, -6.5]
    wishes = Wishes(opacity_decay=0.01, needle_ratio=math.e, needle_pull=0.25, max_scale_m=0.08)
    done = regularize(parameters([small, needle, [0.0, 0.0, 0.0]]), wishes)
    assert done.log_scales[0].tolist() == small
    # Longest -3, middle -6, allowed -5: a quarter of the excess of 2 goes.
    assert done.log_scales[1].tolist() == pytest.approx([-6.0, -3.5, -6.5])
    assert done.log_scales[2].tolist() == pytest.approx([math.log(0.08)] * 3)
    assert done.logit_opacities.tolist() == pytest.approx([-0.01] * 3)


def test_without_wishes_nothing_changes() -> None:
    before = parameters([[-6.0, -3.0, -6.5]])
    wishes = Wishes(opacity_decay=0.0, needle_pull=0.0, max_scale_m=10.0)
    after = regularize(before, wishes)
    assert torch.equal(after.log_scales, before.log_scales)
    assert torch.equal(after.logit_opacities, before.logit_opacities)


def test_disks_are_no_needles() -> None:
    before = parameters([[-3.0, -3.0, -9.0]])
    assert torch.equal(regularize(before, Wishes()).log_scales, before.log_scales)
    assert len(born(before)) == 1


# --- settings ---


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda: distill.Config(iterations=0), "iterations"),
        (lambda: Looks(per_step=0), "per_step"),
        (lambda: Guide(scale=math.nan), "scale"),
        (lambda: Guide(rescale_share=1.5), "rescale_share"),
        (lambda: Guide(perp_neg=True, method="apg"), "perp_neg"),
        (lambda: Noise(max=Ramp(start=0.1, stop=0.3)), "noise.min.start"),
        (lambda: Noise(max=Ramp(start=1.2, stop=0.3)), "noise.max.start"),
        (lambda: Looks(close_up_share=1.5), "close_up_share"),
        (lambda: Looks(elevation_weights=(0.0, 0.0)), "elevation_weights"),
        (lambda: Looks(elevation_weights=(1.0, -1.0)), "elevation_weights"),
        (lambda: ImageTerms(repair=-0.1), "repair"),
        (lambda: ImageTerms(decoded=math.inf), "decoded"),
        (lambda: Inversion(steps=0), "inversion.steps"),
        (lambda: Inversion(stride=0.0), "inversion.stride"),
        (lambda: Inversion(interval=2.0), "inversion.interval"),
        (lambda: Inversion(scale=math.inf), "inversion.scale"),
        (lambda: Inversion(fresh=-0.1), "inversion.fresh"),
        (lambda: LowRank(rank=0), "rank"),
        (lambda: LowRank(rate=0.0), "rate"),
        (lambda: LowRank(poseless_share=1.5), "poseless_share"),
        (lambda: distill.Config(checkpoint_every_s=-1.0), "checkpoint_every_s"),
        (
            lambda: distill.Config(
                guide=Guide(method="cfg", perp_neg=True), views=Looks(name_sides=False)
            ),
            "needs name_sides",
        ),
        (lambda: Clipping(threshold=0.0), "threshold"),
        (lambda: Clipping(calibrate_percentile=0.0), "calibrate_percentile"),
        (lambda: Rates(means_m=-1.0), "means_m"),
        (lambda: Rates(final_share=0.0), "final_share"),
        (lambda: Density(max_gaussians=0), "max_gaussians"),
        (lambda: Density(every=-1), "every"),
        (lambda: Density(from_share=0.8, until_share=0.2), "from_share"),
        (lambda: Density(grow_share=1.0), "grow_share"),
        (lambda: Density(split_above_m=0.0), "split_above_m"),
        (lambda: Wishes(smooth=-0.1), "smooth"),
        (lambda: Wishes(opacity_decay=-1.0), "opacity_decay"),
        (lambda: Wishes(needle_ratio=0.5), "needle_ratio"),
        (lambda: Wishes(needle_pull=2.0), "needle_pull"),
        (lambda: Wishes(max_scale_m=0.0), "max_scale_m"),
    ],
)
def test_settings_out_of_range_are_named(make, said) -> None:
    with pytest.raises(ValueError, match=said):
        make()


def test_the_face_is_light() -> None:
    import subprocess
    import sys

    script = (
        "import sys, splatworks.stages.distill as d; d.Config();"
        "print([m for m in ('torch', 'numpy', 'diffusers', 'numba') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
    assert len(distill.Config.__dataclass_fields__) <= 15
