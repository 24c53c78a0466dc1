"""Where the time of a training loop goes: 10 000 splats learn a picture of 256 x 256 pixels.

    python benchmarks/rasterize_training.py [--steps 200]

The loop is what a trainer does: activations, SH of degree 3, render, L1 loss, backward, Adam.
Prints the share of CPU time inside the compiled kernels, by kernel, and the loss.
"""

import argparse
import json
import os
import time
from collections import defaultdict

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numba  # noqa: E402
import rasterize_scenes  # noqa: E402
import torch  # noqa: E402
from splatworks.renderers import cpu  # noqa: E402
from splatworks.renderers.cpu import bins, blend, gradient, project, project_gradient  # noqa: E402
from splatworks.renderers.scene import Gaussians  # noqa: E402

RATES = {"means": 1e-3, "scales": 5e-3, "quaternions": 1e-3, "opacities": 2e-2, "sh": 2.5e-3}


def watched() -> dict[str, float]:
    """Let every kernel add its seconds to what is returned."""
    seconds = defaultdict(float)

    def watch(kernel, name: str):
        def run(*arguments):
            start = time.thread_time()
            result = kernel(*arguments)
            seconds[name] += time.thread_time() - start
            return result

        return run

    for module in (project, bins, blend, gradient, project_gradient):
        for name, value in list(vars(module).items()):
            compiled = isinstance(value, numba.core.registry.CPUDispatcher)
            if not compiled or value.targetoptions.get("forceinline"):
                continue
            if value.py_func.__module__ == module.__name__:
                setattr(module, name, watch(value, name))
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=200)
    steps = parser.parse_args().steps
    torch.set_num_threads(1)
    cloud = rasterize_scenes.ball(10_000, 256)
    with torch.no_grad():
        target = cpu.render(rasterize_scenes.splats(cloud, "trained", 3), cloud.cameras).rgb
    start = rasterize_scenes.splats(cloud, "start", 3)
    values = {
        "means": start.means.detach().clone(),
        "scales": start.scales.detach().log(),
        "quaternions": start.quaternions.detach().clone(),
        "opacities": start.opacities.detach().logit(),
        "sh": start.sh.detach().clone(),
    }
    groups = [{"params": [v.requires_grad_()], "lr": RATES[k]} for k, v in values.items()]
    optimizer = torch.optim.Adam(groups, fused=True)
    seconds, losses, begun = watched(), [], 0.0
    for step in range(steps + 3):
        if step == 3:  # warmed up
            seconds.clear()
            begun = time.thread_time()
        optimizer.zero_grad()
        scene = Gaussians(
            values["means"],
            values["quaternions"],
            values["scales"].exp(),
            values["opacities"].sigmoid(),
            values["sh"],
        )
        loss = (cpu.render(scene, cloud.cameras).rgb - target).abs().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    whole = time.thread_time() - begun
    inside = sum(seconds.values())
    report = {
        "ms per step": round(1e3 * whole / steps, 2),
        "share inside kernels": round(inside / whole, 3),
        "ms per kernel": {k: round(1e3 * v / steps, 3) for k, v in sorted(seconds.items())},
        "loss": [round(losses[0], 4), round(losses[-1], 4)],
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
