"""Two surfaces compared: how far from each other, and facing where.

Points are spread evenly over each surface; each one's distance is that to the nearest place on the
other surface itself, so that a surface compared with itself is 0 away, however few points there
are. (Distances between two sets of points, as in DTU's and Tanks and Temples' toolboxes, end at the
points' spacing.)

    Chamfer = (mean distance there + mean distance back) / 2
    F1(τ)   = 2 P R / (P + R),   P, R: shares of points within τ, there and back
    normals = (mean |n · n'| there + mean back) / 2

Nothing is aligned before.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ..geometry.components import Surface, face_areas
from ..geometry.open3d_module import open3d


@dataclass(frozen=True, slots=True)
class Distance:
    """From points of one surface to another."""

    mean_m: float
    largest_m: float
    within: tuple[float, ...]
    """Share of the points nearer than each threshold."""
    normals: float
    """Mean absolute cosine of the two normals."""


@dataclass(frozen=True, slots=True)
class Comparison:
    there: Distance
    """From the subject to the reference: accuracy."""
    back: Distance
    """From the reference to the subject: completeness."""

    @property
    def chamfer_m(self) -> float:
        return (self.there.mean_m + self.back.mean_m) / 2

    @property
    def normals(self) -> float:
        return (self.there.normals + self.back.normals) / 2

    @property
    def f1(self) -> tuple[float, ...]:
        """At each threshold."""
        pairs = zip(self.there.within, self.back.within, strict=True)
        return tuple(2 * p * r / (p + r) if p + r else 0.0 for p, r in pairs)


def compare(
    subject: Surface, reference: Surface, *, samples: int, thresholds_m: Sequence[float], seed: int
) -> Comparison:
    """Both ways."""
    return Comparison(
        _distance(subject, reference, samples, thresholds_m, seed),
        _distance(reference, subject, samples, thresholds_m, seed + 1),
    )


def spread(
    surface: Surface, count: int, seed: int
) -> tuple[Float[np.ndarray, "point 3"], Float[np.ndarray, "point 3"]]:
    """Points evenly over the area, and the normals there."""
    rng = np.random.default_rng(seed)
    areas = face_areas(surface)
    faces = np.searchsorted(np.cumsum(areas), rng.random(count) * areas.sum(), side="right")
    faces = np.minimum(faces, len(areas) - 1)
    root, share = np.sqrt(rng.random(count)), rng.random(count)
    weights = np.stack([1 - root, root * (1 - share), root * share], axis=1)
    corners = surface.positions[surface.faces].astype(np.float64)
    return np.einsum("pk,pkj->pj", weights, corners[faces]), _normals(corners)[faces]


def _distance(
    one: Surface, other: Surface, samples: int, thresholds_m: Sequence[float], seed: int
) -> Distance:
    o3d = open3d()
    points, normals = spread(one, samples, seed)
    corners = other.positions[other.faces].astype(np.float64)
    # Embree counts in float32: near the origin it has more places.
    middle = corners.reshape(-1, 3).mean(axis=0)
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(
        o3d.core.Tensor(np.ascontiguousarray(other.positions - middle, np.float32)),
        o3d.core.Tensor(np.ascontiguousarray(other.faces, np.uint32)),
    )
    found = scene.compute_closest_points(
        o3d.core.Tensor(np.ascontiguousarray(points - middle, np.float32))
    )
    away = np.linalg.norm(found["points"].numpy() + middle - points, axis=1)
    facing = _normals(corners)[found["primitive_ids"].numpy().astype(np.int64)]
    return Distance(
        mean_m=float(away.mean()),
        largest_m=float(away.max()),
        within=tuple(float((away < threshold).mean()) for threshold in thresholds_m),
        normals=float(np.abs((normals * facing).sum(axis=1)).mean()),
    )


def _normals(corners: Float[np.ndarray, "face 3 3"]) -> Float[np.ndarray, "face 3"]:
    """Zero where a face has no area."""
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return cross / np.maximum(np.linalg.norm(cross, axis=1, keepdims=True), 1e-300)
