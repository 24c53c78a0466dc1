"""Cameras that look at the origin from a sphere around it.

The world is +Y up and a front faces +Z. Azimuth 0 looks at the front; azimuth grows
counter-clockwise seen from above, so 90 degrees stands on +X, at the object's own left.
"""

import math
from collections.abc import Sequence

import torch

from ...renderers.scene import Cameras


def look_at_origin(
    azimuths_deg: Sequence[float],
    elevations_deg: Sequence[float],
    *,
    distance_m: float,
    fovy_deg: float,
    size_px: tuple[int, int],
    dtype: torch.dtype = torch.float32,
) -> Cameras:
    """One camera per (azimuth, elevation) pair, level, with the origin in the image's middle.

    Args:
        size_px: Width and height. Pixels are square.
    """
    width, height = size_px
    focal = 0.5 * height / math.tan(math.radians(fovy_deg) / 2)
    poses = [
        _pose(math.radians(azimuth), math.radians(elevation), distance_m)
        for azimuth, elevation in zip(azimuths_deg, elevations_deg, strict=True)
    ]
    count = len(poses)
    return Cameras(
        world_to_camera=torch.stack(poses).to(dtype),
        focal_px=torch.full((count, 2), focal, dtype=dtype),
        center_px=torch.tensor([[width / 2, height / 2]], dtype=dtype).repeat(count, 1),
        width_px=width,
        height_px=height,
    )


def _pose(azimuth: float, elevation: float, distance_m: float) -> torch.Tensor:
    """World to OpenCV camera, in float64. Rows of the rotation are the camera's axes."""
    backward = torch.tensor(
        [
            math.cos(elevation) * math.sin(azimuth),
            math.sin(elevation),
            math.cos(elevation) * math.cos(azimuth),
        ],
        dtype=torch.float64,
    )
    right = torch.tensor([math.cos(azimuth), 0.0, -math.sin(azimuth)], dtype=torch.float64)
    forward = -backward
    down = torch.linalg.cross(forward, right)
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3, :3] = torch.stack([right, down, forward])
    pose[:3, 3] = pose[:3, :3] @ -(distance_m * backward)
    return pose
