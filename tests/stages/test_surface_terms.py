"""Surface terms of training: closed forms, finite differences, properties, exact resume."""

import json
import math
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from splatworks.renderers.projection import rotation_matrices
from splatworks.renderers.scene import Cameras, Frames, Gaussians
from splatworks.stages import reconstruct
from splatworks.stages.artifacts import CaptureDir
from splatworks.stages.formats import splats
from splatworks.stages.randomness import generator
from splatworks.stages.reconstruct import checkpoint, loop
from splatworks.stages.reconstruct.changes import change
from splatworks.stages.reconstruct.settings import Density, Surface
from splatworks.stages.reconstruct.surface import (
    compiled_field,
    entropy,
    flatness,
    ideal,
    neighbors,
    schedule,
    terms,
)  # fmt: skip
from splatworks.stages.reconstruct.surface import field as plain
from splatworks.stages.reconstruct.surface.samples import (
    Samples,
    depth_at,
    draw,
    on_seen_surface,
)  # fmt: skip

from . import photo_folders as made
from .test_reconstruct import SMALL, Killed, context, results

F64 = torch.float64


def cloud(n: int = 12, seed: int = 0, dtype: torch.dtype = F64) -> Gaussians:
    """Some Gaussians close to each other."""
    rng = torch.Generator().manual_seed(seed)
    return Gaussians(
        means=torch.rand(n, 3, generator=rng).to(dtype),
        quaternions=torch.randn(n, 4, generator=rng).to(dtype),
        scales=(0.05 + 0.4 * torch.rand(n, 3, generator=rng)).to(dtype),
        opacities=(0.1 + 0.8 * torch.rand(n, generator=rng)).to(dtype),
        sh=torch.zeros(n, 1, 3, dtype=dtype),
    )


def made_of(g: Gaussians) -> plain.Cloud:
    return plain.cloud_of(g.means, rotation_matrices(g.quaternions), g.scales, g.opacities)


def places(g: Gaussians, count: int = 40, seed: int = 1) -> Samples:
    everyone = torch.ones(len(g.means), dtype=torch.bool)
    axes = rotation_matrices(g.quaternions)
    return draw(g, axes, everyone, count, torch.Generator().manual_seed(seed))


def flat(normal=(0.0, 0.6, 0.8), thickness: float = 0.02, opacity: float = 1.0) -> Gaussians:
    """One flat Gaussian whose third axis is `normal` (a turn about x)."""
    angle = math.atan2(-normal[1], normal[2])
    quaternion = [math.cos(angle / 2), math.sin(angle / 2), 0, 0]
    return Gaussians(
        means=torch.tensor([[0.3, -0.2, 0.5]], dtype=F64),
        quaternions=torch.tensor([quaternion], dtype=F64),
        scales=torch.tensor([[1e5, 1e5, thickness]], dtype=F64),
        opacities=torch.tensor([opacity], dtype=F64),
        sh=torch.zeros(1, 1, 3, dtype=F64),
    )


# --- closed forms ---


@pytest.mark.parametrize("offset", [0.0, 1e-3, -0.01, 0.05, -0.08])
def test_a_flat_gaussian_says_how_far_its_plane_is(offset: float) -> None:
    one, normal = flat(), torch.tensor([0.0, 0.6, 0.8], dtype=F64)
    place = one.means + offset * normal + torch.tensor([[0.7, -0.8 * 0.4, 0.6 * 0.4]], dtype=F64)
    table = neighbors.nearest(one.means)
    found = plain.field(Samples(place, torch.tensor([0])), table, made_of(one))
    distance = ideal.distance(found.density, one.scales[:, 2])
    assert float(distance) == pytest.approx(abs(offset), abs=1e-5)
    assert float(ideal.flat_density(torch.tensor([offset], dtype=F64), one.scales[:, 2])) == (
        pytest.approx(float(found.density), abs=1e-5)
    )
    if offset:
        assert torch.allclose(found.direction.abs()[0], normal, atol=1e-9)


