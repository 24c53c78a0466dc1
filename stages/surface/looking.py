"""What one camera sees of the splats: how much, how far away, and of which Gaussian.

The median Gaussian of a pixel is the one at which its transmittance falls to one half. Its depth in
the renderer is that of its center, which makes steps on slanted Gaussians; here it is where the
pixel's ray o + z d passes the Gaussian most closely in its own metric,

    z* = dᵀ A (μ - o) / dᵀ A d,        A = Σ⁻¹

(the depth of RaDe-GS, Zhang et al. 2024, which on a flat Gaussian is its plane's).
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int32

from ...renderers.cpu import render
from ...renderers.scene import Cameras, Gaussians
from .shapes import shapes_of

CANDIDATES = 8
"""Among so many of a pixel's Gaussians, those with the largest weights, the median one is found."""
FARTHEST = 3.0
"""z* lies at most so many standard deviations from the center: a ray along a plane has no say."""


@dataclass(frozen=True, slots=True)
class Look:
    """One view."""

    camera: Cameras
    """A single one."""
    depth: Float32[np.ndarray, "height width"]
    """z* of the median Gaussian; 0 where less than the threshold is covered, negative where the
    depth is not known though something is there."""
    hit: Int32[np.ndarray, "height width"]
    """The median Gaussian; -1 where there is none."""


@dataclass(frozen=True, slots=True)
class Rays:
    """Of a view's pixel centers: o + z d at view-space depth z."""

    origin: Float[np.ndarray, "3"]
    directions: Float[np.ndarray, "pixel 3"]


def look(scene: Gaussians, camera: Cameras, *, alpha_threshold: float) -> Look:
    """Render one view and find the median Gaussians."""
    with torch.no_grad():
        frames = render(
            scene, camera, frozenset({"alpha", "median_depth"}), contributors=CANDIDATES
        )
    assert frames.alpha is not None and frames.median_depth is not None
    assert frames.contributors is not None
    covered = (frames.alpha[0, ..., 0] >= alpha_threshold).numpy()
    median = frames.median_depth[0, ..., 0].numpy()
    covered &= median > 0
    hit = np.full(covered.shape, -1, np.int32)
    depth = np.zeros(covered.shape, np.float32)
    if covered.any():
        ids = frames.contributors.ids[0].numpy()[covered]
        hit[covered] = _nearest(scene, camera, ids, median[covered])
        depth[covered] = closest(scene, rays(camera, covered), hit[covered])
    passed = depth > 0
    return Look(camera, np.where(passed, depth, np.float32(0)), np.where(passed, hit, -1))


def rays(camera: Cameras, chosen: np.ndarray) -> Rays:
    """Through the chosen pixels (a mask, "height width"), row by row."""
    pose = camera.world_to_camera[0].double().numpy()
    focal, center = camera.focal_px[0].double().numpy(), camera.center_px[0].double().numpy()
    row, column = np.nonzero(chosen)
    local = np.stack(
        [
            (column + 0.5 - center[0]) / focal[0],
            (row + 0.5 - center[1]) / focal[1],
            np.ones(len(row)),
        ],
        axis=1,
    )
    return Rays(-pose[:3, :3].T @ pose[:3, 3], local @ pose[:3, :3])


def closest(
    scene: Gaussians, lines: Rays, hit: Int32[np.ndarray, " pixel"]
) -> Float[np.ndarray, " pixel"]:
    """z* of each ray and its Gaussian."""
    chosen, which = np.unique(hit, return_inverse=True)
    some = shapes_of(_subset(scene, chosen))
    whiten = some.whiten[which]
    to_center = np.einsum("pij,pj->pi", whiten, some.means[which] - lines.origin)
    along = np.einsum("pij,pj->pi", whiten, lines.directions)
    z = (to_center * along).sum(axis=1) / (along * along).sum(axis=1)
    length = np.linalg.norm(lines.directions, axis=1)
    center = ((some.means[which] - lines.origin) * lines.directions).sum(axis=1) / length**2
    turned = np.einsum("pji,pj->pi", some.axes[which], lines.directions / length[:, None])
    room = FARTHEST * np.linalg.norm(turned * some.scales[which], axis=1) / length
    return np.clip(z, center - room, center + room)


def _subset(scene: Gaussians, rows: np.ndarray) -> Gaussians:
    index = torch.from_numpy(rows.astype(np.int64))
    return Gaussians(
        scene.means[index], scene.quaternions[index], scene.scales[index],
        scene.opacities[index], scene.sh[index],
    )  # fmt: skip


def _nearest(
    scene: Gaussians,
    camera: Cameras,
    ids: np.ndarray,
    median: Float32[np.ndarray, " pixel"],
) -> np.ndarray:
    """Of the candidates of each pixel, the one whose center has the median depth."""
    pose = camera.world_to_camera[0].double().numpy()
    z = scene.means.double().numpy() @ pose[2, :3] + pose[2, 3]
    away = np.where(ids >= 0, np.abs(z[ids] - median[:, None]), np.inf)
    return ids[np.arange(len(ids)), away.argmin(axis=1)]
