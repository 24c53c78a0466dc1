"""The numeric parts of editing by a picture: against references, as properties, by differences."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.optimize import linear_sum_assignment
from scipy.spatial.transform import Rotation
from splatworks.renderers.cpu import render
from splatworks.renderers.projection import image_covariances, image_points, view_depths
from splatworks.renderers.scene import Gaussians
from splatworks.renderers.sh import basis
from splatworks.stages.edit import (
    anchors,
    masks,
    photometric,
    positional,
    rigidity,
    shading,
    skinning,
    transport,
)
from splatworks.stages.edit.settings import Rigidity
from splatworks.stages.edit.stiffness import stiffness
from splatworks.stages.edit.transport import Price, Tiles
from splatworks.stages.geometry.activation import activate
from splatworks.stages.scene.affine import rotation_matrix

from .edit_setup import camera, patched, random_turns
from .splat_objects import sphere


def cloud(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (count, 3))


# Anchors


def test_anchors_are_spread_farther_apart_than_random_choices() -> None:
    points = cloud(4000)
    chosen = anchors.spread(points, 60)

    def gap(places: np.ndarray) -> float:
        distance = np.linalg.norm(places[:, None] - places[None], axis=2)
        return float((distance + 9 * np.eye(len(places))).min())

    assert chosen.shape == (60, 3)
    assert gap(chosen) > 2 * gap(points[:60])
    reach = np.linalg.norm(points[:, None] - chosen[None], axis=2).min(axis=1)
    assert reach.max() < 0.75


def test_anchors_are_mass_centers_of_voxels() -> None:
    points = np.array([[0.0, 0, 0], [0.01, 0, 0], [1.0, 1, 1], [1.0, 1, 0.99]])
    found = anchors._voxel_means(points, 0.5)
    expected = {(0.005, 0.0, 0.0), (1.0, 1.0, 0.99), (1.0, 1.0, 1.0), (1.0, 1.0, 0.995)}
    assert all(tuple(row.round(6)) in expected for row in found)


@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_more_anchors_than_points_are_the_points(count: int) -> None:
    points = cloud(count)
    chosen = anchors.spread(points, 100)
    assert len(chosen) == count
    assert np.linalg.norm(points[:, None] - chosen[None], axis=2).min(axis=1).max() < 1e-9


def test_graph_weights_are_the_formula() -> None:
    points = cloud(40)
    edges = anchors.graph(points, 5)
    distance = np.linalg.norm(points[edges.start] - points[edges.end], axis=1)
    gamma = 1 / (2 * edges.length**2)
    raw = np.exp(-gamma * distance**2)
    total = np.bincount(edges.start, weights=raw)
    assert np.allclose(edges.kernel, raw / total[edges.start], atol=1e-6)
    assert (edges.start != edges.end).all()
    order = np.argsort(np.linalg.norm(points - points[7], axis=1))[1:6]
    assert set(edges.end[edges.start == 7].tolist()) <= set(order.tolist())


def test_graph_does_not_tie_far_islands_by_more_than_two_edges_each() -> None:
    points = np.concatenate([cloud(30) * 0.1, cloud(3, 1) * 0.01 + 50])
    edges = anchors.graph(points, 8)
    across = (edges.start >= 30) != (edges.end >= 30)
    assert not across.any()
    assert torch.isfinite(edges.kernel).all()


def test_graph_of_coinciding_points_is_finite() -> None:
    edges = anchors.graph(np.zeros((12, 3)), 4)
    assert torch.isfinite(edges.kernel).all()
    assert (edges.start != edges.end).all()
    sums = torch.zeros(12).index_add_(0, edges.start, edges.kernel)
    assert torch.allclose(sums, torch.ones(12))


def test_smoothing_keeps_constants_and_spreads_a_spike() -> None:
    edges = anchors.graph(cloud(60), 6)
    matrix = anchors.smoothing(edges, 10.0)
    assert torch.allclose(matrix.sum(dim=1), torch.ones(60), atol=1e-5)
    assert torch.equal(anchors.smoothing(edges, 0.0), torch.eye(60))
    spike = matrix[:, 0]
    assert 0 < spike[0] < 0.6
    near = edges.end[edges.start == 0]
    assert spike[near].mean() > 3 * spike.mean()


# Skinning


def bound(points: np.ndarray, count: int = 20):
    places = anchors.spread(points, count)
    edges = anchors.graph(places, 6)
    return skinning.bind(points, places, edges, 6)


def upright(count: int) -> torch.Tensor:
    return torch.tensor([[1.0, 0, 0, 0]]).repeat(count, 1)


def test_skinning_at_rest_leaves_points_where_they_are() -> None:
    points = cloud(200)
    skin = bound(points)
    pose = skinning.Pose(skin.rest, upright(len(skin.rest)))
    moved = skinning.deform(skin, torch.from_numpy(points).float(), pose)
    assert torch.allclose(moved.means, torch.from_numpy(points).float(), atol=1e-6)
    assert torch.allclose(moved.turns, upright(200), atol=1e-6)


def test_a_rigid_motion_of_all_anchors_is_one_of_all_points() -> None:
    points = cloud(200)
    skin = bound(points)
    turn, shift = Rotation.from_rotvec([0.3, -1.1, 0.7]), np.array([0.4, 2.0, -1.0])
    quaternion = torch.from_numpy(turn.as_quat()[[3, 0, 1, 2]]).float()
    places = torch.from_numpy(turn.apply(skin.rest.numpy()) + shift).float()
    pose = skinning.Pose(places, 3 * quaternion.repeat(len(places), 1))
    moved = skinning.deform(skin, torch.from_numpy(points).float(), pose)
    assert np.allclose(moved.means, turn.apply(points) + shift, atol=2e-6)
    assert torch.allclose(moved.turns, quaternion.expand(200, 4), atol=1e-6)


def test_skinning_is_the_sum_over_anchors() -> None:
    points = cloud(30)
    skin = bound(points, 9)
    generator = torch.Generator().manual_seed(1)
    places = skin.rest + 0.2 * torch.randn(skin.rest.shape, generator=generator)
    turns = random_turns(len(places), 2, torch.float32)
    turns[turns[:, 0] < 0] *= -1
    moved = skinning.deform(skin, torch.from_numpy(points).float(), skinning.Pose(places, turns))
    weights = skin.weights.toarray()
    for i in range(30):
        mean, quaternion = np.zeros(3), np.zeros(4)
        for k in range(len(places)):
            matrix = rotation_matrix(turns[k].double().numpy())
            rest = skin.rest[k].numpy()
            mean += weights[i, k] * (matrix @ (points[i] - rest) + places[k].numpy())
            quaternion += weights[i, k] * turns[k].numpy()
        assert np.allclose(moved.means[i], mean, atol=1e-5)
        assert np.allclose(moved.turns[i], quaternion / np.linalg.norm(quaternion), atol=1e-5)


def test_skinning_gradients_are_those_of_differences() -> None:
    points = cloud(25)
    skin = bound(points, 8)
    fixed = torch.from_numpy(points).float()
    generator = torch.Generator().manual_seed(0)
    pull = torch.randn(25, 7, generator=generator)
    start = torch.cat([skin.rest, random_turns(len(skin.rest), 3, torch.float32)], dim=1)

    def value(flat: torch.Tensor) -> torch.Tensor:
        moved = skinning.deform(skin, fixed, skinning.Pose(flat[:, :3], flat[:, 3:]))
        return (pull * torch.cat([moved.means, moved.turns], dim=1)).sum()

    leaf = start.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(value(leaf), leaf)
    for row, column in itertools.product((0, 3, 7), range(7)):
        step = torch.zeros_like(start)
        step[row, column] = 1e-2
        slope = (value(start + step) - value(start - step)) / 2e-2
        assert float(slope) == pytest.approx(float(gradient[row, column]), rel=0.02, abs=0.02)


def test_a_point_hangs_on_one_surface_alone() -> None:
    """Two sheets nearer to each other than the nearest of eight anchors."""
    grid = np.stack(np.meshgrid(np.linspace(0, 1, 15), np.linspace(0, 1, 15)), -1).reshape(-1, 2)
    lower = np.concatenate([grid, np.zeros((225, 1))], axis=1)
    upper = lower + np.array([0, 0, 0.35])
    places = np.concatenate([lower[::2], upper[::2]])
    edges = anchors.graph(places, 4)
    skin = skinning.bind(np.concatenate([lower, upper]), places, edges, 8)
    weights = skin.weights.toarray()
    half = len(places) // 2
    assert weights[:225, half:].max() == 0
    assert weights[225:, :half].max() == 0


def test_quaternion_product_is_that_of_rotations() -> None:
    left, right = random_turns(10, 0), random_turns(10, 1)
    both = skinning.product(left, right)
    for a, b, c in zip(left, right, both, strict=True):
        expected = rotation_matrix(a.numpy()) @ rotation_matrix(b.numpy())
        assert np.allclose(rotation_matrix(c.numpy()), expected)


# Rigidity and masks


def strained(places: torch.Tensor, turns: torch.Tensor, rest: torch.Tensor):
    edges = anchors.graph(rest.numpy(), 5)
    return rigidity.strains(rest, places, turns, edges), edges


def test_rigid_motions_strain_nothing() -> None:
    rest = torch.from_numpy(cloud(40))
    turn = torch.tensor([[0.3, 0.8, -0.2, 0.5]], dtype=torch.float64).repeat(40, 1)
    matrix = torch.from_numpy(rotation_matrix(turn[0].numpy()))
    turn[::2] *= -2.0  # Another sign and length, the same rotation.
    found, _ = strained(rest @ matrix.T + 3, turn, rest)
    for part in (found.arap, found.rotation, found.distance):
        assert part.abs().max() < 1e-12


def test_strains_are_the_formulas() -> None:
    rest = torch.from_numpy(cloud(20))
    places = torch.from_numpy(cloud(20, 5))
    turns = random_turns(20, 4)
    found, edges = strained(places, turns, rest)
    for e in range(0, len(edges.start), 7):
        i, j = int(edges.start[e]), int(edges.end[e])
        before, after = (rest[i] - rest[j]).numpy(), (places[i] - places[j]).numpy()
        matrix = rotation_matrix(turns[i].numpy())
        unit = edges.length**2
        assert float(found.arap[e]) == pytest.approx(((matrix @ before - after) ** 2).sum() / unit)
        lengths = abs((after**2).sum() - (before**2).sum()) / unit
        assert float(found.distance[e]) == pytest.approx(lengths)
        nearer = min(float((turns[i] - s * turns[j]).square().sum()) for s in (1, -1))
        assert float(found.rotation[e]) == pytest.approx(nearer)


def test_strains_do_not_know_units() -> None:
    rest, places = torch.from_numpy(cloud(20)), torch.from_numpy(cloud(20, 5))
    turns = random_turns(20, 4)
    one, _ = strained(places, turns, rest)
    other, _ = strained(100 * places, turns, 100 * rest)
    assert torch.allclose(one.arap, other.arap)
    assert torch.allclose(one.distance, other.distance)


def test_stiffness_gradients_are_those_of_differences() -> None:
    rest = torch.from_numpy(cloud(15))
    edges = anchors.graph(rest.numpy(), 4)
    settings = Rigidity(arap=0.7, rotation=0.4, distance=0.3)
    generator = torch.Generator().manual_seed(0)
    places = rest + 0.1 * torch.randn(rest.shape, generator=generator, dtype=torch.float64)
    logits = torch.randn(3, len(edges.start), generator=generator, dtype=torch.float64)
    inputs = tuple(x.requires_grad_() for x in (places, random_turns(15, 8), logits))
    assert torch.autograd.gradcheck(
        lambda a, b, c: stiffness(rest, a, b, edges, c, settings), inputs
    )


def test_a_point_alone_is_not_strained() -> None:
    edges = anchors.graph(np.zeros((1, 3)), 4)
    rest = torch.zeros(1, 3)
    logits = torch.zeros(3, 0)
    assert float(stiffness(rest, rest + 1, upright(1), edges, logits, Rigidity())) == 0
    assert torch.isfinite(anchors.smoothing(edges, 5.0)).all()


def test_masks_open_where_the_strain_is_above_their_price() -> None:
    """One edge is torn apart, the others are at rest."""
    rest = torch.from_numpy(cloud(30))
    edges = anchors.graph(rest.numpy(), 5)
    places = rest.clone()
    places[4] += 0.5
    logits = torch.full((3, len(edges.start)), masks.OPEN, dtype=torch.float64, requires_grad=True)
    settings = Rigidity(arap=1.0, gives_way=0.2)
    turns = upright(30).double()
    (gradient,) = torch.autograd.grad(
        stiffness(rest, places, turns, edges, logits, settings), logits
    )
    torn = (edges.start == 4) | (edges.end == 4)
    assert (gradient[0, torn] > 0).float().mean() > 0.8
    assert (gradient[:, ~torn] <= 0).all()


def test_masks_are_reset_to_eta_and_not_below() -> None:
    logits = torch.tensor([-9.0, 0.0, 4.0])
    lifted = torch.sigmoid(masks.reset(logits, 0.05))
    assert lifted.tolist() == pytest.approx([0.05, 0.5, 0.982], abs=1e-3)
    settings = Rigidity(reset_every=10, eta=0.05)
    for iteration, expected in ((0, -9.0), (5, -9.0), (10, float(np.log(0.05 / 0.95)))):
        now = torch.tensor([-9.0])
        masks.reset_now(now, iteration, settings)
        assert float(now) == pytest.approx(expected)


# The positional field


def seen_ball():
    scene = activate(patched(sphere(150, 0.4, opacity=0.6)))
    return scene, camera(40)


@pytest.mark.parametrize("spread", [False, True])
def test_the_field_is_the_pixel_centers_and_the_picture_stays(spread: bool) -> None:
    scene, view = seen_ball()
    channels = positional.position_channels(scene, view, spread=spread)
    assert channels.abs().max() < 1e-3
    frames = render(replace(scene, channels=channels), view, frozenset({"rgb", "channels"}))
    found = positional.positions(frames.channels[0])
    assert torch.allclose(found[3, 7], torch.tensor([7.5, 3.5]), atol=1e-3)
    assert torch.allclose(found.mean(dim=(0, 1)), torch.tensor([20.0, 20.0]), atol=1e-3)
    assert torch.equal(frames.rgb, render(scene, view).rgb)


def test_the_fields_gradient_is_the_blending_weights() -> None:
    scene, view = seen_ball()
    shift = torch.zeros(len(scene.means), 2, requires_grad=True)
    centers = image_points(scene, view)[0].detach()
    channels = torch.cat([shift + centers - centers, torch.zeros(len(centers), 1)], dim=1)
    frames = render(
        replace(scene, channels=channels), view, frozenset({"rgb", "channels", "weights"})
    )
    across = positional.positions(frames.channels[0, ..., :2])[..., 0].sum()
    (gradient,) = torch.autograd.grad(across, shift)
    assert torch.allclose(gradient[:, 0], frames.weights[0], atol=1e-3)
    assert gradient[:, 1].abs().max() == 0


def test_the_field_moves_as_its_gaussians_do() -> None:
    """With the weights held: if all go right by a meter, a pixel goes by the blend of f / z."""
    scene, view = seen_ball()
    leaf = scene.means.clone().requires_grad_()
    moving = replace(scene, means=leaf)
    channels = positional.position_channels(moving, view)
    frames = render(replace(moving, channels=channels), view, frozenset({"alpha", "channels"}))
    found = positional.positions(frames.channels[0])
    (gradient,) = torch.autograd.grad(found[20, 20, 0], leaf)
    depths = view_depths(scene.means, view)[0]
    across = (view.focal_px[0, 0] / depths)[:, None].expand(-1, 3)
    blended = render(replace(scene, channels=across), view, frozenset({"channels"})).channels
    assert float(gradient[:, 0].sum()) == pytest.approx(float(blended[0, 20, 20, 0]), rel=1e-3)
    assert float(gradient[:, 1].sum()) == pytest.approx(0.0, abs=1e-3)


def test_covariances_pull_as_the_closed_form_says() -> None:
    """U by the definition, pixel by pixel, with the matrix square root of scipy, differentiated
    numerically by one Gaussian's scale."""
    scene, view = seen_ball()
    few = Gaussians(*(getattr(scene, name)[:6] for name in
                      ("means", "quaternions", "scales", "opacities", "sh")))  # fmt: skip
    few = replace(few, scales=few.scales * 3 + 0.05)
    with torch.no_grad():
        weights = []
        for i in range(6):
            one = torch.zeros(6, 3)
            one[i] = 1
            frames = render(replace(few, channels=one), view, frozenset({"channels"}))
            weights.append(frames.channels[0, ..., 0].double().numpy())
    double = Gaussians(*(getattr(few, name).double() for name in
                         ("means", "quaternions", "scales", "opacities", "sh")))  # fmt: skip
    before = [sqrtm(m) for m in image_covariances(double, view)[0].numpy()]
    centers = image_points(double, view)[0].numpy()
    rows, columns = np.mgrid[:40, :40] + 0.5
    pixels = np.stack([columns, rows], axis=-1)

    def total(scales: torch.Tensor) -> float:
        roots = [
            sqrtm(m) for m in image_covariances(replace(double, scales=scales), view)[0].numpy()
        ]
        out = 0.0
        for i in range(6):
            epsilon = (pixels - centers[i]) @ np.linalg.inv(before[i]).T
            place = centers[i] + epsilon @ roots[i].T
            out += float((weights[i][..., None] * place * pixels).sum())
        return out

    step = torch.zeros_like(double.scales)
    step[2, 0] = 1e-5
    slope = (total(double.scales + step) - total(double.scales - step)) / 2e-5
    leaf = few.scales.clone().requires_grad_()
    moving = replace(few, scales=leaf)
    channels = positional.position_channels(moving, view, spread=True)
    frames = render(replace(moving, channels=channels), view, frozenset({"channels"}))
    goal = torch.from_numpy(pixels).float()
    value = (positional.positions(frames.channels[0]) * goal).sum()
    (gradient,) = torch.autograd.grad(value, leaf)
    assert abs(slope) > 1
    assert float(gradient[2, 0]) == pytest.approx(slope, rel=0.02)