def test_the_density_is_the_sum_written_out() -> None:
    g = cloud()
    samples, table = places(g), neighbors.nearest(g.means, 5)
    found = plain.field(samples, table, made_of(g)).density
    rotation = rotation_matrices(g.quaternions).numpy()
    for m in range(len(found)):
        total = 0.0
        for i in table[samples.own[m]].tolist():
            spread = rotation[i] @ np.diag(g.scales[i].numpy() ** 2) @ rotation[i].T
            d = (samples.places[m] - g.means[i]).numpy()
            total += float(g.opacities[i]) * math.exp(-0.5 * d @ np.linalg.solve(spread, d))
        assert float(found[m]) == pytest.approx(total, rel=1e-10)


def test_the_direction_is_the_gradient_of_the_distance_between_parallel_sheets() -> None:
    """Where all normals agree it is that normal, whatever the signs of the axes."""
    base = flat()
    two = replace(
        base,
        means=torch.cat([base.means, base.means + 0.01]),
        quaternions=torch.cat([base.quaternions, _flipped(base.quaternions)]),
        scales=base.scales.repeat(2, 1), opacities=base.opacities.repeat(2),
        sh=base.sh.repeat(2, 1, 1),
    )  # fmt: skip
    samples = Samples(two.means + torch.tensor([[0.0, 0.01, 0.02]], dtype=F64), torch.arange(2))
    ready = made_of(two)
    assert torch.allclose(ready.normals[0], -ready.normals[1])
    found = plain.field(samples, neighbors.nearest(two.means), ready)
    assert torch.allclose(found.direction, ready.normals, atol=1e-9)
    assert float(terms.normal_error(samples, ready, found).max()) < 1e-18


def _flipped(q: torch.Tensor) -> torch.Tensor:
    """Turned by half a turn about the local x axis: the third axis changes its sign."""
    w, x, y, z = q.unbind(-1)
    return torch.stack([-x, w, z, -y], dim=-1)


def test_direction_against_differentiating_the_density() -> None:
    """With thin Gaussians of one neighborhood side, v is the normalized slope of -d."""
    one = flat(thickness=0.03, opacity=0.7)
    samples = Samples(one.means + torch.tensor([[0.02, 0.01, 0.03]], dtype=F64), torch.tensor([0]))
    at = samples.places.clone().requires_grad_()
    found = plain.field(Samples(at, samples.own), neighbors.nearest(one.means), made_of(one))
    (slope,) = torch.autograd.grad(-found.density.sum(), at)
    slope = slope / slope.norm()
    assert torch.allclose(slope.abs(), found.direction.abs(), atol=1e-6)


@pytest.mark.parametrize("logit", [-40.0, -3.0, 0.0, 2.0, 40.0])
def test_entropy_is_that_of_a_coin(logit: float) -> None:
    a = 1 / (1 + math.exp(-logit))
    terms_of = [p * math.log(p) for p in (a, 1 - a) if p > 0]
    found = entropy.binary_entropy(torch.tensor([logit], dtype=F64))
    assert float(found) == pytest.approx(-sum(terms_of), abs=1e-12)
    assert float(found) <= math.log(2)


def test_descending_the_entropy_decides() -> None:
    x = torch.tensor([-1.0, -0.01, 0.01, 1.0], dtype=F64, requires_grad=True)
    (slope,) = torch.autograd.grad(entropy.binary_entropy(x).sum(), x)
    assert (torch.sign(-slope) == torch.sign(x)).all()


def test_roundness_thins_and_never_widens() -> None:
    scales = torch.tensor([[0.3, 0.1, 0.2], [1.0, 1.0, 1.0]], dtype=F64, requires_grad=True)
    found = flatness.roundness(scales)
    assert found.tolist() == pytest.approx([0.5, 1.0])
    (slope,) = torch.autograd.grad(found.sum(), scales)
    assert slope[0].tolist() == pytest.approx([0, 5.0, 0]) and (slope >= 0).all()


# --- derivatives ---


@pytest.mark.parametrize("name", ["means", "quaternions", "scales", "opacities"])
@pytest.mark.parametrize("what", ["density", "distance"])
def test_errors_agree_with_finite_differences(name: str, what: str) -> None:
    g = cloud(8, seed=3)
    samples, table = places(g, 10), neighbors.nearest(g.means, 4)
    depth = torch.linspace(0.5, 2.5, 64, dtype=F64).reshape(8, 8)

    def error(value: torch.Tensor) -> torch.Tensor:
        ready = made_of(replace(g, **{name: value}))
        found = plain.field(samples, table, ready)
        beta = ready.scales.amin(dim=1)[table.long()].mean(dim=1)[samples.own]
        if what == "density":
            return terms.density_error(samples, ready, found, beta)
        return terms.distance_error(samples, found, beta, depth, camera(8), 2.0)

    assert torch.autograd.gradcheck(error, getattr(g, name).clone().requires_grad_())


