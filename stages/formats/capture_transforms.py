"""nerfstudio's `transforms.json`, and the Blender-synthetic splits it comes from.

OpenGL camera-to-world matrices; intrinsics for all frames or for each; `camera_angle_x` where there
is no focal length. `applied_transform` is left alone: cameras and points are both behind it.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ...pipeline.errors import InputError
from . import documents
from .cameras import opencv_world_to_camera
from .lens import Lens
from .ply_header import read_header
from .shots import Capture, Points, Shot, inside, sort_out

FISHEYE = ("OPENCV_FISHEYE", "FISHEYE")
KNOWN_MODELS = (
    "OPENCV", "PINHOLE", "PERSPECTIVE", "SIMPLE_PINHOLE", "RADIAL", "SIMPLE_RADIAL", *FISHEYE,
)  # fmt: skip
BLENDER_SPLITS = ("train", "val", "test")
ENDINGS = (".png", ".jpg", ".jpeg")
TURN_TOLERANCE = 1e-3


def load(folder: Path) -> Capture:
    """A nerfstudio folder."""
    index = folder / "transforms.json"
    document = _document(index)
    shots = _shots(folder, index, document)
    there, missing = sort_out(shots)
    return Capture(there, missing, _points(folder, index, document), "+z")


def load_splits(folder: Path) -> Capture:
    """A Blender-synthetic folder; its test pictures are held out, its val ones not used."""
    shots: list[Shot] = []
    for split in BLENDER_SPLITS:
        index = folder / f"transforms_{split}.json"
        if split == "val" or not index.is_file():
            continue
        shots += _shots(folder, index, _document(index), held_out=split == "test")
    there, missing = sort_out(shots)
    return Capture(there, missing, None, "+z", white_behind=True)


def _document(index: Path) -> dict[str, Any]:
    document = documents.read_any(index)
    if not isinstance(document.get("frames"), list):
        raise InputError(f'{index}: no capture: "frames" must be a list.')
    if not document["frames"]:
        raise InputError(f'{index}: "frames" is empty.')
    return document


def _shots(
    folder: Path, index: Path, document: Mapping[str, Any], held_out: bool | None = None
) -> list[Shot]:
    shots = []
    for number, frame in enumerate(document["frames"]):
        place = f"{index}: frame {number}"
        if not isinstance(frame, dict) or not isinstance(frame.get("file_path"), str):
            raise InputError(f'{place}: "file_path" must be text.')
        path = _with_ending(inside(folder, frame["file_path"], index))
        mask = frame.get("mask_path")
        both = {**document, **frame}
        shots.append(
            Shot(
                path=path,
                lens=_lens(place, both, path) if path.is_file() else _UNSEEN,
                world_to_camera=_pose(place, frame),
                mask=inside(folder, mask, index) if isinstance(mask, str) else None,
                held_out=held_out,
            )
        )
    return shots


def _with_ending(path: Path) -> Path:
    """Blender's files leave the ending out."""
    if path.suffix.lower() in ENDINGS or path.is_file():
        return path
    found = (path.with_name(path.name + ending) for ending in ENDINGS)
    return next((each for each in found if each.is_file()), path.with_name(path.name + ".png"))


_UNSEEN = Lens(width_px=1, height_px=1, focal_px=(1.0, 1.0), center_px=(0.5, 0.5))
"""Of a photograph that is not there."""


def _lens(place: str, values: Mapping[str, Any], path: Path) -> Lens:
    model = str(values.get("camera_model", "OPENCV")).upper()
    if model not in KNOWN_MODELS:
        raise InputError(f"{place}: camera_model {model!r} is none of {', '.join(KNOWN_MODELS)}.")
    width, height = (_size(place, values, name) for name in ("w", "h"))
    if width is None or height is None:
        width, height = _size_of(path)
    fx = _number(place, values, "fl_x")
    if fx is None:
        angle = _number(place, values, "camera_angle_x")
        if angle is None or not 0 < angle < math.pi:
            raise InputError(
                f'{place}: neither "fl_x" nor a "camera_angle_x" between 0 and pi is given.'
            )
        fx = 0.5 * width / math.tan(angle / 2)
    fy = _number(place, values, "fl_y") or fx
    if not (fx > 0 and fy > 0):
        raise InputError(f"{place}: focal lengths must be positive, got {fx}, {fy}.")
    cx, cy = _number(place, values, "cx"), _number(place, values, "cy")
    names = ("k1", "k2", "k3", "k4")
    radial = tuple(_number(place, values, name) or 0.0 for name in names)
    fisheye = model in FISHEYE
    if not fisheye and radial[3]:
        raise InputError(f"{place}: k4 has no meaning for camera_model {model}.")
    return Lens(
        width_px=width,
        height_px=height,
        focal_px=(fx, fy),
        center_px=(width / 2 if cx is None else cx, height / 2 if cy is None else cy),
        model="fisheye" if fisheye else "brown",
        radial=radial if fisheye else radial[:3],
        tangential=(_number(place, values, "p1") or 0.0, _number(place, values, "p2") or 0.0),
    )


def _pose(place: str, frame: Mapping[str, Any]) -> np.ndarray:
    try:
        given = torch.tensor(frame.get("transform_matrix"), dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        given = torch.empty(0)
    if given.shape != (4, 4) or not torch.isfinite(given).all():
        raise InputError(f'{place}: "transform_matrix" must be 4 x 4 finite numbers.')
    turn = given[:3, :3]
    error = float((turn @ turn.T - torch.eye(3, dtype=torch.float64)).abs().max())
    if error > TURN_TOLERANCE or torch.linalg.det(turn) < 0:
        raise InputError(
            f"{place}: transform_matrix is no rotation and translation (off by {error:.3g})."
        )
    return opencv_world_to_camera(given).numpy()


def _points(folder: Path, index: Path, document: Mapping[str, Any]) -> Points | None:
    """nerfstudio names a PLY with x y z and red green blue."""
    name = document.get("ply_file_path")
    if not isinstance(name, str):
        return None
    path = inside(folder, name, index)
    if not path.is_file():
        return None
    header = read_header(path)
    rows = header.rows(path)
    wanted = ("x", "y", "z", "red", "green", "blue")
    lacking = [field for field in wanted if field not in (rows.dtype.names or ())]
    if lacking:
        raise InputError(f"{path}: a point has no {lacking[0]}.")
    positions = np.stack([rows[axis] for axis in "xyz"], axis=1).astype(np.float32)
    colors = np.stack([rows[c] for c in ("red", "green", "blue")], axis=1).astype(np.uint8)
    finite = np.isfinite(positions).all(axis=1)
    return Points(positions[finite], colors[finite])


def _size(place: str, values: Mapping[str, Any], name: str) -> int | None:
    value = _number(place, values, name)
    if value is None:
        return None
    if value < 1 or value != int(value):
        raise InputError(f'{place}: "{name}" must be a positive whole number, got {value!r}.')
    return int(value)


def _size_of(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: no readable picture ({error}).") from None


def _number(place: str, values: Mapping[str, Any], name: str) -> float | None:
    value = values.get(name)
    if value is None:
        return None
    if type(value) not in (int, float) or not math.isfinite(value):
        raise InputError(f'{place}: "{name}" must be a finite number, got {value!r}.')
    return float(value)
