"""Where a camera stands: not inside of what is to be edited."""

from logging import Logger

import torch
from jaxtyping import Float
from torch import Tensor

from ...pipeline.errors import InputError
from ...renderers.cpu import render
from ...renderers.scene import Cameras, Gaussians

SIZE_PX = 16
"""Of each of the six pictures around."""
OPAQUE = 0.9
NEAR = 0.15
"""Walls are near that are this far away at most, as a share of the scene's diagonal."""
WALLED = 0.85
"""Share of all directions in which there is a wall near, from which on a camera is walled in."""


def check_outside(scene: Gaussians, camera: Cameras, name: str, log: Logger) -> None:
    """Refuse a camera that stands in a Gaussian: nothing of the edit could be placed. Warn of one
    that is walled in, as inside of a hollow object; a narrow room looks the same."""
    pose = camera.world_to_camera[0].to(scene.means)
    eye = -pose[:3, :3].T @ pose[:3, 3]
    offset = (scene.means - eye).norm(dim=1)
    around = (offset < 2 * scene.scales.amin(dim=1)) & (scene.opacities > 0.5)
    if bool(around.any()):
        raise InputError(
            f"{name}: its camera stands inside of {int(around.sum())} Gaussians of the scene. "
            f"Take a camera outside of the object."
        )
    if walled_share(scene, eye) > WALLED:
        log.warning(
            "%s: its camera is walled in on all sides, as inside of an object. If that is not "
            "meant, take one outside of it.", name,
        )  # fmt: skip


def walled_share(scene: Gaussians, eye: Float[Tensor, "3"]) -> float:
    """In how many of all directions something opaque is near."""
    with torch.no_grad():
        frames = render(scene, around(eye), frozenset({"alpha", "depth"}))
    assert frames.alpha is not None and frames.depth is not None
    middle = (torch.arange(SIZE_PX) + 0.5) / (0.5 * SIZE_PX) - 1
    slant = (1 + middle[:, None] ** 2 + middle[None, :] ** 2).sqrt()
    # What a pixel of a cube's face covers of the sphere.
    weights = (slant**-3).expand(6, SIZE_PX, SIZE_PX)
    ends = torch.quantile(scene.means[:: max(1, len(scene.means) // 10_000)],
                          scene.means.new_tensor([0.01, 0.99]), dim=0)  # fmt: skip
    near = frames.depth[..., 0] * slant < NEAR * (ends[1] - ends[0]).norm()
    walled = near & (frames.alpha[..., 0] > OPAQUE)
    return float((weights * walled).sum() / weights.sum())


def around(eye: Float[Tensor, "3"]) -> Cameras:
    """Six cameras that together see all directions."""
    turns = []
    for axis in range(3):
        for sign in (1.0, -1.0):
            ahead, right = torch.zeros(3), torch.zeros(3)
            ahead[axis], right[(axis + 1) % 3] = sign, 1.0
            turns.append(torch.stack([right, torch.linalg.cross(ahead, right), ahead]))
    poses = torch.eye(4).repeat(6, 1, 1)
    poses[:, :3, :3] = torch.stack(turns)
    poses[:, :3, 3] = -torch.stack(turns) @ eye.float()
    half = 0.5 * SIZE_PX
    return Cameras(
        world_to_camera=poses,
        focal_px=torch.full((6, 2), half),
        center_px=torch.full((6, 2), half),
        width_px=SIZE_PX,
        height_px=SIZE_PX,
    )