def test_the_normal_error_learns_by_the_normals_alone() -> None:
    """Against finite differences with the weights held."""
    g = cloud(6, seed=5)
    samples, table = places(g, 12), neighbors.nearest(g.means, 4)
    ready = made_of(g)
    normals = ready.normals.clone().requires_grad_()
    found = plain.field(samples, table, replace(ready, normals=normals))
    error = terms.normal_error(samples, replace(ready, normals=normals), found).sum()
    (slope,) = torch.autograd.grad(error, normals)
    weights = _weights(samples, table, ready)

    def held(value: torch.Tensor) -> float:
        v = (weights[..., None] * value[table[samples.own].long()]).sum(dim=1)
        return float((v - value[samples.own]).square().sum())

    for i, c in ((0, 0), (3, 1), (5, 2)):
        step = torch.zeros_like(normals.detach())
        step[i, c] = 1e-6
        numeric = (held(normals.detach() + step) - held(normals.detach() - step)) / 2e-6
        assert float(slope[i, c]) == pytest.approx(numeric, rel=1e-6, abs=1e-9)
    leaf = g.opacities.clone().requires_grad_()
    with_opacities = plain.field(samples, table, made_of(replace(g, opacities=leaf)))
    assert not with_opacities.direction.requires_grad


def _weights(samples: Samples, table: torch.Tensor, ready: plain.Cloud) -> torch.Tensor:
    rows = []
    for m, own in enumerate(samples.own.tolist()):
        row = []
        for i in table[own].tolist():
            d = samples.places[m] - ready.means[i]
            u = ready.axes[i].T @ d / ready.scales[i]
            n = ready.normals[i]
            part = ready.opacities[i] * torch.exp(-0.5 * u @ u)
            weight = part * abs(d @ n) / ready.scales[i].min() ** 2
            row.append(weight * (1 if n @ ready.normals[own] >= 0 else -1))
        rows.append(torch.stack(row) / sum(abs(w) for w in row))
    return torch.stack(rows)


def test_slopes_stay_finite_on_the_surface_and_far_from_it() -> None:
    density = torch.tensor([0.0, 1e-30, 1 - 1e-16, 1.0, 2.5], dtype=F64, requires_grad=True)
    found = ideal.distance(ideal.bounded(density), torch.full((5,), 0.1, dtype=F64))
    (slope,) = torch.autograd.grad(found.sum(), density)
    assert found.isfinite().all() and slope.isfinite().all() and found[3:].tolist() == [0, 0]


def test_above_one_the_density_is_one_and_still_has_a_slope() -> None:
    density = torch.tensor([0.5, 2.0], dtype=F64, requires_grad=True)
    found = ideal.bounded(density)
    (slope,) = torch.autograd.grad(found.sum(), density)
    assert found.tolist() == [0.5, 1.0] and slope.tolist() == [1.0, 0.5]


# --- the compiled field ---


def test_compiled_and_plain_agree() -> None:
    g = cloud(40, seed=7, dtype=torch.float32)
    samples, table = places(g, 300), neighbors.nearest(g.means)
    rng = torch.Generator().manual_seed(2)
    by_density = torch.randn(300, generator=rng)
    by_direction = torch.randn(300, 3, generator=rng)
    found = []
    for module in (plain, compiled_field):
        leaves = [t.clone().requires_grad_() for t in
                  (g.means, g.quaternions, g.scales, g.opacities)]  # fmt: skip
        means, quaternions, scales, opacities = leaves
        ready = plain.cloud_of(means, rotation_matrices(quaternions), scales, opacities)
        made = module.field(samples, table, ready)
        loss = (by_density * made.density).sum() + (by_direction * made.direction).sum()
        found.append([made.density, made.direction, *torch.autograd.grad(loss, leaves)])
    for ours, wanted in zip(found[1], found[0], strict=True):
        assert float((ours - wanted).detach().norm() / wanted.detach().norm()) < 2e-6


