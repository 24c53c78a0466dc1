"""The judge: splats rendered by the book, dense, in float64, differentiable by autograd.

One camera, one pixel, Gaussians in the order of view-space z rounded to float32, ties by index:

    sigma_i = (p - m_i)ᵀ S_i⁻¹ (p - m_i) / 2         m, S: projected centre and covariance
    alpha_i = min(0.999, o_i exp(-sigma_i)),  0 where that is below 1/255
    T_i     = Π_{j<i} (1 - alpha_j)
    C       = Σ T_i alpha_i c_i  over all i with T_{i+1} > 1e-4
    A       = 1 - Π (1 - alpha_i)  over the same i

Kerbl et al. 2023 (arXiv 2308.04079), with the constants of gsplat. Memory grows with Gaussians
times pixels: for small scenes and for tests.
"""

import math
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from . import sh
from .checks import check
from .projection import (
    ALPHA_MAX,
    ALPHA_MIN,
    NEAR_M,
    TRANSMITTANCE_MIN,
    drawable,
    facing_normals,
    image_covariances,
    image_points,
    view_depths,
    view_directions,
)
from .scene import Cameras, Frames, Gaussians, Output

_CHUNK = 4_000_000
"""Gaussians times pixels handled at once."""


def render(
    scene: Gaussians,
    cameras: Cameras,
    outputs: frozenset[Output] = frozenset({"rgb", "alpha"}),
) -> Frames:
    """Render in float64 on the scene's device, whatever the type of the inputs.

    Differentiable by everything in `scene` and by the cameras; `median_depth` carries no gradient.
    Gaussians with a value that is not finite, or with a zero quaternion, are not drawn.
    """
    check("renderers.reference", scene, cameras, outputs)
    scene = _in_float64(scene)
    views = [_view(scene, _one(cameras, k)) for k in range(len(cameras.world_to_camera))]
    means2d = torch.stack([view.means2d for view in views])
    pictures = [
        _rasterize(view, means2d[k][view.index], scene, cameras) for k, view in enumerate(views)
    ]

    def gather(name: Output) -> Tensor | None:
        return torch.stack([p[name] for p in pictures]) if name in outputs else None

    return Frames(
        rgb=gather("rgb"),
        alpha=gather("alpha"),
        depth=gather("depth"),
        median_depth=gather("median_depth"),
        normal=gather("normal"),
        channels=gather("channels"),
        weights=gather("weights"),
        means2d=means2d,
        radii_px=torch.stack([view.radii for view in views]),
        color_space=scene.color_space,
    )


@dataclass(frozen=True, slots=True)
class _View:
    """What one camera sees. m drawn Gaussians, front to back; the first two fields hold all n."""

    means2d: Float[Tensor, "n 2"]
    radii: Float[Tensor, " n"]
    index: Int[Tensor, " m"]
    conics: Float[Tensor, "m 2 2"]
    colors: Float[Tensor, "m 3"]
    depths: Float[Tensor, " m"]
    normals: Float[Tensor, "m 3"]


def _in_float64(scene: Gaussians) -> Gaussians:
    values = {f.name: getattr(scene, f.name) for f in fields(scene)}
    return Gaussians(**{k: v.double() if isinstance(v, Tensor) else v for k, v in values.items()})


def _one(cameras: Cameras, k: int) -> Cameras:
    return replace(
        cameras,
        world_to_camera=cameras.world_to_camera[k : k + 1].double(),
        focal_px=cameras.focal_px[k : k + 1].double(),
        center_px=cameras.center_px[k : k + 1].double(),
    )


def _subset(scene: Gaussians, index: Int[Tensor, " m"]) -> Gaussians:
    values = {f.name: getattr(scene, f.name) for f in fields(scene)}
    return Gaussians(**{k: v[index] if isinstance(v, Tensor) else v for k, v in values.items()})


