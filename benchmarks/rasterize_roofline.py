"""What one core can do at most: float32 multiply-adds, and powers of two as the kernels take them.

Eight independent vectors each, all in registers. The ideal time of a scene counts, per blend, 16
operations and one power forward, and 46 more and another power backward (an FMA counts as two).

The other ideal is that of the kernels' own inner loops: `loop_ns` times them on one tile where all
lanes are useful and everything lies in the nearest cache.
"""

import time

import numpy as np
import torch
from splatworks.renderers.cpu.autograd import Project
from splatworks.renderers.cpu.bins import FIELDS, PIXEL_X, PIXEL_Y, TABLE, TILE_PX, F, X, Y
from splatworks.renderers.cpu.blend import (
    ALL_BLOCKS,
    ALPHA_MAX,
    AT_ONCE,
    STATE,
    T_MIN,
    ZERO,
    T,
    blend,
    exponent,
)
from splatworks.renderers.cpu.compiled import LANES, kernel
from splatworks.renderers.cpu.gradient import SUMS, blend_backward, open_tiles_backward
from splatworks.renderers.cpu.lists import Chunk, Grid, make_and_blend, pack
from splatworks.renderers.cpu.memory import load, load_lanes, store_lanes
from splatworks.renderers.cpu.renderer import _records
from splatworks.renderers.cpu.simd import (
    at_least,
    at_most,
    below,
    bits,
    broadcast,
    exp2_over_255,
    lowest_bit,
    multiply_add,
    smaller,
    where,
)
from splatworks.renderers.cpu.threads import Team
from splatworks.renderers.scene import Cameras, Gaussians

FORWARD_FLOPS, BACKWARD_FLOPS = 16, 46


@kernel
def multiply_adds(data, turns):
    x, y = load_lanes(data, 0), load_lanes(data, LANES)
    a = b = c = d = e = f = g = h = y
    for _ in range(turns):
        a, b = multiply_add(a, x, y), multiply_add(b, x, y)
        c, d = multiply_add(c, x, y), multiply_add(d, x, y)
        e, f = multiply_add(e, x, y), multiply_add(f, x, y)
        g, h = multiply_add(g, x, y), multiply_add(h, x, y)
    store_lanes(data, LANES, a + b + c + d + e + f + g + h)


@kernel
def powers(data, turns):
    x = load_lanes(data, 0)
    a = b = c = d = e = f = g = h = x
    for _ in range(turns):
        a, b = exp2_over_255(a), exp2_over_255(b)
        c, d = exp2_over_255(c), exp2_over_255(d)
        e, f = exp2_over_255(e), exp2_over_255(f)
        g, h = exp2_over_255(g), exp2_over_255(h)
    store_lanes(data, LANES, a + b + c + d + e + f + g + h)


def _best_rate(work, per_turn: int) -> float:
    """Thousand millions per second, the best of several."""
    data, turns = np.full(2 * LANES, -0.5, np.float32), 1_000_000
    work(data, 10)
    taken = []
    for _ in range(9):
        start = time.thread_time()
        work(data.copy(), turns)
        taken.append(time.thread_time() - start)
    return per_turn * LANES * turns / min(taken) / 1e9


def rates() -> tuple[float, float]:
    """GFLOP/s in multiply-adds, and 10^9 powers of two per second."""
    return _best_rate(multiply_adds, 16), _best_rate(powers, 8)


def ideal_ms(blends: int, rate: tuple[float, float], *, backward: bool) -> float:
    """Time for that many blends if nothing but their arithmetic counted."""
    flops, count = FORWARD_FLOPS, 1
    if backward:
        flops, count = flops + BACKWARD_FLOPS, 2
    return blends * (flops / rate[0] + count / rate[1]) / 1e6