def test_square_roots_of_matrices() -> None:
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(20, 2, 2, generator=generator, dtype=torch.float64)
    matrices = root @ root.mT + 0.1 * torch.eye(2)
    found = positional.square_roots(matrices)
    assert torch.allclose(found @ found, matrices)
    assert torch.allclose(found, found.mT)


# Transport


def random_tiles(count: int, seed: int) -> Tiles:
    generator = torch.Generator().manual_seed(seed)
    return Tiles(
        torch.rand(count, 3, generator=generator, dtype=torch.float64),
        torch.rand(count, 2, generator=generator, dtype=torch.float64),
        torch.full((count,), 1 / count, dtype=torch.float64),
    )


def test_a_sharp_balanced_match_is_the_optimal_assignment() -> None:
    left, right = random_tiles(12, 0), random_tiles(12, 1)
    price = Price(0.6, 1e-4, None)
    found = transport.match(left, right, price, None, 400)
    _rows, columns = linear_sum_assignment(transport.cost(left, right, price).numpy())
    goal = right.centers[torch.from_numpy(columns)] - left.centers
    assert torch.allclose(found.pull, goal, atol=1e-3)


def test_the_balanced_plan_has_the_wanted_margins() -> None:
    left, right = random_tiles(15, 2), random_tiles(11, 3)
    price = Price(0.5, 0.02, None)
    found = transport.match(left, right, price, None, 300)
    f, g = found.potentials.render, found.potentials.target
    exponent = (f[:, None] + g - transport.cost(left, right, price)) / price.blur
    plan = left.mass[:, None] * right.mass * exponent.exp()
    assert torch.allclose(plan.sum(dim=1), left.mass, atol=1e-6)
    assert torch.allclose(plan.sum(dim=0), right.mass, atol=1e-6)