def _view(scene: Gaussians, camera: Cameras) -> _View:
    depths = view_depths(scene.means, camera)[0].detach()
    bright = (scene.opacities.detach() >= ALPHA_MIN) & (depths > NEAR_M)
    index = (drawable(scene) & bright).nonzero()[:, 0]
    part = _subset(scene, index)
    spread = image_covariances(part, camera)[0]
    centers = image_points(part, camera)[0]
    visible = _reaches_picture(part.opacities, centers, spread, camera)
    # `stable` keeps the order of the indices among equal depths.
    order = depths[index[visible]].float().sort(stable=True).indices
    kept = visible.nonzero()[:, 0][order]
    index, part, spread, centers = index[kept], _subset(part, kept), spread[kept], centers[kept]
    longest = torch.linalg.eigvalsh(spread.detach())[:, 1].sqrt()
    return _View(
        means2d=scene.means.new_zeros(len(scene.means), 2).index_put((index,), centers),
        radii=scene.means.new_zeros(len(scene.means)).index_put((index,), 3 * longest),
        index=index,
        conics=torch.linalg.inv(spread),
        colors=sh.colors(part.sh, view_directions(part.means, camera))[0],
        depths=view_depths(part.means, camera)[0],
        normals=facing_normals(part, camera)[0],
    )


def _reaches_picture(opacities, centers, spread, camera: Cameras) -> Tensor:
    """Whether the box around {alpha >= 1/255} meets the picture."""
    with torch.no_grad():
        variances = spread.diagonal(dim1=-2, dim2=-1)
        reach = (2 * (opacities.log() - math.log(ALPHA_MIN)))[:, None] * variances
        half = reach.clamp(min=0).sqrt()
        size = centers.new_tensor([camera.width_px, camera.height_px])
        return ((centers + half > 0) & (centers - half < size)).all(dim=-1)


def _rasterize(
    view: _View, centers: Float[Tensor, "m 2"], scene: Gaussians, cameras: Cameras
) -> dict[str, Tensor]:
    """All outputs for one camera."""
    width, height = cameras.width_px, cameras.height_px
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    pixels = torch.stack([x, y], dim=-1).reshape(-1, 2).to(centers) + 0.5
    channels = () if scene.channels is None else (scene.channels[view.index],)
    values = torch.cat([view.colors, view.depths[:, None], view.normals, *channels], dim=-1)
    step = max(1, _CHUNK // max(1, len(centers)))
    opacities = scene.opacities[view.index]
    chunks = [_blend(p, centers, view, opacities, values) for p in pixels.split(step)]
    blended, alpha, median, weights = zip(*chunks, strict=True)
    image = torch.cat(blended).reshape(height, width, values.shape[1])
    coverage = torch.cat(alpha).reshape(height, width, 1)
    covered = coverage > 0
    depth = image[..., 3:4] / torch.where(covered, coverage, 1.0)
    summed = torch.stack(weights).sum(dim=0)
    return {
        "rgb": image[..., :3],
        "alpha": coverage,
        "depth": torch.where(covered, depth, 0.0),
        "median_depth": torch.cat(median).reshape(height, width, 1),
        "normal": image[..., 4:7],
        "channels": image[..., 7:],
        "weights": summed.new_zeros(len(scene.means)).index_put((view.index,), summed),
    }


def _blend(pixels: Float[Tensor, "pixel 2"], centers, view: _View, opacities, values):
    """Blended values, alpha, median depth and summed weights over some pixels."""
    offsets = pixels - centers[:, None]
    sigma = 0.5 * torch.einsum("mpi,mij,mpj->mp", offsets, view.conics, offsets)
    alpha = (opacities[:, None] * torch.exp(-sigma)).clamp(max=ALPHA_MAX)
    alpha = torch.where(alpha < ALPHA_MIN, 0.0, alpha)
    after = torch.cumprod(1 - alpha, dim=0)
    before = torch.cat([torch.ones_like(after[:1]), after])[: len(after)]
    # `after` only falls, so this also leaves out all that lies behind the first one left out.
    weights = torch.where(after > TRANSMITTANCE_MIN, before * alpha, 0.0)
    half = (after <= 0.5) & (before > 0.5)
    median = (half * view.depths.detach()[:, None]).sum(dim=0)
    return weights.T @ values, weights.sum(dim=0), median, weights.sum(dim=1)
