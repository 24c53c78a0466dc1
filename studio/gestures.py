"""From what a pointer did on the page to an edit of the script. Plain functions.

Places on the page are fractions of its width and height, (0, 0) at the top left corner. An edit
holds the camera they were seen with, so the script can be replayed without the page.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from ..pipeline.errors import InputError
from ..renderers.projection import rotation_matrices
from ..renderers.scene import Cameras
from ..stages.formats.edits import Move, Of, Select
from ..stages.formats.regions import (
    Box,
    Brush,
    How,
    Lasso,
    Rectangle,
    Shape,
    Sphere,
    Term,
    Through,
    Viewpoint,
    viewpoint,
)

Place = tuple[float, float]
Numbers = Sequence[float] | np.ndarray
LONGEST_SIDE_PX = 640
"""Of the picture that selections are made on: what is visible is found by rendering it."""
NARROWEST_PX = 4
"""A rectangle of less on both sides is a slip of the hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """How a gesture is to be taken."""

    layer: str
    how: How = "set"
    through: Through = "visible"
    radius_px: float = 12.0
    """Of click and brush, in pixels of the page."""


@dataclass(frozen=True, slots=True)
class Eye:
    """A camera of the page: OpenCV axes, any size of window."""

    rotation: tuple[float, float, float, float]
    """(w, x, y, z), camera to world."""
    position: tuple[float, float, float]
    fovy_rad: float
    size_px: tuple[int, int]

    def viewpoint(self, longest_side_px: int = LONGEST_SIDE_PX) -> Viewpoint:
        """The pinhole camera, its picture no larger than asked for, of the window's shape."""
        width, height = (max(1, side) for side in self.size_px)
        shrink = min(1.0, longest_side_px / max(width, height))
        width, height = (max(1, round(side * shrink)) for side in (width, height))
        return self.with_size(width, height)

    def sees(self, view: Viewpoint) -> bool:
        """Whether a picture of that camera fits this window: the same place, the same shape."""
        own = self.viewpoint(max(view.size_px))
        if own.size_px != view.size_px:
            return False
        pairs = ((own.camera_to_world, view.camera_to_world), (own.focal_px, view.focal_px))
        return all(np.allclose(one, two, rtol=1e-4, atol=1e-4) for one, two in pairs)

    def with_size(self, width: int, height: int) -> Viewpoint:
        """With a picture of exactly that size; the vertical field of view stays."""
        turn = rotation_matrices(torch.tensor(self.rotation, dtype=torch.float64))
        pose = torch.eye(4, dtype=torch.float64)
        pose[:3, :3] = turn.T
        pose[:3, 3] = -turn.T @ torch.tensor(self.position, dtype=torch.float64)
        focal = 0.5 * height / math.tan(self.fovy_rad / 2)
        return viewpoint(
            Cameras(
                world_to_camera=pose[None],
                focal_px=torch.tensor([[focal, focal]], dtype=torch.float64),
                center_px=torch.tensor([[width / 2, height / 2]], dtype=torch.float64),
                width_px=width,
                height_px=height,
            )
        )


def rectangle(eye: Eye, one: Place, other: Place, pick: Pick) -> Select:
    """What lies in the rectangle between two corners."""
    camera = eye.viewpoint()
    corner, opposite = _pixels(camera, [one, other])
    if max(abs(a - b) for a, b in zip(corner, opposite, strict=True)) < NARROWEST_PX:
        raise InputError("the rectangle is too small. Hold the button down and drag")
    shape = Rectangle(camera=camera, corner=corner, opposite=opposite, through=pick.through)
    return _select(shape, pick)


def lasso(eye: Eye, path: Sequence[Place], pick: Pick) -> Select:
    """What lies inside the closed path."""
    if len(path) < 3:
        raise InputError("the lasso is too short. Hold the button down and draw around something")
    camera = eye.viewpoint()
    points = tuple(_pixels(camera, path))
    return _select(Lasso(camera=camera, points=points, through=pick.through), pick)


def brush(eye: Eye, path: Sequence[Place], pick: Pick) -> Select:
    """What lies under the stroke; a click is a dab."""
    camera = eye.viewpoint()
    radius = pick.radius_px * camera.size_px[1] / max(1, eye.size_px[1])
    points = tuple(_pixels(camera, path))
    return _select(
        Brush(camera=camera, points=points, radius_px=radius, through=pick.through), pick
    )


def box(center: Numbers, rotation: Numbers, size: Numbers, pick: Pick) -> Select:
    """What lies inside a box that stands in the scene."""
    return _select(Box(center=_three(center), rotation=_four(rotation), size=_three(size)), pick)


def sphere(center: Numbers, radius: float, pick: Pick) -> Select:
    """What lies inside a sphere that stands in the scene."""
    return _select(Sphere(center=_three(center), radius=radius), pick)


def move(
    layer: str,
    of: Of,
    *,
    translation: Numbers = (0, 0, 0),
    turn_deg: Numbers = (0, 0, 0),
    scale: float = 1.0,
    pivot: Numbers = (0, 0, 0),
) -> Move:
    """By the number fields: turns about the fixed x, then y, then z axis of the scene."""
    turn = np.roll(Rotation.from_euler("xyz", turn_deg, degrees=True).as_quat(), 1)
    return Move(
        layer=layer, of=of, translation=_three(translation), rotation=_four(turn), scale=scale,
        pivot=_three(pivot),
    )  # fmt: skip


def dragged(
    layer: str,
    of: Of,
    *,
    pivot: Numbers,
    position: Numbers,
    rotation: Numbers,
) -> Move:
    """By a gizmo that began at `pivot`, unturned, and now stands at `position`."""
    shift = np.subtract(position, pivot)
    return Move(
        layer=layer, of=of, translation=_three(shift), rotation=_four(rotation),
        pivot=_three(pivot),
    )  # fmt: skip


def on_sphere(eye: Eye, places: Sequence[Place], distance: float) -> Float[np.ndarray, "n 3"]:
    """Points of the scene that the page shows at these places, so far from the camera."""
    width, height = eye.size_px
    slope = math.tan(eye.fovy_rad / 2)
    at = np.asarray(places, np.float64).reshape(-1, 2)
    rays = np.stack(
        [
            (2 * at[:, 0] - 1) * slope * width / max(1, height),
            (2 * at[:, 1] - 1) * slope,
            np.ones(len(at)),
        ],
        axis=1,
    )
    turn = rotation_matrices(torch.tensor(eye.rotation, dtype=torch.float64)).numpy()
    rays = np.einsum("ij,nj->ni", turn, rays / np.linalg.norm(rays, axis=1, keepdims=True))
    return np.asarray(eye.position) + distance * rays


def _select(shape: Shape, pick: Pick) -> Select:
    return Select(layer=pick.layer, term=Term(shape=shape, how=pick.how))


def _pixels(camera: Viewpoint, places: Sequence[Place]) -> list[Place]:
    width, height = camera.size_px
    return [(float(np.clip(x, 0, 1)) * width, float(np.clip(y, 0, 1)) * height) for x, y in places]


def _three(values: Numbers) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z


def _four(values: Numbers) -> tuple[float, float, float, float]:
    w, x, y, z = (float(value) for value in values)
    return w, x, y, z
