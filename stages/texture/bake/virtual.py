"""Cameras for renders of the splats: all around, then wherever nothing has looked yet.

The second kind stands in front of a texel that no view has seen, along its normal, as far away as
the first obstacle allows. Of many such places the one that sees the most unseen texels is taken,
then the one that sees the most of the rest, and so on (greedy set cover).
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from ....renderers.choose import splat_renderer
from ....renderers.scene import Cameras, Gaussians
from ...randomness import generator
from ..views import around, cameras_on, scene_on
from .caster import Caster, Eye
from .gather import Rules
from .layout import Layout, Points

FOVY_DEG = 60.0
AROUND_FOVY_DEG = 40.0
PLACES = 96
"""Texels in front of which a camera is tried in each round."""
DISTANCES = (1.2, 0.5, 0.2)
"""Of these cameras, in radii of the mesh."""
CLEAR = 0.9
"""Share of the way to an obstacle in front of the texel."""
JUDGES = 4_000
"""Unseen texels that a place is judged by."""
FEWEST = 0.01
"""Share of the unseen texels that a view must add to be worth its while."""
PER_ROUND = 8


def evenly(layout: Layout, count: int, size_px: int) -> list[Eye]:
    """Cameras spread over a sphere, each seeing the whole mesh."""
    positions = layout.mesh.positions[np.unique(layout.mesh.faces)]
    cameras, _ = around(positions, count, AROUND_FOVY_DEG, (size_px, size_px))
    return [
        Eye(
            cameras.world_to_camera[k].double().numpy(),
            (float(cameras.focal_px[k, 0]), float(cameras.focal_px[k, 1])),
            (float(cameras.center_px[k, 0]), float(cameras.center_px[k, 1])),
            size_px,
            size_px,
        )
        for k in range(count)
    ]


def towards(
    unseen: Int[np.ndarray, " texel"],
    layout: Layout,
    caster: Caster,
    rules: Rules,
    size_px: int,
    seed: int,
) -> list[Eye]:
    """Cameras that see the most of the unseen texels; none where none sees enough.

    Args:
        unseen: Indices into the layout.
        seed: Decides which texels are tried.
    """
    judges = layout.points(_picked(unseen, JUDGES, seed, "judges"))
    fronts = layout.points(_picked(unseen, PLACES, seed, "places"))
    eyes = _in_front(fronts, layout, caster, size_px)
    sees = np.stack([_sees(eye, judges, caster, rules) for eye in eyes])
    open_ = np.ones(len(judges.positions), bool)
    chosen: list[Eye] = []
    while len(chosen) < PER_ROUND:
        gains = (sees & open_).sum(axis=1)
        best = int(gains.argmax())
        if gains[best] < max(1, FEWEST * len(open_)):
            break
        chosen.append(eyes[best])
        open_ &= ~sees[best]
    return chosen


def shooter(scene: Gaussians, device: str) -> Callable[[Eye], np.ndarray]:
    """Renders the splats through a camera: premultiplied color and alpha, (height, width, 4)."""
    renderer = splat_renderer(device)  # type: ignore[arg-type]
    scene = scene_on(scene, device)

    def shoot(eye: Eye) -> np.ndarray:
        with torch.no_grad():
            frames = renderer(scene, cameras_on(as_cameras(eye), device))
        return torch.cat([frames.rgb, frames.alpha], dim=-1)[0].float().cpu().numpy()

    return shoot


def as_cameras(eye: Eye) -> Cameras:
    return Cameras(
        world_to_camera=torch.from_numpy(eye.world_to_camera)[None].float(),
        focal_px=torch.tensor([eye.focal_px], dtype=torch.float32),
        center_px=torch.tensor([eye.center_px], dtype=torch.float32),
        width_px=eye.width_px,
        height_px=eye.height_px,
    )


def _picked(
    unseen: Int[np.ndarray, " texel"], count: int, seed: int, purpose: str
) -> Int[np.ndarray, " some"]:
    if len(unseen) <= count:
        return unseen
    order = torch.randperm(len(unseen), generator=generator(seed, purpose))[:count]
    return unseen[np.sort(order.numpy())]


def _in_front(fronts: Points, layout: Layout, caster: Caster, size_px: int) -> list[Eye]:
    start = fronts.positions + np.float32(1e-4 * layout.radius_m) * fronts.normals
    room = caster.along(start, fronts.normals).distance_m
    return list(_eyes(fronts, room, layout.radius_m, size_px))


def _eyes(
    fronts: Points, room: Float[np.ndarray, " place"], radius_m: float, size_px: int
) -> Iterator[Eye]:
    focal = 0.5 * size_px / np.tan(np.radians(FOVY_DEG) / 2)
    for position, normal, free in zip(fronts.positions, fronts.normals, room, strict=True):
        for share in DISTANCES:
            distance = min(share * radius_m, CLEAR * float(free))
            pose = _looking(position + distance * normal, -normal)
            yield Eye(pose, (focal, focal), (size_px / 2, size_px / 2), size_px, size_px)


def _looking(place: Float[np.ndarray, "3"], way: Float[np.ndarray, "3"]) -> np.ndarray:
    """World to camera, level where that means anything."""
    forward = way / np.linalg.norm(way)
    up = np.array([0.0, 1.0, 0.0]) if abs(forward[1]) < 0.9 else np.array([0.0, 0.0, 1.0])
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward])
    pose[:3, 3] = -pose[:3, :3] @ place
    return pose


def _sees(eye: Eye, points: Points, caster: Caster, rules: Rules) -> Bool[np.ndarray, " point"]:
    """Straight enough, inside of the picture, with nothing between."""
    pose = eye.world_to_camera
    local = points.positions @ pose[:3, :3].T + pose[:3, 3]
    depth = np.maximum(local[:, 2], 1e-9)
    ways = eye.position - points.positions
    cosines = np.einsum("px,px->p", ways, points.normals) / np.linalg.norm(ways, axis=1)
    pixels = local[:, :2] / depth[:, None] * eye.focal_px + eye.center_px
    size = (eye.width_px - 1, eye.height_px - 1)
    good = (local[:, 2] > 0) & (cosines >= rules.min_cosine)
    good &= ((pixels > 1) & (pixels < size)).all(axis=1)
    some = np.flatnonzero(good)
    good[some] = caster.free(points.positions[some], eye.position, rules.tolerance_m)
    return good
