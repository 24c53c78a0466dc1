"""How time and memory of the compiled splat renderer grow with Gaussians and with pixels.

    python benchmarks/rasterize_growth.py [--write growth.json] [--picture growth.png]

Every point is a process of its own: a few splats to load everything, then the largest resident
memory of the first forward and backward above what the process held before it (inputs, libraries,
machine code), and the median CPU time of five more. Linux only, for the memory.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import rasterize  # noqa: E402
import rasterize_scenes  # noqa: E402
import torch  # noqa: E402
from PIL import Image, ImageDraw  # noqa: E402

GAUSSIANS = (10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000)
PIXELS = (128, 256, 512, 1024, 2048, 2880)
"""Side lengths; the last has as many pixels as 3840 x 2160."""
FIXED_GAUSSIANS, FIXED_PX = 100_000, 512
CLOUDS = {"gaussians": rasterize_scenes.shell, "pixels": rasterize_scenes.ball}
BLUE, ORANGE, GRAY = (31, 119, 180), (214, 120, 20), (150, 150, 150)


def resident_mb(field: str) -> float:
    """VmRSS (now) or VmHWM (largest since the last reset) of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def point(along: str, n: int, size_px: int, degree: int) -> dict:
    """Measured in this process."""
    torch.set_num_threads(1)
    cloud = CLOUDS[along](n, size_px)
    scene = rasterize_scenes.splats(cloud, "trained", degree)
    draw = rasterize.ours(1)
    few = CLOUDS[along](10, 16)
    tiny = rasterize_scenes.splats(few, "trained", degree)
    rasterize.step(draw, tiny, few.cameras, time.thread_time)
    before = resident_mb("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    rasterize.step(draw, scene, cloud.cameras, time.thread_time)
    above = resident_mb("VmHWM") - before
    times = [rasterize.step(draw, scene, cloud.cameras, time.thread_time)[1] for _ in range(5)]
    took = round(1e3 * statistics.median(times), 2)
    return {
        "gaussians": n,
        "pixels": size_px**2,
        "SH degree": degree,
        "both ms": took,
        "MB above inputs": round(above, 1),
    }


def measured(along: str, n: int, size_px: int, degree: int = 0) -> dict:
    """The same in a new process."""
    command = [sys.executable, __file__, "--point", along]
    command += [str(n), str(size_px), str(degree)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    row = json.loads(done.stdout)
    print(along, row, file=sys.stderr, flush=True)
    return row


def chart(draw: ImageDraw.ImageDraw, box: tuple, rows: list[dict], along: str) -> None:
    """Milliseconds and megabytes over the quantity, all logarithmic, with a line of slope one."""
    left, top, right, bottom = box
    xs = [math.log10(row[along]) for row in rows]
    low, high = -0.3, 4.0

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - xs[0]) / (xs[-1] - xs[0])
        return left + across * (right - left), bottom - (y - low) / (high - low) * (bottom - top)

    draw.rectangle(box, outline=GRAY)
    for power in range(5):
        y = place(xs[0], power)[1]
        draw.line([(left, y), (right, y)], fill=(225, 225, 225))
        draw.text((left - 34, y - 6), f"{10**power}", fill=GRAY)
    for row, x in zip(rows, xs, strict=True):
        draw.text((place(x, low)[0] - 14, bottom + 4), f"{row[along]:.0e}", fill=GRAY)
    for key, color in (("both ms", BLUE), ("MB above inputs", ORANGE)):
        points = [place(x, math.log10(max(r[key], 0.6))) for x, r in zip(xs, rows, strict=True)]
        draw.line(points, fill=color, width=2)
        for x, y in points:
            draw.ellipse([x - 3, y - 3, x + 3, y + 3], fill=color)
    last = math.log10(rows[-1]["both ms"])
    start = max(xs[0], xs[-1] - (last - low))
    draw.line([place(start, last - (xs[-1] - start)), place(xs[-1], last)], fill=GRAY)
    draw.text((left + 8, top + 6), "ms, forward and backward", fill=BLUE)
    draw.text((left + 8, top + 20), "MB above inputs", fill=ORANGE)
    draw.text((left + 8, top + 34), "proportional", fill=GRAY)
    draw.text(((left + right) / 2 - 30, bottom + 20), along, fill=(0, 0, 0))


def picture(report: dict) -> Image.Image:
    image = Image.new("RGB", (860, 400), "white")
    draw = ImageDraw.Draw(image)
    chart(draw, (50, 20, 410, 350), report["gaussians"], "gaussians")
    chart(draw, (480, 20, 840, 350), report["pixels"], "pixels")
    return image


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--point", nargs=4, metavar=("ALONG", "GAUSSIANS", "SIDE_PX", "DEGREE"))
    parser.add_argument("--write", type=Path)
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()
    if given.point:
        along, *numbers = given.point
        print(json.dumps(point(along, *(int(number) for number in numbers))))
        return
    report = {
        "gaussians": [measured("gaussians", n, FIXED_PX) for n in GAUSSIANS],
        "pixels": [measured("pixels", FIXED_GAUSSIANS, side) for side in PIXELS],
        "with SH": [measured("pixels", 100_000, 512, 3), measured("pixels", 10_000, 256, 3)],
    }
    print(json.dumps(report, indent=1))
    if given.write:
        given.write.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    if given.picture:
        picture(report).save(given.picture, optimize=True)


if __name__ == "__main__":
    main()
