"""Where a scene stands: the ground it rests on, its middle, its units and up axis."""

import numpy as np
import torch
from jaxtyping import Float

from ...pipeline.errors import InputError
from ..formats.splats import Axis, Sidecar
from ..randomness import generator
from .affine import Matrix, about

TRIALS = 256
SAMPLE = 20_000
"""Points that a trial is judged by."""
TOLERANCE = 0.005

Points = Float[np.ndarray, "n 3"]


def ground_transform(points: Points, others: Points, tolerance: float | None) -> Matrix:
    """The turn and shift that bring the plane with the most `points` near it to y = 0.

    Up is where more of `others` lie farther from the plane than `tolerance` (by default
    `TOLERANCE` times the extent of `points`); where neither side has more, what is up stays up.
    The plane is found by random trials (RANSAC with fixed randomness), then fitted to what lies
    near it by least squares. The middle of that stays where it was, but for its height.
    """
    if len(points) < 3:
        raise InputError(f"a ground plane needs at least 3 Gaussians, found {len(points)}")
    extent = float(np.linalg.norm(points.max(axis=0) - points.min(axis=0)))
    near = TOLERANCE * extent if tolerance is None else tolerance
    middle, normal = _best_plane(points, near)
    for _ in range(3):
        close = np.abs((points - middle) @ normal) <= near
        middle, normal = _fitted(points[close])
    height = (others - middle) @ normal
    balance = int((height > near).sum()) - int((height < -near).sum())
    if balance < 0 or (balance == 0 and normal[1] < 0):
        normal = -normal
    matrix = about(turn_between(normal, np.array([0.0, 1.0, 0.0])), middle)
    matrix[1, 3] -= middle[1]
    return matrix


def middle_of(points: Points) -> Float[np.ndarray, "3"]:
    """Of the bounding box."""
    return 0.5 * (points.min(axis=0) + points.max(axis=0))


def frame_transform(own: Sidecar, wanted: Sidecar) -> Matrix:
    """From one scene's units and up axis to another's, about the origin."""
    turn = turn_between(axis_vector(own.up_axis), axis_vector(wanted.up_axis))
    return about(turn * (own.meters_per_unit / wanted.meters_per_unit), (0.0, 0.0, 0.0))


def axis_vector(axis: Axis) -> Float[np.ndarray, "3"]:
    """`-z` -> (0, 0, -1)."""
    out = np.zeros(3)
    out["xyz".index(axis[1])] = 1.0 if axis[0] == "+" else -1.0
    return out


def turn_between(
    start: Float[np.ndarray, "3"], end: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "3 3"]:
    """The smallest rotation that takes one unit vector to another; of opposite ones, half a turn
    about some perpendicular axis."""
    cosine = float(start @ end)
    axis = np.cross(start, end)
    if cosine < -1 + 1e-12:
        axis = np.cross(start, np.eye(3)[np.abs(start).argmin()])
        axis /= np.linalg.norm(axis)
        return 2 * np.outer(axis, axis) - np.eye(3)
    skew = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + skew + skew @ skew / (1 + cosine)


def _best_plane(
    points: Points, near: float
) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
    """A point and the unit normal of the trial plane with the most points near it."""
    random = generator(0, "ground")
    sample = points[torch.randperm(len(points), generator=random)[:SAMPLE].numpy()]
    chosen = torch.rand(TRIALS, 3, generator=random, dtype=torch.float64).numpy()
    corners = sample[(chosen * len(sample)).astype(np.intp)]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.linalg.norm(normals, axis=1)
    usable = lengths > 0
    if not usable.any():
        raise InputError("the selection has no extent, so no ground plane goes through it")
    corners, normals = corners[usable, 0], normals[usable] / lengths[usable, None]
    counts = [
        int((np.abs((sample - corner) @ normal) <= near).sum())
        for corner, normal in zip(corners, normals, strict=True)
    ]
    best = int(np.argmax(counts))
    return corners[best], normals[best]


def _fitted(points: Points) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
    middle = points.mean(axis=0)
    offset = points - middle
    return middle, np.linalg.eigh(np.einsum("ni,nj->ij", offset, offset))[1][:, 0]