def loop_ns() -> tuple[float, float]:
    """Nanoseconds per vector of `blend` and of `blend_backward`, the best of several.

    A list of 2000 entries, 100 faint splats again and again, each over the whole tile.
    """
    n, times = 100, 20
    team, grid = Team(1, None), Grid(TILE_PX, TILE_PX)
    pose = torch.eye(4)[None]
    cameras = Cameras(pose, torch.full((1, 2), 16.0), torch.full((1, 2), 8.0), TILE_PX, TILE_PX)
    means = torch.tensor([[0.0, 0.0, 10.0]]).repeat(n, 1)
    turns = torch.tensor([[1.0, 0.0, 0.0, 0.0]]).repeat(n, 1)
    parts = (means, turns, torch.full((n, 3), 1e3), torch.full((n,), 1.002 / 255))
    size = (TILE_PX, TILE_PX)
    projected = Project.apply(*parts, torch.zeros(n, 1, 3), _records(cameras), size, 1)
    depths, radii, records = (t[0].numpy() for t in projected[3:])
    listed = pack(team, records, depths, radii, grid)
    (piece,) = listed.pieces
    entries = np.tile(np.arange(n, dtype=np.int32), times)
    masks = np.full(n * times + AT_ONCE, ALL_BLOCKS, np.uint32)
    piece.chunks.append(Chunk(entries, masks, np.array([0, n * times])))
    values, alpha = np.ones((*size, 3), np.float32), np.ones(size, np.float32)
    slots, sums = np.arange(n, dtype=np.int32), np.zeros(n * SUMS, np.float32)
    forward, backward = [], []
    for _ in range(60):
        state, live = piece.opened()
        start = time.perf_counter()
        listed.over_chunks(piece, blend, state, live)
        forward.append(time.perf_counter() - start)
        given = (values, alpha, values, alpha, 0, state, live)
        piece.over_tiles(open_tiles_backward, *given)
        arrays = (listed.splats, *piece.chunks[0].arrays, slots, sums, state, live)
        start = time.perf_counter()
        piece.over_tiles(blend_backward, 1, *arrays)
        backward.append(time.perf_counter() - start)
    vectors = n * times * TILE_PX**2 / LANES
    return 1e9 * min(forward) / vectors, 1e9 * min(backward) / vectors


@kernel
def _count(first, last, columns, splats, entries, masks, starts, counts, state):
    """Pixels in which each entry of tiles first..last-1 is blended, summed per tile."""
    for tile in range(first, last):
        left, top = F(tile % columns * TILE_PX), F(tile // columns * TILE_PX)
        for e in range(starts[tile], starts[tile + 1]):
            g, blocks = np.int64(entries[e]) * FIELDS, np.int64(masks[e])
            while blocks != 0:
                block = lowest_bit(blocks)
                blocks &= blocks - 1
                lane, at = block * LANES, tile * STATE + block * LANES
                dx = load_lanes(TABLE, PIXEL_X + lane) + left - load(splats, g + X)
                dy = load_lanes(TABLE, PIXEL_Y + lane) + top - load(splats, g + Y)
                power, t = exponent(splats, g, dx, dy), load_lanes(state, at + T)
                weight = smaller(exp2_over_255(power), ALPHA_MAX) * t
                weight = where(at_least(power, ZERO), weight, ZERO)
                finished = at_most(t - weight, T_MIN)
                weight = where(finished, ZERO, weight)
                store_lanes(state, at + T, where(finished, ZERO, t - weight))
                shown = bits(below(broadcast(ZERO), weight))
                while shown != 0:
                    shown &= shown - 1
                    counts[tile] += 1


def blends(scene: Gaussians, cameras: Cameras) -> int:
    """How many times a Gaussian is blended into a pixel of the first camera's picture."""
    team, grid = Team(1, None), Grid(cameras.height_px, cameras.width_px)
    size = (cameras.width_px, cameras.height_px)
    parts = (scene.means, scene.quaternions, scene.scales, scene.opacities, scene.sh)
    with torch.no_grad():
        projected = Project.apply(*(p.detach() for p in parts), _records(cameras), size, 1)
    depths, radii, records = (t[0].numpy() for t in projected[3:])
    listed = pack(team, records, depths, radii, grid)
    (piece,) = listed.pieces
    make_and_blend(listed, piece, *piece.opened())
    state, _ = piece.opened()
    counts = np.zeros(piece.tiles[1], np.int64)
    listed.over_chunks(piece, _count, counts, state)
    return int(counts.sum())
