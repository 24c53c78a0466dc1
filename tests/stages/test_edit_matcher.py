"""Patches of the scene's picture, found again in the edited one."""

import numpy as np
import pytest
from scipy import ndimage
from splatworks.stages.edit import matcher
from splatworks.stages.edit.matcher import found_pairs


def detailed(size: int = 120, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((size, size, 3))
    smooth = ndimage.gaussian_filter(noise, (2.0, 2.0, 0))
    return (0.5 + 0.18 * smooth / smooth.std()).clip(0, 1).astype(np.float32)


def pasted(ground: np.ndarray, card: np.ndarray, row: int, column: int) -> np.ndarray:
    out = ground.copy()
    out[row : row + len(card), column : column + card.shape[1]] = card
    return out


def test_a_card_that_was_moved_is_found_where_it_went() -> None:
    ground, card = detailed(), detailed(36, seed=1)
    own, edited = pasted(ground, card, 10, 12), pasted(ground, card, 70, 60)
    mask = np.abs(own - edited).max(axis=-1) > 0
    pairs = found_pairs(own, edited, mask)
    on_card = (pairs[:, 0] < 48) & (pairs[:, 1] < 46)
    assert on_card.sum() >= 10
    way = pairs[on_card, 2:] - pairs[on_card, :2]
    assert np.median(way, axis=0) == pytest.approx([48, 60], abs=0.5)
    assert (np.abs(way - [48, 60]).max(axis=1) <= 1).mean() > 0.9


@pytest.mark.parametrize("angle", [-40, 20, 55])
def test_a_card_that_was_turned_is_found(angle: int) -> None:
    """Counter-clockwise in the picture, about its middle."""
    ground, card = np.full((120, 120, 3), 0.5, np.float32), detailed(60, seed=1)
    own = pasted(ground, card, 30, 30)
    edited = ndimage.rotate(own, angle, reshape=False, order=1, mode="nearest")
    pairs = found_pairs(own, edited, np.abs(own - edited).max(axis=-1) > 0.01)
    assert len(pairs) >= 8
    turn = np.deg2rad(angle)
    x, y = (pairs[:, :2] - 60).T
    goal = np.stack([np.cos(turn) * x + np.sin(turn) * y, -np.sin(turn) * x + np.cos(turn) * y], 1)
    off = np.linalg.norm(pairs[:, 2:] - 60 - goal, axis=1)
    assert np.median(off) < 2.0


def test_what_is_not_there_any_more_gives_no_pairs() -> None:
    own, other = detailed(), detailed(seed=5)
    assert len(found_pairs(own, other, np.ones((120, 120), bool))) == 0


def test_flat_pictures_and_small_masks_give_no_pairs() -> None:
    flat = np.full((60, 60, 3), 0.4, np.float32)
    assert len(found_pairs(flat, flat, np.ones((60, 60), bool))) == 0
    mask = np.zeros((60, 60), bool)
    assert len(found_pairs(detailed(60), flat, mask)) == 0
    mask[30, 30] = True
    assert len(found_pairs(detailed(60), flat, mask)) == 0


def test_a_pattern_that_repeats_is_not_trusted() -> None:
    tile = detailed(20)
    own = np.tile(tile, (6, 6, 1))
    edited = np.roll(own, 7, axis=1)
    assert len(found_pairs(own, edited, np.ones((120, 120), bool))) == 0


def test_pairs_that_contradict_their_neighbors_are_dropped() -> None:
    rows, columns = np.mgrid[0:40:8, 0:40:8]
    start = np.stack([columns.ravel(), rows.ravel()], axis=1).astype(float)
    pairs = np.hstack([start, start + np.array([10.0, 3.0])])
    pairs[12, 2:] += 60
    kept = matcher._agreeing(pairs)
    assert len(kept) == 24
    assert not (kept[:, :2] == start[12]).all(axis=1).any()