@pytest.mark.parametrize("leaving", [None, 0.1])
@pytest.mark.parametrize("blur", [0.002, 0.05])
def test_a_picture_that_is_right_is_not_pulled(leaving: float | None, blur: float) -> None:
    tiles = random_tiles(30, 4)
    found = transport.match(tiles, tiles, Price(0.7, blur, leaving), None, 200)
    assert found.pull.abs().max() < 2e-3


def test_a_shift_pulls_by_the_shift() -> None:
    left = random_tiles(30, 5)
    right = replace(left, centers=left.centers + torch.tensor([0.4, -0.2]).double())
    found = transport.match(left, right, Price(0.8, 0.003, None), None, 100)
    wanted = torch.tensor([0.4, -0.2]).double().expand(30, 2)
    assert (found.pull - wanted).norm(dim=1).median() < 0.03


def test_what_has_no_partner_stays_behind_where_leaving_is_cheap() -> None:
    left = random_tiles(20, 6)
    keep = torch.arange(15)
    right = Tiles(left.colors[keep], left.centers[keep], left.mass[keep])
    colors = left.colors.clone()
    colors[15:] = torch.tensor([3.0, 3.0, 3.0]).double()  # Like nothing in the target.
    left = replace(left, colors=colors)
    found = transport.match(left, right, Price(0.8, 0.003, 0.05), None, 100)
    assert found.trust[15:].max() < 0.05
    assert found.trust[:15].min() > 0.5


