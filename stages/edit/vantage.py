"""Cameras around something: level with the one that is given, at a distance at which it fits.

Notation: points p_i with radius r_i and mass m_i; pivot c; camera axes as the rows of R; picture of
width W, focal length f, principal point x_c. With q_i = R (p_i - c), and the camera placed so that
c is in the middle of the picture at depth d, a point lies within the share s of the half width if

    |f q_x + (x_c - W/2) q_z| + f r <= s W/2 (q_z + d)

and likewise down the picture, which is linear in d.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float

from ...renderers.scene import Cameras

FILLED = 0.94
"""Share of the picture that may be filled across."""
INSIDE = 0.995
"""Share of the mass that has to be in the picture; strays do not count."""
ENDS = (0.01, 0.99)
"""Quantiles between which something is in the middle."""
UPRIGHT = 0.5
"""Cosine of the angle between +Y and a camera's own vertical from which on +Y is up to it."""
EXTENT = 2.0
"""How far out a Gaussian reaches, in its longest standard deviation."""


@dataclass(frozen=True, slots=True)
class Cloud:
    """Balls with a mass each."""

    points: Float[np.ndarray, "n 3"]
    radii: Float[np.ndarray, " n"]
    mass: Float[np.ndarray, " n"]


def vertical(camera: Cameras) -> Float[np.ndarray, "3"]:
    """The world's, or the camera's own if it lies on its side."""
    own = -_rotation(camera)[1]
    return np.array([0.0, 1.0, 0.0]) if own[1] > UPRIGHT else own


def turned(camera: Cameras, angle_deg: float) -> Float[np.ndarray, "3 3"]:
    """The axes of a camera carried around the vertical, counter-clockwise seen from above."""
    angle, (x, y, z) = np.radians(angle_deg), vertical(camera)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    about = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return _rotation(camera) @ about.T


def middle(cloud: Cloud, camera: Cameras) -> Float[np.ndarray, "3"]:
    """Between the ends of a cloud, along each axis of the camera."""
    axes = _rotation(camera)
    ends = [_quantiles(along, cloud.mass, ENDS) for along in axes @ cloud.points.T]
    return axes.T @ np.mean(ends, axis=1)


def depth(point: Float[np.ndarray, "3"], camera: Cameras) -> float:
    pose = camera.world_to_camera[0].double().numpy()
    return float(pose[2, :3] @ point + pose[2, 3])


def distance_to_fit(
    cloud: Cloud, pivot: Float[np.ndarray, "3"], axes: Float[np.ndarray, "3 3"], camera: Cameras
) -> float:
    """Smallest depth of the pivot, in the middle of the picture, at which the cloud is in it."""
    offset = axes @ (cloud.points - pivot).T
    least = np.full(len(cloud.points), -np.inf)
    for axis, size in enumerate((camera.width_px, camera.height_px)):
        focal, center = float(camera.focal_px[0, axis]), float(camera.center_px[0, axis])
        across = np.abs(focal * offset[axis] + (center - size / 2) * offset[2])
        reach = (across + focal * cloud.radii) / (FILLED * size / 2)
        least = np.maximum(least, reach - offset[2])
    return float(_quantiles(least, cloud.mass, (INSIDE,))[0])


def placed(
    camera: Cameras,
    axes: Float[np.ndarray, "3 3"],
    pivot: Float[np.ndarray, "3"],
    depth: float,
) -> Cameras:
    """A camera of those axes that has the pivot in the middle of its picture, at that depth."""
    focal = camera.focal_px[0].double().numpy()
    size = np.array([camera.width_px, camera.height_px])
    aside = (size / 2 - camera.center_px[0].double().numpy()) / focal
    pose = np.eye(4)
    pose[:3, :3] = axes
    pose[:3, 3] = depth * np.append(aside, 1.0) - axes @ pivot
    return replace(camera, world_to_camera=torch.from_numpy(pose)[None].to(camera.world_to_camera))


def share_shown(cloud: Cloud, camera: Cameras) -> float:
    """Share of the mass that is before the camera and within its picture."""
    pose = camera.world_to_camera[0].double().numpy()
    x, y, z = pose[:3, :3] @ cloud.points.T + pose[:3, 3:]
    front = z > 0
    safe = np.where(front, z, 1.0)
    for across, axis, size in ((x, 0, camera.width_px), (y, 1, camera.height_px)):
        place = float(camera.focal_px[0, axis]) * across / safe + float(camera.center_px[0, axis])
        front &= (place >= 0) & (place <= size)
    return float(cloud.mass[front].sum() / max(cloud.mass.sum(), 1e-12))


def _rotation(camera: Cameras) -> Float[np.ndarray, "3 3"]:
    return camera.world_to_camera[0, :3, :3].double().numpy()


def _quantiles(
    values: Float[np.ndarray, " n"], mass: Float[np.ndarray, " n"], shares: tuple[float, ...]
) -> Float[np.ndarray, " share"]:
    """Of values that count by their mass."""
    order = np.argsort(values, kind="stable")
    total = np.cumsum(mass[order])
    at = np.searchsorted(total, np.asarray(shares) * total[-1]).clip(max=len(order) - 1)
    return values[order[at]]
