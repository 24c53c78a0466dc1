"""The picture of docs/bound-gaussians.md: an arm of splats, meshed, bound, bent in its mesh.

    python benchmarks/bound_picture.py FILE.png [--iterations 300] [--work DIR]

Rows: the splats it began with; the bound splats; the bent mesh; the splats that followed it.
"""

import argparse
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent / "edit"))

import arm
import numpy as np
import torch
from splatworks.pipeline.cli import main as pipeline
from splatworks.renderers import meshes
from splatworks.renderers.meshes import MeshScene
from splatworks.renderers.scene import Cameras
from splatworks.stages.formats import gltf, pictures, splats
from splatworks.stages.geometry.components import Surface, vertex_normals
from splatworks.stages.geometry.orbit import look_at_origin

BEND_DEG, TWIST_DEG = 80.0, 200.0
JOINT_M = 0.15
"""The bend is spread over so much on either side of the joint."""


def bent(places: np.ndarray) -> np.ndarray:
    """The second link twisted about its own axis, more and more, and bent upwards at the joint."""
    x, y, z = places.astype(np.float64).T
    twist = np.radians(TWIST_DEG) * (x / arm.LENGTH_M).clip(0, 1)
    y, z = np.cos(twist) * y - np.sin(twist) * z, np.sin(twist) * y + np.cos(twist) * z
    share = ((x + JOINT_M) / (2 * JOINT_M)).clip(0, 1)
    # An arc about (-JOINT_M, radius), then straight on along its end.
    angle = np.radians(BEND_DEG) * share
    radius = 2 * JOINT_M / np.radians(BEND_DEG)
    beyond = (x - JOINT_M).clip(0)
    before = (x + JOINT_M).clip(max=0)
    out_x = -JOINT_M + before + (radius - y) * np.sin(angle) + beyond * np.cos(angle)
    out_y = radius - (radius - y) * np.cos(angle) + beyond * np.sin(angle)
    return np.stack([out_x, out_y, z], axis=1).astype(np.float32)


def cameras() -> Cameras:
    """From four sides, at what lies between the straight and the bent arm."""
    around = look_at_origin(
        [20.0, 110.0, 200.0, 290.0], [15.0, 20.0, 15.0, 20.0],
        distance_m=1.9, fovy_deg=33.0, size_px=(260, 190),
    )  # fmt: skip
    poses = around.world_to_camera.clone()
    poses[:, :3, 3] -= poses[:, :3, :3] @ torch.tensor([-0.02, 0.17, 0.0])
    return replace(around, world_to_camera=poses)


def work(folder: Path, iterations: int) -> list[np.ndarray]:
    """Every step by its command; what is there already is not made again."""
    first, run = folder / "arm.ply", folder / "bound"
    splats.save(arm.arm(2000), first)
    mesh = folder / "mesh" / "latest" / "mesh" / "mesh.glb"
    step = ["step", "mesh", "--inputs.splats", str(first), "--config.max-faces", "2000"]
    assert pipeline([*step, "--out", str(folder / "mesh")]) == 0
    words = ["bind", str(mesh), "--splats", str(first), "--iterations", str(iterations)]
    assert pipeline([*words, "--out", str(run)]) == 0
    rest = gltf.load(run / "latest" / "bind" / "mesh.glb")
    places = bent(rest.positions)
    normals = vertex_normals(Surface(places.astype(np.float64), rest.faces)).astype(np.float32)
    posed = gltf.Mesh(places, rest.faces, normals, colors=rest.colors)
    gltf.save(posed, folder / "posed.glb")
    words = ["pose", str(run), "--mesh", str(folder / "posed.glb")]
    assert pipeline([*words, "--out", str(folder / "posed.ply")]) == 0
    scene = MeshScene(places, rest.faces, vertex_colors=rest.colors, normals=normals)
    frames = meshes.render(scene, cameras(), supersample=3, shading="lit")
    return [
        *arm.picture(splats.load(first), cameras()),
        *arm.picture(splats.load(run / "latest" / "bind" / "splats.ply"), cameras()),
        *(frames.rgb + 1 - frames.alpha).numpy(),
        *arm.picture(splats.load(folder / "posed.ply"), cameras()),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--work", type=Path, help="where to keep what is made on the way")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        rows = work(arguments.work or Path(folder), arguments.iterations)
    pictures.save(pictures.sheet(rows, columns=4), arguments.file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