def test_a_warm_start_needs_fewer_iterations() -> None:
    left, right = random_tiles(40, 7), random_tiles(40, 8)
    price = Price(0.6, 0.003, None)
    best = transport.match(left, right, price, None, 500)
    nudged = replace(right, centers=right.centers + 0.003)
    goal = transport.match(left, nudged, price, None, 500).pull
    warm = transport.match(left, nudged, price, best.potentials, 3).pull
    cold = transport.match(left, nudged, price, None, 3).pull
    assert (warm - goal).norm() < 0.5 * (cold - goal).norm()


def test_tiles_are_means_with_their_own_number_of_pixels() -> None:
    picture = torch.arange(35.0).reshape(5, 7, 1)
    found = transport.tile_means(picture, 3)
    assert found.shape == (6, 1)
    assert found[0, 0] == picture[:3, :3].mean()
    assert found[5, 0] == picture[3:, 6:].mean()


# Pictures and colors


def test_ssim_is_that_of_the_definition() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.uniform(size=(2, 24, 20, 3))
    offset = np.arange(-5, 6)
    line = np.exp(-(offset**2) / (2 * 1.5**2))
    window = np.outer(line, line)
    row, column = 12, 9
    weights = window / window.sum()
    a, b = (p[row - 5 : row + 6, column - 5 : column + 6, 1] for p in (left, right))
    ma, mb = (weights * a).sum(), (weights * b).sum()
    va, vb = (weights * (a - ma) ** 2).sum(), (weights * (b - mb) ** 2).sum()
    cov = (weights * (a - ma) * (b - mb)).sum()
    expected = (2 * ma * mb + 1e-4) * (2 * cov + 9e-4)
    expected /= (ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4)
    found = photometric.ssim(torch.from_numpy(left), torch.from_numpy(right))
    assert float(found[row, column, 1]) == pytest.approx(expected, rel=1e-9)
    alike = photometric.ssim(torch.from_numpy(left), torch.from_numpy(left))
    assert torch.allclose(alike, torch.ones_like(alike))


