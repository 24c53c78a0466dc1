"""The picture in docs/baking.md: a torus photographed from above only, and what becomes of it.

python benchmarks/baking_picture.py docs/images/baking.png
"""

import json
import logging
import os
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
import trimesh
from PIL import Image
from splatworks.pipeline.contract import Context
from splatworks.renderers import meshes
from splatworks.renderers.scene import Cameras
from splatworks.stages.artifacts import CaptureDir, MeshFile
from splatworks.stages.formats import gltf, pictures
from splatworks.stages.formats.cameras import opengl_camera_to_world
from splatworks.stages.geometry.orbit import look_at_origin
from splatworks.stages.texture import bake

SIDE_PX = 320
WALL = np.float32([0.82, 0.84, 0.86])


def torus() -> gltf.Mesh:
    shape = trimesh.creation.torus(0.32, 0.14, major_sections=96, minor_sections=48)
    turned = shape.vertices[:, [0, 2, 1]] * [1, 1, -1]
    return gltf.Mesh(turned.astype(np.float32), shape.faces.astype(np.int64))


def color(points: np.ndarray) -> np.ndarray:
    """sRGB: tiles with soft borders around the torus, each with a tint of its own."""
    x, y, z = np.moveaxis(points, -1, 0)
    around, height = np.arctan2(z, x) * 16 / np.pi, np.arctan2(y, np.hypot(x, z) - 0.32) * 6 / np.pi
    edge = np.minimum(np.abs(around - np.rint(around)) / 3, np.abs(height - np.rint(height)))
    tint = np.stack([np.sin(k * np.floor(around) + 2 * np.floor(height)) for k in (1, 2, 5)], -1)
    return (0.5 + 0.3 * tint) * np.clip(0.25 + 12 * edge, 0, 1)[..., None]


def shown(mesh: gltf.Mesh, cameras: Cameras, coloring=None) -> np.ndarray:
    """Before a wall: its texture, or a color for every point."""
    fine = Cameras(
        cameras.world_to_camera, 2 * cameras.focal_px, 2 * cameras.center_px,
        2 * cameras.width_px, 2 * cameras.height_px,
    )  # fmt: skip
    scene = meshes.MeshScene(mesh.positions, mesh.faces, mesh.uvs, mesh.base_color)
    frames = meshes.render(scene, fine, supersample=1)
    rgb = frames.rgb.numpy()
    if coloring is not None:
        faces = frames.face_id.numpy()
        corners = mesh.positions[mesh.faces][faces]
        rgb = coloring(np.einsum("vhwc,vhwcx->vhwx", frames.barycentric.numpy(), corners))
    flat = np.where(frames.alpha.numpy() > 0, rgb, WALL)
    shape = (len(flat), cameras.height_px, 2, cameras.width_px, 2, 3)
    return flat.reshape(shape).mean(axis=(2, 4)).astype(np.float32)


def capture(folder: Path, views: np.ndarray, cameras: Cameras) -> Path:
    (folder / "images").mkdir(parents=True)
    frames = []
    for k, picture in enumerate(views):
        pictures.save(picture, folder / f"images/{k:03d}.png")
        pose = opengl_camera_to_world(cameras.world_to_camera[k].double())
        frames.append({"file_path": f"images/{k:03d}.png", "transform_matrix": pose.tolist()})
    focal, half = float(cameras.focal_px[0, 0]), SIDE_PX / 2
    shared = {"w": SIDE_PX, "h": SIDE_PX, "fl_x": focal, "fl_y": focal, "cx": half, "cy": half}
    (folder / "transforms.json").write_text(json.dumps({**shared, "frames": frames}))
    return folder


def main() -> None:
    torch.set_num_threads(1)
    mesh, views = torus(), 14
    taken = look_at_origin(
        [360 / 7 * k for k in range(views)], [15 + 30 * (k % 2) for k in range(views)],
        distance_m=1.7, fovy_deg=36, size_px=(SIDE_PX, SIDE_PX),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photographs = shown(mesh, taken, color)
        inputs = bake.Inputs(
            MeshFile(gltf.save(mesh, folder / "mesh.glb")),
            CaptureDir(capture(folder / "capture", photographs, taken)),
        )
        made = bake.run(inputs, bake.Config(texture_size_px=1024), context(folder))
        found = gltf.load(made.textured.path)
        mask = np.asarray(Image.open(made.unseen.path))
    tinted = np.where(mask[..., None] > 0, np.uint8([255, 60, 200]), found.base_color[..., :3])
    marked = gltf.Mesh(found.positions, found.faces, uvs=found.uvs, base_color=tinted)
    others = look_at_origin(
        [26, 26], [32, -48], distance_m=1.7, fovy_deg=36, size_px=(SIDE_PX, SIDE_PX)
    )
    above, below = shown(found, others)
    cells = [
        pictures.label(picture, text)
        for picture, text in (
            (photographs[1], "one of 14 photographs"),
            (above, "baked, from a new side"),
            (below, "from below"),
            (shown(marked, others)[1], "from below: guessed texels"),
        )
    ]
    pictures.save(pictures.sheet(cells, columns=4), Path(sys.argv[1]))


def context(folder: Path) -> Context:
    @contextmanager
    def silent(title: str, total: int, done: int = 0):
        class Bar:
            def advance(self, steps: int = 1, note: str = "") -> None:
                pass

        yield Bar()

    for name in ("out", "scratch"):
        (folder / name).mkdir()
    return Context(
        out=folder / "out", scratch=folder / "scratch", log=logging.getLogger("bake"),
        progress=silent, seed=0, device="cpu", threads=1, memory_bytes=4 << 30,
    )  # fmt: skip


if __name__ == "__main__":
    main()
