"""Rigid groups: found where pieces moved as one, and only there."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from splatworks.stages.edit import Config, anchors, groups, reach
from splatworks.stages.edit.pictures_in import Retouched
from splatworks.stages.edit.settings import Coarse, Matching
from splatworks.stages.edit.skinning import Pose, deform
from splatworks.stages.geometry.activation import activate

from .edit_setup import camera, picture, right_shifted, two_balls


def bar() -> np.ndarray:
    """Anchors along x, the joint at 0."""
    rng = np.random.default_rng(0)
    return rng.uniform([-1, -0.12, -0.12], [1, 0.12, 0.12], (160, 3))


def bent(rest: np.ndarray, angle: float, shift=(0.0, 0.0, 0.0)) -> np.ndarray:
    turn = Rotation.from_rotvec([0, 0, angle])
    moving_part = rest[:, :1] > 0
    return np.where(moving_part, turn.apply(rest) + shift, rest)


def test_motion_is_the_rotation_and_shift_that_were_applied() -> None:
    rest = bar()
    turn, shift = Rotation.from_rotvec([0.4, 2.0, -0.3]), np.array([1.0, -2.0, 0.5])
    found = groups.motion(rest, turn.apply(rest) + shift)
    assert np.allclose(found[0], turn.as_matrix())
    assert np.allclose(found[1], shift)


def test_motion_fits_noise_as_scipy_does_and_never_mirrors() -> None:
    rng = np.random.default_rng(1)
    rest, places = rng.normal(size=(2, 6, 3))
    turn, _ = groups.motion(rest, places)
    expected, _ = Rotation.align_vectors(places - places.mean(axis=0), rest - rest.mean(axis=0))
    assert np.allclose(turn, expected.as_matrix(), atol=1e-7)
    flat = rest * [1, 1, 0]
    assert np.linalg.det(groups.motion(flat, flat * [-1, 1, 1])[0]) == pytest.approx(1)


def test_two_links_are_two_groups() -> None:
    rest = bar()
    edges = anchors.graph(rest, 8)
    found = groups.labels(rest, bent(rest, 0.8), edges)
    for side in (rest[:, 0] < -0.25, rest[:, 0] > 0.25):
        assert len(set(found[side])) == 1
        assert found[side].min() >= 0
    assert found[rest[:, 0].argmin()] != found[rest[:, 0].argmax()]


def test_pieces_that_do_not_hang_together_are_groups_of_their_own() -> None:
    """Even if they move alike."""
    rest = np.concatenate([bar(), bar() + np.array([0.0, 5.0, 0.0])])
    found = groups.labels(rest, rest + np.array([0.3, 0.0, 0.0]), anchors.graph(rest, 8))
    assert len(set(found[:160])) == len(set(found[160:])) == 1
    assert found[0] != found[-1]


def test_a_smooth_stretch_is_no_single_group() -> None:
    rest = bar()
    edges = anchors.graph(rest, 8)
    found = groups.labels(rest, rest * [3.0, 1, 1], edges)
    sizes = np.bincount(found + 1, minlength=2)[1:]
    assert sizes.max(initial=0) < 0.5 * len(rest)


def test_groups_start_where_the_coarse_stage_ended() -> None:
    rest = bar()
    edges = anchors.graph(rest, 8)
    after = bent(rest, 0.8, (0.1, 0.0, 0.0))
    turns = torch.tensor([[1.0, 0, 0, 0]]).repeat(len(rest), 1)
    pose = Pose(torch.from_numpy(after).float(), turns)
    found = groups.grouped(torch.from_numpy(rest).float(), pose, edges)
    assert found is not None
    assert sorted(found.moves.tolist()) == [0.0, 1.0]
    weights = found.skin.weights.toarray()
    assert np.allclose(weights.sum(axis=1), 1, atol=1e-6)
    moved = deform(found.skin, torch.from_numpy(rest).float(), found.pose).means.numpy()
    far = np.abs(rest[:, 0]) > 0.3
    assert np.allclose(moved[far], after[far], atol=2e-2)
    still = rest[:, 0] < -0.3
    assert np.abs(moved[still] - rest[still]).max() < 1e-6


def test_nothing_that_moves_is_no_group() -> None:
    rest = bar()
    edges = anchors.graph(rest, 8)
    turns = torch.tensor([[1.0, 0, 0, 0]]).repeat(len(rest), 1)
    places = torch.from_numpy(rest).float()
    assert groups.grouped(places, Pose(places.clone(), turns), edges) is None


def test_groups_take_a_leaning_piece_back_into_its_place(monkeypatch) -> None:
    """One ball, moved up and wrongly into depth: seen bigger than it is, its group goes back."""
    monkeypatch.setattr(reach, "at_rest", lambda scene, shots: np.zeros(len(scene.means), bool))
    scene, view = two_balls(150), camera(64, distance_m=1.6)
    goal = right_shifted(scene, [0.0, 0.2, 0.0])
    edited = picture(goal, view)
    mask = np.abs(edited - picture(scene, view)).max(axis=-1) > 0.02
    shot = Retouched(view, picture(scene, view), edited, mask, np.ones(3, np.float32), 0.0)
    config = Config(coarse=Coarse(anchors=60, group_iterations=60), matching=Matching(weight=0.0))
    gaussians = activate(scene)
    problem = reach.posed_problem(gaussians, [shot], config, 1)
    rest = problem.skin.rest
    places = rest.clone()
    right = rest[:, 0] > 0
    places[right] += torch.tensor([0.0, 0.18, 0.08])
    turns = torch.tensor([[1.0, 0, 0, 0]]).repeat(len(rest), 1)
    pieces = groups.grouped(rest, Pose(places, turns), problem.edges)
    assert pieces is not None
    state = groups.start(problem, pieces)
    logits = torch.full((3, len(problem.edges.start)), 4.0)
    for _ in range(config.coarse.group_iterations):
        groups.step(problem, pieces, logits, state)
    pose = groups.pose_of(problem, pieces, state)
    way = (pose.places.detach() - rest)[right].mean(dim=0)
    assert float(way[2]) < 0.04
    assert float(way[1]) == pytest.approx(0.2, abs=0.02)
    left = ~right
    assert (pose.places.detach() - rest)[left].abs().max() < 1e-6
