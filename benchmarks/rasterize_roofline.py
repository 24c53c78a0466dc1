"""What one core can do at most: float32 multiply-adds, and powers of two as the kernels take them.

Eight independent vectors each, all in registers. The ideal time of a scene counts, per blend, 16
operations and one power forward, and 46 more and another power backward (an FMA counts as two).
"""

import time

import numpy as np
import torch
from splatworks.renderers import cpu
from splatworks.renderers.cpu.compiled import kernel
from splatworks.renderers.cpu.simd import (
    LANES,
    exp2_over_255,
    load_lanes,
    multiply_add,
    store_lanes,
)
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


def blends(scene: Gaussians, cameras: Cameras) -> int:
    """How many times a Gaussian is blended into a pixel: the pixels it shows in, summed.

    A Gaussian shows in a pixel where its weight is positive; counted by `cpu.blends`.
    """
    with torch.no_grad():
        return cpu.count_blends(scene, cameras)
