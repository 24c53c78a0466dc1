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
    points, normals = _capsules(count, rng)
    area = 2 * (2 * math.pi * RADIUS_M * LENGTH_M + 2 * math.pi * RADIUS_M**2)
    width = 0.75 * math.sqrt(area / count)
    return RawSplats(
        means=points.astype(np.float32),
        log_scales=np.log(np.tile([width, width, 0.15 * width], (count, 1))).astype(np.float32),
        logit_opacities=np.full(count, 3.0, np.float32),
        quaternions=_turn_z_to(normals).astype(np.float32),
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


def _capsules(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Points and normals, spread evenly over the surfaces outside of one another."""
    points, normals = np.empty((0, 3)), np.empty((0, 3))
    while len(points) < count:
        x = rng.uniform(-RADIUS_M, LENGTH_M + RADIUS_M, 4 * count)
        angle = rng.uniform(0, 2 * math.pi, len(x))
        inside = x.clip(0, LENGTH_M)
        ring = np.sqrt((RADIUS_M**2 - (x - inside) ** 2).clip(min=0))
        offset = np.stack([x - inside, ring * np.cos(angle), ring * np.sin(angle)], axis=1)
        normal = offset / RADIUS_M
        here = np.stack([inside, 0 * x, 0 * x], axis=1) + offset
        sign = np.ones((len(x), 3))
        sign[:, 0] = np.where(rng.uniform(size=len(x)) < 0.5, 1.0, -1.0)
        keep = here[:, 0] > 0  # The other half lies inside of the other link.
        points = np.concatenate([points, (here * sign)[keep]])
        normals = np.concatenate([normals, (normal * sign)[keep]])
    return points[:count], normals[:count]


def _pattern(points: np.ndarray) -> np.ndarray:
    """Smooth patches of color that repeat nowhere."""
    x, y, z = (points / LENGTH_M).T
    waves = [
        0.55 + 0.3 * np.sin(5.1 * x + 3.3 * y) + 0.12 * np.sin(17 * x + 11 * z),
        0.45 + 0.3 * np.sin(3.7 * x + 4.9 * z + 1.3) + 0.12 * np.cos(19 * y - 9 * x),
        0.5 + 0.3 * np.cos(4.3 * x - 2.9 * y + 0.4) + 0.12 * np.sin(15 * z + 13 * x),
    ]
    return np.stack(waves, axis=1).clip(0.03, 0.97)


def _turn_z_to(normals: np.ndarray) -> np.ndarray:
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
