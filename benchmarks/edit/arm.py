"""A patterned arm of two links, at rest and bent: every Gaussian's truth is known.

The links lie along x and meet at the origin. Bending turns the second one about an axis through
the joint; what turns with it, turns rigidly.
"""

import math

import numpy as np
import torch
from splatworks.renderers.choose import named
from splatworks.renderers.scene import Cameras
from splatworks.renderers.sh import C0
from splatworks.stages.formats.splats import RawSplats
from splatworks.stages.geometry.activation import activate
from splatworks.stages.geometry.orbit import look_at_origin
from splatworks.stages.scene.affine import about, carried, joined, rotation_matrix, take

LENGTH_M, RADIUS_M = 0.5, 0.09
VIEWS = 8


def arm(count: int = 2000, seed: int = 0) -> RawSplats:
    """Flat Gaussians on two capsules."""
    rng = np.random.default_rng(seed)
    points, normals = _links(count, rng)
    area = 2 * (2 * math.pi * RADIUS_M * LENGTH_M + 2 * math.pi * RADIUS_M**2)
    width = 0.75 * math.sqrt(area / count)
    return RawSplats(
        means=points.astype(np.float32),
        log_scales=np.log(np.tile([width, width, 0.15 * width], (count, 1))).astype(np.float32),
        logit_opacities=np.full(count, 3.0, np.float32),
        quaternions=turn_z_to(normals).astype(np.float32),
        sh=((_pattern(points) - 0.5) / C0)[:, None].astype(np.float32),
    )


def second_link(rest: RawSplats) -> np.ndarray:
    """Which Gaussians turn."""
    return rest.means[:, 0] > 0


def bent(rest: RawSplats, angle_deg: float, axis=(0.0, 0.0, 1.0)) -> RawSplats:
    """The arm with its second link turned about the joint."""
    moving = second_link(rest)
    half = math.radians(angle_deg) / 2
    axis = np.asarray(axis) / np.linalg.norm(axis)
    turn = rotation_matrix([math.cos(half), *(math.sin(half) * axis)])
    order = np.argsort(np.concatenate([np.flatnonzero(~moving), np.flatnonzero(moving)]))
    turned = carried(take(rest, moving), about(turn, (0, 0, 0)))
    return take(joined([take(rest, ~moving), turned], rest), order)


def cameras(size_px: int = 128) -> Cameras:
    """Around the arm, a little from above; the first one is edited, the others judge."""
    return look_at_origin(
        [360.0 * k / VIEWS for k in range(VIEWS)],
        [15.0] * VIEWS,
        distance_m=2.0,
        fovy_deg=40.0,
        size_px=(size_px, size_px),
    )


def capsule(
    start: np.ndarray, end: np.ndarray, radius: float, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Points and normals, spread evenly over the surface."""
    length = float(np.linalg.norm(end - start))
    along = (end - start) / length
    side = np.cross(along, np.eye(3)[np.abs(along).argmin()])
    side /= np.linalg.norm(side)
    # Archimedes: the ends of a capsule, too, have equal areas at equal heights.
    x = rng.uniform(-radius, length + radius, count)
    angle = rng.uniform(0, 2 * math.pi, count)
    inside = x.clip(0, length)
    ring = np.sqrt((radius**2 - (x - inside) ** 2).clip(min=0))
    around = np.cos(angle)[:, None] * side + np.sin(angle)[:, None] * np.cross(along, side)
    offset = (x - inside)[:, None] * along + ring[:, None] * around
    return start + inside[:, None] * along + offset, offset / radius


def _links(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Points and normals on both links, without what lies inside of the other one."""
    parts = []
    for sign in (-1.0, 1.0):
        end = np.array([sign * LENGTH_M, 0.0, 0.0])
        points, normals = capsule(np.zeros(3), end, RADIUS_M, 2 * count, rng)
        outside = np.flatnonzero(sign * points[:, 0] > 0)[: count // 2]
        parts.append((points[outside], normals[outside]))
    points, normals = (np.concatenate(part) for part in zip(*parts, strict=True))
    return points, normals


def _pattern(points: np.ndarray) -> np.ndarray:
    """Smooth patches of color that repeat nowhere."""
    x, y, z = (points / LENGTH_M).T
    waves = [
        0.55 + 0.3 * np.sin(5.1 * x + 3.3 * y) + 0.12 * np.sin(17 * x + 11 * z),
        0.45 + 0.3 * np.sin(3.7 * x + 4.9 * z + 1.3) + 0.12 * np.cos(19 * y - 9 * x),
        0.5 + 0.3 * np.cos(4.3 * x - 2.9 * y + 0.4) + 0.12 * np.sin(15 * z + 13 * x),
    ]
    return np.stack(waves, axis=1).clip(0.03, 0.97)


def turn_z_to(normals: np.ndarray) -> np.ndarray:
    """Quaternions of the shortest turn from +Z to each normal."""
    w = 1 + normals[:, 2]
    turns = np.stack([w, -normals[:, 1], normals[:, 0], np.zeros_like(w)], axis=1)
    turns[w < 1e-9] = [0, 1, 0, 0]
    return turns / np.linalg.norm(turns, axis=1, keepdims=True)


def picture(scene: RawSplats, camera: Cameras) -> np.ndarray:
    """All views on white, stacked."""
    with torch.no_grad():
        frames = named("cpu")(activate(scene), camera)
    assert frames.rgb is not None and frames.alpha is not None
    return (frames.rgb + 1 - frames.alpha).numpy()
