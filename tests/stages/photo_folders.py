"""Captures of a striped ball, in closed form, as each program would leave them."""

import json
import math
import struct
from pathlib import Path

import numpy as np
from PIL import Image
from splatworks.renderers.scene import Cameras
from splatworks.stages.formats.cameras import opengl_camera_to_world

from . import striped_ball

SIZE = 40


def cameras(count: int = 12, size_px: int = SIZE) -> Cameras:
    return striped_ball.cameras(
        [(360 / count * k, 10 + 25 * (k % 2)) for k in range(count)], size_px
    )


def pictures(views: Cameras, *, behind: float = 0.0) -> np.ndarray:
    """8-bit RGB on a gray background."""
    straight = striped_ball.pictures(views)
    flat = straight[..., :3] * straight[..., 3:] + behind * (1 - straight[..., 3:])
    return (flat * 255).round().byte().numpy()


def nerfstudio(folder: Path, count: int = 12, *, behind: float = 0.0, **shared: object) -> Path:
    """`transforms.json` and `images/`."""
    views = cameras(count)
    (folder / "images").mkdir(parents=True)
    frames = []
    for k, pixels in enumerate(pictures(views, behind=behind)):
        name = f"images/{k:03d}.png"
        Image.fromarray(pixels).save(folder / name)
        pose = opengl_camera_to_world(views.world_to_camera[k])
        frames.append({"file_path": name, "transform_matrix": pose.tolist()})
    focal = float(views.focal_px[0, 0])
    document = {"w": SIZE, "h": SIZE, "fl_x": focal, "fl_y": focal, "cx": SIZE / 2, "cy": SIZE / 2}
    (folder / "transforms.json").write_text(json.dumps({**document, **shared, "frames": frames}))
    return folder


def blender(folder: Path, count: int = 8) -> Path:
    """Two splits with alpha, names without endings, one angle."""
    views = cameras(count)
    angle = 2 * math.atan(SIZE / 2 / float(views.focal_px[0, 0]))
    straight = (striped_ball.pictures(views) * 255).round().byte().numpy()
    for split, numbers in (("train", range(count - 2)), ("test", range(count - 2, count))):
        (folder / split).mkdir(parents=True)
        frames = []
        for k in numbers:
            Image.fromarray(straight[k]).save(folder / split / f"r_{k}.png")
            pose = opengl_camera_to_world(views.world_to_camera[k]).tolist()
            frames.append({"file_path": f"./{split}/r_{k}", "transform_matrix": pose})
        document = {"camera_angle_x": angle, "frames": frames}
        (folder / f"transforms_{split}.json").write_text(json.dumps(document))
    return folder


def colmap(folder: Path, *, binary: bool, count: int = 10) -> Path:
    """A model with one OPENCV camera without bending, and a few points."""
    views = cameras(count)
    model = folder / "sparse" / "0"
    model.mkdir(parents=True)
    (folder / "images").mkdir()
    for k, pixels in enumerate(pictures(views)):
        Image.fromarray(pixels).save(folder / "images" / f"{k:03d}.png")
    focal = float(views.focal_px[0, 0])
    lens = [focal, focal, SIZE / 2, SIZE / 2, 0.0, 0.0, 0.0, 0.0]
    poses = [
        (*_quaternion(pose[:3, :3].double().numpy()), *pose[:3, 3].tolist())
        for pose in views.world_to_camera
    ]
    points = surface(60)
    (_write_binary if binary else _write_text)(model, lens, poses, points)
    return folder


def surface(count: int) -> list[tuple[list[float], list[int]]]:
    """Points of the ball with some color."""
    rng = np.random.default_rng(0)
    ways = rng.normal(size=(count, 3))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    return [
        ((0.32 * way + [0, -0.05, 0]).tolist(), [10, 200, k % 256]) for k, way in enumerate(ways)
    ]


def _write_text(model: Path, lens, poses, points) -> None:
    numbers = " ".join(map(str, lens))
    (model / "cameras.txt").write_text(f"# a comment\n3 OPENCV {SIZE} {SIZE} {numbers}\n")
    lines = ["# a comment"]
    for k, pose in enumerate(poses):
        lines += [
            f"{k + 1} {' '.join(map(str, pose))} 3 {k:03d}.png",
            "1.0 2.0 -1" if k % 2 else "",
        ]
    (model / "images.txt").write_text("\n".join(lines) + "\n")
    rows = [
        f"{k} {' '.join(map(str, at))} {' '.join(map(str, color))} 0.5 1 2"
        for k, (at, color) in enumerate(points)
    ]
    (model / "points3D.txt").write_text("\n".join(rows) + "\n")


def _write_binary(model: Path, lens, poses, points) -> None:
    data = struct.pack("<QiiQQ8d", 1, 3, 4, SIZE, SIZE, *lens)
    (model / "cameras.bin").write_bytes(data)
    data = struct.pack("<Q", len(poses))
    for k, pose in enumerate(poses):
        data += struct.pack("<i7di", k + 1, *pose, 3) + f"{k:03d}.png".encode() + b"\0"
        observations = k % 3
        data += struct.pack("<Q", observations) + b"\0" * (24 * observations)
    (model / "images.bin").write_bytes(data)
    data = struct.pack("<Q", len(points))
    for k, (at, color) in enumerate(points):
        track = k % 2
        data += (
            struct.pack("<Q3d3Bd", k, *at, *color, 0.5)
            + struct.pack("<Q", track)
            + b"\0" * (8 * track)
        )
    (model / "points3D.bin").write_bytes(data)


def _quaternion(turn: np.ndarray) -> tuple[float, ...]:
    from scipy.spatial.transform import Rotation

    x, y, z, w = Rotation.from_matrix(turn).as_quat()
    return w, x, y, z


def edited(folder: Path, change) -> None:
    """Change the document of a nerfstudio folder."""
    path = folder / "transforms.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
