"""Shared geometry of splats and pinhole cameras, as plain differentiable tensor functions."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .scene import Cameras, Gaussians

NEAR_M = 0.01
DILATION_PX2 = 0.3
ALPHA_MIN = 1 / 255
ALPHA_MAX = 0.999
TRANSMITTANCE_MIN = 1e-4


def rotation_matrices(quaternions: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 3 3"]:
    """Local to world, of (w, x, y, z), normalized first; nan for the zero quaternion."""
    w, x, y, z = (quaternions / quaternions.norm(dim=-1, keepdim=True)).unbind(-1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def covariances(
    quaternions: Float[Tensor, "*n 4"], scales: Float[Tensor, "*n 3"]
) -> Float[Tensor, "*n 3 3"]:
    """R diag(s²) Rᵀ, in the world."""
    root = rotation_matrices(quaternions) * scales[..., None, :]
    return root @ root.mT


def camera_centers(world_to_camera: Float[Tensor, "camera 4 4"]) -> Float[Tensor, "camera 3"]:
    """Where the cameras stand, in the world: -Rᵀ t."""
    rotation, shift = world_to_camera[:, :3, :3], world_to_camera[:, :3, 3]
    return -torch.einsum("cij,ci->cj", rotation, shift)


def view_points(
    points: Float[Tensor, "n 3"], world_to_camera: Float[Tensor, "camera 4 4"]
) -> Float[Tensor, "camera n 3"]:
    """Points in camera coordinates."""
    rotation, shift = world_to_camera[:, :3, :3], world_to_camera[:, :3, 3]
    return torch.einsum("cij,nj->cni", rotation, points) + shift[:, None]


def view_depths(points: Float[Tensor, "n 3"], cameras: Cameras) -> Float[Tensor, "camera n"]:
    """View-space z."""
    matrices = cameras.world_to_camera.to(points)
    return torch.einsum("cj,nj->cn", matrices[:, 2, :3], points) + matrices[:, 2, 3, None]


def facing_normals(scene: Gaussians, cameras: Cameras) -> Float[Tensor, "camera n 3"]:
    """Each Gaussian's shortest axis, in the world, turned towards each camera.

    Any axis for unusable quaternions: those Gaussians are not drawn, and get no gradient.
    """
    given = scene.quaternions.detach()
    usable = given.isfinite().all(dim=-1, keepdim=True) & (given != 0).any(dim=-1, keepdim=True)
    identity = given.new_tensor([1, 0, 0, 0])
    axes = rotation_matrices(torch.where(usable, scene.quaternions, identity))
    shortest = scene.scales.detach().argmin(dim=-1)
    normals = axes.gather(-1, shortest[:, None, None].expand(-1, 3, 1))[..., 0]
    centers = camera_centers(cameras.world_to_camera.to(scene.means))
    towards = torch.einsum("cnj,nj->cn", centers[:, None] - scene.means.detach(), normals.detach())
    return torch.where(towards[..., None] < 0, -normals, normals)


def view_directions(points: Float[Tensor, "n 3"], cameras: Cameras) -> Float[Tensor, "camera n 3"]:
    """Unit vectors from the cameras' centres to the points."""
    centers = camera_centers(cameras.world_to_camera.to(points))
    return torch.nn.functional.normalize(points - centers[:, None], dim=-1)


def image_covariances(scene: Gaussians, cameras: Cameras) -> Float[Tensor, "camera n 2 2"]:
    """J R Σ Rᵀ Jᵀ + 0.3 I, with J the derivative of the pinhole projection at the centre.

    As in gsplat, x/z and y/z are held within the picture widened by 0.15 of its size on each side
    (beyond, the linearization would blow up); the centre itself is not moved.
    """
    matrices = cameras.world_to_camera.to(scene.means)
    x, y, z = view_points(scene.means, matrices).unbind(-1)
    focal, center = cameras.focal_px.to(scene.means), cameras.center_px.to(scene.means)
    size = scene.means.new_tensor([cameras.width_px, cameras.height_px])
    low = -(center / focal + 0.15 * size / focal)
    high = (size - center) / focal + 0.15 * size / focal
    rx = torch.minimum(torch.maximum(x / z, low[:, :1]), high[:, :1])
    ry = torch.minimum(torch.maximum(y / z, low[:, 1:]), high[:, 1:])
    fx, fy, zero = focal[:, :1], focal[:, 1:], torch.zeros_like(z)
    jacobian = torch.stack(
        [
            torch.stack([fx / z, zero, -fx * rx / z], dim=-1),
            torch.stack([zero, fy / z, -fy * ry / z], dim=-1),
        ],
        dim=-2,
    )
    to_image = jacobian @ matrices[:, None, :3, :3]
    spread = to_image @ covariances(scene.quaternions, scene.scales) @ to_image.mT
    return spread + DILATION_PX2 * torch.eye(2).to(spread)


def image_points(scene: Gaussians, cameras: Cameras) -> Float[Tensor, "camera n 2"]:
    """Projected centres in pixels; meaningless at or behind the camera plane."""
    points = view_points(scene.means, cameras.world_to_camera.to(scene.means))
    focal, center = cameras.focal_px.to(points), cameras.center_px.to(points)
    return focal[:, None] * points[..., :2] / points[..., 2:] + center[:, None]


def drawable(scene: Gaussians) -> Bool[Tensor, " n"]:
    """Every value finite and the quaternion not zero."""
    parts = [scene.means, scene.quaternions, scene.scales, scene.opacities[:, None]]
    parts.append(scene.sh.flatten(1))
    if scene.channels is not None:
        parts.append(scene.channels)
    finite = torch.cat([p.detach() for p in parts], dim=-1).isfinite().all(dim=-1)
    return finite & (scene.quaternions.detach() != 0).any(dim=-1)
