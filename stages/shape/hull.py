"""A soft visual hull (Laurentini 1994) from a few silhouettes that need not agree.

Notation: v views of size s x s, a grid of g^3 cells over the cube [-r, r]^3, k surface cells.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...renderers.scene import Cameras

PREFERENCE = 30
"""Power of the cosine between a cell's normal and the way to a camera, in the view's weight."""
LEAST_COSINE = 0.03
"""A cell that is seen at a flatter angle counts as not seen."""


@dataclass(frozen=True, slots=True)
class Surface:
    """Cells on the border of the hull."""

    positions: Float[Tensor, "k 3"]
    normals: Float[Tensor, "k 3"]
    """Outward, unit length."""
    colors: Float[Tensor, "k 3"]
    cell_m: float
    """Side of a grid cell in metres."""


def silhouettes(
    images: Float[Tensor, "v s s 3"], *, border_px: int = 3
) -> tuple[Float[Tensor, "v s s"], Float[Tensor, " v"]]:
    """How much each pixel differs from its picture's background, from 0 to 1.

    The background is the median color of the picture's border.

    Returns:
        The silhouettes, and per view the share of border pixels that are not background
        (near 0 where the background is plain).
    """
    background = backgrounds(images, border_px=border_px)
    distance = (images - background[:, None, None]).abs().amax(dim=-1)
    low, high = 0.06, 0.18  # of the full range: above a decoder's ripple, below a pale color
    inside = ((distance - low) / (high - low)).clamp(0, 1)
    edge = _border(images.shape[1], border_px)
    return inside, (inside[:, edge] > 0.5).float().mean(dim=1)


def backgrounds(images: Float[Tensor, "v s s 3"], *, border_px: int = 3) -> Float[Tensor, "v 3"]:
    """The median color of each picture's border."""
    return images[:, _border(images.shape[1], border_px)].median(dim=1).values


def _border(size: int, width: int) -> Bool[Tensor, "s s"]:
    edge = torch.zeros(size, size, dtype=torch.bool)
    edge[:width], edge[-width:] = True, True
    edge[:, :width], edge[:, -width:] = True, True
    return edge


def carve(
    inside: Float[Tensor, "v s s"],
    cameras: Cameras,
    *,
    radius_m: float,
    resolution: int,
    disagreeing: int,
) -> Float[Tensor, "g g g"]:
    """Occupancy: for each cell, the silhouette value that all but `disagreeing` views reach.

    With `disagreeing=0` this is the plain visual hull. Axes of the grid are x, y, z.
    """
    cells = _centers(radius_m, resolution)
    pixels, depth = project(cells, cameras)
    scale = torch.tensor([cameras.width_px, cameras.height_px]) / 2
    where = (pixels / scale - 1)[:, :, None]
    seen = F.grid_sample(inside[:, None], where, align_corners=False)[:, 0, :, 0]
    seen = torch.where(depth > 0, seen, torch.zeros_like(seen))
    kept = seen.kthvalue(min(disagreeing, len(seen) - 1) + 1, dim=0).values
    return kept.reshape(resolution, resolution, resolution)


def surface(
    occupancy: Float[Tensor, "g g g"],
    images: Float[Tensor, "v s s 3"],
    cameras: Cameras,
    *,
    radius_m: float,
) -> Surface:
    """The border cells of `occupancy > 0.5`, colored by the views that see them."""
    resolution = occupancy.shape[0]
    cell = 2 * radius_m / resolution
    solid = occupancy > 0.5
    border = solid & ~_eroded(solid)
    positions = _centers(radius_m, resolution)[border.flatten()]
    normals = _outward(occupancy)[:, border].T
    colors = _colors(positions, normals, images, cameras, cell)
    return Surface(positions, normals, colors, cell)


def project(
    points: Float[Tensor, "k 3"], cameras: Cameras
) -> tuple[Float[Tensor, "v k 2"], Float[Tensor, "v k"]]:
    """Pixel coordinates and view-space depth of world points, per camera."""
    rotation, shift = cameras.world_to_camera[:, :3, :3], cameras.world_to_camera[:, :3, 3]
    local = points @ rotation.mT + shift[:, None]
    depth = local[..., 2]
    flat = local[..., :2] / depth.clamp(min=1e-6)[..., None]
    return flat * cameras.focal_px[:, None] + cameras.center_px[:, None], depth


