"""Two colored balls whose pictures are known in closed form: an object for tests."""

import torch
from splatworks.renderers.scene import Cameras

BALLS = (((0.0, -0.1, 0.0), 0.3, (0.9, 0.1, 0.1)), ((0.0, 0.2, 0.15), 0.15, (0.1, 0.2, 0.9)))
"""Center in metres, radius in metres, sRGB color."""


def pictures(views: Cameras) -> torch.Tensor:
    """Straight RGBA in [0, 1], "camera height width 4", by the quadratic formula."""
    rows, columns = torch.meshgrid(
        torch.arange(views.height_px) + 0.5, torch.arange(views.width_px) + 0.5, indexing="ij"
    )
    return torch.stack(
        [
            _picture(rows, columns, pose, focal, middle)
            for pose, focal, middle in zip(
                views.world_to_camera, views.focal_px, views.center_px, strict=True
            )
        ]
    )


def over(rgba: torch.Tensor, background: torch.Tensor) -> torch.Tensor:
    """Composited on one color."""
    return rgba[..., :3] * rgba[..., 3:] + (1 - rgba[..., 3:]) * background


def signed_distance(points: torch.Tensor) -> torch.Tensor:
    """Metres to the nearest ball's surface, negative inside."""
    return torch.stack([(points - torch.tensor(c)).norm(dim=-1) - r for c, r, _ in BALLS]).amin(0)


def _picture(rows, columns, pose, focal, middle) -> torch.Tensor:
    across, down = (columns - middle[0]) / focal[0], (rows - middle[1]) / focal[1]
    local = torch.stack([across, down, torch.ones_like(rows)], -1)
    direction = torch.nn.functional.normalize(local @ pose[:3, :3], dim=-1)
    origin = -(pose[:3, :3].T @ pose[:3, 3])
    nearest = torch.full(rows.shape, torch.inf)
    image = torch.zeros(*rows.shape, 4)
    for center, radius, color in BALLS:
        gap = origin - torch.tensor(center)
        b = direction @ gap
        root = b**2 - (gap @ gap - radius**2)
        distance = -b - root.clamp(min=0).sqrt()
        front = (root > 0) & (distance < nearest)
        nearest = torch.where(front, distance, nearest)
        image[front] = torch.tensor([*color, 1.0])
    return image
