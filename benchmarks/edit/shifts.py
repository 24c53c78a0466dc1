"""How far the positional loss reaches: a card of 60 Gaussians shifted in a picture of 96 px.

    python benchmarks/edit/shifts.py

Short shifts, where pictures overlap, must not suffer by it; long ones must be found by it alone, as
long as the whole is not tried in another place first, which is the last line of each shift.
`error` is the mean distance of the Gaussians to the truth, in pixels of
the picture's plane.
"""

import os
import sys
from dataclasses import replace

os.environ.setdefault("OMP_NUM_THREADS", "1")

import arm
import ladder
import numpy as np
import torch
from splatworks.renderers.sh import C0
from splatworks.stages.edit.settings import Coarse, Matching, Rigidity
from splatworks.stages.formats.splats import RawSplats
from splatworks.stages.geometry.orbit import look_at_origin

SIZE_PX, DISTANCE_M = 96, 3.0
SHIFTS_PX = (3.8, 19.2, 54.7)


def card() -> RawSplats:
    """60 round Gaussians in the plane z = 0, left in the picture."""
    rng = np.random.default_rng(0)
    x, y = rng.uniform([-0.76, -0.4], [-0.44, 0.2], (60, 2)).T
    colors = np.stack([0.3 + 0.6 * (y + 0.4) / 0.6, 0.9 - 0.6 * (x + 0.76) / 0.32,
                       rng.uniform(0.4, 0.6, 60)], axis=1)  # fmt: skip
    return RawSplats(
        means=np.stack([x, y, 0 * x], axis=1).astype(np.float32),
        log_scales=np.log(np.tile([0.04, 0.04, 0.01], (60, 1))).astype(np.float32),
        logit_opacities=np.full(60, 0.85, np.float32),
        quaternions=np.tile([1.0, 0, 0, 0], (60, 1)).astype(np.float32),
        sh=((colors - 0.5) / C0)[:, None].astype(np.float32),
    )


def main() -> int:
    torch.set_num_threads(1)
    views = look_at_origin(
        [0.0], [0.0], distance_m=DISTANCE_M, fovy_deg=36.87, size_px=(SIZE_PX, SIZE_PX)
    )
    meter_px = float(views.focal_px[0, 0]) / DISTANCE_M
    rest = card()
    settings = Coarse(iterations=200, group_iterations=0)
    untried = replace(settings, limbs=False)
    print("| shift px | loss | dB | error px |\n|---|---|---|---|")
    for shift_px in SHIFTS_PX:
        way = np.array([shift_px / meter_px, 0.15 * shift_px / meter_px, 0.0])
        means = (rest.means + way).astype(np.float32)
        goal = replace(rest, means=means)
        given = ladder.case(rest, goal, views, np.ones(60, bool))
        ways = {
            "photometric": (Matching(weight=0.0, find_pairs=False), untried),
            "+ positional": (Matching(find_pairs=False), untried),
            "+ patches": (Matching(), untried),
            "+ tries": (Matching(), settings),
        }
        for name, (matching, stage) in ways.items():
            rung = ladder.Rung(name, True, matching, Rigidity(), stage)
            after, _, _ = ladder.solve(given, rung)
            score = ladder.psnr(arm.picture(after, views)[0], given.truth[0])
            off = (after.means - goal.means)[:, :2]  # The picture's plane; depth hardly shows.
            error = np.linalg.norm(off, axis=1).mean() * meter_px
            print(f"| {shift_px} | {name} | {score:.1f} | {error:.2f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