def _centers(radius_m: float, resolution: int) -> Float[Tensor, "cell 3"]:
    axis = (torch.arange(resolution) + 0.5) / resolution * 2 * radius_m - radius_m
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)


def _eroded(solid: Bool[Tensor, "g g g"]) -> Bool[Tensor, "g g g"]:
    hollow = (~solid).float()[None, None]
    grown = F.max_pool3d(F.pad(hollow, [1] * 6, value=1.0), 3, 1)
    return grown[0, 0] < 0.5


def _outward(occupancy: Float[Tensor, "g g g"]) -> Float[Tensor, "3 g g g"]:
    """Minus the gradient of the smoothed occupancy, normalized."""
    smooth = occupancy[None, None]
    for _ in range(2):
        smooth = F.avg_pool3d(smooth, 3, 1, padding=1)
    slope = torch.stack(torch.gradient(smooth[0, 0]))
    return -F.normalize(slope, dim=0, eps=1e-8)


def _colors(
    positions: Float[Tensor, "k 3"],
    normals: Float[Tensor, "k 3"],
    images: Float[Tensor, "v s s 3"],
    cameras: Cameras,
    cell_m: float,
) -> Float[Tensor, "k 3"]:
    """What the view that faces a cell most shows there, softly blended into the next best.

    Not a mean over all views: a model that draws one picture after another puts its dots and
    stripes elsewhere in each, and their mean is a wash of which no later step makes dots again.
    """
    pixels, depth = project(positions, cameras)
    scale = torch.tensor([cameras.width_px, cameras.height_px]) / 2
    where = (pixels / scale - 1)[:, :, None]
    samples = F.grid_sample(images.permute(0, 3, 1, 2), where, align_corners=False)[..., 0]
    centers = -(cameras.world_to_camera[:, :3, :3].mT @ cameras.world_to_camera[:, :3, 3:])[..., 0]
    toward = F.normalize(centers[:, None] - positions, dim=-1)
    facing = (toward * normals).sum(-1).clamp(min=0) * _visible(pixels, depth, cameras, cell_m)
    best = facing.amax(0)
    weight = (facing / best.clamp(min=1e-8)) ** PREFERENCE
    colors = (samples * weight[:, None]).sum(0).T / weight.sum(0).clamp(min=1e-8)[:, None]
    return _fill(positions, colors, best > LEAST_COSINE)


def _visible(
    pixels: Float[Tensor, "v k 2"],
    depth: Float[Tensor, "v k"],
    cameras: Cameras,
    cell_m: float,
) -> Float[Tensor, "v k"]:
    """1 where no other cell is clearly nearer, by a coarse depth buffer."""
    coarse = 2  # pixels of the picture per pixel of the buffer: a cell must not leave gaps
    width, height = cameras.width_px // coarse + 1, cameras.height_px // coarse + 1
    column = (pixels[..., 0] / coarse).long().clamp(0, width - 1)
    row = (pixels[..., 1] / coarse).long().clamp(0, height - 1)
    index: Int[Tensor, "v k"] = row * width + column
    buffer = torch.full((len(pixels), width * height), torch.inf)
    buffer = buffer.scatter_reduce(1, index, depth, "amin")
    return (depth <= buffer.gather(1, index) + 2.5 * cell_m).float()


def _fill(
    positions: Float[Tensor, "k 3"], colors: Float[Tensor, "k 3"], known: Bool[Tensor, " k"]
) -> Float[Tensor, "k 3"]:
    """Give cells that no view sees the color of the nearest cell that one does."""
    if bool(known.all()) or not bool(known.any()):
        return colors
    from scipy.spatial import cKDTree

    tree = cKDTree(positions[known].numpy())
    nearest = torch.from_numpy(tree.query(positions[~known].numpy())[1])
    filled = colors.clone()
    filled[~known] = colors[known][nearest]
    return filled
