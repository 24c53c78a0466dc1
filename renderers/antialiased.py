"""Antialiased splats, as gsplat and Mip-Splatting define them, for every renderer.

Each splat's ellipse S = J R Σ Rᵀ Jᵀ is widened by 0.3 px² on its way into a picture, so that none
falls between the pixels. One that is smaller than a pixel thereby gains area, and with it light:
a scene seen from afar gets thicker and brighter. Here its opacity is lowered by as much:

    o' = o sqrt(det S / det (S + 0.3 I))

Yu et al. 2024 (arXiv 2311.16493), equation 8 in the form of gsplat's `calc_compensations`. S
depends on the camera, so a scene becomes one scene per camera. Differentiable by everything.
"""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from .projection import DILATION_PX2, NEAR_M, drawable, image_covariances, view_depths
from .scene import Cameras, Gaussians

FLAT = 1e-12
"""Below, an ellipse without area: rounding leaves its determinant a little off zero, where the
root has no derivative."""


def antialiased(scene: Gaussians, cameras: Cameras) -> list[tuple[Gaussians, Cameras]]:
    """The scene as each camera should see it, with that camera alone."""
    views = []
    for k in range(len(cameras.world_to_camera)):
        camera = replace(
            cameras,
            world_to_camera=cameras.world_to_camera[k : k + 1],
            focal_px=cameras.focal_px[k : k + 1],
            center_px=cameras.center_px[k : k + 1],
        )
        factors = compensations(scene, camera).to(scene.opacities.dtype)
        views.append((replace(scene, opacities=scene.opacities * factors), camera))
    return views


def compensations(scene: Gaussians, camera: Cameras) -> Float[Tensor, " n"]:
    """Factors of the opacities for one camera, from 0 to 1, in float64; 1 for what is not drawn."""
    in_front = view_depths(scene.means.detach(), camera)[0] > NEAR_M
    index = (drawable(scene) & in_front).nonzero()[:, 0]
    means, quaternions, scales = (
        part[index].double() for part in (scene.means, scene.quaternions, scene.scales)
    )
    part = Gaussians(means, quaternions, scales, scene.opacities[index], scene.sh[index])
    spread = image_covariances(part, camera)[0]
    xx, xy, yy = spread[:, 0, 0], spread[:, 0, 1], spread[:, 1, 1]
    before = (xx - DILATION_PX2) * (yy - DILATION_PX2) - xy * xy
    ratio = before / (xx * yy - xy * xy)
    solid = ratio.detach() > FLAT
    factors = torch.where(solid, torch.where(solid, ratio, 1.0).sqrt(), 0.0)
    return factors.new_ones(len(scene.means)).index_put((index,), factors)