def test_a_sample_that_nothing_reaches_has_no_direction_and_no_slope() -> None:
    g = cloud(5, dtype=torch.float32)
    far = Samples(torch.full((1, 3), 900.0), torch.tensor([0]))
    for module in (plain, compiled_field):
        found = module.field(far, neighbors.nearest(g.means), made_of(g))
        assert float(found.density) == 0 and not found.direction.any()
        assert float(terms.normal_error(far, made_of(g), found)) == 0


# --- samples, neighbors, depth ---


def camera(size: int = 8) -> Cameras:
    """At (0.5, 0.5, -2), looking along +z."""
    pose = torch.eye(4, dtype=F64)[None].clone()
    pose[0, :3, 3] = torch.tensor([-0.5, -0.5, 2.0])
    return Cameras(
        pose, torch.full((1, 2), float(size), dtype=F64),
        torch.full((1, 2), size / 2, dtype=F64), size, size,
    )  # fmt: skip


def test_samples_follow_the_gaussians_and_not_their_size() -> None:
    g = replace(cloud(3), scales=torch.tensor([[0.1, 0.2, 0.3], [3, 2, 1], [9, 9, 9]], dtype=F64))
    eligible = torch.tensor([True, True, False])
    axes = rotation_matrices(g.quaternions)
    samples = draw(g, axes, eligible, 40_000, torch.Generator().manual_seed(0))
    share = torch.bincount(samples.own, minlength=3) / 40_000
    assert share[2] == 0 and share[0] == pytest.approx(0.5, abs=0.01)
    for i in (0, 1):
        local = (samples.places[samples.own == i] - g.means[i]) @ axes[i]
        assert torch.allclose(local.std(dim=0), 1.5 * g.scales[i], rtol=0.03)
        assert float((local / g.scales[i]).mean(dim=0).abs().max()) < 0.05


def test_neighbors_are_the_nearest_with_oneself_first() -> None:
    means = torch.rand(50, 3, generator=torch.Generator().manual_seed(0), dtype=F64)
    means[7] = means[31]
    table = neighbors.nearest(means, 6)
    assert table[:, 0].tolist() == list(range(50))
    distance = torch.cdist(means, means)
    for i in range(50):
        expected = distance[i].sort().values[:6]
        assert torch.allclose(distance[i, table[i].long()], expected)
    assert neighbors.nearest(means[:3]).shape == (3, 3)


def test_depth_is_that_of_the_pixel_a_point_falls_on() -> None:
    picture = torch.arange(64, dtype=F64).reshape(8, 8)
    at = torch.tensor([[0.1, -0.2, 1.0], [0.0, 0.0, -1.0], [0.6, 0.0, 1.0]], dtype=F64)
    found, inside = depth_at(at, picture, camera())
    assert inside.tolist() == [True, False, False]
    assert float(found[0]) == float(picture[int(8 * -0.2 + 4), int(8 * 0.1 + 4)])


def test_only_what_lies_at_the_depth_picture_is_on_the_surface() -> None:
    z = torch.tensor([0.0, 0.19, 0.21, -0.19, -0.3], dtype=F64)
    count = len(z)
    g = Gaussians(
        means=torch.stack([torch.full_like(z, 0.5), torch.full_like(z, 0.5), z], dim=1),
        quaternions=torch.tensor([[1.0, 0, 0, 0]], dtype=F64).repeat(count, 1),
        scales=torch.tensor([[0.5, 0.5, 0.1]], dtype=F64).repeat(count, 1),
        opacities=torch.full((count,), 0.5, dtype=F64),
        sh=torch.zeros(count, 1, 3, dtype=F64),
    )
    depth = torch.full((8, 8), 2.0, dtype=F64)
    found = on_seen_surface(g, rotation_matrices(g.quaternions), depth, camera())
    assert found.tolist() == [True, True, False, True, False]


def test_what_is_not_covered_is_as_deep_as_the_farthest() -> None:
    depth = torch.tensor([2.0, 4.0, 0.0]).reshape(1, 1, 3, 1)
    alpha = torch.tensor([1.0, 0.5, 0.0]).reshape(1, 1, 3, 1)
    assert terms.blended_depth(Frames(depth=depth, alpha=alpha)).tolist() == [[2.0, 4.0, 4.0]]


# --- the schedule ---


