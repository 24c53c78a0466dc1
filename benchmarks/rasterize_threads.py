"""What a second thread brings to the compiled splat renderer, on an idle machine and on a busy one.

    python benchmarks/rasterize_threads.py [--scenes b512i b512t] [--rounds 11]
        [--garden test_garden.npz] [--write threads.json]

Forward and backward with one thread and with two, in turns, on two cores; then the same while
another process keeps one of the two cores busy. Wall time in milliseconds, medians; Linux only.
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

SPIN = "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass"


@contextmanager
def busy(core: int) -> Iterator[None]:
    """Another process computes on that core all the time."""
    spinning = subprocess.Popen([sys.executable, "-c", SPIN, str(core)])
    try:
        time.sleep(0.5)
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


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--scenes", nargs="*", default=["b512i", "b512t"])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--garden", type=Path)
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    cores = sorted(os.sched_getaffinity(0))[-2:]
    os.sched_setaffinity(0, cores)
    rows = {}
    for name, spec in rasterize_scenes.chosen(given.scenes, given.garden).items():
        cloud = spec.cloud()
        scene = rasterize_scenes.splats(cloud, spec.kind, spec.degree)
        rows[name] = {"idle": compared(scene, cloud.cameras, given.rounds)}
        with busy(cores[0]):
            rows[name]["one core busy"] = compared(scene, cloud.cameras, given.rounds)
        print(name, json.dumps(rows[name]), file=sys.stderr, flush=True)
    text = json.dumps(rows, indent=1)
    print(text)
    if given.write:
        given.write.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
