"""Thin parts in front of others (frames, decals, eyes) that a coarse surface has swallowed.

Such a part is geometry of its own, so the face that now covers its place was never merged with it
and successive mapping does not reach it; yet it is what one saw there. So every point also looks
back from a little outside, along its normal: the first surface of the input on the way counts,
unless the coarse mesh has a surface of its own out there.
"""

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from ..geometry.components import Surface
from ..geometry.open3d_module import open3d

ALIGNED = 0.3
"""Cosine: only surfaces that look about the same way count."""


def in_front(
    original: Surface,
    coarse: Surface,
    points: Float[np.ndarray, "point 3"],
    normals: Float[np.ndarray, "point 3"],
    mapped: Float[np.ndarray, "point 3"],
    reach_m: float,
) -> tuple[Bool[np.ndarray, " point"], Int[np.ndarray, " point"], Float[np.ndarray, "point 3"]]:
    """Which points see another part of the original first; its face and barycentrics there.

    Args:
        points: On the coarse surface.
        normals: Of the coarse surface there, any length.
        mapped: Where successive mapping has led.
        reach_m: From how far outside they look, and how far in front a part may lie.
    """
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = (normals / np.where(length > 0, length, 1)).astype(np.float64)
    found, faces, weights = (
        np.zeros(len(points), bool),
        np.zeros(len(points), np.int64),
        np.zeros((len(points), 3)),
    )
    if not reach_m > 0 or not len(points):
        return found, faces, weights
    hit, ids, second_third = _cast(original, points + reach_m * normals, -normals)
    height = reach_m - hit
    known = ((mapped - points) * normals).sum(axis=1)
    corners = original.positions[original.faces[ids]].astype(np.float64)
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    size = np.linalg.norm(cross, axis=1)
    aligned = (cross * normals).sum(axis=1) > ALIGNED * np.where(size > 0, size, 1)
    # Less than this in front is the same surface, seen with rounding.
    margin = 1e-3 * reach_m
    found = np.isfinite(hit) & aligned & (height > known + margin) & (height > -reach_m)
    candidates = np.flatnonzero(found)
    outside, _, _ = _cast(
        coarse, points[candidates] + margin * normals[candidates], normals[candidates]
    )
    # A coarse surface out there shows the part itself.
    found[candidates] = outside > reach_m + np.maximum(height[candidates], 0)
    weights = np.concatenate([1 - second_third.sum(axis=1, keepdims=True), second_third], axis=1)
    return found, ids, np.clip(weights, 0, 1).astype(np.float64)


def _cast(
    surface: Surface, starts: Float[np.ndarray, "ray 3"], directions: Float[np.ndarray, "ray 3"]
) -> tuple[Float32[np.ndarray, " ray"], Int[np.ndarray, " ray"], Float32[np.ndarray, "ray 2"]]:
    """Distance (infinite without a hit), face and the weights of its second and third corner."""
    if not len(starts):
        return np.zeros(0, np.float32), np.zeros(0, np.int64), np.zeros((0, 2), np.float32)
    o3d = open3d()
    # Embree counts in float32, so everything is moved near the origin.
    center = surface.positions.mean(axis=0)
    scene = o3d.t.geometry.RaycastingScene(nthreads=1)
    scene.add_triangles(
        o3d.core.Tensor(np.ascontiguousarray(surface.positions - center, np.float32)),
        o3d.core.Tensor(np.ascontiguousarray(surface.faces, np.uint32)),
    )
    rays = np.concatenate([starts - center, directions], axis=1).astype(np.float32)
    answer = scene.cast_rays(o3d.core.Tensor(rays), nthreads=1)
    ids = answer["primitive_ids"].numpy().astype(np.int64)
    hit = answer["t_hit"].numpy()
    return hit, np.where(np.isfinite(hit), ids, 0), answer["primitive_uvs"].numpy()
