"""Speed of the encodings: simplex against cubic by dimension, compiled against torch, memory.

Peers take turns inside one run, and of each the fastest turn counts: other work on the machine
then slows both alike, or neither. One thread is timed by its own clock (CPU time), several by the
wall's.
"""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from splatworks.stages.encoding.encoding import SimplexHashEncoding
from splatworks.stages.encoding.settings import Settings
from splatworks.stages.randomness import generator

GOALS = {2: 1.15, 3: 1.5, 4: 2.2, 5: 4.0, 6: 7.0}
"""Simplex over cubic, forward and backward."""
COMPILED_GOAL = 8.0
LEVELS, FEATURES, TABLE = 8, 2, 1 << 17
TURNS = 7


def encoding(
    dims: int, lattice: Any, *, table: int = TABLE, threads: int = 1, backend: Any = "auto"
) -> SimplexHashEncoding:
    """Eight levels from 16 to 512, all tables of one size."""
    settings = Settings(
        dims=dims, lattice=lattice, levels=LEVELS, features=FEATURES, table_size=table,
        n_min=16, n_max=512,
    )  # fmt: skip
    return SimplexHashEncoding(settings, threads=threads, backend=backend)


def fastest(
    peers: Mapping[str, Callable[[], object]],
    turns: int = TURNS,
    clock: Callable[[], float] = time.thread_time,
) -> dict[str, float]:
    """Milliseconds of each, the best of several turns in rotation."""
    best = dict.fromkeys(peers, math.inf)
    for peer in peers.values():
        peer()
    for _ in range(turns):
        for name, peer in peers.items():
            begun = clock()
            peer()
            best[name] = min(best[name], 1e3 * (clock() - begun))
    return best


def work(made: SimplexHashEncoding, count: int, *, to_points: bool = False) -> dict:
    """forward, and forward with backward to the table (and to the points)."""
    points = torch.rand(count, made.settings.dims, generator=generator(0, "points"))
    points.requires_grad_(to_points)
    # Laid out as the features are, which is how a network hands it back.
    gradient = torch.randn_like(made(points.detach()))

    def forward() -> None:
        with torch.no_grad():
            made(points)

    def both() -> None:
        made.table.grad = points.grad = None
        made(points).backward(gradient)

    return {"forward": forward, "both": both}


def by_dimension(counts=(1 << 15, 1 << 18), threads=(1, 2), dims=range(2, 8)) -> list[dict]:
    rows = []
    for count in counts:
        for many in threads:
            for n in dims:
                peers = {
                    f"{lattice} {name}": run
                    for lattice in ("simplex", "cubic")
                    for name, run in work(encoding(n, lattice, threads=many), count).items()
                }
                clock = time.thread_time if many == 1 else time.perf_counter
                ms = fastest(peers, TURNS if count < 1 << 17 else 3, clock)
                row = {
                    "dims": n,
                    "points": count,
                    "threads": many,
                    **{f"{name} ms": round(value, 3) for name, value in ms.items()},
                    "ratio forward": round(ms["cubic forward"] / ms["simplex forward"], 2),
                    "ratio both": round(ms["cubic both"] / ms["simplex both"], 2),
                    "goal": GOALS.get(n),
                }
                print(row, flush=True)
                rows.append(row)
    return rows


def against_torch(count: int = 1 << 15) -> dict:
    """n = 3, simplex; with the gradient by the points as well."""
    out = {}
    for to_points in (False, True):
        peers = {
            f"{backend} {name}": run
            for backend in ("compiled", "torch")
            for name, run in work(
                encoding(3, "simplex", backend=backend), count, to_points=to_points
            ).items()
        }
        ms = fastest(peers, 3)
        label = "table and points" if to_points else "table"
        out[label] = {
            **{f"{name} ms": round(value, 3) for name, value in ms.items()},
            "ratio forward": round(ms["torch forward"] / ms["compiled forward"], 1),
            "ratio both": round(ms["torch both"] / ms["compiled both"], 1),
            "goal": COMPILED_GOAL,
        }
    return out


def memory(count: int = 1 << 18) -> dict:
    """What part of the forward time goes into waiting for the table, at n = 3.

    The same kernel with tables that fit the innermost cache does the same work without waiting;
    what it takes less is the share of memory. Bandwidth is that of a large copy.
    """
    source = np.ones(1 << 26, np.float32)
    target = np.empty_like(source)
    copy_ms = fastest({"copy": lambda: np.copyto(target, source)}, 5)["copy"]
    bandwidth = 2 * source.nbytes / copy_ms / 1e6
    sizes = (1 << 10, 1 << 17, 1 << 19, 1 << 22)
    peers = {
        f"{lattice} {size}": work(encoding(3, lattice, table=size), count)["forward"]
        for lattice in ("simplex", "cubic")
        for size in sizes
    }
    ms = fastest(peers, 3)
    out: dict = {"copy GB/s": round(bandwidth, 2)}
    for lattice, vertices in (("simplex", 4), ("cubic", 8)):
        for size in sizes:
            taken = ms[f"{lattice} {size}"]
            useful = count * LEVELS * FEATURES * 4 * (vertices + 1) + count * 12 * LEVELS
            out[f"{lattice}, {size} rows a level"] = {
                "ms": round(taken, 2),
                "share of time in memory": round(1 - ms[f"{lattice} {sizes[0]}"] / taken, 3),
                "GB/s of numbers used": round(useful / taken / 1e6, 2),
                "share of copy bandwidth": round(useful / taken / 1e6 / bandwidth, 3),
            }
    return out


def figures(rows: list[dict]) -> dict:
    """The acceptance figures of speed, from the rows of one thread and 2^15 points."""
    found = {r["dims"]: r for r in rows if r["points"] == 1 << 15 and r["threads"] == 1}
    ratios = [found[n]["ratio both"] for n in sorted(found)]
    growth = {
        lattice: round(found[6][f"{lattice} both ms"] / found[3][f"{lattice} both ms"], 2)
        for lattice in ("simplex", "cubic")
    }
    return {
        "ratio of both by dimension": dict(zip(sorted(found), ratios, strict=True)),
        "monotone": ratios == sorted(ratios),
        "n=6 over n=3": growth,
        "goals": "1.0, 1.25, 1.7, 3 for n = 2..5; simplex at most 6, cubic at least 15",
    }
