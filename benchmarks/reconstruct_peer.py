"""Our training on photographs beside OpenSplat's on the CPU, on the same photographs and points.

    python benchmarks/reconstruct_peer.py CAPTURE OUT --opensplat BINARY --write peer.json

OpenSplat (AGPL, built by the user without CUDA) is given the photographs as our trainer sees them,
straightened and reduced, without those kept aside, and the points our trainer starts from. Where
the capture has no points these are random ones, which OpenSplat is not made for; `--points-of`
takes the centers of some opaque Gaussians of a finished scene instead, as structure from motion
would find them, for both.
Both run in one thread, each with its own schedule, and are scored on the photographs kept aside
after so many seconds of processor time: OpenSplat's splats in front of its own background, ours
in front of black.
Linux only: processor time is read from /proc.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import reconstruct as ours
import torch
from splatworks.renderers.choose import splat_renderer
from splatworks.renderers.sh import C0
from splatworks.stages import reconstruct
from splatworks.stages.formats import captures, pictures, splats
from splatworks.stages.formats.cameras import opengl_camera_to_world
from splatworks.stages.formats.photos import Photo, load_all, target_of
from splatworks.stages.formats.shots import Points
from splatworks.stages.geometry.activation import activate
from splatworks.stages.geometry.exposure import fitted
from splatworks.stages.geometry.psnr import psnr_db
from splatworks.stages.reconstruct.loss import composed, wanted
from splatworks.stages.reconstruct.settings import Density, Exposures, Views
from splatworks.stages.reconstruct.stage import split
from splatworks.stages.reconstruct.start import first_gaussians

BEHIND = (0.6130, 0.0101, 0.3984)
"""What OpenSplat trains in front of."""
OPAQUE = 0.5
TICKS = os.sysconf("SC_CLK_TCK")


def main() -> int:
    parser = argparse.ArgumentParser(description="Our trainer beside OpenSplat's.")
    parser.add_argument("capture", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--opensplat", type=Path, required=True, metavar="BINARY")
    parser.add_argument("--max-side", type=int, default=480)
    parser.add_argument("--iterations", type=int, default=7_000, help="ours")
    parser.add_argument("--max-gaussians", type=int, default=60_000, help="ours")
    parser.add_argument("--points-of", type=Path, metavar="SPLATS.ply")
    parser.add_argument("--points", type=int, default=10_000, help="how many of them")
    parser.add_argument("--peer-iterations", type=int, default=2_000)
    parser.add_argument("--peer-every", type=int, default=250, help="iterations between two looks")
    parser.add_argument("--peer-halvings", type=int, default=2, help="of the pictures, to begin")
    parser.add_argument(
        "--ours", type=Path, help="what reconstruct.py --write wrote; else we train as well"
    )
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    config = reconstruct.Config(
        iterations=options.iterations,
        views=Views(max_side_px=options.max_side),
        density=Density(max_gaussians=options.max_gaussians),
        exposures=Exposures(mode="off"),
        evaluate_every=500,
    )
    training, aside = photographs(options.capture, config)
    if options.points_of is None:
        points = our_start(training, config)
    else:
        points = of_splats(options.points_of, options.points)
    prepared(training, points, options.out / "capture")
    peer = peer_rows(options, aside)
    if options.ours:
        rows = json.loads(options.ours.read_text("utf-8"))["rows"]
    else:
        whole = options.out / "whole"
        prepared(every_photograph(options.capture, config), points, whole)
        rows, _ = ours.trained(whole, config, threads=1)
    result = {"opensplat": peer, "ours": rows}
    if options.write:
        options.write.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(table(peer, rows))
    return 0


def photographs(folder: Path, config: reconstruct.Config) -> tuple[list[Photo], list[Photo]]:
    """Those to train on, and those kept aside, as our trainer has them."""
    photos = every_photograph(folder, config)
    return split(captures.load(folder), photos, config.views.hold_out_every)


def every_photograph(folder: Path, config: reconstruct.Config) -> list[Photo]:
    """Straightened and reduced."""
    log = logging.getLogger("photographs")
    return list(load_all(captures.load(folder).shots, config.views.max_side_px, log))


def our_start(photos: Sequence[Photo], config: reconstruct.Config) -> Points:
    """Those that our trainer scatters itself where a capture has none."""
    start = first_gaussians(photos, None, config.start, 0, 0, config.density.max_gaussians)
    colors = ((start.sh[:, 0] * C0 + 0.5).clamp(0, 1) * 255).round().byte().numpy()
    return Points(start.means.numpy(), colors)


def of_splats(path: Path, count: int) -> Points:
    """Centers of opaque Gaussians, drawn at random."""
    scene = activate(splats.load(path))
    opaque = np.flatnonzero((scene.opacities > OPAQUE).numpy())
    chosen = np.random.default_rng(0).permutation(opaque)[:count]
    colors = ((scene.sh[chosen, 0] * C0 + 0.5).clamp(0, 1) * 255).round().byte().numpy()
    return Points(scene.means[chosen].numpy(), colors)


def prepared(photos: Sequence[Photo], points: Points, folder: Path) -> None:
    """A nerfstudio capture of pinhole photographs, with points to start from."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = []
    for number, photo in enumerate(photos):
        name = f"{number:04d}.png"
        pictures.save(photo.pixels.permute(1, 2, 0).numpy() / np.float32(255), folder / name)
        (fx, fy), (cx, cy) = photo.lens.focal_px, photo.lens.center_px
        pose = opengl_camera_to_world(photo.world_to_camera)
        frames.append(
            {"file_path": name, "w": photo.lens.width_px, "h": photo.lens.height_px,
             "fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy, "transform_matrix": pose.tolist()}
        )  # fmt: skip
    _write_points(points, folder / "points.ply")
    document = {"camera_model": "OPENCV", "ply_file_path": "points.ply", "frames": frames}
    (folder / "transforms.json").write_text(json.dumps(document), "utf-8")


def _write_points(points: Points, path: Path) -> None:
    rows = np.empty(len(points.positions), [("xyz", "<f4", 3), ("rgb", "u1", 3)])
    rows["xyz"], rows["rgb"] = points.positions, points.colors
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {len(rows)}"]
    lines += [f"property float {name}" for name in "xyz"]
    lines += [f"property uchar {name}" for name in ("red", "green", "blue")]
    path.write_bytes(("\n".join([*lines, "end_header"]) + "\n").encode("ascii") + rows.tobytes())


def peer_rows(options: argparse.Namespace, aside: Sequence[Photo]) -> list[dict[str, float]]:
    """Let OpenSplat train; score what it saves on the way."""
    work = options.out / "opensplat"
    work.mkdir(parents=True, exist_ok=True)
    command = [
        options.opensplat.resolve(), (options.out / "capture").resolve(), "--cpu", "--keep-crs",
        "-n", options.peer_iterations, "--save-every", options.peer_every,
        "--num-downscales", options.peer_halvings, "-o", (work / "splat.ply").resolve(),
    ]  # fmt: skip
    for stale in work.glob("splat*.ply"):
        stale.unlink()
    with (work / "log.txt").open("w") as log:
        process = subprocess.Popen([str(word) for word in command], stdout=log, stderr=log)
        spent = _times(process, work, options)
    if process.returncode != 0:
        raise SystemExit(f"OpenSplat ended with {process.returncode}: see {work / 'log.txt'}.")
    rows = []
    for iteration, seconds in sorted(spent.items()):
        row = scored(work / f"splat_{iteration}.ply", aside)
        rows.append({"iteration": iteration, "processor s": round(seconds, 1), **row})
        print(rows[-1], flush=True)
    return rows


def _times(process: subprocess.Popen, work: Path, options: argparse.Namespace) -> dict[int, float]:
    """Processor seconds at which each file of splats was there."""
    every, last = options.peer_every, options.peer_iterations
    waited = list(range(every, last + 1, every))
    spent: dict[int, float] = {}
    seconds = 0.0
    while process.poll() is None:
        words = Path(f"/proc/{process.pid}/stat").read_text("utf-8").rsplit(")", 1)[1].split()
        seconds = (int(words[11]) + int(words[12])) / TICKS
        while waited and (work / f"splat_{waited[0]}.ply").exists():
            spent[waited.pop(0)] = seconds
        time.sleep(0.1)
    for iteration in waited:
        if (work / f"splat_{iteration}.ply").exists():
            spent[iteration] = seconds
    return spent


@torch.no_grad()
def scored(path: Path, aside: Sequence[Photo]) -> dict[str, float]:
    """PSNR on photographs kept aside, as they are and with exposures evened."""
    scene = activate(splats.load(path))
    render, behind = splat_renderer("cpu"), torch.tensor(BEHIND)
    found, evened = [], []
    for photo in aside:
        target = target_of(photo, 0, "cpu")
        picture = composed(render(scene, target.cameras, frozenset({"rgb", "alpha"})), behind)
        truth = wanted(target, behind)
        found.append(psnr_db(picture, truth, target.counts))
        even = fitted(picture, truth, target.counts).of(picture.clamp(0, 1))
        evened.append(psnr_db(even, truth, target.counts))
    return {
        "psnr dB": round(float(np.mean(found)), 2),
        "evened dB": round(float(np.mean(evened)), 2),
        "gaussians": len(scene.means),
    }


def table(peer: Sequence[dict], rows: Sequence[dict]) -> str:
    """Ours at the last look before each of OpenSplat's, and the ratio of iterations."""
    lines = ["| processor s | OpenSplat, iterations, dB | ours, iterations, dB | iterations |"]
    lines.append("|--:|--:|--:|--:|")
    for theirs in peer:
        before = [row for row in rows if row["processor s"] <= theirs["processor s"]]
        if not before:
            continue
        mine = before[-1]
        ratio = mine["iteration"] / theirs["iteration"]
        lines.append(
            f"| {theirs['processor s']:.0f} | {theirs['iteration']}, {theirs['psnr dB']:.2f} "
            f"| {mine['iteration']}, {mine['psnr dB']:.2f} | {ratio:.1f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
