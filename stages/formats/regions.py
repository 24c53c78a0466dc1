"""`region/1`: a selection of Gaussians as a list of terms, each a shape and how it is put to the
selection so far. A term is one line of the file:

    {"shape": "sphere", "how": "add", "center": [0, 1, 0], "radius": 0.5}

`how` is `set`, `add`, `remove` or `intersect`. Lengths and places are in the units and axes of
the scene, colors are sRGB, pixels have (0, 0) at the top left corner of the picture, quaternions
are (w, x, y, z). Pictures and index masks are held inside the file, so that it is whole by itself.
What the shapes select is computed in `scene/selectors.py`.
"""

import base64
import binascii
import io
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool
from PIL import Image

from ...pipeline.config import build, nearest, plain
from ...pipeline.errors import InputError
from ...renderers.scene import Cameras
from . import documents
from .cameras import opencv_world_to_camera, opengl_camera_to_world

KIND = "region/1"
How = Literal["set", "add", "remove", "intersect"]
Through = Literal["everything", "visible"]
"""`visible`: only what the camera sees, not what lies behind it."""
Property = Literal[
    "x", "y", "z", "scale", "thickness", "volume", "opacity", "red", "green", "blue", "hue",
    "saturation", "value", "sh_energy", "depth",
]  # fmt: skip
Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]
Pixel = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewpoint:
    """One pinhole camera, as files hold it."""

    camera_to_world: tuple[float, ...]
    """OpenGL (x right, y up, z backward), 4x4 row by row, rotation and shift only."""
    focal_px: Pixel
    center_px: Pixel
    size_px: tuple[int, int]
    """Width and height."""

    def __post_init__(self) -> None:
        if len(self.camera_to_world) != 16:
            raise ValueError(f"camera_to_world must be 16 numbers, got {len(self.camera_to_world)}")
        pose = np.reshape(self.camera_to_world, (4, 4))
        off = np.abs(pose[:3, :3] @ pose[:3, :3].T - np.eye(3)).max()
        if off > 1e-3 or np.linalg.det(pose[:3, :3]) < 0 or pose[3].tolist() != [0, 0, 0, 1]:
            raise ValueError(f"camera_to_world is no rotation and shift (off by {off:.3g})")
        if min(self.focal_px) <= 0:
            raise ValueError(f"focal_px must be positive, got {self.focal_px}")
        if not all(1 <= side <= 16384 for side in self.size_px):
            raise ValueError(f"size_px must lie between 1 and 16384, got {self.size_px}")

    def cameras(self) -> Cameras:
        """As renderers take it."""
        pose = torch.tensor(self.camera_to_world, dtype=torch.float64).reshape(4, 4)
        return Cameras(
            world_to_camera=opencv_world_to_camera(pose)[None].float(),
            focal_px=torch.tensor([self.focal_px], dtype=torch.float32),
            center_px=torch.tensor([self.center_px], dtype=torch.float32),
            width_px=self.size_px[0],
            height_px=self.size_px[1],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class All:
    """Every Gaussian of the layer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Centres inside an oriented box."""

    center: Vector
    size: Vector
    """Full lengths of the edges along the box's own axes."""
    rotation: Quaternion = (1.0, 0.0, 0.0, 0.0)
    """From the box's axes to those of the scene."""

    def __post_init__(self) -> None:
        if min(self.size) <= 0:
            raise ValueError(f"size must be positive, got {self.size}")
        check_quaternion(self.rotation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sphere:
    """Centres inside a sphere."""

    center: Vector
    radius: float

    def __post_init__(self) -> None:
        check_positive(self, "radius")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """Centres on the side of a plane to which its normal points."""

    point: Vector
    normal: Vector

    def __post_init__(self) -> None:
        if not any(self.normal):
            raise ValueError("normal must not be zero")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rectangle:
    """Centres that fall into a rectangle of a picture."""

    camera: Viewpoint
    corner: Pixel
    opposite: Pixel
    through: Through = "everything"
    min_share: float = 0.05
    """See `scene/visibility.py`: the least visible share of a Gaussian that counts as seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lasso:
    """Centres that fall into a polygon of a picture (even-odd where it crosses itself)."""

    camera: Viewpoint
    points: tuple[Pixel, ...]
    through: Through = "everything"
    min_share: float = 0.05

    def __post_init__(self) -> None:
        if len(self.points) < 3:
            raise ValueError(f"points must be at least three, got {len(self.points)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Brush:
    """Centres that fall under a stroke of a round brush over a picture."""

    camera: Viewpoint
    points: tuple[Pixel, ...]
    """The stroke; one point is a dab."""
    radius_px: float
    through: Through = "visible"
    min_share: float = 0.05

    def __post_init__(self) -> None:
        check_positive(self, "radius_px")
        if not self.points:
            raise ValueError("points must not be empty")


@dataclass(frozen=True, slots=True, kw_only=True)
class Color:
    """Gaussians whose color (SH degree 0) is near another one."""

    color: Vector
    """sRGB, 0 to 1."""
    distance: float
    """Euclidean in Oklab; black and white are 1 apart, 0.02 is just visible."""

    def __post_init__(self) -> None:
        check_positive(self, "distance")


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Gaussians of which one property lies in a range, ends included (see `scene/measures.py`)."""

    property: Property
    low: float | None = None
    high: float | None = None
    camera: Viewpoint | None = None
    """For `depth`."""

    def __post_init__(self) -> None:
        if self.low is None and self.high is None:
            raise ValueError("low or high must be given")
        if (self.property == "depth") != (self.camera is not None):
            raise ValueError("a camera belongs to the property depth, and to no other")


@dataclass(frozen=True, slots=True, kw_only=True)
class Flood:
    """What hangs together with one Gaussian: steps of at most `radius` between centres."""

    start: Vector
    """The nearest Gaussian is where it begins."""
    radius: float
    color_distance: float | None = None
    """Stay among colors within this distance (Oklab) of the first Gaussian's."""

    def __post_init__(self) -> None:
        check_positive(self, "radius")


@dataclass(frozen=True, slots=True, kw_only=True)
class Islands:
    """Small groups apart from the rest: connected parts of fewer than `below` Gaussians."""

    radius: float
    """Centres at most this far apart hang together."""
    below: int

    def __post_init__(self) -> None:
        check_positive(self, "radius")
        check_positive(self, "below")


@dataclass(frozen=True, slots=True, kw_only=True)
class Floaters:
    """Lonely and faint Gaussians, as captures leave them in the air."""

    neighbors: int = 16
    sparsity: float = 4.0
    """Lonely: the mean distance to the nearest `neighbors` is above this multiple of its median."""
    opacity: float = 0.5
    """Faint: below this opacity. 1 takes all lonely ones."""

    def __post_init__(self) -> None:
        check_positive(self, "neighbors")
        check_positive(self, "sparsity")


@dataclass(frozen=True, slots=True, kw_only=True)
class Indices:
    """Gaussians by number; only valid for exactly the Gaussians it was made for."""

    count: int
    splats: str
    """`scene.layers.fingerprint` of them."""
    bits: str
    """One bit each, first in the highest bit of the first byte; deflated, base64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskView:
    """A mask over one camera's picture."""

    camera: Viewpoint
    png: str
    """A PNG of the picture's size in base64; what is brighter than half is inside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Masks:
    """Gaussians whose blending weight falls on masks: a vote over several views."""

    views: tuple[MaskView, ...]
    share: float = 0.5
    """The least share of all a Gaussian contributes to the views that has to fall inside."""

    def __post_init__(self) -> None:
        if not self.views:
            raise ValueError("views must not be empty")
        if not 0 < self.share <= 1:
            raise ValueError(f"share must lie in (0, 1], got {self.share}")


Shape = (
    All | Box | Sphere | Plane | Rectangle | Lasso | Brush | Color | Range | Flood | Islands
    | Floaters | Indices | Masks
)  # fmt: skip
SHAPES: Mapping[str, type[Shape]] = MappingProxyType(
    {cls.__name__.lower(): cls for cls in get_args(Shape)}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A shape, and how it is put to the selection so far."""

    shape: Shape
    how: How = "set"


def load(path: Path) -> tuple[Term, ...]:
    """Read a region; anything unknown in it is an error."""
    document = documents.read(path, KIND)
    terms = document.pop("terms", None)
    if document or not isinstance(terms, list) or not terms:
        raise InputError(f'{path}: a region has "kind" and "terms", a list of at least one.')
    return tuple(parse_term(term, f"{path}: term {i}") for i, term in enumerate(terms, 1))


def save(terms: Iterable[Term], path: Path) -> Path:
    """Write a region, one term a line. Returns `path`."""
    return documents.write(path, documents.text_of(KIND, {}, "terms", map(plain_term, terms)))


def parse_term(data: object, where: str) -> Term:
    """A term from plain data, strictly."""
    if not isinstance(data, dict):
        raise InputError(f"{where}: must be an object, got {type(data).__name__}.")
    rest = {key: value for key, value in data.items() if key not in ("shape", "how")}
    name, how = data.get("shape"), data.get("how", "set")
    if not isinstance(name, str) or name not in SHAPES:
        raise InputError(f"{where}: no shape {name!r}.{nearest(str(name), SHAPES)}")
    if how not in get_args(How):
        raise InputError(f"{where}: how must be one of {', '.join(get_args(How))}, got {how!r}.")
    return Term(shape=build(SHAPES[name], rest, f"{where} ({name})"), how=how)


def plain_term(term: Term) -> dict[str, Any]:
    """What `parse_term` reads, every setting written out."""
    return {"shape": type(term.shape).__name__.lower(), "how": term.how, **plain(term.shape)}


def viewpoint(cameras: Cameras, index: int = 0) -> Viewpoint:
    """One of `cameras` as it is put into regions."""
    pose = opengl_camera_to_world(cameras.world_to_camera[index])
    (fx, fy), (cx, cy) = cameras.focal_px[index].tolist(), cameras.center_px[index].tolist()
    return Viewpoint(
        camera_to_world=tuple(pose.flatten().tolist()),
        focal_px=(fx, fy),
        center_px=(cx, cy),
        size_px=(cameras.width_px, cameras.height_px),
    )


def masks(cameras: Cameras, pictures: Sequence[Bool[np.ndarray, "height width"]]) -> Masks:
    """The shape for one mask per camera."""
    pairs = [(viewpoint(cameras, i), _png(p)) for i, p in enumerate(pictures)]
    return Masks(views=tuple(MaskView(camera=camera, png=png) for camera, png in pairs))


def picture_of(view: MaskView, where: str) -> Bool[np.ndarray, "height width"]:
    """The mask itself."""
    try:
        data = base64.b64decode(view.png, validate=True)
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if image.size != view.camera.size_px:
                raise InputError(
                    f"{where}: the mask has {image.size} px, its camera {view.camera.size_px} px."
                )
            return np.asarray(image.convert("L")) > 127
    except (binascii.Error, OSError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{where}: a mask is no PNG in base64 ({error}).") from None


def indices(selected: Bool[np.ndarray, " n"], splats: str) -> Indices:
    """The shape for a mask over the Gaussians with the fingerprint `splats`."""
    packed = zlib.compress(np.packbits(selected).tobytes(), 9)
    return Indices(
        count=len(selected), splats=splats, bits=base64.b64encode(packed).decode("ascii")
    )


def mask_of(shape: Indices, where: str) -> Bool[np.ndarray, " n"]:
    """The mask itself."""
    wanted = -(-shape.count // 8)
    try:
        data = zlib.decompressobj().decompress(base64.b64decode(shape.bits, validate=True), wanted)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise InputError(f"{where}: bits are no deflated base64 ({error}).") from None
    if shape.count < 1 or len(data) != wanted:
        raise InputError(f"{where}: {len(data)} bytes of bits for {shape.count} Gaussians.")
    return np.unpackbits(np.frombuffer(data, np.uint8), count=shape.count).astype(bool)


def check_quaternion(rotation: Quaternion) -> None:
    """Raise ValueError for a quaternion without direction."""
    if sum(value * value for value in rotation) < 1e-12:
        raise ValueError(f"rotation must be a quaternion (w, x, y, z), got {rotation}")


def check_positive(settings: object, name: str) -> None:
    """Raise ValueError unless the setting `name` is above zero."""
    if not getattr(settings, name) > 0:
        raise ValueError(f"{name} must be positive, got {getattr(settings, name)}")


def _png(mask: Bool[np.ndarray, "height width"]) -> str:
    out = io.BytesIO()
    Image.fromarray(mask).save(out, format="PNG", optimize=True)
    return base64.b64encode(out.getvalue()).decode("ascii")
