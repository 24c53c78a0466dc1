"""One color per surface point from many views of it.

A view i counts for a point by

    w_i = cos_i^sharpness * fade_i      if it sees the point, else 0

where cos_i is between the normal and the direction to the camera, and fade falls from 1 to
`FAINTEST` towards depth edges of the mesh, where a mesh that fits the splats only roughly would
borrow colors from in front or behind. Seeing means: inside the picture, cos_i >= min_cosine, not
behind the mesh's own depth map by more than the tolerance, splat alpha >= min_alpha.

How the colors that are seen become one: `robust.py`.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float32
from scipy.ndimage import distance_transform_edt

from ...renderers.cpu.compiled import kernel, part
from ...renderers.scene import Cameras
from .robust import agreed

FAINTEST = 0.02
"""Of the weight is left right at a depth edge: better than nothing where there is nothing else."""
EDGE_TOLERANCES = 3.0
"""Neighboring depths this many tolerances apart make an edge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What counts as seen, and how much; see the top of this file."""

    sharpness: float
    min_cosine: float
    min_alpha: float
    edge_px: float
    outlier: float
    tolerance_m: float


def blend(
    positions: Float32[np.ndarray, "point 3"],
    normals: Float32[np.ndarray, "point 3"],
    shots: Float32[np.ndarray, "camera height width 4"],
    depths: Float32[np.ndarray, "camera height width"],
    cameras: Cameras,
    rules: Rules,
    threads: int,
) -> tuple[Float32[np.ndarray, "point 3"], Bool[np.ndarray, " point"]]:
    """Colors of points on the mesh, and whether any view sees them.

    Args:
        shots: Premultiplied color and alpha.
        depths: View-space z of the mesh itself; inf beside it.
    """
    poses = cameras.world_to_camera.double().numpy()
    intrinsics = np.concatenate([cameras.focal_px.numpy(), cameras.center_px.numpy()], axis=1)
    fades = np.stack([fade(depth, rules) for depth in depths])
    numbers = np.array(
        [rules.sharpness, rules.min_cosine, rules.min_alpha, rules.outlier, rules.tolerance_m]
    )
    colors = np.zeros((len(positions), 3), np.float32)
    seen = np.zeros(len(positions), bool)

    def work(piece: slice) -> None:
        _blend(
            positions[piece], normals[piece], shots, depths, fades,
            poses, intrinsics.astype(np.float64), numbers, colors[piece], seen[piece],
        )  # fmt: skip

    bounds = np.linspace(0, len(positions), 4 * threads + 1).astype(int)
    pieces = [slice(a, b) for a, b in pairwise(bounds) if b > a]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, pieces))
    return colors, seen


def fade(
    depth: Float32[np.ndarray, "height width"], rules: Rules
) -> Float32[np.ndarray, "height width"]:
    """1 far from depth edges, `FAINTEST` on them, linear over `edge_px` pixels."""
    edges = np.zeros(depth.shape, bool)
    finite = np.where(np.isfinite(depth), depth, 1e6)
    for axis in (0, 1):
        jumps = np.abs(np.diff(finite, axis=axis)) > EDGE_TOLERANCES * rules.tolerance_m
        first, second = [slice(None)] * 2, [slice(None)] * 2
        first[axis], second[axis] = slice(None, -1), slice(1, None)
        edges[tuple(first)] |= jumps
        edges[tuple(second)] |= jumps
    if not edges.any() or rules.edge_px == 0:
        return np.ones(depth.shape, np.float32)
    distance = distance_transform_edt(~edges)
    return np.clip(distance / rules.edge_px, FAINTEST, 1).astype(np.float32)


@kernel
def _blend(positions, normals, shots, depths, fades, poses, intrinsics, numbers, colors, seen):
    """Fill `colors` and `seen`; the formula stands at the top of this file."""
    views = len(shots)
    found = np.empty((views, 3))
    weights = np.empty(views)
    median, sums = np.empty(3), np.empty(3)
    order = np.empty(views, np.int64)
    for point in range(len(positions)):
        count = 0
        for view in range(views):
            weight = _look(
                positions[point], normals[point], poses[view], intrinsics[view],
                shots[view], depths[view], fades[view], numbers, found[count],
            )  # fmt: skip
            if weight > 0:
                weights[count] = weight
                count += 1
        if count == 0:
            continue
        seen[point] = True
        agreed(found, weights, weights, count, numbers[3], median, sums, order)
        for channel in range(3):
            colors[point, channel] = sums[channel]


@part
def _look(position, normal, pose, intrinsics, shot, depth, fade, numbers, color):
    """Write what one view shows at a point into `color`; return the view's weight, or 0."""
    height, width = depth.shape
    x = pose[0, 0] * position[0] + pose[0, 1] * position[1] + pose[0, 2] * position[2] + pose[0, 3]
    y = pose[1, 0] * position[0] + pose[1, 1] * position[1] + pose[1, 2] * position[2] + pose[1, 3]
    z = pose[2, 0] * position[0] + pose[2, 1] * position[1] + pose[2, 2] * position[2] + pose[2, 3]
    if z <= 0:
        return 0.0
    facing = 0.0  # Against the ray, in camera space.
    for axis in range(3):
        along = pose[0, axis] * x + pose[1, axis] * y + pose[2, axis] * z
        facing -= normal[axis] * along
    cosine = facing / np.sqrt(x * x + y * y + z * z)
    if cosine < max(numbers[1], 1e-6):
        return 0.0
    column = intrinsics[0] * x / z + intrinsics[2] - 0.5
    row = intrinsics[1] * y / z + intrinsics[3] - 0.5
    if not (0 <= column < width - 1 and 0 <= row < height - 1):
        return 0.0
    left, top = int(column), int(row)
    right, down = column - left, row - top
    if z > _depth_at(depth, top, left, down, right, numbers[4]) + numbers[4]:
        return 0.0
    alpha = _mix(shot, top, left, down, right, 3)
    if alpha < numbers[2]:
        return 0.0
    for channel in range(3):
        color[channel] = _mix(shot, top, left, down, right, channel) / alpha
    faded = fade[int(row + 0.5), int(column + 0.5)]
    return cosine ** numbers[0] * faded


@part
def _mix(picture, top, left, down, right, channel):
    """Bilinear."""
    upper = picture[top, left, channel] * (1 - right) + picture[top, left + 1, channel] * right
    lower = (
        picture[top + 1, left, channel] * (1 - right) + picture[top + 1, left + 1, channel] * right
    )
    return upper * (1 - down) + lower * down


@part
def _depth_at(depth, top, left, down, right, tolerance):
    """Bilinear where the four pixels lie on one surface, else the nearest of the four."""
    a, b = depth[top, left], depth[top, left + 1]
    c, d = depth[top + 1, left], depth[top + 1, left + 1]
    low, high = min(a, b, c, d), max(a, b, c, d)
    if high - low < 3.0 * tolerance:
        return (a * (1 - right) + b * right) * (1 - down) + (c * (1 - right) + d * right) * down
    return low
