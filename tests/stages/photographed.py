"""Photographs of meshes with a color for every point of space, in closed form: for tests."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from splatworks.renderers import meshes
from splatworks.renderers.scene import Cameras
from splatworks.stages.formats.cameras import opengl_camera_to_world
from splatworks.stages.formats.gltf import Mesh
from splatworks.stages.geometry.orbit import look_at_origin

Coloring = Callable[[np.ndarray], np.ndarray]
WALL = np.float32([0.2, 0.6, 0.9])
FINE = 3
"""Rays per pixel and axis."""


def waves(points: np.ndarray) -> np.ndarray:
    """sRGB: soft bands across each other, some 20 cm apart."""
    x, y, z = np.moveaxis(points, -1, 0)
    red = 0.5 + 0.35 * np.sin(30 * y + 6 * x)
    green = 0.5 + 0.3 * np.sin(24 * x - 5 * z)
    blue = 0.45 + 0.3 * np.sin(27 * z + 7 * y)
    return np.stack([red, green, blue], axis=-1)


def cameras(
    count: int, size_px: int = 128, lowest: float = -1.0, distance_m: float = 2.0
) -> Cameras:
    """On a Fibonacci sphere around the origin, none below `lowest` of its radius."""
    step = (1 - lowest) / count
    heights = [lowest + (k + 0.5) * step for k in range(count)]
    return look_at_origin(
        [11 + 137.507764 * k % 360 for k in range(count)],
        [float(np.degrees(np.arcsin(height))) for height in heights],
        distance_m=distance_m,
        fovy_deg=35,
        size_px=(size_px, size_px),
    )


def picture(mesh: Mesh, views: Cameras, coloring: Coloring = waves) -> np.ndarray:
    """(camera, height, width, 4): premultiplied sRGB and alpha, means over FINE x FINE rays."""
    fine = Cameras(
        views.world_to_camera, FINE * views.focal_px, FINE * views.center_px,
        FINE * views.width_px, FINE * views.height_px,
    )  # fmt: skip
    scene = meshes.MeshScene(mesh.positions, mesh.faces)
    frames = meshes.render(scene, fine, supersample=1)
    faces, weights = frames.face_id.numpy(), frames.barycentric.numpy()
    points = np.einsum("vhwc,vhwcx->vhwx", weights, mesh.positions[mesh.faces][faces])
    seen = (faces >= 0)[..., None]
    values = np.concatenate([np.where(seen, coloring(points), 0), seen], axis=-1)
    shape = (len(values), views.height_px, FINE, views.width_px, FINE, 4)
    return values.reshape(shape).mean(axis=(2, 4)).astype(np.float32)


def before_wall(pictures: np.ndarray) -> np.ndarray:
    """8-bit RGB."""
    flat = pictures[..., :3] + (1 - pictures[..., 3:]) * WALL
    return np.rint(flat.clip(0, 1) * 255).astype(np.uint8)


def write(folder: Path, pictures: np.ndarray, views: Cameras, **shared: object) -> Path:
    """A nerfstudio capture of 8-bit pictures with 3 or 4 channels."""
    (folder / "images").mkdir(parents=True)
    frames = []
    for k, pixels in enumerate(pictures):
        Image.fromarray(pixels).save(folder / f"images/{k:03d}.png")
        pose = opengl_camera_to_world(views.world_to_camera[k].double())
        frames.append({"file_path": f"images/{k:03d}.png", "transform_matrix": pose.tolist()})
    document = {
        "w": views.width_px, "h": views.height_px,
        "fl_x": float(views.focal_px[0, 0]), "fl_y": float(views.focal_px[0, 1]),
        "cx": float(views.center_px[0, 0]), "cy": float(views.center_px[0, 1]),
    }  # fmt: skip
    (folder / "transforms.json").write_text(json.dumps({**document, **shared, "frames": frames}))
    return folder


def psnr_db(got: np.ndarray, wanted: np.ndarray) -> float:
    """Where both cover a pixel wholly; premultiplied RGBA."""
    both = (got[..., 3] > 0.999) & (wanted[..., 3] > 0.999)
    return float(-10 * np.log10(((got - wanted)[both][:, :3] ** 2).mean()))


def textured(mesh: Mesh, views: Cameras) -> np.ndarray:
    """A textured mesh through cameras, as `picture`."""
    scene = meshes.MeshScene(mesh.positions, mesh.faces, mesh.uvs, mesh.base_color)
    frames = meshes.render(scene, views, supersample=FINE)
    return torch.cat([frames.rgb, frames.alpha], dim=-1).numpy()
