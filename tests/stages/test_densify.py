"""Growing and pruning: pure functions on Gaussians with their optimizer's moments."""

import math
from dataclasses import fields, replace
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from splatworks.renderers.scene import Gaussians
from splatworks.stages.geometry.activation import Parameters, activate, deactivate
from splatworks.stages.geometry.densify import (
    SPLIT_SHRINK,
    Population,
    born,
    chosen_to_grow,
    grow,
    keep_rows,
    reset_opacity,
    rotate,
    worth_keeping,
)

F64 = torch.float64
NAMES = [entry.name for entry in fields(Parameters)]


def population(count: int, seed: int = 0) -> Population:
    rng = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(count, *shape, generator=rng, dtype=F64)

    def part() -> Parameters:
        return Parameters(draw(3), draw(3) * 0.3 - 4, draw(), draw(4), draw(4, 3))

    return Population(part(), part(), part())


def rows(part: Parameters) -> list[tuple]:
    columns = [getattr(part, name).flatten(1).tolist() if name != "logit_opacities" else
               getattr(part, name)[:, None].tolist() for name in NAMES]  # fmt: skip
    return [tuple(map(tuple, row)) for row in zip(*columns, strict=True)]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- activation ---


def test_activation_is_what_the_format_says() -> None:
    raw = population(5).values
    shown = activate(raw)
    for k in range(5):
        assert shown.opacities[k].item() == pytest.approx(
            1 / (1 + math.exp(-raw.logit_opacities[k].item()))
        )
        for axis in range(3):
            assert shown.scales[k, axis].item() == pytest.approx(
                math.exp(raw.log_scales[k, axis].item())
            )
    assert shown.means is raw.means and shown.sh is raw.sh and shown.quaternions is raw.quaternions


def test_activation_round_trip_and_numpy() -> None:
    raw = population(7).values
    again = deactivate(activate(raw))
    for name in NAMES:
        torch.testing.assert_close(getattr(again, name), getattr(raw, name))
    from_numpy = activate(SimpleNamespace(**{n: getattr(raw, n).numpy() for n in NAMES}))
    assert torch.equal(from_numpy.scales, activate(raw).scales)


def test_opacities_of_one_and_zero_have_finite_logits() -> None:
    shown = activate(population(2).values)
    hard = replace(shown, opacities=torch.tensor([0.0, 1.0], dtype=F64))
    logits = deactivate(hard).logit_opacities
    assert torch.isfinite(logits).all() and logits[0].item() == pytest.approx(-logits[1].item())


# --- choosing ---


@given(
    scores=st.lists(st.floats(0, 10) | st.just(math.nan) | st.just(math.inf), max_size=30),
    threshold=st.floats(0, 10),
    room=st.integers(-2, 30),
)
def test_the_highest_scores_are_chosen_ties_by_index(scores, threshold, room) -> None:
    chosen = chosen_to_grow(torch.tensor(scores, dtype=F64), threshold, room).tolist()
    able = [k for k, s in enumerate(scores) if math.isfinite(s) and s > threshold]
    able.sort(key=lambda k: (-scores[k], k))
    assert chosen == sorted(able[: max(0, room)])


@settings(deadline=None, max_examples=40)
@given(count=st.integers(1, 20), cap=st.integers(1, 40), seed=st.integers(0, 99))
def test_never_above_the_cap_and_survivors_keep_their_moments(count, cap, seed) -> None:
    before = population(count, seed)
    score = torch.rand(count, generator=generator(seed), dtype=F64)
    after = grow(
        before, score, threshold=0.5, max_gaussians=cap, split_above_m=0.02,
        random=generator(),
    )  # fmt: skip
    wanted = min(int((score > 0.5).sum()), max(0, cap - count))
    assert len(after) == count + wanted <= max(cap, count)
    untouched = score <= 0.5
    for part in ("values", "first", "second"):
        old, new = rows(getattr(before, part)), rows(getattr(after, part))
        for k in range(count):
            if untouched[k]:
                assert old[k] == new[k]
        if part != "values":  # The newcomers' optimizer has not started.
            for name in NAMES:
                assert not getattr(getattr(after, part), name)[count:].any()


def one(scale_m: float, opacity: float = 0.6) -> Population:
    quaternion = torch.tensor([[1.0, 1.0, 0.0, 0.0]], dtype=F64)  # a quarter turn about x
    scales = torch.tensor([[scale_m, scale_m / 10, scale_m / 10]], dtype=F64)
    gaussians = Gaussians(
        means=torch.tensor([[1.0, 2.0, 3.0]], dtype=F64),
        quaternions=quaternion,
        scales=scales,
        opacities=torch.tensor([opacity], dtype=F64),
        sh=torch.ones(1, 1, 3, dtype=F64),
    )
    values = deactivate(gaussians)
    ones = Parameters(*(torch.ones_like(getattr(values, name)) for name in NAMES))
    return Population(values, ones, ones)


def test_a_small_one_is_cloned() -> None:
    """The original stays and keeps its moments; both together are as opaque as before."""
    before = one(0.01)
    after = grow(
        before, torch.ones(1), threshold=0.5, max_gaussians=9, split_above_m=0.02,
        random=generator(),
    )  # fmt: skip
    shown = activate(after.values)
    assert len(after) == 2
    assert torch.equal(after.values.means[0], before.values.means[0])
    assert not torch.equal(after.values.means[1], before.values.means[0])
    assert (after.values.means[1] - before.values.means[0]).abs().max() < 0.05
    torch.testing.assert_close(shown.scales[0], activate(before.values).scales[0])
    transmitted = (1 - shown.opacities).prod()
    assert transmitted.item() == pytest.approx(1 - 0.6, abs=1e-9)
    assert after.first.means[0].tolist() == [1, 1, 1] and after.first.means[1].tolist() == [0, 0, 0]


