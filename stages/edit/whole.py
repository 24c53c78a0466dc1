"""How far all that may move has been shifted, where nothing else has happened to it.

Notation: B the picture of what stays alone, A that of everything, T the edited one. The shift is
where the cross-correlation of A - B with T - B over all channels has its peak, as in image
registration (Brown 1992), by FFT without wrapping around.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...renderers.projection import view_points
from ...renderers.scene import Cameras
from .skinning import Pose

Picture = Float[np.ndarray, "height width 3"]


def shift_px(own: Picture, alone: Picture, edited: Picture) -> tuple[int, int]:
    """Columns and rows by which what `own` shows before `alone` has gone in `edited`."""
    before, after = own - alone, edited - alone
    height, width = own.shape[:2]
    size = (2 * height, 2 * width)
    spectra = [np.fft.rfft2(one, size, axes=(0, 1)) for one in (before, after)]
    found = np.fft.irfft2((spectra[0].conj() * spectra[1]).sum(axis=-1), size, axes=(0, 1))
    row, column = np.unravel_index(int(found.argmax()), size)
    return int(column - size[1] * (column >= width)), int(row - size[0] * (row >= height))


def moved(camera: Cameras, by_px: tuple[int, int], pose: Pose) -> Pose:
    """All of a pose shifted across the line of sight, by so many columns and rows where its middle
    is."""
    world_to_camera = camera.world_to_camera[0].to(pose.places)
    middle = view_points(pose.places.mean(dim=0, keepdim=True), world_to_camera[None])[0, 0]
    across = torch.zeros_like(middle)
    across[:2] = middle[2] * torch.tensor(by_px).to(middle) / camera.focal_px[0].to(middle)
    return Pose(pose.places + world_to_camera[:3, :3].T @ across, _unit(pose.turns))


def _unit(turns: Float[Tensor, "anchor 4"]) -> Float[Tensor, "anchor 4"]:
    return torch.nn.functional.normalize(turns, dim=1)
