"""How fast the compiled splat renderer is, next to others, and how near to what the machine can.

    python benchmarks/rasterize.py [--scenes a256i b512t] [--rounds 11] [--threads 1]
        [--garden test_garden.npz] [--opensplat opensplat_cpu.so] [--gsplat]
        [--write results.json]

Scenes are in rasterize_scenes.py, other renderers in rasterize_peers.py. All take turns in one run
on one pinned core (with more threads: on as many), and a ratio is the median of those of single
rounds, so that a busy machine slows all alike. Milliseconds are medians of the thread's CPU time
(wall time with more threads) with quartiles. Prints one JSON object.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

# Before numpy and torch are imported.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numba  # noqa: E402
import rasterize_peers  # noqa: E402
import rasterize_roofline  # noqa: E402
import rasterize_scenes  # noqa: E402
import torch  # noqa: E402
from splatworks.renderers import cpu  # noqa: E402
from splatworks.renderers.cpu.compiled import LANES  # noqa: E402
from splatworks.renderers.scene import Cameras, Gaussians  # noqa: E402

OURS = "splatworks"
LEAVES = ("means", "quaternions", "scales", "opacities", "sh")


def ours(threads: int) -> rasterize_peers.Draw:
    def draw(scene: Gaussians, cameras: Cameras):
        frames = cpu.render(scene, cameras, threads=threads)
        return frames.rgb.squeeze(0), frames.alpha.squeeze((0, 3))

    return draw


def step(draw: rasterize_peers.Draw, scene: Gaussians, cameras: Cameras, clock: Callable) -> tuple:
    """Seconds for forward, and for forward and backward."""
    start = clock()
    pictures = draw(scene, cameras)
    middle = clock()
    leaves = [getattr(scene, name) for name in LEAVES]
    torch.autograd.grad(pictures, leaves, [torch.ones_like(p) for p in pictures])
    return middle - start, clock() - start


def measure(draws: dict[str, rasterize_peers.Draw], scene, cameras, rounds: int, clock) -> dict:
    """Times of all renderers, in turns; the first turn warms up."""
    took = {name: [] for name in draws}
    for turn in range(rounds + 1):
        for name, draw in draws.items():
            times = step(draw, scene, cameras, clock)
            if turn:
                took[name].append(times)
    return {name: list(zip(*times, strict=True)) for name, times in took.items()}


def summary(took: dict) -> dict:
    """Medians and quartiles in milliseconds, and how many times as long the others take."""
    row = {}
    for name, both in took.items():
        for part, times in zip(("forward", "both"), both, strict=True):
            low, middle, high = statistics.quantiles([1e3 * t for t in times], n=4)
            row[f"{name} {part} ms"] = [round(v, 2) for v in (middle, low, high)]
            if name != OURS:
                own = took[OURS][part == "both"]
                ratios = [a / b for a, b in zip(times, own, strict=True)]
                row[f"{name} over {OURS}, {part}"] = round(statistics.median(ratios), 2)
    return row


def against_ideal(row: dict, blends: int, rates: tuple[float, float], loop_ns: tuple) -> dict:
    """Blends per second, and time over that of their arithmetic and of the inner loops alone."""
    forward, both = row[f"{OURS} forward ms"][0], row[f"{OURS} both ms"][0]
    return {
        "million blends": round(blends / 1e6, 2),
        "thousand million blends per s, forward": round(blends / forward / 1e6, 3),
        "time over roofline, forward": round(
            forward / rasterize_roofline.ideal_ms(blends, rates, backward=False), 1
        ),
        "time over roofline, both": round(
            both / rasterize_roofline.ideal_ms(blends, rates, backward=True), 1
        ),
        "time over inner loops, forward": round(forward / (blends / LANES * loop_ns[0] / 1e6), 2),
        "time over inner loops, both": round(both / (blends / LANES * sum(loop_ns) / 1e6), 2),
    }


def machine(threads: int, rates: tuple[float, float], loop_ns: tuple[float, float]) -> dict:
    return {
        "machine": platform.machine(),
        "target": numba.core.registry.cpu_target.target_context.codegen().magic_tuple()[1],
        "lanes": LANES,
        "threads": threads,
        "GFLOP/s": round(rates[0], 1),
        "thousand million powers per s": round(rates[1], 2),
        "ns per vector in the inner loops": [round(ns, 2) for ns in loop_ns],
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "numba": numba.__version__,
    }


def geometric_means(rows: dict[str, dict]) -> dict:
    """Of the ratios to other renderers, over the scenes that were timed with them."""
    names = {key for row in rows.values() for key in row if f" over {OURS}" in key}
    found = {}
    for name in sorted(names):
        ratios = [row[name] for row in rows.values() if name in row]
        found[name] = {"mean": round(statistics.geometric_mean(ratios), 2), "scenes": len(ratios)}
    return found


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--scenes", nargs="*", default=[])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--garden", type=Path)
    parser.add_argument("--opensplat", type=Path)
    parser.add_argument("--gsplat", action="store_true")
    parser.add_argument("--write", type=Path)
    return parser.parse_args()


def main() -> None:
    given = options()
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))[-given.threads :]
        os.sched_setaffinity(0, cores)
    draws = {OURS: ours(given.threads)}
    if given.opensplat:
        draws["OpenSplat"] = rasterize_peers.opensplat(given.opensplat)
    if given.gsplat:
        draws["gsplat reference"] = rasterize_peers.gsplat_reference()
    clock = time.thread_time if given.threads == 1 else time.perf_counter
    rates, loop_ns = rasterize_roofline.rates(), rasterize_roofline.loop_ns()
    rows = {}
    for name, spec in rasterize_scenes.chosen(given.scenes, given.garden).items():
        cloud = spec.cloud()
        scene = rasterize_scenes.splats(cloud, spec.kind, spec.degree)
        row = summary(measure(draws, scene, cloud.cameras, given.rounds, clock))
        blends = rasterize_roofline.blends(scene, cloud.cameras)
        rows[name] = row | against_ideal(row, blends, rates, loop_ns)
        print(name, json.dumps(rows[name]), file=sys.stderr, flush=True)
    report = {"machine": machine(given.threads, rates, loop_ns), "means": geometric_means(rows)}
    text = json.dumps(report | {"scenes": rows}, indent=1)
    print(text)
    if given.write:
        given.write.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
