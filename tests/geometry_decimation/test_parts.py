"""Which of many loose parts are still there when few faces are left."""

import numpy as np
import pytest
from splatworks.stages.geometry.components import Surface
from splatworks.stages.geometry.decimation import Rules, simplify

from .shapes import box, grid, moved, together

SIZES = np.linspace(0.9, 1, 20)


def cards(sizes: np.ndarray) -> Surface:
    """Squares of two triangles each, far from each other, in rows of five."""
    return together(
        *(moved(grid(1), [2.0 * (n % 5), 2.0 * (n // 5), 0], size) for n, size in enumerate(sizes))
    )


def left(surface: Surface, faces: int, rules: Rules = Rules(), **given) -> list[int]:  # noqa: B008
    """Numbers of the cards that still have a face."""
    level = simplify(surface, targets=[faces], rules=rules, **given).levels[0]
    assert len(level.faces) == faces
    corners = level.positions[level.faces].mean(axis=1)
    return sorted({int(x // 2 + 5 * (y // 2)) for x, y, _ in corners})


def test_small_parts_go_before_large_ones_lose_their_last_face() -> None:
    surface = cards(SIZES)
    assert left(surface, 20) == list(range(20))
    assert left(surface, 8) == list(range(12, 20))
    # Without the price, a card of one triangle is the next to go.
    assert len(left(surface, 20, Rules(vanish_penalty=0.0))) == 10


def test_a_thin_closed_part_stays_as_a_sheet() -> None:
    """A plate has no border, so that next to nothing speaks against its getting narrower."""
    plate = box((1.0, 1.0, 0.002), cuts=2)
    crumbs = [box((0.05, 0.05, 0.05), (2 + 0.2 * n, 0, 0), cuts=1) for n in range(20)]
    level = simplify(together(plate, *crumbs), targets=[12]).levels[0]
    assert (level.positions[:, 0] < 1).any()


def test_transparent_cards_go_first() -> None:
    """Ten squares of equal size, every other one almost clear."""
    surface = cards(np.ones(10))
    shares = np.where(np.arange(10) % 2 == 1, 0.1, 1.0)
    share = np.repeat(shares, 4)
    assert left(surface, 5, importance=share, shown=share) == [0, 2, 4, 6, 8]


def test_borders_of_what_is_transparent_yield() -> None:
    """A ragged square, one half of it clear: that half loses more corners."""
    square = grid(12)
    shaken = square.positions + np.random.default_rng(0).normal(size=(169, 3)) * [0.01, 0.01, 0]
    clear = shaken[:, 0] < 0.5
    shown = np.where(clear, 0.1, 1.0)
    level = simplify(Surface(shaken, square.faces), targets=[40], shown=shown).levels[0]
    sides = np.sort(level.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    edges, faces = np.unique(sides, axis=0, return_counts=True)
    middle = level.positions[edges[faces == 1]].mean(axis=1)[:, 0]
    assert (middle > 0.5).sum() >= 1.7 * (middle < 0.5).sum()


def test_all_shown_is_as_if_nothing_was_said() -> None:
    surface = cards(SIZES)
    one = simplify(surface, targets=[20], shown=np.ones(len(surface.positions))).levels[0]
    two = simplify(surface, targets=[20]).levels[0]
    assert one.positions.tobytes() == two.positions.tobytes()
    assert one.faces.tobytes() == two.faces.tobytes()


@pytest.mark.parametrize("shown", [np.zeros(4), np.full(4, np.nan), np.ones(3)])
def test_wrong_shares_are_refused(shown: np.ndarray) -> None:
    with pytest.raises(ValueError, match="shown"):
        simplify(grid(1), targets=[1], shown=shown)
