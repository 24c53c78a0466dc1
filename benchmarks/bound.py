"""Bound Gaussians against a mesh with vertex colors and against a baked texture.

    python benchmarks/bound.py [--iterations 300] [--size 128] [--sheet FILE.png]
    python benchmarks/bound.py --mesh MESH.glb --capture DIR --splats S.ply --out DIR

The first form needs nothing: a knot of 2000 triangles with a fine pattern and a gloss, whose
pictures are computed per point. The rivals are as good as their kind can be: vertex colors are the
least squares over all pixels of the training views; each texel of the texture is the mean (or the
median) of what the training views see there. All judged on views kept aside.

The second form binds a mesh of a capture, and compares with splats of the same capture on the
photographs kept aside, over the pixels that the mesh fills.
"""

import argparse
import json
import logging
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from reconstruct import quiet
from scipy import sparse
from scipy.sparse.linalg import lsqr
from splatworks.pipeline.contract import Context
from splatworks.renderers import meshes
from splatworks.renderers.choose import named
from splatworks.renderers.meshes import MeshScene
from splatworks.renderers.scene import Cameras
from splatworks.stages import bound
from splatworks.stages.artifacts import CaptureDir, ExposuresFile, TexturedMeshFile
from splatworks.stages.bound import learned, start, views
from splatworks.stages.bound.consistency import neighbors_across
from splatworks.stages.bound.first_look import first_look
from splatworks.stages.bound.loop import Task, step
from splatworks.stages.bound.views import Material, View
from splatworks.stages.formats import gltf, pictures, splats
from splatworks.stages.formats.photos import Target
from splatworks.stages.geometry.activation import activate
from splatworks.stages.geometry.atlas import atlas, texels
from splatworks.stages.geometry.bake import Maps, fill
from splatworks.stages.geometry.components import Surface, vertex_normals
from splatworks.stages.geometry.likeness import one_by_one
from splatworks.stages.geometry.psnr import psnr_db
from splatworks.stages.reconstruct.exposures import both as both_exposed
from splatworks.stages.reconstruct.loss import composed

ALONG, ROUND = 100, 10
"""2 x 100 x 10 triangles."""
FINE = 3
"""Squared, the rays per pixel."""
LIGHT = np.array([0.5, 0.7, 0.5]) / math.sqrt(0.99)
TRAINING, ASIDE = 40, 8
TEXTURE_PX = 1024