def test_a_large_one_is_split() -> None:
    """Both halves are new, smaller, and lie within the original; its moments are gone."""
    before = one(0.1)
    after = grow(
        before, torch.ones(1), threshold=0.5, max_gaussians=9, split_above_m=0.02,
        random=generator(),
    )  # fmt: skip
    shown = activate(after.values)
    old = activate(before.values)
    assert not after.first.means.any() and not after.second.sh.any()
    for k in range(2):
        torch.testing.assert_close(shown.scales[k], old.scales[0] / SPLIT_SHRINK)
        assert shown.opacities[k].item() == pytest.approx(0.6)
    assert not torch.equal(after.values.means[0], after.values.means[1])


def test_children_are_strewn_like_the_parent() -> None:
    """The covariance of many children's offsets is the parent's, rotation included."""
    quaternion = torch.tensor([0.9, 0.3, -0.2, 0.4], dtype=F64)
    count = 4000
    scales = torch.tensor([0.3, 0.1, 0.02], dtype=F64)
    gaussians = Gaussians(
        means=torch.zeros(count, 3, dtype=F64),
        quaternions=quaternion.expand(count, 4),
        scales=scales.expand(count, 3),
        opacities=torch.full((count,), 0.5, dtype=F64),
        sh=torch.zeros(count, 1, 3, dtype=F64),
    )
    after = grow(
        born(deactivate(gaussians)), torch.ones(count), threshold=0.5, max_gaussians=2 * count,
        split_above_m=0.05, random=generator(),
    )  # fmt: skip
    turn = matrix(quaternion)
    expected = turn @ torch.diag(scales**2) @ turn.T
    assert len(after) == 2 * count
    torch.testing.assert_close(after.values.means.T.cov(), expected, rtol=0.1, atol=0.003)


def matrix(quaternion: torch.Tensor) -> torch.Tensor:
    """The rotation by the matrix exponential: independent of the formula under test."""
    w, *axis = (quaternion / quaternion.norm()).tolist()
    sine = math.sqrt(sum(v * v for v in axis))
    angle = 2 * math.atan2(sine, w)
    x, y, z = (v / sine * angle for v in axis)
    return torch.linalg.matrix_exp(torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=F64))


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**31))
def test_rotate_is_the_matrix_exponential(seed) -> None:
    rng = generator(seed)
    quaternion = torch.randn(1, 4, generator=rng, dtype=F64) * 3
    vector = torch.randn(1, 3, generator=rng, dtype=F64)
    torch.testing.assert_close(rotate(quaternion, vector)[0], matrix(quaternion[0]) @ vector[0])


def test_growing_is_determined_by_the_generator() -> None:
    before, score = population(10), torch.ones(10)
    options = {"threshold": 0.5, "max_gaussians": 15, "split_above_m": 0.02}
    a = grow(before, score, **options, random=generator(1))
    b = grow(before, score, **options, random=generator(1))
    c = grow(before, score, **options, random=generator(2))
    assert rows(a.values) == rows(b.values) != rows(c.values)


# --- removing ---


def test_what_is_worth_keeping() -> None:
    scene = activate(population(4).values)
    scene = replace(
        scene,
        opacities=torch.tensor([0.5, 0.01, 0.5, 0.5], dtype=F64),
        scales=torch.tensor([[0.1] * 3, [0.1] * 3, [0.1, 0.3, 0.1], [0.1] * 3], dtype=F64),
        means=torch.tensor([[0.1, 0, 0], [0, 0, 0], [0, 0, 0], [0.6, 0.6, 0.0]], dtype=F64),
    )
    keep = worth_keeping(deactivate(scene), min_opacity=0.02, max_scale_m=0.2, max_radius_m=0.7)
    assert keep.tolist() == [True, False, False, False]


@given(kept=st.lists(st.booleans(), min_size=6, max_size=6))
@settings(deadline=None)
def test_rows_are_kept_whole_and_in_order(kept) -> None:
    before = population(6)
    after = keep_rows(before, torch.tensor(kept))
    for part in ("values", "first", "second"):
        old = rows(getattr(before, part))
        assert rows(getattr(after, part)) == [r for r, keep in zip(old, kept, strict=True) if keep]


def test_opacities_are_lowered_not_raised() -> None:
    before = population(50)
    after = reset_opacity(before, 0.3)
    old, new = activate(before.values).opacities, activate(after.values).opacities
    torch.testing.assert_close(new, old.clamp(max=0.3))
    low = old < 0.3
    assert torch.equal(before.values.logit_opacities[low], after.values.logit_opacities[low])
    assert not after.first.logit_opacities.any() and not after.second.logit_opacities.any()
    assert torch.equal(after.first.means, before.first.means)


def test_a_born_population_has_moments_of_zero() -> None:
    fresh = born(population(3).values)
    for part in (fresh.first, fresh.second):
        assert all(not getattr(part, name).any() for name in NAMES)
    assert len(fresh) == 3
