"""Stitching: where the seam is, what the losses are, and that the seam goes while texture stays."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from splatworks.pipeline.cli import main
from splatworks.pipeline.errors import InputError
from splatworks.stages.formats import edits, regions, splats
from splatworks.stages.geometry.activation import activate
from splatworks.stages.stitch import Config, Weights, harmonize, palette, seam, views
from splatworks.stages.stitch.boundary import driving_points, extent, find_boundary
from splatworks.stages.stitch.work import seam_of

from . import scene_setup as made
from . import stitch_setup as parts
from .splat_objects import sphere


def balls(count: int, gap: float = 1.9) -> tuple[np.ndarray, np.ndarray]:
    """Two unit spheres whose centres are `gap` apart."""
    centers = ((0, 0, 0), (gap, 0, 0))
    one, two = (sphere(count, 1.0, center).means.astype(np.float64) for center in centers)
    return one, two


def test_the_boundary_is_the_band_where_two_spheres_meet() -> None:
    """Precision and recall against the distance to the other sphere, in closed form."""
    target, source = balls(20_000)
    reach = 0.05 * extent(np.concatenate([target, source]))
    found = find_boundary(target, np.full(20_000, 0.97), source, reach=reach, tau=0.95, k=8)
    band = np.abs(np.linalg.norm(target - [1.9, 0, 0], axis=1) - 1) < reach
    chosen = np.zeros(20_000, bool)
    chosen[found.members] = True
    assert (chosen & band).sum() / chosen.sum() > 0.95
    assert (chosen & band).sum() / band.sum() > 0.95
    assert not found.lowered


def test_the_boundary_by_brute_force() -> None:
    rng = np.random.default_rng(0)
    target, source = rng.normal(size=(200, 3)), rng.normal(size=(150, 3)) + np.array([1.0, 0, 0])
    opacity = rng.uniform(size=200)
    found = find_boundary(target, opacity, source, reach=0.6, tau=0.5, k=5)
    gaps = np.linalg.norm(target[:, None] - source[None], axis=-1)
    order = np.argsort(gaps, axis=1)[:, :5]
    near = np.take_along_axis(gaps, order, axis=1).mean(axis=1) < 0.6
    expected = np.flatnonzero(near & (opacity > 0.5))
    assert (found.members == expected).all() and 5 < len(expected) < 150
    assert (np.sort(found.neighbors) == np.sort(order[expected])).all()


def test_soft_models_keep_their_most_opaque_share() -> None:
    target, source = balls(2000)
    opacity = np.random.default_rng(0).uniform(0.2, 0.9, 2000)
    found = find_boundary(target, opacity, source, reach=0.2, tau=0.95, k=8)
    every = find_boundary(target, opacity, source, reach=0.2, tau=0.0, k=8).members
    assert found.lowered and len(found.members) == pytest.approx(0.05 * len(every), abs=1)
    assert opacity[found.members].min() >= np.quantile(opacity[every], 0.95)


def test_parts_that_do_not_meet_are_refused() -> None:
    target, source = balls(500, gap=5)
    with pytest.raises(InputError, match=r"do not meet.*nearest one is 3\.0"):
        find_boundary(target, np.ones(500), source, reach=0.1, tau=0.9, k=8)


def test_driving_points_are_shifted_members() -> None:
    rng = np.random.default_rng(1)
    points = rng.normal(size=(60, 3))
    members = np.arange(0, 60, 4)
    found, distance = driving_points(points, members, size=2.0, amplitude=0.3, gamma=7.0, k=3)
    for index, point in enumerate(points):
        gaps = np.linalg.norm(points[members] - point, axis=1)
        assert distance[index] == pytest.approx(gaps.min())
        place = point + 0.3 * 2.0 * np.sin(7 * gaps.min() / 2.0)
        order = np.argsort(np.linalg.norm(points[members] - place, axis=1))[:3]
        assert set(found[index]) == set(members[order])


# Palette.


def test_five_colors_are_found_again() -> None:
    rng = np.random.default_rng(0)
    colors = np.array(
        [[0.9, 0.1, 0.1], [0.1, 0.7, 0.2], [0.1, 0.2, 0.9], [0.9, 0.9, 0.2], [0.5] * 3]
    )
    found = None
    for _ in range(40):
        chosen = rng.choice(5, 500, p=[0.4, 0.3, 0.15, 0.1, 0.05])
        batch = colors[chosen] + rng.normal(size=(500, 3)) * 0.01
        found = palette.updated(found or palette.started(batch), batch)
    assert len(found.centers) <= 8
    gaps = np.linalg.norm(seam.lab(colors)[:, None] - seam.lab(found.centers)[None], axis=-1)
    assert gaps.min(axis=1).max() < 3
    shares = found.shares[gaps.argmin(axis=1)]
    np.testing.assert_allclose(shares, [0.4, 0.3, 0.15, 0.1, 0.05], atol=0.02)


def test_centres_without_votes_expire_after_twenty_batches() -> None:
    first, second = np.full((100, 3), 0.1), np.full((100, 3), 0.8)
    found = palette.updated(palette.started(first), first)
    for batch in range(1, 21):
        found = palette.updated(found, second)
        assert len(found.centers) == (2 if batch < 20 else 1)
    np.testing.assert_allclose(found.centers, [[0.8] * 3])


def test_no_more_than_the_most_bins() -> None:
    batch = np.random.default_rng(0).uniform(size=(3000, 3))
    found = palette.updated(palette.started(batch), batch)
    assert len(found.centers) == palette.MOST_BINS
    assert found.votes.sum() == 3000


# Losses and figures.


def small_problem(config: Config, renderer=None) -> harmonize.Problem:
    target, source = parts.torus(300), parts.ball(200)
    target = replace(target, sh=np.pad(target.sh, ((0, 0), (0, 3), (0, 0))))
    source = replace(source, sh=np.pad(source.sh, ((0, 0), (0, 3), (0, 0))))
    size, boundary = seam_of(target, source, config)
    own, theirs = activate(target), activate(source)
    cameras = views.around(np.array([0.25, 0.0, 0.0]), 0.65, 2, 24)
    seen = views.views_of(own, cameras, 1, renderer)
    return harmonize.posed(own, theirs, boundary, seen, size, config)


def test_losses_have_the_gradients_of_finite_differences() -> None:
    """Without L_color, whose goal is held fixed on purpose."""
    config = Config(weights=Weights(color=0.0))
    problem = small_problem(config)
    colors = palette.Palette(
        np.array([[0.8, 0.1, 0.1], [0.2, 0.3, 0.6]]), np.array([3.0, 1]), np.zeros(2, int)
    )
    rng = np.random.default_rng(0)
    sh = problem.target.sh.double() + torch.from_numpy(rng.normal(size=(300, 4, 3)) * 0.05)
    sh.requires_grad_()

    def loss(values: torch.Tensor) -> torch.Tensor:
        return harmonize.losses(problem, values, 1, colors, config)

    (gradient,) = torch.autograd.grad(loss(sh), sh)
    for _ in range(5):
        step = torch.from_numpy(rng.normal(size=sh.shape)) * 1e-3
        slope = (loss(sh.detach() + step) - loss(sh.detach() - step)) / 2
        assert (gradient * step).sum().item() == pytest.approx(slope.item(), rel=2e-3)


def test_color_losses_pull_towards_the_driving_points_and_nothing_else() -> None:
    config = Config(weights=Weights(color=1.0, gradient=0.0))
    problem = small_problem(config)
    sh = problem.target.sh.clone().requires_grad_()
    with_color = harmonize.losses(problem, sh, 0, None, config)
    without = harmonize.losses(
        problem, sh, 0, None, replace(config, weights=Weights(color=0.0, gradient=0.0))
    )
    colors = views.colors_in(problem.views[0], sh.detach())
    others = np.setdiff1d(np.arange(300), problem.boundary.members)
    goal = np.stack([colors[problem.driving[i]].mean(dim=0).numpy() for i in others])
    expected = ((colors.numpy()[others] - goal) ** 2).mean()
    assert (with_color - without).item() == pytest.approx(expected, rel=1e-5)
    (gradient,) = torch.autograd.grad(with_color - without, sh)
    assert not gradient[problem.boundary.members].any() and gradient[others].any()


def test_a_change_of_tone_costs_no_gradient_inside_the_outline() -> None:
    problem = small_problem(Config())
    view, sh = problem.views[0], problem.target.sh.clone()
    sh[:, 0] += 0.3
    change = views.sobel(view, views.picture(view, views.colors_in(view, sh))) - problem.slopes[0]
    assert view.inner.any()
    assert change[:, :, view.inner].abs().max() < 0.05 * change.abs().max()


def test_lab_of_known_colors() -> None:
    known = seam.lab(np.array([[1, 1, 1], [1, 0, 0], [0, 0, 1], [0.5, 0.5, 0.5]]))
    expected = [[100, 0, 0], [53.24, 80.09, 67.20], [32.30, 79.19, -107.86], [53.39, 0, 0]]
    np.testing.assert_allclose(known, expected, atol=0.02)


def test_sobel_of_a_slope_is_eight_times_the_slope() -> None:
    view = small_problem(Config()).views[0]
    x = torch.arange(24.0).repeat(24)
    slope = views.sobel(view, torch.stack([3 * x], dim=1))[0]
    assert (slope[0, 1:-1, 1:-1] == 24).all() and not slope[1].any()


# The whole.


def test_the_seam_goes_and_the_texture_stays(tmp_path: Path) -> None:
    out = parts.run(str(tmp_path), 1500, 72, 8)
    assert out.after < 0.2 * out.before
    assert out.texture > 0.8
    assert out.far_gap_left < 0.2


def test_only_the_seam(tmp_path: Path) -> None:
    out = parts.run(str(tmp_path), 1500, 72, 8, seam_only=True, iterations=(300, 0))
    assert out.after < 0.2 * out.before
    target = parts.torus(1500)
    far = target.means[:, 0] > 0.6
    assert far.any() and (out.sh.numpy()[far] == target.sh[far]).all()


@pytest.mark.slow
def test_what_each_part_is_for(tmp_path: Path) -> None:
    """Ablations, in the direction the paper reports."""

    def run(**settings) -> parts.Run:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        return parts.run(str(folder), 2500, 96, 12, **settings)

    paper = {**parts.PAPER, "iterations": (600, 0)}

    def weighed(**weights: float) -> parts.Run:
        return run(**{**paper, "weights": replace(parts.PAPER["weights"], **weights)})

    # L_grad carries colors, too, but slowly: it has hardly begun when L_color is nearly through.
    paper["iterations"] = (350, 0)
    assert run(**paper).far_gap_left < 0.25 and weighed(color=0.0).far_gap_left > 0.7
    paper["iterations"] = (600, 0)

    both, first = run(**parts.PAPER), run(**paper)
    assert first.far_gap_left > 2 * both.far_gap_left
    assert weighed(color=0.0).far_gap_left > 5 * first.far_gap_left
    assert weighed(color=0.0, gradient=0.0).far_gap_left > 0.99
    assert weighed(gradient=20.0).after > 3 * both.after
    ours = run()
    assert ours.after < 0.1 < both.after, "the boundary is held where the seam is closed"
    assert ours.texture > both.texture - 0.002


QUICK = (
    "--set",
    "stitch.size_px=32",
    "--set",
    "stitch.views=3",
    "--set",
    "stitch.iterations=20,20",
)


def test_the_command_and_its_report(tmp_path: Path, capsys) -> None:
    target = splats.save(parts.torus(600), tmp_path / "target.ply")
    source = splats.save(
        replace(parts.ball(500), means=parts.ball(500).means + np.float32([0, 2, 0])),
        tmp_path / "source.ply",
    )
    words = ["stitch", str(target), str(source), *QUICK]
    assert main([*words, "--out", str(tmp_path / "apart")]) == 2
    assert "target and source do not meet" in capsys.readouterr().err
    assert not list((tmp_path / "apart").glob("stitch-*"))
    move = edits.Move(layer="source", of="all", translation=(0, -2, 0))
    script = edits.save(edits.Script(("target", "source"), (move,)), tmp_path / "place.json")
    upper = regions.Term(shape=regions.Plane(point=(0, -0.05, 0), normal=(0, 1, 0)))
    keep = regions.save((upper,), tmp_path / "keep.json")
    words += ["--transform", str(script), "--select-source", str(keep)]
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    assert "color difference" in capsys.readouterr().out
    folder = tmp_path / "run" / "latest" / "stitch"
    report = json.loads((folder / "report" / "report.json").read_text())
    assert report["seam_delta_e_after"] < report["seam_delta_e_before"]
    out, alone = splats.load(folder / "scene.ply"), splats.load(folder / "target.ply")
    before = splats.load(target)
    for name in ("means", "log_scales", "logit_opacities", "quaternions"):
        assert (getattr(alone, name) == getattr(before, name)).all(), "geometry is frozen"
    assert (alone.sh != before.sh).any()
    assert len(out) == 600 + report["source_gaussians"] < 1100
    assert (out.sh[600:] == splats.load(source).sh[0]).all(), "the source stays as it is"
    assert (folder / "report" / "before-after.png").stat().st_size > 1000
    again = tmp_path / "again"
    assert main([*words, "--out", str(again), "--threads", "2"]) == 0
    for name in ("scene.ply", "target.ply", "report/report.json"):
        assert (again / "latest" / "stitch" / name).read_bytes() == (folder / name).read_bytes()


def test_bad_placements_are_refused(tmp_path: Path, capsys) -> None:
    target = splats.save(parts.torus(60), tmp_path / "a.ply")
    source = splats.save(made.cloud(60, 3), tmp_path / "b.ply")
    place = tmp_path / "place.json"

    def refused(message: str, *more: str) -> None:
        words = ["stitch", str(target), str(source), "--out", str(tmp_path / "run"), *more]
        assert main(words) == 2
        text = capsys.readouterr().err
        assert message in text and "Traceback" not in text

    edits.save(edits.Script(("a", "b")), place)
    refused("they must be called target, source, in this order", "--transform", str(place))
    copy = edits.Duplicate(layer="source", of="all", name="third")
    edits.save(edits.Script(("target", "source"), (copy,)), place)
    refused("exactly the layers target, source", "--transform", str(place))
    nothing = regions.Term(shape=regions.Sphere(center=(9, 9, 9), radius=0.1))
    regions.save((nothing,), place)
    refused("place.json: nothing is selected in layer target", "--select-target", str(place))
    refused("iterations must be at least one", "--set", "stitch.iterations=0,0")
    refused("no.json: no such file", "--transform", str(tmp_path / "no.json"))
    sidecar = splats.Sidecar(meters_per_unit=0.5)
    splats.save(replace(made.cloud(60, 3), sidecar=sidecar), source)
    refused("meters_per_unit is 1.0 in target, 0.5 in source")
    splats.save(made.cloud(60, 3), source)
    body = bytearray(source.read_bytes())
    start = body.index(b"end_header\n") + len(b"end_header\n")
    body[start + 4 : start + 8] = np.float32(np.nan).tobytes()
    source.write_bytes(bytes(body))
    source.with_suffix(".json").unlink(missing_ok=True)
    refused("b.ply")
    refused("other.ply: no such file", "--then", str(tmp_path / "other.ply"))
    assert not list((tmp_path / "run").glob("stitch-*")), "nothing is written"
