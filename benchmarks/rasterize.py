"""How fast the compiled splat renderer is, on one thread.

    python benchmarks/rasterize.py [--rounds 11] [--threads 1]

Random splats in a ball, 0.5 m about the origin: `even` (round, opacity 0.1: long lists, nothing
saturates) and `trained` (thin, mostly opaque). Milliseconds are medians of the process's CPU time
(of wall time with more threads, each rendering its own camera). Where the dense `reference` can
hold the scene, both are timed in turns in the same run and the ratio given; no other CPU renderer
of splats that pip can install runs without CUDA. Prints one JSON object.
"""

import argparse
import json
import math
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

# Before numpy and torch are imported.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numba  # noqa: E402
import torch  # noqa: E402
from splatworks.renderers import cpu, reference  # noqa: E402
from splatworks.renderers.scene import Cameras, Gaussians  # noqa: E402

SCENES = (
    # name, Gaussians, pixels a side, kind, SH degree, timed against the reference
    ("1k at 64, trained", 1_000, 64, "trained", 0, True),
    ("10k at 128, even", 10_000, 128, "even", 0, False),
    ("10k at 128, trained", 10_000, 128, "trained", 0, False),
    ("10k at 256, even", 10_000, 256, "even", 0, False),
    ("10k at 256, trained", 10_000, 256, "trained", 0, False),
    ("50k at 256, even", 50_000, 256, "even", 0, False),
    ("50k at 256, trained", 50_000, 256, "trained", 0, False),
    ("50k at 256, trained, SH 3", 50_000, 256, "trained", 3, False),
)


def scene(n: int, kind: str, degree: int) -> Gaussians:
    rng = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(n, 3, generator=rng), dim=-1)
    size = 0.31 * (4 / 3 * math.pi / n) ** (1 / 3)
    scales, opacities = torch.full((n, 3), size), torch.full((n,), 0.1)
    if kind == "trained":
        scales = size * torch.exp(0.6 * torch.randn(n, 3, generator=rng))
        scales[:, 0] *= 0.25
        opacities = torch.sigmoid(0.5 + 2 * torch.randn(n, generator=rng))
    values = (
        0.5 * directions * torch.rand(n, 1, generator=rng) ** (1 / 3),
        torch.randn(n, 4, generator=rng),
        scales,
        opacities,
        0.3 * torch.randn(n, (degree + 1) ** 2, 3, generator=rng),
    )
    return Gaussians(*(value.requires_grad_() for value in values))


def camera(size_px: int) -> Cameras:
    """On +Z at 1.3 m, the ball filling most of the picture."""
    pose = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
    pose[2, 3] = 1.3
    middle = torch.full((1, 2), size_px / 2)
    return Cameras(pose[None], torch.full((1, 2), 1.1 * size_px), middle, size_px, size_px)


def step(render, splats: Gaussians, view: Cameras, clock) -> tuple[float, float]:
    """Seconds for forward, and for forward and backward."""
    start = clock()
    frames = render(splats, view)
    middle = clock()
    outputs = [frames.rgb, frames.alpha]
    leaves = (splats.means, splats.quaternions, splats.scales, splats.opacities, splats.sh)
    torch.autograd.grad(outputs, leaves, [torch.ones_like(t) for t in outputs])
    return middle - start, clock() - start


def measure(spec: tuple, rounds: int, threads: int) -> dict:
    name, n, size_px, kind, degree, against = spec
    splats, view = scene(n, kind, degree), camera(size_px)
    clock = time.thread_time if threads == 1 else time.perf_counter
    renderers = {"cpu": cpu.render} | ({"reference": reference.render} if against else {})
    took = {key: [] for key in renderers}
    with ThreadPoolExecutor(threads) as pool:
        for turn in range(rounds + 1):
            for key, render in renderers.items():
                jobs = [pool.submit(step, render, splats, view, clock) for _ in range(threads)]
                times = [max(t) / threads for t in zip(*(j.result() for j in jobs), strict=True)]
                if turn:  # the first warms up
                    took[key].append(times)
    row = {"scene": name}
    for key, times in took.items():
        forward, both = (statistics.median(t) for t in zip(*times, strict=True))
        row |= {f"{key}_forward_ms": forward * 1e3, f"{key}_forward_backward_ms": both * 1e3}
    if against:
        pairs = list(zip(took["reference"], took["cpu"], strict=True))
        for k, part in enumerate(("forward", "forward_backward")):
            row[f"reference_over_cpu_{part}"] = statistics.median(r[k] / c[k] for r, c in pairs)
    return {key: round(v, 2) if isinstance(v, float) else v for key, v in row.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    cpu.render(scene(10, "even", 0), camera(16))
    first_s = round(time.perf_counter() - start, 2)
    rows = [measure(spec, options.rounds, options.threads) for spec in SCENES]
    versions = {"torch": torch.__version__, "numba": numba.__version__}
    report = {"threads": options.threads, "first_call_s": first_s, "versions": versions}
    print(json.dumps(report | {"scenes": rows}, indent=2))


if __name__ == "__main__":
    main()
