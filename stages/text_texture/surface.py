"""What the cameras see of a mesh, settled by rays before anything is colored."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...renderers.scene import Cameras
from ..geometry.components import Surface
from ..geometry.rays import first_hits

Shape = tuple[int, int, int]
"""Views, height, width."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The surface points behind the rays of some views, several rays per pixel."""

    points: Float[Tensor, "point 3"]
    normals: Float[Tensor, "point 3"]
    """Unit length, towards the camera's side."""
    view: Int[Tensor, " point"]
    pixel: Int[Tensor, " point"]
    """Which pixel of all views, counted view by view and row by row."""
    faces: Int[np.ndarray, " point"]
    weights: Float[np.ndarray, "point 3"]
    """Barycentric, in the faces."""
    shape: Shape
    rays: int
    """Per pixel."""


def look(
    surface: Surface, normals: Float[np.ndarray, "face 3 3"], cameras: Cameras, samples: int
) -> Seen:
    """Cast `samples` squared rays through every pixel, evenly spread over it.

    Args:
        normals: At the corners of each face, unit length.
    """
    starts, directions, pixel = _rays(cameras, samples)
    hits = first_hits(surface, starts, directions)
    met = np.isfinite(hits.distance_m)
    directions, faces, weights = directions[met], hits.faces[met], hits.barycentrics[met]
    points = np.einsum("pk,pkc->pc", weights, surface.positions[surface.faces[faces]])
    blended = np.einsum("pk,pkc->pc", weights, normals[faces])
    blended /= np.maximum(np.linalg.norm(blended, axis=1, keepdims=True), 1e-12)
    away = (blended * directions).sum(axis=1) > 0
    blended[away] *= -1
    count, height, width = len(cameras.world_to_camera), cameras.height_px, cameras.width_px
    pixel = torch.from_numpy(pixel[met])
    return Seen(
        points=torch.from_numpy(points).float(),
        normals=torch.from_numpy(blended).float(),
        view=pixel // (height * width),
        pixel=pixel,
        faces=faces,
        weights=weights,
        shape=(count, height, width),
        rays=samples * samples,
    )


def compose(
    seen: Seen, colors: Float[Tensor, "point 3"], backgrounds: Float[Tensor, "view 3"]
) -> Float[Tensor, "view 3 height width"]:
    """Pictures of the points' colors, each pixel the mean of its rays."""
    count, height, width = seen.shape
    sums = colors.new_zeros(count * height * width, 3).index_add(0, seen.pixel, colors)
    shown = (sums / seen.rays).view(count, height, width, 3)
    behind = (1 - coverage(seen)).to(colors)[..., None]
    return (shown + behind * backgrounds.to(colors)[:, None, None, :]).permute(0, 3, 1, 2)


def coverage(seen: Seen) -> Float[Tensor, "view height width"]:
    """The share of each pixel's rays that meet the mesh."""
    hits = torch.bincount(seen.pixel, minlength=seen.shape[0] * seen.shape[1] * seen.shape[2])
    return (hits.double() / seen.rays).view(seen.shape)


def _rays(cameras: Cameras, samples: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Starts, unit directions and pixels of all rays."""
    height, width = cameras.height_px, cameras.width_px
    steps = (np.arange(samples) + 0.5) / samples
    y, x, dy, dx = np.meshgrid(
        np.arange(height), np.arange(width), steps, steps, indexing="ij", sparse=False
    )
    at = np.stack([(x + dx).ravel(), (y + dy).ravel()], axis=1)
    within = (y * width + x).ravel()
    starts, directions, pixels = [], [], []
    for view in range(len(cameras.world_to_camera)):
        pose = cameras.world_to_camera[view].double().numpy()
        focal = cameras.focal_px[view].double().numpy()
        center = cameras.center_px[view].double().numpy()
        local = np.concatenate([(at - center) / focal, np.ones((len(at), 1))], axis=1)
        local /= np.linalg.norm(local, axis=1, keepdims=True)
        directions.append(local @ pose[:3, :3])
        starts.append(np.broadcast_to(-pose[:3, :3].T @ pose[:3, 3], local.shape))
        pixels.append(within + view * height * width)
    return np.concatenate(starts), np.concatenate(directions), np.concatenate(pixels)


def lit(
    colors: Float[Tensor, "point 3"], light: Float[Tensor, " point"]
) -> Float[Tensor, "point 3"]:
    """sRGB colors whose linear values are multiplied by `light`, again as sRGB, at most white.

    In the power branch of sRGB (all but the darkest hundredth) that is affine in the color:
    encode(decode(c) s) = (c + 0.055) s^(1/2.4) - 0.055.
    """
    factor = light.clamp(min=0) ** (1 / 2.4)
    return ((colors + 0.055) * factor[:, None] - 0.055).clamp(0, 1)
