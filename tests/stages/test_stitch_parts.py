"""The pieces of stitching, each against its definition."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from splatworks.stages.formats.splats import RawSplats
from splatworks.stages.geometry.activation import activate
from splatworks.stages.stitch import Config, Weights, harmonize, palette, seam, views
from splatworks.stages.stitch.boundary import Boundary, driving_points, extent
from splatworks.stages.stitch.checkpoint import begun
from splatworks.stages.stitch.palette import Palette
from splatworks.stages.stitch.work import seam_of

from . import stitch_setup as parts
from .splat_objects import context


def test_the_size_leaves_strays_out() -> None:
    points = np.random.default_rng(0).uniform(size=(10_000, 3)) * [3.0, 2.0, 1.0]
    size = extent(points)
    assert size == pytest.approx(0.98 * np.sqrt(14), rel=0.01)
    points[:50] = 1e4
    assert extent(points) == pytest.approx(size, rel=0.01)


# Palette.


def batch_of(*colors: tuple[float, int]) -> np.ndarray:
    """Grays, each so many times."""
    return np.concatenate([np.full((count, 3), gray) for gray, count in colors])


def test_the_first_centres_are_far_apart() -> None:
    rows = np.array([[0.0, 0, 0], [0.1, 0, 0], [0.5, 0.5, 0], [1.0, 0, 0], [0.9, 0, 0]])
    # The farthest from black is red; the farthest from both of them is the one aside.
    assert palette.started(rows).centers.tolist() == rows[[0, 3, 2]].tolist()


def test_a_centre_is_the_mean_of_all_it_got() -> None:
    first = palette.updated(palette.started(batch_of((0.2, 30))), batch_of((0.2, 30)))
    second = palette.updated(first, batch_of((0.26, 10)))
    assert len(second.centers) == 1 and second.votes.tolist() == [40]
    np.testing.assert_allclose(second.centers, (30 * 0.2 + 10 * 0.26) / 40)


def test_one_that_gets_votes_now_and_then_does_not_expire() -> None:
    both, bright = batch_of((0.1, 50), (0.8, 50)), batch_of((0.8, 100))
    found = palette.updated(palette.started(both), both)
    for number in range(3 * palette.PATIENCE):
        found = palette.updated(found, both if number % 15 == 14 else bright)
    assert len(found.centers) == 2 and sorted(found.centers[:, 0]) == pytest.approx([0.1, 0.8])
    assert found.votes.sum() == 100 * (1 + 3 * palette.PATIENCE), "nor was it opened anew"


def test_two_that_have_come_close_are_one_by_their_votes() -> None:
    apart = palette.NEW_BIN / 3 * 0.9 / np.sqrt(3)
    centers = np.array([[0.5] * 3, [0.9] * 3, [0.5 + apart] * 3])
    merged = palette._fused(Palette(centers, np.array([30.0, 5, 10]), np.array([3, 1, 0])))
    np.testing.assert_allclose(merged.centers, [[0.5 + apart / 4] * 3, [0.9] * 3])
    assert merged.votes.tolist() == [40, 5] and merged.idle.tolist() == [0, 1]
    far = np.array([[0.5] * 3, [0.5 + 1.2 * apart] * 3])
    assert len(palette._fused(Palette(far, np.ones(2), np.zeros(2, int))).centers) == 2


# The optimization.


def small_problem(config: Config) -> harmonize.Problem:
    target, source = parts.torus(300), parts.ball(200)
    size, boundary = seam_of(target, source, config)
    own = activate(target)
    cameras = views.around(np.array([0.25, 0.0, 0.0]), 0.65, 3, 24)
    return harmonize.posed(
        own, activate(source), boundary, views.views_of(own, cameras, 1), size, config
    )


def test_the_step_is_adams() -> None:
    rng = torch.Generator().manual_seed(0)
    start = torch.rand(5, 4, 3, generator=rng, dtype=torch.float64)
    rates = torch.tensor([[0.03], [0.0015], [0.0015], [0.0015]], dtype=torch.float64)
    parameters = [start[:, k].clone().requires_grad_() for k in range(4)]
    peer = torch.optim.Adam(
        [{"params": [one], "lr": float(rates[k])} for k, one in enumerate(parameters)],
        betas=harmonize.BETAS, eps=harmonize.EPSILON,
    )  # fmt: skip
    state = begun(start)
    for _ in range(6):
        gradient = torch.randn(5, 4, 3, generator=rng, dtype=torch.float64)
        harmonize._step(state, gradient, rates)
        for k, one in enumerate(parameters):
            one.grad = gradient[:, k].clone()
        peer.step()
    torch.testing.assert_close(state.sh, torch.stack(parameters, dim=1).detach(), rtol=0, atol=1e-9)


def test_the_palette_comes_second_rates_fall_and_degree_zero_leads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config(iterations=(6, 3), start="original")
    problem, seen, rates = small_problem(config), [], []
    plain, step = harmonize.losses, harmonize._step

    def losses(problem, sh, number, now, config):
        seen.append((number, now is not None))
        return plain(problem, sh, number, now, config)

    def stepped(state, gradient, rate):
        rates.append(rate.flatten().tolist())
        step(state, gradient, rate)

    monkeypatch.setattr(harmonize, "losses", losses)
    monkeypatch.setattr(harmonize, "_step", stepped)
    colors = Palette(np.array([[0.8, 0.1, 0.1]]), np.ones(1), np.zeros(1, int))
    state = begun(torch.nn.functional.pad(problem.start, (0, 0, 0, 3)))
    problem = replace(
        problem,
        start=state.sh,
        wanted=torch.nn.functional.pad(problem.wanted, (0, 0, 0, 3)),
        target=replace(problem.target, sh=state.sh),
    )
    harmonize.harmonized(problem, colors, config, context(tmp_path), state)
    assert [with_palette for _, with_palette in seen] == [False] * 6 + [True] * 3
    rounds = [[number for number, _ in seen[k : k + 3]] for k in (0, 3, 6)]
    assert all(sorted(one) == [0, 1, 2] for one in rounds), "each camera once a round"
    orders = {
        tuple(harmonize.turn(i, 12, seed=5) for i in range(k, k + 12)) for k in range(0, 60, 12)
    }
    assert len(orders) == 5, "in a new order every round"
    expected = [config.rate * harmonize.LAST_RATE ** (k / 9) for k in range(9)]
    np.testing.assert_allclose([one[0] for one in rates], expected, rtol=1e-6)
    np.testing.assert_allclose([one[1:] for one in rates], np.outer(expected, [1 / 20] * 3), 1e-6)


def test_the_pull_towards_driving_points_does_not_pull_these() -> None:
    """Their color is held fixed: else two neighbors would meet halfway."""
    config = Config(weights=Weights(color=1.0, gradient=0.0), start="original")
    problem = small_problem(config)
    sh = problem.target.sh.clone().requires_grad_()
    flat = harmonize.losses(problem, sh, 0, None, config)
    none = harmonize.losses(
        problem, sh, 0, None, replace(config, weights=Weights(color=0.0, gradient=0.0))
    )
    (gradient,) = torch.autograd.grad(flat - none, sh)
    colors = views.colors_in(problem.views[0], sh).detach()
    gap = (colors - colors[problem.driving].mean(dim=1)) * problem.inward
    wide = gradient[:, 0] / (2 * parts.SH_DC / (3 * problem.inward.sum()))
    inside = ((colors > 0) & (colors < 1)).all(dim=1)
    torch.testing.assert_close(wide[inside], gap[inside], rtol=1e-3, atol=1e-5)


def test_the_texture_loss_looks_inside_the_outline_only() -> None:
    config = Config(weights=Weights(color=0.0, gradient=1.0), start="original")
    problem = small_problem(config)
    sh = problem.target.sh.clone()
    sh[:, 0] += 0.2 * torch.randn(300, 3, generator=torch.Generator().manual_seed(0))
    for number, view in enumerate(problem.views):
        change = views.sobel(view, views.picture(view, views.colors_in(view, sh)))
        change = (change - problem.slopes[number]).square().sum(dim=(0, 1)) * view.inner
        wanted = change.sum() / (2 * 3 * view.inner.sum())
        found = harmonize.losses(problem, sh, number, None, config) - harmonize.losses(
            problem, sh, number, None, replace(config, weights=Weights(color=0.0, gradient=0.0))
        )
        assert float(found) == pytest.approx(float(wanted), rel=1e-4)


def test_the_palette_loss_weighs_centres_by_their_votes() -> None:
    colors = torch.tensor([[0.5, 0.1, 0.1], [0.1, 0.1, 0.4]], dtype=torch.float64)
    centers = np.array([[0.6, 0.1, 0.1], [0.1, 0.1, 0.2]])
    found = harmonize.tune_loss(colors, Palette(centers, np.array([8.0, 2.0]), np.zeros(2, int)))
    assert float(found) == pytest.approx((0.1**2 * 1.0 + 0.2**2 * 0.25) / 6)


def test_solid_pixels_are_judged_by_their_color_not_their_cover() -> None:
    view = small_problem(Config()).views[0]
    gray = torch.full((300, 3), 0.6)
    solid = harmonize._solid_colors(view, view.blend(gray))
    assert len(solid) and (view.alpha[view.solid] < 0.9999).any()
    torch.testing.assert_close(solid, torch.full_like(solid, 0.6))


def test_seam_only_fades_smoothly() -> None:
    config = Config(seam_only=True)
    problem = small_problem(config)
    target, source = parts.torus(300), parts.ball(200)
    size, boundary = seam_of(target, source, config)
    _, distance = driving_points(
        target.means.astype(np.float64), boundary.members, size=size, amplitude=0.0, gamma=0.0, k=1
    )
    near = np.clip(1 - distance / (config.seam_width * size), 0, 1)
    expected = 3 * near**2 - 2 * near**3
    expected[boundary.members] = 0
    assert ((expected > 0.1) & (expected < 0.9)).any()
    np.testing.assert_allclose(problem.pull[:, 0], expected, atol=1e-5)


# Figures.


def grays(values: list[float]) -> torch.Tensor:
    return torch.tensor([(value - 0.5) / parts.SH_DC for value in values])[:, None, None].repeat(
        1, 1, 3
    )


def test_the_seam_is_a_mean_over_neighbors_and_over_the_boundary() -> None:
    target, source = grays([0.5, 0.2, 0.9]), grays([0.2, 0.4, 0.5, 0.7])
    boundary = Boundary(np.array([0, 1]), np.array([[0, 1], [2, 3]]), 0.9, lowered=False)

    def light(gray: float) -> float:
        return float(seam.lab(np.full(3, gray))[0])

    expected = (abs(light(0.5) - light(0.3)) + abs(light(0.2) - light(0.6))) / 2
    assert seam.seam_difference(target, source, boundary) == pytest.approx(expected, rel=1e-4)


def test_lab_of_the_darkest_colors() -> None:
    """L = 903.3 Y below Y = 0.008856; sRGB is linear there."""
    for value in (0.001, 0.01, 0.04):
        found = seam.lab(np.full(3, value))
        assert found[0] == pytest.approx(24389 / 27 * value / 12.92, rel=1e-4)
        assert abs(found[1:]).max() < 1e-3


def seen_and_boundary() -> tuple[list[views.View], Boundary, RawSplats]:
    target = parts.torus(1500)
    _, boundary = seam_of(target, parts.ball(1500), Config())
    cameras = views.around(np.array([0.25, 0.0, 0.0]), 0.65, 2, 48)
    return views.views_of(activate(target), cameras, 1), boundary, target


def test_texture_at_the_seam_may_go_and_elsewhere_counts() -> None:
    seen, boundary, target = seen_and_boundary()
    before = torch.from_numpy(target.sh)
    noise = 0.5 * torch.randn(before.shape, generator=torch.Generator().manual_seed(0))
    members = torch.from_numpy(boundary.members)
    away = torch.ones(len(before), dtype=torch.bool)
    away[members] = False
    at_seam, elsewhere = before.clone(), before.clone()
    at_seam[members] += noise[members]
    elsewhere[away] += noise[away]
    assert seam.texture_kept(seen, before, at_seam, boundary) > 0.95
    assert seam.texture_kept(seen, before, elsewhere, boundary) < 0.8
    brighter = before + 0.3
    assert seam.texture_kept(seen, before, brighter, boundary) > 0.995, "the outline is no texture"


def test_texture_of_what_has_none() -> None:
    seen, boundary, target = seen_and_boundary()
    flat = torch.from_numpy(target.sh) * 0
    assert seam.texture_kept(seen, flat, flat, boundary) == pytest.approx(1.0)
    nothing = [replace(view, inner=view.inner & False) for view in seen]
    assert seam.texture_kept(nothing, flat, flat, boundary) == 1.0
    assert seam.texture_kept(nothing, flat, torch.from_numpy(target.sh), boundary) == 1.0
