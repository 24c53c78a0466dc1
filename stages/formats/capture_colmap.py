"""COLMAP's models, binary or text: `cameras`, `images` and, where it is there, `points3D`.

https://colmap.github.io/format.html. OpenCV cameras already; quaternions wxyz, world to camera. The
2D observations are skipped.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...pipeline.errors import InputError
from .lens import Lens
from .shots import Capture, Points, Shot, inside, sort_out

PLACES = ("sparse/0", "colmap/sparse/0", "sparse", "colmap", ".")
MODELS: dict[str, tuple[int, int]] = {
    "SIMPLE_PINHOLE": (0, 3),
    "PINHOLE": (1, 4),
    "SIMPLE_RADIAL": (2, 4),
    "RADIAL": (3, 5),
    "OPENCV": (4, 8),
    "OPENCV_FISHEYE": (5, 8),
    "FULL_OPENCV": (6, 12),
    "SIMPLE_RADIAL_FISHEYE": (8, 4),
    "RADIAL_FISHEYE": (9, 5),
}
"""Numbers in the binary files, and how many parameters follow."""


@dataclass(frozen=True, slots=True)
class _Image:
    name: str
    camera: int
    pose: np.ndarray


def model_folder(folder: Path) -> Path | None:
    """Where in a capture the model lies."""
    for place in PLACES:
        at = folder / place
        if any((at / f"cameras{ending}").is_file() for ending in (".bin", ".txt")):
            return at
    return None


def load(folder: Path, model: Path) -> Capture:
    """The model's photographs, looked for in `images/` and in the folder itself."""
    binary = (model / "cameras.bin").is_file()
    ending = ".bin" if binary else ".txt"
    for part in ("cameras", "images"):
        if not (model / f"{part}{ending}").is_file():
            raise InputError(f"{model}: {part}{ending} is missing; the model is not complete.")
    try:
        lenses = (_binary_lenses if binary else _text_lenses)(model / f"cameras{ending}")
        images = list((_binary_images if binary else _text_images)(model / f"images{ending}"))
        points = _points(model / f"points3D{ending}", binary=binary)
    except (struct.error, ValueError, IndexError, UnicodeDecodeError, KeyError) as error:
        raise InputError(
            f"{model}: no readable COLMAP model, or cut short ({type(error).__name__}: {error})."
        ) from None
    pictures = folder / "images" if (folder / "images").is_dir() else folder
    shots = []
    for image in images:
        if image.camera not in lenses:
            raise InputError(f"{model}: {image.name} names camera {image.camera}, which is absent.")
        path = inside(pictures, image.name, model)
        shots.append(Shot(path, lenses[image.camera], image.pose))
    there, missing = sort_out(shots)
    return Capture(there, missing, points, "-y")


class _Reader:
    """A binary file from front to back; too short a file is a struct.error."""

    def __init__(self, path: Path) -> None:
        self.data, self.at = path.read_bytes(), 0

    def take(self, form: str) -> tuple:
        found = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return found

    def count(self, each: int) -> int:
        """A number of entries of at least `each` bytes; the file must be able to hold them."""
        (claimed,) = self.take("Q")
        if claimed * each > len(self.data) - self.at:
            raise ValueError(f"{claimed} entries are claimed, which the file cannot hold")
        return claimed

    def text(self) -> str:
        end = self.data.index(b"\0", self.at)
        found = self.data[self.at : end].decode("utf-8")
        self.at = end + 1
        return found

    def skip(self, count: int) -> None:
        self.at += count
        if self.at > len(self.data):
            raise ValueError("an entry ends behind the file")


def _binary_lenses(path: Path) -> dict[int, Lens]:
    reader, names = _Reader(path), {number: name for name, (number, _) in MODELS.items()}
    lenses = {}
    for _ in range(reader.count(24)):
        key, model, width, height = reader.take("iiQQ")
        if model not in names:
            raise InputError(f"{path}: camera model number {model} is not known.")
        name = names[model]
        lenses[key] = _lens(path, name, width, height, reader.take(f"{MODELS[name][1]}d"))
    return lenses


def _text_lenses(path: Path) -> dict[int, Lens]:
    lenses = {}
    for line in _lines(path):
        key, name, width, height, *values = line.split()
        if name not in MODELS:
            raise InputError(f"{path}: camera model {name!r} is not known.")
        numbers = tuple(float(value) for value in values)
        if len(numbers) != MODELS[name][1]:
            raise InputError(f"{path}: {name} has {MODELS[name][1]} values, got {len(numbers)}.")
        lenses[int(key)] = _lens(path, name, int(width), int(height), numbers)
    return lenses


def _binary_images(path: Path) -> Iterator[_Image]:
    reader = _Reader(path)
    for _ in range(reader.count(64)):
        _key, *pose, camera = reader.take("i7di")
        name = reader.text()
        reader.skip(24 * reader.count(24))
        yield _Image(name, camera, _pose(path, pose))


def _text_images(path: Path) -> Iterator[_Image]:
    """Each image is two lines, the second (which may be empty) its observations."""
    lines = [line for line in path.read_text("utf-8").splitlines() if not line.startswith("#")]
    for line in lines[::2]:
        if not line.strip():
            continue
        _key, *pose, camera, name = line.split(maxsplit=9)
        yield _Image(name.strip(), int(camera), _pose(path, [float(value) for value in pose]))


def _points(path: Path, *, binary: bool) -> Points | None:
    if not path.is_file():
        return None
    found: list[tuple[float, ...]] = []
    if binary:
        reader = _Reader(path)
        for _ in range(reader.count(43)):
            _key, *values, _error = reader.take("Q3d3Bd")
            found.append(tuple(values))
            reader.skip(8 * reader.count(8))
    else:
        found = [tuple(float(v) for v in line.split()[1:7]) for line in _lines(path)]
    if not found:
        return None
    table = np.array(found, dtype=np.float64)
    table = table[np.isfinite(table).all(axis=1)]
    return Points(table[:, :3].astype(np.float32), table[:, 3:].astype(np.uint8))


def _lens(path: Path, name: str, width: int, height: int, values: tuple[float, ...]) -> Lens:
    if not (np.isfinite(values).all() and 0 < width < 2**31 and 0 < height < 2**31):
        raise InputError(f"{path}: a camera of {width} x {height} px with values {values}.")
    single = name.startswith("SIMPLE") or name.startswith("RADIAL")
    fx, fy = (values[0], values[0]) if single else values[:2]
    cx, cy, *rest = values[1:] if single else values[2:]
    fisheye = name.endswith("FISHEYE")
    tangential = (0.0, 0.0)
    if name in ("OPENCV", "FULL_OPENCV"):
        tangential = (rest[2], rest[3])
        rest = [*rest[:2], *rest[4:]]
    return Lens(
        width_px=width,
        height_px=height,
        focal_px=(fx, fy),
        center_px=(cx, cy),
        model="fisheye" if fisheye else "brown",
        radial=tuple(rest),
        tangential=tangential,
    )


def _pose(path: Path, values: list[float]) -> np.ndarray:
    w, x, y, z, *shift = values
    length = (w * w + x * x + y * y + z * z) ** 0.5
    if not (np.isfinite(values).all() and length > 1e-9):
        raise InputError(f"{path}: an image has no usable pose: {values}.")
    w, x, y, z = (value / length for value in (w, x, y, z))
    pose = np.eye(4)
    pose[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    pose[:3, 3] = shift
    return pose


def _lines(path: Path) -> Iterator[str]:
    for line in path.read_text("utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            yield line
