"""How far away the surface is, as a picture that a depth ControlNet understands.

These were trained on what MiDaS makes of photographs: disparity (1 / depth), brightest where
nearest, up to a shift and scale that differ from picture to picture. So the disparity of what a
picture shows of the mesh is spread from `FARTHEST` to 1, and what is not the mesh is 0, infinitely
far. (Text2Tex, Chen et al. 2023, spreads it from 50 / 255 for the same reason.)
"""

import torch
from jaxtyping import Float
from torch import Tensor

from ...renderers.scene import Cameras
from .surface import Seen

FARTHEST = 0.2
LEAST_SPAN = 1e-6
"""Of disparities; below it the surface is flat and faces the camera, and is all near."""


def hints(seen: Seen, cameras: Cameras) -> Float[Tensor, "view 3 height width"]:
    """One picture per view, the same in all channels; a pixel is the mean of the rays that hit."""
    poses = cameras.world_to_camera.to(seen.points)
    rows = poses[seen.view, 2]
    disparity = 1 / ((rows[:, :3] * seen.points).sum(dim=1) + rows[:, 3])
    count, height, width = seen.shape
    empty = disparity.new_zeros(count * height * width)
    sums = empty.index_add(0, seen.pixel, disparity)
    hits = empty.index_add(0, seen.pixel, torch.ones_like(disparity))
    mean = (sums / hits.clamp(min=1)).view(count, -1)
    shown = (hits > 0).view(count, -1)
    near = mean.amax(dim=1, keepdim=True)
    far = torch.where(shown, mean, near).amin(dim=1, keepdim=True)
    span = near - far
    share = torch.where(span > LEAST_SPAN, (mean - far) / span.clamp(min=LEAST_SPAN), 1.0)
    gray = torch.where(shown, FARTHEST + (1 - FARTHEST) * share, 0.0)
    return gray.view(count, 1, height, width).expand(-1, 3, -1, -1)