Colors = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(places, normals, eye) -> sRGB."""


def knot() -> Surface:
    """A (2, 3) torus knot in a ball of radius 0.5; counter-clockwise from outside."""
    t = 2 * np.pi * np.arange(ALONG) / ALONG
    path = np.stack(
        [(2 + np.cos(3 * t)) * np.cos(2 * t), (2 + np.cos(3 * t)) * np.sin(2 * t),
         np.sin(3 * t)], axis=1,
    ) / 6.8  # fmt: skip
    tangent = np.roll(path, -1, axis=0) - np.roll(path, 1, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    outward = path - path * [[0, 0, 1]] * 0.5
    side = np.cross(tangent, outward)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    up = np.cross(side, tangent)
    angle = 2 * np.pi * np.arange(ROUND) / ROUND
    ring = np.cos(angle)[None, :, None] * side[:, None] + np.sin(angle)[None, :, None] * up[:, None]
    points = (path[:, None] + 0.075 * ring).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(ALONG), np.arange(ROUND), indexing="ij")
    a, b = i * ROUND + j, i * ROUND + (j + 1) % ROUND
    c, d = (i + 1) % ALONG * ROUND + j, (i + 1) % ALONG * ROUND + (j + 1) % ROUND
    faces = np.concatenate(
        [np.stack([a, c, b], -1).reshape(-1, 3), np.stack([b, c, d], -1).reshape(-1, 3)]
    )
    surface = Surface(points, faces)
    corners = points[faces]
    volume = np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
    return surface if volume > 0 else Surface(points, faces[:, ::-1])


def glossy(places: np.ndarray, normals: np.ndarray, eye: np.ndarray) -> np.ndarray:
    """A pattern, lit, with a highlight and a bright rim that move with the eye."""
    x, y, z = 45 * places.T
    base = 0.4 + 0.28 * np.stack(
        [np.sin(x + 2 * np.sin(y)), np.sin(1.3 * y - z), np.sin(1.7 * z + x)], axis=1
    )
    towards = eye - places
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    half = towards + LIGHT
    half /= np.linalg.norm(half, axis=1, keepdims=True)
    shine = 0.5 * np.einsum("ij,ij->i", half, normals).clip(0) ** 12
    rim = 0.3 * (1 - np.einsum("ij,ij->i", towards, normals).clip(0, 1)) ** 3
    lit = 0.55 + 0.45 * (normals @ LIGHT).clip(0)
    return (base * lit[:, None] + (shine + rim)[:, None]).clip(0, 1)


@dataclass(frozen=True, slots=True)
class Rays:
    """What fine rays of one view hit, and how to make a picture of their colors."""

    hit: np.ndarray
    face: np.ndarray
    weights: np.ndarray
    eye: np.ndarray
    size_px: int

    def picture(self, colors: np.ndarray) -> np.ndarray:
        """On black, "height width 3"."""
        full = np.zeros((len(self.hit), 3))
        full[self.hit] = colors
        return full.reshape(self.size_px, FINE, self.size_px, FINE, 3).mean(axis=(1, 3))

    def alpha(self) -> np.ndarray:
        return self.picture(np.ones((int(self.hit.sum()), 3)))[..., :1]


def cast(surface: Surface, camera: Cameras) -> Rays:
    """`FINE` squared rays per pixel."""
    fine = replace(
        camera, focal_px=camera.focal_px * FINE, center_px=camera.center_px * FINE,
        width_px=camera.width_px * FINE, height_px=camera.height_px * FINE,
    )  # fmt: skip
    scene = MeshScene(surface.positions.astype(np.float32), surface.faces)
    found = meshes.render(scene, fine, supersample=1)
    face = found.face_id[0].numpy().reshape(-1)
    hit = face >= 0
    pose = camera.world_to_camera[0].double().numpy()
    eye = -pose[:3, :3].T @ pose[:3, 3]
    weights = found.barycentric[0].double().numpy().reshape(-1, 3)[hit]
    return Rays(hit, face[hit], weights, eye, camera.width_px)


def at(surface: Surface, values: np.ndarray, face: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.einsum("rk,rkc->rc", weights, values[surface.faces[face]])


def shaded(surface: Surface, normals: np.ndarray, rays: Rays, colors: Colors) -> np.ndarray:
    """The true picture."""
    n = at(surface, normals, rays.face, rays.weights)
    n /= np.linalg.norm(n, axis=1, keepdims=True)
    places = at(surface, surface.positions, rays.face, rays.weights)
    return rays.picture(colors(places, n, rays.eye))


def vertex_colored(surface: Surface, training: list[tuple[Rays, np.ndarray]]) -> np.ndarray:
    """The vertex colors with the least squared error over all pixels of the training views."""
    blocks, targets = [], []
    for rays, picture in training:
        size = rays.size_px
        ray = np.flatnonzero(rays.hit)
        row, column = ray // (size * FINE) // FINE, ray % (size * FINE) // FINE
        pixel = np.repeat(row * size + column, 3)
        blocks.append(
            sparse.csr_matrix(
                (rays.weights.reshape(-1) / FINE**2,
                 (pixel, surface.faces[rays.face].reshape(-1))),
                (size * size, len(surface.positions)),
            )
        )  # fmt: skip
        targets.append(picture.reshape(-1, 3))
    system, wanted_colors = sparse.vstack(blocks).tocsr(), np.concatenate(targets)
    return np.stack(
        [lsqr(system, wanted_colors[:, c], damp=1e-3, iter_lim=300)[0] for c in range(3)], axis=1
    )


@dataclass(frozen=True, slots=True)
class Texture:
    """A mesh with uvs and its picture, in sRGB."""

    uvs: np.ndarray
    faces: np.ndarray
    picture: np.ndarray

    def render(self, rays: Rays) -> np.ndarray:
        uv = np.einsum("rk,rkc->rc", rays.weights, self.uvs[self.faces[rays.face]])
        return rays.picture(meshes.sample(self.picture, uv))


def baked(
    surface: Surface, normals: np.ndarray, training: list[Rays], colors: Colors, cameras: Cameras
) -> dict[str, Texture]:
    """Per texel, mean and median of what the views see: computed at the place itself, so without
    any loss from sampling photographs."""
    plain = gltf.Mesh(surface.positions.astype(np.float32), surface.faces)
    layout = atlas(plain, TEXTURE_PX)
    where = texels(layout)
    places = where.positions.astype(np.float64)
    n = at(surface, normals, where.faces, where.barycentrics.astype(np.float64))
    n /= np.linalg.norm(n, axis=1, keepdims=True)
    seen = np.full((len(training), len(places), 3), np.nan, np.float32)
    scene = MeshScene(surface.positions.astype(np.float32), surface.faces)
    for number, (rays, camera) in enumerate(zip(training, one_by_one(cameras), strict=True)):
        depth = meshes.render(scene, camera, supersample=1).depth[0, ..., 0].numpy()
        pose = camera.world_to_camera[0].double().numpy()
        there = places @ pose[:3, :3].T + pose[:3, 3]
        focal, center = camera.focal_px[0].numpy(), camera.center_px[0].numpy()
        pixel = there[:, :2] / there[:, 2:] * focal + center
        column, row = pixel.astype(int).clip(0, camera.width_px - 1).T
        visible = np.abs(depth[row, column] - there[:, 2]) < 0.02
        visible &= np.einsum("ij,ij->i", rays.eye - places, n) > 0
        seen[number, visible] = colors(places[visible], n[visible], rays.eye)
    out = {}
    valid = np.isfinite(seen[..., 0]).any(axis=0)
    for name, average in (("mean", np.nanmean), ("median", np.nanmedian)):
        values = np.zeros((TEXTURE_PX, TEXTURE_PX, 3), np.float32)
        mask = np.zeros((TEXTURE_PX, TEXTURE_PX), bool)
        values[where.rows[valid], where.columns[valid]] = average(seen[:, valid], axis=0)
        mask[where.rows[valid], where.columns[valid]] = True
        assert layout.mesh.uvs is not None
        out[name] = Texture(layout.mesh.uvs, layout.mesh.faces, fill(Maps(values, mask), 2))
    return out


def context(folder: Path) -> Context:
    for part in ("out", "scratch"):
        (folder / part).mkdir(exist_ok=True, parents=True)
    log = logging.getLogger("bound")
    log.setLevel(logging.INFO)
    if not log.handlers:
        log.addHandler(logging.StreamHandler(sys.stdout))
    return Context(
        out=folder / "out", scratch=folder / "scratch", log=log, progress=quiet, seed=0,
        device="cpu", threads=1, memory_bytes=6 * 10**9,
    )  # fmt: skip


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    planes = [torch.from_numpy(np.ascontiguousarray(x)).permute(2, 0, 1).double() for x in (a, b)]
    return psnr_db(*planes, None)


def refined(
    surface: Surface, material: Material, config: bound.Config, folder: Path
) -> tuple[Task, learned.State]:
    """What the stage does, without its files."""
    ctx = context(folder)
    _, radius = start.bounding_sphere(surface)
    bond, values = start.first_values(surface, radius, config, ctx.log)
    look = first_look(
        MeshScene(surface.positions.astype(np.float32), surface.faces), material.views
    )
    task = Task(
        bond=bond, pairs=torch.from_numpy(neighbors_across(surface.faces)),
        training=look.views, kept_aside=[], renderer=named("cpu"), config=config, radius=radius,
        white_behind=False, seed=0, device="cpu",
    )  # fmt: skip
    state = learned.start(start.colored(values, bond, look.colors))
    for _ in range(config.iterations):
        step(task, state)
    return task, state


def toy(arguments: argparse.Namespace) -> dict[str, float]:
    """The knot: PSNR on views kept aside, by method."""
    surface = knot()
    normals = vertex_normals(surface)
    every = views.around(
        np.zeros(3), 0.5,
        bound.Views(renders=TRAINING + ASIDE, render_size_px=arguments.size),
    )  # fmt: skip
    cameras = one_by_one(every)
    rays = [cast(surface, camera) for camera in cameras]
    truth = [shaded(surface, normals, one, glossy) for one in rays]
    aside = [k for k in range(len(rays)) if k % (len(rays) // ASIDE) == 3]
    training = [k for k in range(len(rays)) if k not in aside]
    chosen = replace(
        every, world_to_camera=every.world_to_camera[training],
        focal_px=every.focal_px[training], center_px=every.center_px[training],
    )  # fmt: skip
    made: dict[str, list[np.ndarray]] = {"truth": [truth[k] for k in aside]}
    colors = vertex_colored(surface, [(rays[k], truth[k]) for k in training])
    made["vertex colors"] = [
        rays[k].picture(at(surface, colors, rays[k].face, rays[k].weights)) for k in aside
    ]
    for name, texture in baked(
        surface, normals, [rays[k] for k in training], glossy, chosen
    ).items():
        made[f"texture ({name})"] = [texture.render(rays[k]) for k in aside]
    material = Material(
        tuple(_view(k, cameras[k], rays[k], truth[k]) for k in training), splats.Sidecar()
    )
    for name, config in _variants(arguments.iterations).items():
        begun = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            task, state = refined(surface, material, config, Path(folder))
        scene, _ = learned.gaussians(state.values, task.bond, state.values.sh.shape[1])
        with torch.no_grad():
            shots = [task.renderer(scene, cameras[k]) for k in aside]
        made[name] = [shot.rgb[0].double().numpy() for shot in shots]
        print(f"{name}: {time.process_time() - begun:.0f} s", flush=True)
    if arguments.sheet:
        rows = [picture for row in made.values() for picture in row[:4]]
        pictures.save(pictures.sheet([r.astype(np.float32) for r in rows], columns=4),
                      arguments.sheet)  # fmt: skip
    return {
        name: float(np.mean([psnr(a, b) for a, b in zip(shots, made["truth"], strict=True)]))
        for name, shots in made.items()
        if name != "truth"
    }


def _variants(iterations: int) -> dict[str, bound.Config]:
    base = bound.Config(iterations=iterations)
    return {
        "bound, 6 per face": base,
        "bound, 6 per face, one color": replace(base, sh_degree=0),
        "bound, 1 per face": replace(base, per_face=1),
    }


def _view(number: int, camera: Cameras, rays: Rays, picture: np.ndarray) -> View:
    def planes(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1))).float()

    target = Target(camera, planes(picture), planes(rays.alpha()), None)
    return View(f"{number:03d}", False, target)


def captured(arguments: argparse.Namespace) -> dict[str, object]:
    """A mesh of a capture: bound Gaussians and free splats over the same pixels."""
    config = bound.Config(
        iterations=arguments.iterations,
        per_face=arguments.per_face,
        views=bound.Views(max_side_px=arguments.max_side),
        checkpoint_every_s=20.0,
    )
    ctx = context(arguments.out)
    result = arguments.out / "out" / "report.json"
    if not result.exists():
        begun = time.process_time()
        listed = None if arguments.exposures is None else ExposuresFile(arguments.exposures)
        capture = CaptureDir(arguments.capture)
        bound.run(
            bound.Inputs(TexturedMeshFile(arguments.mesh), capture=capture, exposures=listed),
            config, ctx,
        )  # fmt: skip
        print(f"{time.process_time() - begun:.0f} s of processor in this call", flush=True)
    report = json.loads(result.read_text("utf-8"))
    surface = start.welded(arguments.mesh, ctx.log)
    material = views.of_capture(arguments.capture, config.views, ctx.log, arguments.exposures)
    scene = MeshScene(surface.positions.astype(np.float32), surface.faces)
    both = {
        "bound": activate(splats.load(arguments.out / "out" / "splats.ply")),
        "free": activate(splats.load(arguments.splats)),
    }
    scores: dict[str, list[float]] = {name: [] for name in both}
    for view in first_look(scene, material.views).views:
        if not view.held_out:
            continue
        target, black = view.target("cpu"), torch.zeros(3)
        for name, held in both.items():
            with torch.no_grad():
                rendered = composed(named("cpu")(held, target.cameras), black)
            picture, truth = both_exposed(view.exposure, rendered, target, black)
            scores[name].append(psnr_db(picture, truth, target.counts))
    return {
        **{f"{name} dB": round(float(np.mean(each)), 2) for name, each in scores.items()},
        "pixels that count": report["pixels_that_count"],
        "Gaussians": report["gaussians"],
        "triangles": report["triangles"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--mesh", type=Path)
    parser.add_argument("--capture", type=Path)
    parser.add_argument("--splats", type=Path)
    parser.add_argument("--exposures", type=Path, help="exposures.json beside the splats")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--max-side", type=int, default=480)
    parser.add_argument("--per-face", type=int, default=1, choices=[1, 3, 4, 6])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    given = [arguments.mesh, arguments.capture, arguments.splats, arguments.out]
    if any(given) and not all(given):
        parser.error("--mesh, --capture, --splats and --out go together")
    for name, figure in (captured(arguments) if any(given) else toy(arguments)).items():
        print(f"{name:34}{figure:9.2f}" if isinstance(figure, float) else f"{name:34}{figure:>9}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
