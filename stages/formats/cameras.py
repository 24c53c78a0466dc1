"""`camera/1`: pinhole cameras as a nerfstudio camera path.

In the file: OpenGL camera-to-world (x right, y up, z backward), row-major, vertical `fov` in
degrees. Inside: OpenCV world-to-camera (`renderers/scene.py`). This file is where one becomes
the other. nerfstudio reads what it knows (`camera_to_world`, `fov`, `aspect`); three entries of
ours beside it keep what it does not, so that our own cameras come back bit for bit:
`focal_px`, `center_px`, and `world_to_camera` (OpenCV), which must agree with `camera_to_world`.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...pipeline.contract import replacing
from ...pipeline.errors import InputError
from ...renderers.scene import Cameras
from . import documents

AGREEMENT = 1e-5
"""Largest difference between the two poses of one camera, relative to its distance."""


def save(cameras: Cameras, path: Path, fps: float = 24.0) -> Path:
    """Write all cameras as one path. Returns `path`."""
    count = len(cameras.world_to_camera)
    document = {
        "camera_type": "perspective",
        "render_width": cameras.width_px,
        "render_height": cameras.height_px,
        "fps": fps,
        "seconds": count / fps,
        "is_cycle": False,
        "smoothness_value": 0.0,
        "keyframes": [],
        "camera_path": [_entry(cameras, index) for index in range(count)],
    }
    with replacing(Path(path)) as temporary:
        temporary.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    return Path(path)


def load(path: Path, dtype: torch.dtype = torch.float32) -> Cameras:
    """Read a camera path, ours or nerfstudio's."""
    document = documents.read_any(path)
    if not isinstance(document.get("camera_path"), list):
        raise InputError(f'{path}: no camera path: "camera_path" must be a list of cameras.')
    if document.get("camera_type", "perspective") != "perspective":
        raise InputError(f"{path}: only perspective cameras, not {document['camera_type']!r}.")
    width, height = (_size(path, document, name) for name in ("render_width", "render_height"))
    entries = document["camera_path"]
    if not entries:
        raise InputError(f"{path}: the camera path is empty.")
    places = [f"{path}: camera {index}" for index in range(len(entries))]
    poses = [_pose(*pair) for pair in zip(places, entries, strict=True)]
    focals = [_focal(*pair, height) for pair in zip(places, entries, strict=True)]
    centers = [
        _numbers(place, entry, "center_px", 2) if "center_px" in entry else [width / 2, height / 2]
        for place, entry in zip(places, entries, strict=True)
    ]
    return Cameras(
        world_to_camera=torch.stack(poses).to(dtype),
        focal_px=torch.tensor(focals, dtype=torch.float64).to(dtype),
        center_px=torch.tensor(centers, dtype=torch.float64).to(dtype),
        width_px=width,
        height_px=height,
    )


def opengl_camera_to_world(world_to_camera: torch.Tensor) -> torch.Tensor:
    """Invert an OpenCV world-to-camera, and turn the camera's y and z axes around."""
    flip = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64))
    return torch.linalg.inv(world_to_camera.double()) @ flip


def opencv_world_to_camera(camera_to_world: torch.Tensor) -> torch.Tensor:
    """The inverse of `opengl_camera_to_world`."""
    flip = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64))
    return torch.linalg.inv(camera_to_world.double() @ flip)


def _entry(cameras: Cameras, index: int) -> dict[str, Any]:
    pose = cameras.world_to_camera[index]
    focal = cameras.focal_px[index].tolist()
    half = 0.5 * cameras.height_px / focal[1]
    return {
        "camera_to_world": opengl_camera_to_world(pose).flatten().tolist(),
        "fov": math.degrees(2 * math.atan(half)),
        "aspect": cameras.width_px / cameras.height_px,
        "focal_px": focal,
        "center_px": cameras.center_px[index].tolist(),
        "world_to_camera": pose.flatten().tolist(),
    }


def _size(path: Path, document: Mapping[str, Any], name: str) -> int:
    value = document.get(name)
    if type(value) is not int or value <= 0:
        raise InputError(f'{path}: "{name}" must be a positive whole number, got {value!r}.')
    return value


def _pose(place: str, entry: object) -> torch.Tensor:
    """World to OpenCV camera in float64."""
    if not isinstance(entry, dict):
        raise InputError(f"{place}: must be an object, got {type(entry).__name__}.")
    given = torch.tensor(_numbers(place, entry, "camera_to_world", 16), dtype=torch.float64)
    given = given.reshape(4, 4)
    _check_rigid(place, given)
    derived = opencv_world_to_camera(given)
    if "world_to_camera" not in entry:
        return derived
    exact = torch.tensor(_numbers(place, entry, "world_to_camera", 16), dtype=torch.float64)
    exact = exact.reshape(4, 4)
    difference = (exact - derived).abs().max().item()
    if difference > AGREEMENT * (1 + derived.abs().max().item()):
        raise InputError(
            f"{place}: camera_to_world and world_to_camera disagree by {difference:.3g}; "
            f"delete world_to_camera if the former was edited."
        )
    return exact


def _check_rigid(place: str, pose: torch.Tensor) -> None:
    turn = pose[:3, :3]
    error = (turn @ turn.T - torch.eye(3, dtype=torch.float64)).abs().max().item()
    bottom = pose[3].tolist() == [0.0, 0.0, 0.0, 1.0]
    if error > 1e-3 or torch.linalg.det(turn) < 0 or not bottom:
        raise InputError(
            f"{place}: camera_to_world is no rotation and translation (off by {error:.3g}); "
            f"scale, mirror or shear do not belong there."
        )


def _focal(place: str, entry: Mapping[str, Any], height: int) -> list[float]:
    if "focal_px" in entry:
        focal = _numbers(place, entry, "focal_px", 2)
        if min(focal) <= 0:
            raise InputError(f"{place}: focal_px must be positive, got {focal}.")
        return focal
    fov = entry.get("fov")
    if type(fov) not in (int, float) or not 0 < fov < 180:
        raise InputError(f'{place}: "fov" must lie between 0 and 180 degrees, got {fov!r}.')
    return [0.5 * height / math.tan(math.radians(fov) / 2)] * 2


def _numbers(place: str, entry: Mapping[str, Any], name: str, count: int) -> list[float]:
    values = entry.get(name)
    if isinstance(values, list) and all(isinstance(row, list) for row in values):
        values = [value for row in values for value in row]
    good = isinstance(values, list) and len(values) == count
    if not good or not all(type(v) in (int, float) and math.isfinite(v) for v in values):
        raise InputError(f'{place}: "{name}" must be {count} finite numbers.')
    return [float(value) for value in values]
