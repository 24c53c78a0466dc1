"""How far meshes extracted from splats are from the surface that the splats were laid on.

    python benchmarks/extraction.py --write benchmarks/results/extraction.json --picture toy.png

The surface is a torus joined smoothly to a ball, known as a signed distance. 12000 flat Gaussians
lie on it with noise in place and direction, as trained ones do; 30 cameras of 160 x 160 pixels
stand around. Chamfer is the mean of both mean distances between 60000 points of the mesh and of the
surface; two such samples of the surface itself are apart by the *floor*, below which nothing can
come. The signed distance itself tells bias from noise: its mean and mean size over points of the
mesh.
"""

import argparse
import json
import logging
import os
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from splatworks.pipeline.contract import Context
from splatworks.renderers import meshes
from splatworks.renderers.scene import Cameras, Gaussians
from splatworks.stages.formats import pictures
from splatworks.stages.geometry.components import Surface, canonical, face_areas, report
from splatworks.stages.geometry.framing import spread_cameras
from splatworks.stages.geometry.isosurface import isosurface
from splatworks.stages.geometry.likeness import one_by_one
from splatworks.stages.geometry.orbit import look_at_origin
from splatworks.stages.surface import Config, Poisson
from splatworks.stages.surface.extractors import extractor
from splatworks.stages.surface.settings import Tets
from splatworks.stages.surface.shapes import shapes_of
from splatworks.stages.surface.task import Region, Task
from splatworks.stages.surface.views import look_from

GAUSSIANS, VIEWS, SIDE_PX, SAMPLES = 12_000, 30, 160, 60_000
NEAR_M = 0.01
HALF = 1.0
"""The cube [-HALF, HALF]^3 holds the surface."""


def distance(points: np.ndarray) -> np.ndarray:
    """To the torus (radii 0.6 and 0.22, in the plane z = 0) and the ball of radius 0.35 above its
    middle, joined by a smooth minimum of width 0.1; negative inside. Not exact near the joint."""
    x, y, z = points.T
    torus = np.hypot(np.hypot(x, y) - 0.6, z) - 0.22
    ball = np.sqrt(x * x + y * y + (z - 0.35) ** 2) - 0.35
    share = np.clip(0.5 + 0.5 * (ball - torus) / 0.1, 0, 1)
    return ball * (1 - share) + torus * share - 0.1 * share * (1 - share)


