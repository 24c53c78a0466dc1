"""What the compiled renderer does between projection and blending, kernel by kernel."""

import numpy as np
import pytest
from splatworks.renderers.cpu import bins, gradient
from splatworks.renderers.cpu.lists import STRIPES, Grid


@pytest.mark.parametrize("spread", [(2.0, 2.0), (1.5, 3.5), (0.01, 1e4), (0.01, 3e38)])
@pytest.mark.parametrize("n", [0, 1, 50, 3000])
def test_drawn_gaussians_come_by_depth(n: int, spread: tuple[float, float]) -> None:
    """As a stable sort of the drawn ones has them, however far apart; many depths are equal."""
    rng = np.random.default_rng(n)
    depths = np.exp(rng.uniform(*np.log(spread), n)).astype(np.float32)
    depths[::3] = depths[: len(depths[::3])]
    radii = (rng.random(n) < 0.8).astype(np.float32)
    drawn = np.flatnonzero(radii)
    wanted = drawn[np.argsort(depths[drawn], kind="stable")]
    np.testing.assert_array_equal(bins.draw_order(depths, radii), wanted)


@pytest.mark.parametrize("rows", [0, 1, 7, 16, 17, 33, 300])
@pytest.mark.parametrize("threads", [1, 2, 3, 40])
def test_pieces_cover_every_tile_once(rows: int, threads: int) -> None:
    grid = Grid(16 * rows, 100)
    pieces = grid.pieces(threads)
    tiles = [t for piece in pieces for t in range(*piece.tiles)]
    assert tiles == list(range(rows * grid.columns))
    assert grid.stripes <= STRIPES
    together = sum(piece.stripes for piece in pieces)
    assert together == (1 << grid.stripes) - 1, "each stripe in one piece"
    for piece in pieces:
        stripes = {row // grid.rows_per_stripe for row in range(*piece.rows)}
        assert piece.stripes == sum(1 << s for s in stripes)


def test_every_splat_has_a_row_of_sums_for_each_stripe() -> None:
    """One after another without gaps; a splat between pixel centres touches no stripe."""
    touched = np.array([0b1, 0b1110, 0, 1 << 15, 0b110, *[0] * bins.STRIPES_AT_ONCE], np.uint16)
    slots = np.empty(5, np.int32)
    assert gradient.assign_slots(touched, slots) == 7
    rows = [slots[k] + s for k in range(5) for s in range(16) if int(touched[k]) >> s & 1]
    assert rows == list(range(7))
