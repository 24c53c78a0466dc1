"""The edited pictures, cut to where the edit is, and the scene's own pictures from there."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...renderers.choose import named
from ...renderers.scene import Cameras, Frames, Gaussians
from .positional import pixel_centers
from .transport import Tiles, tile_means

MARGIN_SHARE = 0.15
"""Of the box around an edit, added on each side."""
LEAST_MARGIN_PX = 12
TILES = 24
"""On the longer side of the box."""
EMPTY = 0.05
"""Tiles in which both pictures are background to this degree hold no mass."""


@dataclass(frozen=True, slots=True)
class Box:
    """Columns left..right-1 and rows top..bottom-1 of a picture."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True, slots=True)
class View:
    """One edited picture, cut to its box."""

    camera: Cameras
    """One camera, of the box alone."""
    target: Float[Tensor, "height width 3"]
    """The edited picture where the edit is, the scene's own elsewhere."""
    mask: Bool[Tensor, "height width"]
    """Where the edit is."""
    background: Float[Tensor, "3"]
    box: Box
    tile_px: int
    tiles: Tiles
    """Of the target."""


def pick(cameras: Cameras, index: int) -> Cameras:
    """One camera of several."""
    one = slice(index, index + 1)
    return replace(
        cameras,
        world_to_camera=cameras.world_to_camera[one],
        focal_px=cameras.focal_px[one],
        center_px=cameras.center_px[one],
    )


def cut(camera: Cameras, box: Box) -> Cameras:
    """The camera of a part of the picture."""
    shift = torch.tensor([[box.left, box.top]]).to(camera.center_px)
    return replace(
        camera,
        center_px=camera.center_px - shift,
        width_px=box.right - box.left,
        height_px=box.bottom - box.top,
    )


def box_around(mask: Bool[np.ndarray, "height width"]) -> Box:
    """The part of the picture that an edit concerns."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    tall, wide = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    margin = max(LEAST_MARGIN_PX, round(MARGIN_SHARE * max(tall, wide)))
    height, width = mask.shape
    return Box(
        int(max(0, columns[0] - margin)),
        int(max(0, rows[0] - margin)),
        int(min(width, columns[-1] + 1 + margin)),
        int(min(height, rows[-1] + 1 + margin)),
    )


def composited(frames: Frames, background: Float[Tensor, "3"]) -> Float[Tensor, "height width 3"]:
    """The first picture on its background."""
    assert frames.rgb is not None and frames.alpha is not None
    return frames.rgb[0] + (1 - frames.alpha[0]) * background


def make_view(
    scene: Gaussians,
    camera: Cameras,
    edited: Float[np.ndarray, "height width 3"],
    mask: Bool[np.ndarray, "height width"],
    background: Float[Tensor, "3"],
) -> View:
    """Cut everything to the box around `mask`."""
    box = box_around(mask)
    camera = cut(camera, box)
    with torch.no_grad():
        frames = named("cpu")(scene, camera)
    own = composited(frames, background)
    rows, columns = slice(box.top, box.bottom), slice(box.left, box.right)
    inside = torch.from_numpy(np.ascontiguousarray(mask[rows, columns]))
    wanted = torch.from_numpy(np.ascontiguousarray(edited[rows, columns])).to(own)
    target = torch.where(inside[..., None], wanted, own)
    size = max(2, -(-max(camera.width_px, camera.height_px) // TILES))
    assert frames.alpha is not None
    filled = torch.maximum(
        torch.where(inside[..., None], 0.0, frames.alpha[0]),
        (target - background).abs().amax(dim=-1, keepdim=True).mul(4).clamp(max=1),
    )
    return View(
        camera=camera,
        target=target,
        mask=inside,
        background=background,
        box=box,
        tile_px=size,
        tiles=tiles_of(target, filled, size),
    )


def tiles_of(
    picture: Float[Tensor, "height width 3"], filled: Float[Tensor, "height width 1"], size: int
) -> Tiles:
    """Mean colors, centers, and mass in proportion to how much of a tile is not background."""
    height, width = picture.shape[:2]
    mass = tile_means(filled, size)[:, 0]
    mass = torch.where(mass < EMPTY, 0.0, mass)
    return Tiles(
        colors=tile_means(picture, size),
        centers=tile_means(pixel_centers(height, width), size) / max(height, width),
        mass=mass / mass.sum().clamp(min=1e-12),
    )


def weights_inside(
    scene: Gaussians, cameras: Sequence[Cameras], masks: Sequence[Bool[Tensor, "_ _"]]
) -> Float[Tensor, " n"]:
    """Per Gaussian, its blending weights summed over the pixels of all masks.

    The gradient of a blended channel by its values, which are zero here, is just that.
    """
    total = torch.zeros(len(scene.means))
    for camera, mask in zip(cameras, masks, strict=True):
        values = torch.zeros(len(scene.means), 3, requires_grad=True)
        frames = named("cpu")(replace(scene, channels=values), camera, frozenset({"channels"}))
        assert frames.channels is not None
        (frames.channels[0, ..., 0] * mask).sum().backward()
        assert values.grad is not None
        total = total + values.grad[:, 0]
    return total