@pytest.mark.parametrize("count", [15_000, 300, 31])
def test_phases_keep_their_proportions(count: int) -> None:
    config = reconstruct.Config(iterations=count, surface=Surface(mode="density"))
    phases = [schedule.phase_at(config, k) for k in range(count)]
    for name, share in (("ordinary", 7), ("deciding", 2), ("surface", 6)):
        assert phases.count(name) == pytest.approx(share / 15 * count, abs=1)
    changes = [k for k, (a, b) in enumerate(pairwise(phases)) if a != b]
    assert len(changes) == 2 and schedule.prunes_after(config, changes[1] + 1)
    refreshed = [k for k in range(count) if schedule.refreshes_at(config, k)]
    assert refreshed[0] == changes[1] + 1
    if count == 15_000:
        assert changes == [6999, 8999]
        assert refreshed == list(range(9000, 15_000, 500))
        assert schedule.progress_at(config, 9000) == 0 < schedule.progress_at(config, 14_999) < 1


def test_off_is_off() -> None:
    config = reconstruct.Config()
    assert {schedule.phase_at(config, k) for k in (0, 3500, 6999)} == {"ordinary"}
    assert not any(schedule.prunes_after(config, k) for k in range(7001))
    assert schedule.growth_ends(config) == schedule.resets_end(config) == 3500


def test_faint_gaussians_go_once_and_nothing_comes_or_goes_after() -> None:
    config = reconstruct.Config(
        iterations=150, surface=Surface(mode="density"),
        density=Density(first=0, every=10, reset_every=10, gradient=1e-9, until_share=1.0),
    )  # fmt: skip
    state = checkpoint.start(_parameters(200))
    opacities = torch.sigmoid(state.population.values.logit_opacities)
    counts = []
    for done in range(61, 151):
        state.iteration = done
        state.score_sum += 1
        change(config, 1.0, state, seed=0)
        counts.append(len(state.population))
        if 60 < done < 70:
            assert counts[-1] == 200
    keeps = int((opacities >= 0.5).sum())
    assert 32 < keeps < 200
    assert counts[70 - 61] > 200, "the last growth is due after iteration 70"
    assert counts[89 - 61] == counts[70 - 61]
    assert counts[90 - 61] < counts[89 - 61] and counts[-1] == counts[90 - 61]
    assert float(torch.sigmoid(state.population.values.logit_opacities).min()) >= 0.5


def _parameters(count: int):
    from splatworks.stages.geometry.activation import deactivate

    return deactivate(cloud(count, dtype=torch.float32))


# --- whole ---


@pytest.fixture(scope="module")
def capture(tmp_path_factory) -> reconstruct.Inputs:
    torch.set_num_threads(1)
    return reconstruct.Inputs(CaptureDir(made.nerfstudio(tmp_path_factory.mktemp("c") / "n", 24)))


@pytest.mark.parametrize("mode", ["density", "sdf"])
def test_interrupted_and_continued_gives_the_same(capture, tmp_path, mode) -> None:
    surface = Surface(mode=mode, samples=400, min_opacity=0.15, decide_from_share=0.3)
    config = replace(SMALL, surface=surface, evaluate_every=0)
    reconstruct.run(capture, config, context(tmp_path / "whole", threads=2))
    folder = tmp_path / "cut"
    # Every other iteration from 36 on finds neighbors anew; these stop in between.
    for stop in (38, 48):
        with pytest.raises(Killed):
            reconstruct.run(capture, config, context(folder, stop_at=stop))
        assert not list((folder / "out").iterdir())
    reconstruct.run(capture, config, context(folder))
    assert results(folder / "out") == results(tmp_path / "whole" / "out")
    made_of = splats.load(folder / "out" / "splats.ply")
    assert len(made_of) >= 32
    report = json.loads((folder / "out" / "report.json").read_text())
    assert report["psnr_db"] > 14


def test_neighbors_are_found_as_often_as_said(capture, tmp_path, monkeypatch) -> None:
    found = []
    monkeypatch.setattr(loop, "nearest", lambda means: found.append(1) or neighbors.nearest(means))
    surface = Surface(mode="density", samples=50, min_opacity=0.15)
    config = replace(SMALL, surface=surface, evaluate_every=0)
    reconstruct.run(capture, config, context(tmp_path))
    assert len(found) == 12, "24 iterations, every other one"


