"""One camera's splats, their tile lists, and the passes over them.

Lists are made a chunk of splats at a time, front to back, and blended before the next chunk is
made: splats behind finished blocks are never listed. A picture is cut into stripes of tile rows,
which are what threads share; each splat has a row of sums per stripe that it may touch, so that
gradients are added up in an order that does not depend on the threads.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from . import bins, blend, gradient
from .threads import Team

CHUNK_PER_TILE, CHUNK_LEAST = 128, 1 << 15
"""Tile entries made at a time, before blending decides what is still open."""
STRIPES = 16


@dataclass(frozen=True, slots=True)
class Chunk:
    """Lists of all tiles for splats next to each other in depth."""

    entries: np.ndarray
    masks: np.ndarray
    starts: np.ndarray

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.entries, self.masks, self.starts


@dataclass(frozen=True, slots=True)
class Grid:
    """Tiles of a picture."""

    height: int
    width: int

    @property
    def columns(self) -> int:
        return -(-self.width // bins.TILE_PX)

    @property
    def rows(self) -> int:
        return -(-self.height // bins.TILE_PX)

    @property
    def tiles(self) -> int:
        return self.columns * self.rows

    @property
    def rows_per_stripe(self) -> int:
        return -(-self.rows // STRIPES)

    @property
    def stripes(self) -> int:
        return -(-self.rows // self.rows_per_stripe)

    def state(self) -> tuple[np.ndarray, np.ndarray]:
        return np.empty(self.tiles * blend.STATE, np.float32), np.empty(self.tiles, np.uint32)

    def tiles_of(self, team: Team) -> list[tuple[int, int]]:
        """Ranges of tiles, each of whole stripes."""
        step = self.rows_per_stripe * self.columns
        return [(a * step, min(b * step, self.tiles)) for a, b in team.pieces(self.stripes)]


@dataclass(slots=True)
class Lists:
    """Kept from forward to backward."""

    splats: np.ndarray
    ids: np.ndarray
    grid: Grid
    chunks: list[Chunk] = field(default_factory=list)
    column: int | None = 0
    """First column of the values that the splats hold now; None for none of them."""

    def over_chunks(self, team: Team, kernel: Callable, *arguments) -> None:
        """Run a kernel on every tile's whole list."""
        for chunk in self.chunks:
            self.over_tiles(team, kernel, self.splats, *chunk.arrays, *arguments)

    def over_tiles(self, team: Team, kernel: Callable, *arguments) -> None:
        common = (self.grid.columns, *arguments)
        team.run(kernel, [(a, b, *common) for a, b in self.grid.tiles_of(team)])

    def set_values(self, team: Team, values: np.ndarray, column: int) -> None:
        """Let the splats hold columns column..column+2 of `values`."""
        if self.column == column:
            return
        common = (self.splats, self.ids)
        jobs = [(*common, a, b, values, column) for a, b in team.shares(len(self.ids))]
        team.run(blend.set_values, jobs)
        self.column = column


def pack(team: Team, records, depths, radii, grid: Grid) -> tuple[Lists, np.ndarray]:
    """Splats in depth order without lists, and before each how many tiles the boxes touch."""
    ids = bins.draw_order(depths, radii)
    splats = np.empty(len(ids) * bins.FIELDS, np.float32)
    bounds = np.zeros(len(ids) + 1, np.int64)
    common = (records, ids, grid.columns, grid.rows)
    team.run(bins.pack, [(*common, a, b, splats, bounds) for a, b in team.shares(len(ids))])
    return Lists(splats, ids, grid), np.cumsum(bounds)


def blend_all(team: Team, lists: Lists, bounds: np.ndarray, state, live) -> None:
    """Make the lists and blend them, chunk after chunk."""
    grid = lists.grid
    first, n = 0, len(lists.ids)
    while first < n and live.any():
        room = bounds[first] + max(CHUNK_LEAST, CHUNK_PER_TILE * grid.tiles)
        last = max(first + 1, int(np.searchsorted(bounds, room, "right")) - 1)
        chunk = _chunk(team, lists, bounds, first, last, live)
        lists.chunks.append(chunk)
        lists.over_tiles(team, blend.blend, lists.splats, *chunk.arrays, state, live)
        first = last


def _chunk(team: Team, lists: Lists, bounds, first: int, last: int, live) -> Chunk:
    grid = lists.grid
    shares = [(first + a, first + b) for a, b in team.shares(last - first)]
    counts = np.zeros((len(shares), grid.tiles), np.int64)
    scratch = [_scratch(int(bounds[b] - bounds[a])) for a, b in shares]
    jobs = [
        (lists.splats, a, b, grid.columns, grid.rows, live, *arrays, count)
        for (a, b), arrays, count in zip(shares, scratch, counts, strict=True)
    ]
    filled = team.run(bins.fill_entries, jobs)
    starts, places = np.empty(grid.tiles + 1, np.int64), np.empty_like(counts)
    bins.lay_out(counts, starts, places)
    total = int(starts[-1])
    # `members` reads a whole group of masks, also at the end.
    entries, masks = np.empty(total, np.int32), np.empty(total + blend.AT_ONCE, np.uint32)
    moves = [
        (*arrays, n, place, entries, masks)
        for arrays, n, place in zip(scratch, filled, places, strict=True)
    ]
    team.run(bins.sort_by_tile, moves)
    return Chunk(entries, masks, starts)


def _scratch(room: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Splat, mask and tile of entries in the order of their splats; one more for a last write."""
    return (
        np.empty(room + 1, np.int32),
        np.empty(room + 1, np.uint32),
        np.empty(room + 1, np.int32),
    )


def sums(team: Team, lists: Lists, images, cotangents, column: int):
    """Nine sums per splat and stripe for one group of three values.

    Returns them with, per splat, where its rows start.
    """
    grid = lists.grid
    ranges = np.empty(len(lists.ids) + 1, np.int64)
    slots = np.empty(len(lists.ids), np.int64)
    gradient.assign_slots(lists.splats, grid.rows, grid.rows_per_stripe, ranges, slots)
    out = np.zeros(int(ranges[-1]) * gradient.SUMS, np.float32)
    state, live = grid.state()
    lists.over_tiles(team, gradient.open_tiles_backward, *images, *cotangents, column, state, live)
    step = grid.rows_per_stripe * grid.columns
    for chunk in lists.chunks:
        common = (step, grid.tiles, grid.columns, lists.splats, *chunk.arrays, slots, out)
        jobs = [(a, b, *common, state, live) for a, b in team.pieces(grid.stripes)]
        team.run(gradient.blend_backward, jobs)
    return out, ranges
