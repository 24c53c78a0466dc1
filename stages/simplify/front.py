"""Thin parts in front of others (frames, decals, eyes) that a coarse surface has swallowed.

Such a part is geometry of its own, so the face that now covers its place was never merged with it
and successive mapping does not reach it; yet it is what one saw there. So every point also looks
back from a little outside, along its normal: the first surface of the input on the way counts,
unless the coarse mesh has a surface of its own out there.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

from ..geometry.components import Surface
from ..geometry.rays import first_hits

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
    if not reach_m > 0 or not len(points):
        nothing = np.zeros(len(points), bool)
        return nothing, np.zeros(len(points), np.int64), np.zeros((len(points), 3))
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = normals / np.where(length > 0, length, 1)
    # Deeper than this below the surface nothing is in front.
    hits = first_hits(original, points + reach_m * normals, -normals, 2 * reach_m)
    # Less than this in front is the same surface, seen with rounding.
    margin = 1e-3 * reach_m
    height = reach_m - hits.distance_m
    known = np.einsum("px,px->p", mapped - points, normals)
    candidates = np.flatnonzero(height > known + margin)
    normals, points = normals[candidates], points[candidates]
    aligned = _aligned(original, hits.faces[candidates], normals)
    candidates, normals, points = candidates[aligned], normals[aligned], points[aligned]
    outside = first_hits(coarse, points + margin * normals, normals)
    # A coarse surface out there shows the part itself.
    seen = candidates[outside.distance_m > reach_m + np.maximum(height[candidates], 0)]
    found = np.zeros(len(height), bool)
    found[seen] = True
    weights = np.clip(hits.barycentrics, 0, 1).astype(np.float64)
    return found, hits.faces.astype(np.int64), weights


def _aligned(
    original: Surface, faces: Int[np.ndarray, " point"], normals: Float[np.ndarray, "point 3"]
) -> Bool[np.ndarray, " point"]:
    corners = original.positions[original.faces[faces]].astype(np.float64)
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    size = np.linalg.norm(cross, axis=1)
    return (cross * normals).sum(axis=1) > ALIGNED * np.where(size > 0, size, 1)