def gradient(points: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Unit normals, by central differences."""
    shifts = step * np.eye(3)
    slope = np.stack([distance(points + s) - distance(points - s) for s in shifts], axis=1)
    return slope / np.linalg.norm(slope, axis=1, keepdims=True)


def sampled(surface: Surface, count: int, seed: int) -> np.ndarray:
    """Points spread evenly over the area."""
    rng = np.random.default_rng(seed)
    areas = face_areas(surface)
    faces = rng.choice(len(areas), count, p=areas / areas.sum())
    a, b = np.sqrt(rng.random(count)), rng.random(count)
    weights = np.stack([1 - a, a * (1 - b), a * b], axis=1)
    return np.einsum("pk,pkj->pj", weights, surface.positions[surface.faces[faces]])


def truth() -> Surface:
    """A fine mesh of the surface, moved onto it."""
    found = isosurface(
        lambda p: (distance(p.astype(np.float64) * 2 - 1) / 2).astype(np.float32), 160
    )
    points = found.positions.astype(np.float64) * 2 * HALF - HALF
    for _ in range(3):
        points = points - gradient(points) * distance(points)[:, None]
    return Surface(points, found.faces)


def laid_splats(surface: Surface, *, noise: bool = True, seed: int = 1) -> Gaussians:
    """Flat Gaussians: in the plane 0.9 of their spacing, a quarter as thick, moved along the normal
    by 0.3 of it and tilted by 0.15 rad (standard deviations)."""
    rng = np.random.default_rng(seed)
    means = sampled(surface, GAUSSIANS, seed)
    normals = gradient(means)
    width = 0.9 * np.sqrt(face_areas(surface).sum() / GAUSSIANS)
    if noise:
        means = means + normals * rng.normal(0, 0.3 * width, (GAUSSIANS, 1))
        normals = normals + rng.normal(0, 0.15, normals.shape)
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    side = np.cross(normals, [0.3, 0.5, 0.81])
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    axes = np.stack([side, np.cross(normals, side), normals], axis=2)
    x, y, z, w = Rotation.from_matrix(axes).as_quat().T
    tensor = lambda values: torch.from_numpy(np.ascontiguousarray(values)).float()  # noqa: E731
    return Gaussians(
        means=tensor(means),
        quaternions=tensor(np.stack([w, x, y, z], axis=1)),
        scales=tensor(np.tile([width, width, width / 4], (GAUSSIANS, 1))),
        opacities=tensor(rng.uniform(0.7, 0.98, GAUSSIANS)),
        sh=tensor(np.zeros((GAUSSIANS, 1, 3))),
    )


def toy_cameras() -> list[Cameras]:
    return one_by_one(spread_cameras(HALF, views=VIEWS, size_px=SIDE_PX))


@contextmanager
def quiet(title: str, total: int, done: int = 0):
    class Bar:
        def advance(self, steps: int = 1, note: str = "") -> None:
            pass

    yield Bar()


def task_of(scene: Gaussians, config: Config, folder: Path) -> Task:
    ctx = Context(folder, folder, logging.getLogger("extraction"), quiet, 0, "cpu", 1, 4 * 10**9)
    looks = look_from(scene, toy_cameras(), config.views, ctx)
    region = Region(np.zeros(3), HALF, is_object=True)
    return Task(scene, shapes_of(scene), looks, region, config, ctx)


class Judge:
    """Compares meshes with one sample of the surface."""

    def __init__(self, surface: Surface) -> None:
        self.points = sampled(surface, SAMPLES, 2)
        self.tree = cKDTree(self.points)

    def row(self, found: Surface, name: str, seconds: float) -> dict:
        points = sampled(found, SAMPLES, 3)
        there, back = self.tree.query(points)[0], cKDTree(points).query(self.points)[0]
        precision, recall = (there < NEAR_M).mean(), (back < NEAR_M).mean()
        signed, about = distance(points), report(found)
        return {
            "extraction": name,
            "chamfer": round(float(there.mean() + back.mean()) / 2 * 1e3, 3),
            "f1": round(float(2 * precision * recall / max(precision + recall, 1e-9)), 4),
            "bias": round(float(signed.mean()) * 1e3, 3),
            "error": round(float(np.abs(signed).mean()) * 1e3, 3),
            "seconds": round(seconds, 1),
            "faces": about.faces,
            "watertight": about.watertight,
        }


ROWS = {
    "level set 0.3 + Poisson 7": Config(method="sugar", poisson=Poisson(depth=7)),
    "ridge + Poisson, adaptive depth": Config(method="poisson"),
    "ridge + Poisson 7": Config(method="poisson", poisson=Poisson(depth=7)),
    "TSDF": Config(method="tsdf"),
    "TSDF of median depth": Config(method="tsdf", depth="median"),
    "TSDF, contracted space": Config(method="tsdf-contracted"),
    "tetrahedra": Config(method="tets"),
    "tetrahedra of median depth": Config(method="tets", depth="median"),
    "tetrahedra, 3000 Gaussians": Config(method="tets", tets=Tets(max_gaussians=3000)),
    "preview": Config(method="preview"),
}


def portrait(found: Surface, title: str) -> np.ndarray:
    """One lit picture, flat shaded so that every bump shows."""
    views = look_at_origin([35.0], [20.0], distance_m=2.9, fovy_deg=40.0, size_px=(300, 300))
    # The torus lies in z = 0; pictures have +y up.
    upright = found.positions[:, [1, 2, 0]]
    frames = meshes.render(meshes.MeshScene(upright, found.faces), views, shading="lit")
    return pictures.label((frames.rgb + 1 - frames.alpha)[0].numpy(), title)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path)
    parser.add_argument("--picture", type=Path, help="one picture of each mesh, side by side")
    parser.add_argument("--only", help="rows whose name contains this")
    arguments = parser.parse_args()
    surface = truth()
    judge, scene = Judge(surface), laid_splats(surface)
    floor = judge.row(surface, "the surface itself (floor)", 0.0)
    rows = [floor | {"ratio": 1.0}]
    shown = [portrait(surface, "the surface itself")]
    print(rows[0], flush=True)
    with tempfile.TemporaryDirectory() as name:
        for title, config in ROWS.items():
            if arguments.only and arguments.only not in title:
                continue
            start = time.process_time()
            task = task_of(scene, config, Path(name))
            found = canonical(extractor(config.method)(task))
            row = judge.row(found, title, time.process_time() - start)
            rows.append(row | {"ratio": round(row["chamfer"] / floor["chamfer"], 3)})
            shown.append(portrait(found, title))
            print(rows[-1], flush=True)
    if arguments.picture:
        pictures.save(pictures.sheet(shown, columns=5), arguments.picture)
    if arguments.write:
        arguments.write.write_text(json.dumps({"rows": rows}, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
