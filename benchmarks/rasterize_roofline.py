"""What one core can do at most: float32 multiply-adds, and powers of two as the kernels take them.

Eight independent vectors each, all in registers. The ideal time of a scene counts, per blend, 16
operations and one power forward, and 46 more and another power backward (an FMA counts as two).
"""

import time

import numpy as np
import torch
from splatworks.renderers.cpu.autograd import Project
from splatworks.renderers.cpu.bins import FIELDS, PIXEL_X, PIXEL_Y, TABLE, TILE_PX, F, X, Y
from splatworks.renderers.cpu.blend import ALPHA_MAX, STATE, T_MIN, ZERO, T, exponent, open_tiles
from splatworks.renderers.cpu.compiled import LANES, kernel
from splatworks.renderers.cpu.lists import Grid, blend_all, pack
from splatworks.renderers.cpu.renderer import _records
from splatworks.renderers.cpu.simd import (
    at_least,
    at_most,
    below,
    bits,
    broadcast,
    exp2_over_255,
    load,
    load_lanes,
    lowest_bit,
    multiply_add,
    smaller,
    store_lanes,
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
    listed, bounds = pack(team, records, depths, radii, grid)
    state, live = grid.state()
    listed.over_tiles(team, open_tiles, *size, state, live)
    blend_all(team, listed, bounds, state, live)
    listed.over_tiles(team, open_tiles, *size, state, live)
    counts = np.zeros(grid.tiles, np.int64)
    listed.over_chunks(team, _count, counts, state)
    return int(counts.sum())
