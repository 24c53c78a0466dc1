"""What a second thread brings to the compiled splat renderer, on an idle machine and on a busy one.

    python benchmarks/rasterize_threads.py [--scenes b512i b512t] [--rounds 11]
        [--garden test_garden.npz] [--write threads.json]

Forward and backward with one thread and with two, in turns, on two cores; then the same while
another process keeps one of the two cores busy. Wall time in milliseconds, medians; Linux only.

`ceiling` is what two cores are worth here: two processes that share nothing, each rendering the
scene with one thread on a core of its own, get done this many times as much as one. It is 2 on
real cores, and near 1 where the two are the halves of one (virtual machines do not say).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import rasterize  # noqa: E402
import rasterize_scenes  # noqa: E402
import torch  # noqa: E402
from splatworks.renderers.scene import Cameras, Gaussians  # noqa: E402

SPIN = "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass"


@contextmanager
def beside(command: list[str], start_s: float) -> Iterator[None]:
    """Another process computes meanwhile."""
    spinning = subprocess.Popen([sys.executable, *command])
    try:
        time.sleep(start_s)
        yield
    finally:
        spinning.kill()
        spinning.wait()


def compared(scene, cameras, rounds: int) -> dict:
    """Median milliseconds with one and two threads, and the median of their ratios by round."""
    draws = {f"{count} threads": rasterize.ours(count) for count in (1, 2)}
    took = rasterize.measure(draws, scene, cameras, rounds, time.perf_counter)
    one, two = (times[1] for times in took.values())
    ratios = [a / b for a, b in zip(one, two, strict=True)]
    return {
        "one thread ms": round(1e3 * statistics.median(one), 2),
        "two threads ms": round(1e3 * statistics.median(two), 2),
        "one over two": round(statistics.median(ratios), 2),
    }


def loaded(given: argparse.Namespace) -> Iterator[tuple[str, Gaussians, Cameras]]:
    """The scenes of the command line."""
    for name, spec in rasterize_scenes.chosen(given.scenes, given.garden).items():
        cloud = spec.cloud()
        yield name, rasterize_scenes.splats(cloud, spec.kind, spec.degree), cloud.cameras


def forever(scene, cameras) -> None:
    draw = rasterize.ours(1)
    while True:
        rasterize.step(draw, scene, cameras, time.perf_counter)


def ceiling(scene, cameras, rounds: int, cores: list[int], neighbor: list[str]) -> float:
    """How much more two processes get done than one."""
    os.sched_setaffinity(0, cores[1:])
    alone = compared(scene, cameras, rounds)["one thread ms"]
    with beside([*neighbor, "--forever", str(cores[0])], 12.0):
        together = compared(scene, cameras, rounds)["one thread ms"]
    os.sched_setaffinity(0, cores)
    return round(2 * alone / together, 2)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--scenes", nargs="*", default=["b512i", "b512t"])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--garden", type=Path)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--forever", type=int, metavar="CORE", help="only render, on that core")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.forever is not None:
        os.sched_setaffinity(0, {given.forever})
        for _, scene, cameras in loaded(given):
            forever(scene, cameras)
    cores = sorted(os.sched_getaffinity(0))[-2:]
    os.sched_setaffinity(0, cores)
    rows = {}
    for name, scene, cameras in loaded(given):
        rows[name] = {"idle": compared(scene, cameras, given.rounds)}
        with beside(["-c", SPIN, str(cores[0])], 0.5):
            rows[name]["one core busy"] = compared(scene, cameras, given.rounds)
        again = [__file__, "--scenes", name]
        again += ["--garden", str(given.garden)] if given.garden else []
        rows[name]["ceiling"] = ceiling(scene, cameras, given.rounds, cores, again)
        print(name, json.dumps(rows[name]), file=sys.stderr, flush=True)
    text = json.dumps(rows, indent=1)
    print(text)
    if given.write:
        given.write.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