def test_photometric_gradients_are_those_of_differences() -> None:
    rng = np.random.default_rng(1)
    left, right = (torch.from_numpy(p) for p in rng.uniform(size=(2, 13, 12, 3)))
    assert torch.autograd.gradcheck(
        lambda x: photometric.photometric(x, right, 0.3), left.requires_grad_()
    )


@pytest.mark.parametrize("count", [1, 4, 9, 16])
def test_turned_harmonics_show_the_old_color_from_the_turned_side(count: int) -> None:
    generator = torch.Generator().manual_seed(0)
    coefficients = torch.randn(7, count, 3, generator=generator, dtype=torch.float64)
    turns = random_turns(7, 9)
    found = shading.turned(coefficients, turns)
    assert torch.equal(found[:, 0], coefficients[:, 0])
    directions = torch.nn.functional.normalize(
        torch.randn(5, 3, generator=generator, dtype=torch.float64), dim=1
    )
    for i in range(7):
        matrix = torch.from_numpy(rotation_matrix(turns[i].numpy()))
        now = basis(directions @ matrix.T, count) @ found[i]
        before = basis(directions, count) @ coefficients[i]
        assert torch.allclose(now, before, atol=1e-10)


def test_colors_seen_while_editing_are_those_of_the_turned_scene() -> None:
    from .edit_setup import with_harmonics

    scene = activate(with_harmonics(patched(sphere(60)), 3))
    view, turns = camera(32, azimuth_deg=30.0), random_turns(60, 3, torch.float32)
    seen = shading.seen_colors(scene.sh, scene.means, turns, view)
    quick = render(replace(scene, sh=shading.constant(seen)), view).rgb
    exact = render(replace(scene, sh=shading.turned(scene.sh, turns)), view).rgb
    assert torch.allclose(quick, exact, atol=1e-4)
