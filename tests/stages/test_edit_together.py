"""Two limbs tried at once: what is composited of layers is what rendering shows."""

import numpy as np
import pytest
import torch
from splatworks.stages.edit import coarse, judging, limbs, together, tries
from splatworks.stages.edit.skinning import Pose

from .edit_setup import problem_of
from .test_edit_tries import both_swung, off_at_tips, upright


def whole_legs(problem: coarse.Problem, pose: Pose) -> list[tuple[limbs.Limb, list[tries.Try]]]:
    """The longest limb of each leg, and every third of its tries."""
    places = problem.skin.rest.numpy()
    longest: dict[int, tuple[limbs.Limb, list[tries.Try]]] = {}
    for limb, tried in tries.turns(problem, pose):
        if places[limb.tip, 1] < -0.3 and len(tried) > 3:
            longest.setdefault(limb.tip, (limb, tried[::3]))
    return list(longest.values())


def left(problem: coarse.Problem, pose: Pose, small: list[judging.Small]) -> float:
    (shown,) = judging.seen(problem, pose, small)
    return float((shown - small[0].target).abs().mean(dim=-1).sum())


def test_what_a_pair_promises_is_what_rendering_shows() -> None:
    rest, goal, _ = both_swung((40.0, -30.0))
    problem = problem_of(rest, goal, 80)
    pose = upright(problem)
    small = [judging.reduced(problem.views[0], 0)]
    two = whole_legs(problem, pose)
    assert len(two) == 2
    options = [together._option(problem, pose, small, *one) for one in two]
    pixels = together._pixels(*options)
    promises = together._of_two(problem, pose, small, (options[0], options[1]), pixels)
    assert len(promises) == together.MOST_PAIRS
    before = left(problem, pose, small)
    promised = np.array([one[0] for one in promises])
    removed = np.array([before - left(problem, one(pose), small) for _, one in promises])
    assert np.abs(promised - removed).max() < 0.1 * before
    assert removed[promised.argmax()] > 0.9 * removed.max() > 0.4 * before


def test_both_legs_are_found_at_once(monkeypatch) -> None:
    """With no try of one limb alone."""
    rest, goal, owner = both_swung((40.0, -30.0))
    problem = problem_of(rest, goal, 80)
    greedy = tries.greedy

    def of_two(problem, pose, small, tried, most) -> tuple[Pose, int]:
        chosen = [one for one in tried if getattr(one, "func", None) is together.both]
        return greedy(problem, pose, small, chosen, most)

    monkeypatch.setattr(tries, "greedy", of_two)
    found, count = tries.first_pose(problem)
    assert count >= 1
    assert min(off_at_tips(problem, upright(problem), goal, owner)) > 0.3
    assert max(off_at_tips(problem, found, goal, owner)) < 0.2


def layer(color: list[float], alphas: list[float], depth: float) -> together.Layer:
    """One pixel, as opaque as this in each try."""
    alpha = torch.tensor(alphas)[:, None, None]
    return together.Layer(
        alpha * torch.tensor(color)[:, None], alpha, torch.full_like(alpha, depth)
    )


@pytest.mark.parametrize("depths", [(1.0, 2.0, 3.0), (2.0, 1.0, 3.0), (3.0, 2.0, 1.0),
                                    (2.0, 3.0, 1.0), (1.0, 3.0, 2.0), (3.0, 1.0, 2.0)])  # fmt: skip
def test_three_layers_cover_one_another_by_depth(depths: tuple[float, float, float]) -> None:
    colors = [[0.9, 0.1, 0.2], [0.3, 0.8, 0.1], [0.2, 0.3, 0.7]]
    alphas = [[0.0, 0.6], [0.5, 1.0, 0.3], [0.4]]
    background, target = torch.tensor([1.0, 0.9, 0.8]), torch.tensor([0.2, 0.4, 0.3])
    first, second, third = (layer(*one) for one in zip(colors, alphas, depths, strict=True))
    body = together.Layer(third.colors[0], third.alpha[0], third.depth[0])
    found = together.differences(first, second, body, target[:, None], background)
    for f, a in enumerate(alphas[0]):
        for s, b in enumerate(alphas[1]):
            seen, free = torch.zeros(3), 1.0
            for k in np.argsort(depths):
                opacity = (a, b, alphas[2][0])[k]
                seen += free * opacity * torch.tensor(colors[k])
                free *= 1 - opacity
            expected = (seen + free * background - target).abs().mean()
            assert float(found[f, s]) == pytest.approx(float(expected), abs=1e-6)
