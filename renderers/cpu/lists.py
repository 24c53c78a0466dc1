"""One camera's splats, their tile lists, and the passes over them.

A picture is cut into stripes of tile rows, and pieces of one or more stripes are what threads
share: lists of a piece are made and blended by one thread, without waiting for any other. They are
made for some splats at a time, front to back, and blended before the next: splats behind finished
blocks are never listed. Each splat has a row of sums per stripe that it may touch, so that
gradients are added up in an order that does not depend on pieces or threads.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from . import bins, blend, gradient
from .threads import Team

CHUNK_PER_TILE, CHUNK_LEAST = 128, 1 << 15
"""Tile entries made at a time, before blending decides what is still open."""
STRIPES = 16
"""At most; one bit each."""
PIECES_PER_THREAD = 2
"""So that who is ready first takes the next; but a splat costs some in every piece it touches."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Lists of a piece's tiles for splats next to each other in depth."""

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
    def rows_per_stripe(self) -> int:
        return max(1, -(-self.rows // STRIPES))

    @property
    def stripes(self) -> int:
        return -(-self.rows // self.rows_per_stripe)

    def piece(self, first: int, last: int) -> "Piece":
        """Stripes first..last-1."""
        step, columns = self.rows_per_stripe, self.columns
        top, bottom = first * step, min(last * step, self.rows)
        bits = (1 << last) - (1 << first)
        return Piece(self, bits, (top, bottom), (top * columns, bottom * columns))

    def pieces(self, threads: int) -> "list[Piece]":
        count = 1 if threads == 1 else min(self.stripes, PIECES_PER_THREAD * threads)
        ends = [self.stripes * k // count for k in range(count + 1)] if self.stripes else [0]
        return [self.piece(a, b) for a, b in pairwise(ends)]


@dataclass(frozen=True, slots=True)
class Piece:
    """Some stripes of a picture, with their lists."""

    grid: Grid
    stripes: int
    """One bit each."""
    rows: tuple[int, int]
    """First, and last + 1, of the rows of tiles."""
    tiles: tuple[int, int]
    """The same of the tiles."""
    chunks: list[Chunk] = field(default_factory=list)

    @property
    def entries(self) -> int:
        """How many its lists have so far."""
        return sum(len(chunk.entries) for chunk in self.chunks)

    def state(self) -> tuple[np.ndarray, np.ndarray]:
        """Room for what blending knows of the piece's tiles, and for their unfinished blocks."""
        first, last = self.tiles
        count = last - first
        return np.empty(count * blend.STATE, np.float32), np.empty(count, np.uint32)

    def over_tiles(self, kernel: Callable, *arguments) -> None:
        kernel(*self.tiles, self.grid.columns, *arguments)

    def opened(self) -> tuple[np.ndarray, np.ndarray]:
        """Its state before anything is blended."""
        state, live = self.state()
        self.over_tiles(blend.open_tiles, self.grid.width, self.grid.height, state, live)
        return state, live


@dataclass(slots=True)
class Lists:
    """Kept from forward to backward."""

    splats: np.ndarray
    ids: np.ndarray
    touched: np.ndarray
    """The stripes of each splat, one bit each; then `bins.STRIPES_AT_ONCE` zeros."""
    pieces: list[Piece]
    column: int | None = 0
    """First column of the values that the splats hold now; None for none of them."""

    def over_chunks(self, piece: Piece, kernel: Callable, *arguments) -> None:
        """Run a kernel on the whole lists of a piece's tiles."""
        for chunk in piece.chunks:
            piece.over_tiles(kernel, self.splats, *chunk.arrays, *arguments)

    def over_pieces(self, team: Team, work: Callable, *arguments) -> None:
        """work(lists, piece, *arguments) for all pieces, those with the longest lists first."""
        pieces = sorted(self.pieces, key=lambda piece: -piece.entries)
        team.run(work, [(self, piece, *arguments) for piece in pieces])

    def set_values(self, team: Team, values: np.ndarray, column: int) -> None:
        """Let the splats hold columns column..column+2 of `values`."""
        if self.column == column:
            return
        common = (self.splats, self.ids)
        jobs = [(*common, a, b, values, column) for a, b in team.shares(len(self.ids))]
        team.run(blend.set_values, jobs)
        self.column = column


def pack(team: Team, records, depths, radii, grid: Grid) -> Lists:
    """Splats in depth order, without lists."""
    ids = bins.draw_order(depths, radii)
    splats = np.empty(len(ids) * bins.FIELDS, np.float32)
    touched = np.empty(len(ids) + bins.STRIPES_AT_ONCE, np.uint16)
    touched[len(ids) :] = 0
    common = (records, ids, grid.columns, grid.rows, grid.rows_per_stripe)
    team.run(bins.pack, [(*common, a, b, splats, touched) for a, b in team.shares(len(ids))])
    pieces, some = grid.pieces(team.threads), touched[: len(ids) : 16]
    # Those that most splats touch first: a long one begun last keeps the others waiting.
    pieces.sort(key=lambda piece: -np.count_nonzero(some & piece.stripes))
    return Lists(splats, ids, touched, pieces)


def make_and_blend(lists: Lists, piece: Piece, state, live) -> None:
    """Make the lists of a piece and blend them, chunk after chunk."""
    first, last = piece.tiles
    room = max(CHUNK_LEAST, CHUNK_PER_TILE * (last - first)) + 1
    scratch = [np.empty(room, kind) for kind in (np.int32, np.uint32, np.int32)]
    at = 0
    while at < len(lists.ids) and live.any():
        counts = np.zeros(last - first, np.int64)
        given = (lists.splats, lists.touched, piece.stripes, at, piece.grid.columns, *piece.rows)
        n, at = bins.fill_entries(*given, live, *scratch, counts)
        # `members` reads a whole group of masks, also at the end.
        entries, masks = np.empty(n, np.int32), np.empty(n + blend.AT_ONCE, np.uint32)
        chunk = Chunk(entries, masks, np.empty(last - first + 1, np.int64))
        bins.sort_by_tile(*scratch, n, counts, chunk.starts, entries, masks)
        piece.chunks.append(chunk)
        piece.over_tiles(blend.blend, lists.splats, *chunk.arrays, state, live)


def clear(first: int, last: int, arrays: list[np.ndarray]) -> None:
    """Set rows first..last-1 to zero."""
    for array in arrays:
        array[first:last] = 0


def sums(team: Team, lists: Lists, images, cotangents, column: int):
    """Nine sums per splat and stripe for one group of three values.

    Returns them with, per splat, where its rows start.
    """
    slots = np.empty(len(lists.ids), np.int32)
    rows = gradient.assign_slots(lists.touched, slots)
    out = np.empty(rows * gradient.SUMS, np.float32)
    team.run(clear, [(a, b, [out]) for a, b in team.shares(len(out))])
    lists.over_pieces(team, _add_sums, (*images, *cotangents, column), slots, out)
    return out, slots


def _add_sums(lists: Lists, piece: Piece, pictures: tuple, slots, out) -> None:
    state, live = piece.state()
    piece.over_tiles(gradient.open_tiles_backward, *pictures, state, live)
    step = piece.grid.rows_per_stripe * piece.grid.columns
    for chunk in piece.chunks:
        arrays = (lists.splats, *chunk.arrays, slots, out, state, live)
        piece.over_tiles(gradient.blend_backward, step, *arrays)
