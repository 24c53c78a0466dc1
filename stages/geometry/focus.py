"""What cameras look at together. Notation: n cameras."""

import torch
from jaxtyping import Float
from torch import Tensor


def eyes(poses: Float[Tensor, "n 4 4"]) -> Float[Tensor, "n 3"]:
    """Where the cameras stand, from their world-to-camera matrices, in float64."""
    poses = poses.double()
    return -(poses[:, :3, :3].transpose(1, 2) @ poses[:, :3, 3:])[..., 0]


def extent(poses: Float[Tensor, "n 4 4"]) -> float:
    """1.1 times the largest distance of a camera from their mean (reference 3DGS); 1 for cameras in
    one place."""
    places = eyes(poses)
    spread = float((places - places.mean(dim=0)).norm(dim=1).max())
    return 1.1 * spread if spread > 1e-6 else 1.0


def focus(poses: Float[Tensor, "n 4 4"]) -> tuple[Float[Tensor, "3"], float]:
    """The point nearest to all optical axes, and the mean distance of the cameras from it.

    Where the axes have no common region in front of the cameras, what lies one extent before
    their mean is taken.
    """
    places = eyes(poses)
    axes = poses[:, 2, :3].double()
    across = torch.eye(3, dtype=torch.float64) - axes[:, :, None] * axes[:, None, :]
    total = across.sum(dim=0)
    target = (across @ places[:, :, None]).sum(dim=0)
    center = torch.linalg.lstsq(total, target, driver="gelsd").solution[:, 0]
    ahead = ((center - places) * axes).sum(dim=1)
    if float((ahead > 0).double().mean()) < 0.5 or torch.linalg.cond(total) > 1e6:
        center = places.mean(dim=0) + extent(poses) * axes.mean(dim=0)
    return center, float((center - places).norm(dim=1).mean())
