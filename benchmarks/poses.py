"""How far cameras found from photographs alone are from the known ones.

    python benchmarks/poses.py CAPTURE --every 3 --write poses_fox.json
    python benchmarks/poses.py CAPTURE --found runs/fox/latest/poses/capture

CAPTURE has known cameras (`transforms.json`, say), which are withheld: only every so many-th
photograph is given to the stage `poses`, in one thread unless told otherwise. Or cameras that were
found already are compared. Photographs are joined by their file names. World and unit of found
cameras are arbitrary, so the camera centers are first laid on the known ones by the similarity with
the least squared error (Umeyama, PAMI 1991, eqs. 40-43), which also turns the found cameras.
"""

import argparse
import json
import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from splatworks.pipeline.contract import Context
from splatworks.pipeline.machine import silent
from splatworks.stages import poses
from splatworks.stages.artifacts import PhotosDir
from splatworks.stages.formats import captures
from splatworks.stages.formats.shots import Shot


def centers_of(cameras: np.ndarray) -> np.ndarray:
    """(camera, 3) from (camera, 4, 4) world-to-camera."""
    return -np.einsum("nji,nj->ni", cameras[:, :3, :3], cameras[:, :3, 3])


def similarity(found: np.ndarray, known: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, rotation and shift with scale * rotation @ found + shift nearest to known."""
    middle, aim = found.mean(axis=0), known.mean(axis=0)
    covariance = (known - aim).T @ (found - middle) / len(found)
    u, strengths, v = np.linalg.svd(covariance)
    sign = np.diag([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(v))])
    rotation = u @ sign @ v
    scale = float(np.trace(np.diag(strengths) @ sign) / ((found - middle) ** 2).sum(axis=1).mean())
    return scale, rotation, aim - scale * rotation @ middle


def angles_deg(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Between rotations (n, 3, 3). By the chord, which is exact for small angles too."""
    return np.degrees(2 * np.arcsin(np.clip(np.linalg.norm(a - b, axis=(1, 2)) / 8**0.5, 0, 1)))


def compare(found: Mapping[str, Shot], known: Mapping[str, Shot]) -> dict[str, object]:
    """Errors of the cameras that both have."""
    names = sorted(found.keys() & known.keys())
    if len(names) < 3:
        raise SystemExit(f"{len(names)} photographs in common; at least 3 are needed.")
    there, truth = (
        np.stack([shots[name].world_to_camera for name in names]) for shots in (found, known)
    )
    scale, rotation, shift = similarity(centers_of(there), centers_of(truth))
    centers = scale * centers_of(there) @ rotation.T + shift
    apart = np.linalg.norm(centers - centers_of(truth), axis=1)
    extent = np.linalg.norm(centers_of(truth) - centers_of(truth).mean(axis=0), axis=1).max()
    turns = angles_deg(there[:, :3, :3] @ rotation.T, truth[:, :3, :3])
    focal = [
        found[n].lens.focal_px[0] / found[n].lens.width_px * known[n].lens.width_px
        / known[n].lens.focal_px[0] - 1
        for n in names
    ]  # fmt: skip
    return {
        "photographs compared": len(names),
        "center error, % of the cameras' radius": summary(100 * apart / extent, names),
        "rotation error, degrees": summary(turns, names),
        "focal length error, %": round(float(100 * np.median(focal)), 3),
    }


def summary(errors: np.ndarray, names: list[str]) -> dict[str, object]:
    worst = int(np.argmax(errors))
    return {
        "median": round(float(np.median(errors)), 4),
        "mean": round(float(errors.mean()), 4),
        "worst": round(float(errors[worst]), 4),
        "of": names[worst],
    }


def find(known: Mapping[str, Shot], every: int, threads: int, config: poses.Config, folder: Path):
    """Photographs alone to a capture; its folder, the stage's report and the seconds it took."""
    for part in ("out", "scratch", "photographs"):
        (folder / part).mkdir()
    for name in sorted(known)[::every]:
        shutil.copyfile(known[name].path, folder / "photographs" / name)
    log = logging.getLogger("poses")
    ctx = Context(
        out=folder / "out", scratch=folder / "scratch", log=log, progress=silent, seed=0,
        device="cpu", threads=threads, memory_bytes=6 * 10**9,
    )  # fmt: skip
    begun = time.monotonic()
    outputs = poses.run(poses.Inputs(PhotosDir(folder / "photographs")), config, ctx)
    report = json.loads(outputs.report.path.read_text("utf-8"))
    return outputs.capture.path, report, time.monotonic() - begun


def by_name(folder: Path) -> dict[str, Shot]:
    return {shot.path.name: shot for shot in captures.load(folder).shots}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("capture", type=Path)
    parser.add_argument("--found", type=Path, help="a capture to compare, instead of finding one")
    parser.add_argument("--every", type=int, default=1, help="take every so many-th photograph")
    parser.add_argument("--max-side", type=int, default=poses.Config().max_side_px)
    parser.add_argument("--features", type=int, default=poses.Config().features)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    known = by_name(arguments.capture)
    result: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.found
        if folder is None:
            config = poses.Config(max_side_px=arguments.max_side, features=arguments.features)
            folder, report, took_s = find(
                known, arguments.every, arguments.threads, config, Path(name)
            )
            result = {
                "photographs": report["photographs"],
                "registered": report["registered"],
                "reprojection error px": report["reprojection_error_px"],
                "wall s": round(took_s, 1),
                "longer side px": arguments.max_side,
                "features": arguments.features,
            }
        result |= compare(by_name(folder), known)
    print(json.dumps(result, indent=1))
    if arguments.write:
        arguments.write.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