@pytest.mark.parametrize("side", [-0.05, 0.05])
def test_distances_have_no_side(side: float) -> None:
    """A sample as far before the depth picture as behind it has the same error, here none."""
    thickness = 0.05
    one = replace(
        flat(normal=(0.0, 0.0, 1.0), thickness=thickness), means=torch.zeros(1, 3).to(F64)
    )
    place = torch.tensor([[0.5, 0.5, side]], dtype=F64)
    samples = Samples(place, torch.tensor([0]))
    density = 16 * torch.exp(torch.tensor([-0.5 * (side / thickness) ** 2], dtype=F64))
    found = plain.Field(density, torch.zeros(1, 3, dtype=F64))
    depth = torch.full((8, 8), 2.0, dtype=F64)
    error = terms.distance_error(samples, found, one.scales[:, 2], depth, camera(), 1.0)
    assert float(error) == pytest.approx(0, abs=1e-9)


def test_flatness_grows_from_nothing() -> None:
    g = cloud(6)
    logits = torch.zeros(6, dtype=F64)
    look = terms.Look(g, logits, Frames(radii_px=torch.ones(1, 6, dtype=F64)), camera())
    surface = Surface(mode="density", distance=0.0, normals=0.0, flatness=0.4)
    table = neighbors.nearest(g.means)
    found = [
        float(terms.lying_flat(look, surface, terms.Moment(table, 1.0, p, generator(0, "t"))))
        for p in (0.0, 0.5)
    ]
    assert found == pytest.approx([0, 0.2 * float(flatness.roundness(g.scales).mean())])


def test_terms_of_an_empty_view_are_nothing() -> None:
    g = cloud(5)
    nothing = Frames(radii_px=torch.zeros(1, 5, dtype=F64))
    look = terms.Look(g, torch.zeros(5, dtype=F64, requires_grad=True), nothing, camera())
    moment = terms.Moment(neighbors.nearest(g.means), 1.0, 0.5, generator(0, "test"))
    assert float(terms.deciding(look, Surface(mode="density")).detach()) == 0
    assert float(terms.lying_flat(look, Surface(mode="density"), moment)) == 0


def test_terms_look_at_visible_gaussians_alone() -> None:
    g = replace(cloud(6), means=cloud(6).means.requires_grad_())
    seen = torch.tensor([[1.0, 1, 0, 0, 0, 0]], dtype=F64)
    logits = torch.full((6,), 0.3, dtype=F64, requires_grad=True)
    look = terms.Look(g, logits, Frames(radii_px=seen), camera())
    (slope,) = torch.autograd.grad(terms.deciding(look, Surface(mode="density")), logits)
    assert (slope != 0).tolist() == [True, True, False, False, False, False]
    alone = torch.arange(6, dtype=torch.int32)[:, None]  # Each its own only neighbor.
    moment = terms.Moment(alone, 1.0, 0.5, generator(0, "test"))
    loss = terms.lying_flat(look, Surface(mode="density"), moment)
    (slope,) = torch.autograd.grad(loss, g.means)
    assert (slope != 0).any(dim=1).tolist() == [True, True, False, False, False, False]


@pytest.mark.parametrize(
    "values, said",
    [
        ({"decide_from_share": 0.8}, "decide_from_share <= from_share"),
        ({"min_opacity": 1.0}, "min_opacity"),
        ({"normals": -1.0}, "surface.normals"),
        ({"samples": 0}, "surface.samples"),
    ],
)
def test_settings_are_checked(values, said) -> None:
    with pytest.raises(ValueError, match=said):
        Surface(mode="sdf", **values)


@pytest.mark.slow
def test_three_thousand_round_gaussians_become_a_sphere() -> None:
    """With 24 views of 96 x 96 and 300 iterations; `benchmarks/flattening.py` has more rows."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
    import flattening

    every = flattening.variants()
    rows = {
        name: flattening.run(name, every[name], count=3000, views=24, size=96, iterations=300)
        for name in ("off", "entropy", "density", "sdf")
    }
    assert rows["density"].flatness <= 0.2 and rows["density"].angle_deg <= 10
    assert rows["sdf"].flatness <= 0.2 and rows["sdf"].angle_deg <= 10
    assert rows["off"].flatness > 2 * rows["density"].flatness
    assert rows["off"].angle_deg > 1.3 * rows["density"].angle_deg
    assert rows["entropy"].decided >= 0.9 and rows["off"].decided < 0.1
    assert rows["density"].psnr_db > rows["off"].psnr_db - 1.5
