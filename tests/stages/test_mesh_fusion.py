"""Fusion of depth maps that are known in closed form."""

import math

import numpy as np
import pytest
import torch
from splatworks.pipeline.errors import InputError
from splatworks.renderers.scene import Cameras, Gaussians
from splatworks.stages.geometry.components import keep_large, report
from splatworks.stages.geometry.framing import bounding_ball, spread_cameras
from splatworks.stages.geometry.orbit import look_at_origin
from splatworks.stages.mesh.fusion import Fusion, Grid, blur
from splatworks.stages.mesh.level import STEP, best_level, overlap

RADIUS = 0.37
GRID = Grid(radius_m=0.5, resolution=48)


def rays(cameras: Cameras, view: int) -> tuple[np.ndarray, np.ndarray]:
    """Origin, and directions of depth 1 through the pixel centres."""
    pose = cameras.world_to_camera[view].double().numpy()
    fx, fy = cameras.focal_px[view].tolist()
    cx, cy = cameras.center_px[view].tolist()
    rows, columns = np.mgrid[: cameras.height_px, : cameras.width_px] + 0.5
    local = np.stack([(columns - cx) / fx, (rows - cy) / fy, np.ones_like(rows)], axis=-1)
    return -pose[:3, :3].T @ pose[:3, 3], local @ pose[:3, :3]


def sphere_depth(cameras: Cameras, view: int, radius: float = RADIUS) -> np.ndarray:
    origin, direction = rays(cameras, view)
    a = (direction**2).sum(axis=-1)
    b = direction @ origin
    root = b**2 - a * (origin @ origin - radius**2)
    return np.where(root > 0, (-b - np.sqrt(np.maximum(root, 0))) / a, 0.0)


def fused(views: int = 20, min_views: int = 1) -> tuple[Fusion, np.ndarray, Cameras, np.ndarray]:
    cameras = spread_cameras(GRID.radius_m, views=views, size_px=128)
    depths = np.stack([sphere_depth(cameras, view) for view in range(views)])
    fusion = Fusion(GRID, truncation_voxels=4.0)
    for view in range(views):
        fusion.integrate(depths[view], cameras, view)
    return fusion, fusion.distances(min_views=min_views), cameras, depths


@pytest.fixture(scope="module")
def ball():
    return fused()


def test_a_sphere_comes_back(ball) -> None:
    fusion, field, _, _ = ball
    surface = fusion.surface(field)
    found = report(surface)
    assert found.watertight and found.components == 1 and found.volume_m3 > 0
    radii = np.linalg.norm(surface.positions, axis=1)
    # The distance is along the optical axis, not the normal: slightly too large off the axis.
    assert abs(radii.mean() - RADIUS) < 0.25 * GRID.voxel_m
    assert np.abs(radii - RADIUS).max() < 1.0 * GRID.voxel_m
    assert np.abs(surface.positions.mean(axis=0)).max() < 0.1 * GRID.voxel_m


def test_the_field_is_free_outside_and_solid_inside(ball) -> None:
    _, field, _, _ = ball
    axis = GRID.centers()
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    radii = np.sqrt(x**2 + y**2 + z**2)
    assert (field[radii < RADIUS - 6 * GRID.voxel_m] == -1).all()
    assert (field[radii > RADIUS + 6 * GRID.voxel_m] > 0.9).all()
    assert (field[radii > GRID.radius_m] == 1).all()
    assert len(axis) == GRID.side and GRID.side % 16 == 0
    assert axis[GRID.side // 2] == 0 and axis[-1] > GRID.radius_m + GRID.voxel_m


def test_axes_are_not_swapped() -> None:
    """A plane z = 0.1, seen from +Z, off the middle in x: solid behind it, free before it."""
    cameras = look_at_origin([0.0], [0.0], distance_m=2.0, fovy_deg=40, size_px=(96, 96))
    origin, direction = rays(cameras, 0)
    along = (0.1 - origin[2]) / direction[..., 2]
    hit = origin + along[..., None] * direction
    depth = np.where(hit[..., 0] > 0, along, 0.0)
    fusion = Fusion(GRID, truncation_voxels=4.0)
    fusion.integrate(depth, cameras, 0)
    field = fusion.distances(min_views=1)
    at = GRID.side // 2
    step = round(0.15 / GRID.voxel_m)
    assert field[at - step, at, at + step] == -1 and field[at + 2 * step, at, at + step] == 1
    assert field[at - step, at, at - step] == 1
    assert (fusion.distances(min_views=2)[at + 2 * step, at, at + step]) == -1


def test_pixel_centres_are_where_open3d_expects_them() -> None:
    """A slanted plane: half a pixel of shift would move it by the slope times that."""
    cameras = look_at_origin([0.0], [0.0], distance_m=2.0, fovy_deg=40, size_px=(64, 64))
    origin, direction = rays(cameras, 0)
    normal = np.array([0.6, -0.5, 1.0])
    depth = -(normal @ origin) / (direction @ normal)
    fusion = Fusion(GRID, truncation_voxels=8.0)
    fusion.integrate(depth, cameras, 0)
    field = fusion.distances(min_views=1)
    axis = GRID.centers()
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    view = np.stack([x, y, z], axis=-1) - origin
    wanted = (-(normal @ origin) / (view @ normal) - 1) * -view[..., 2]
    inside = (np.abs(field) < 0.9) & (np.abs(x) < 0.3) & (np.abs(y) < 0.3)
    error = field[inside] * 8.0 * GRID.voxel_m - wanted[inside]
    pixel = 2.0 / cameras.focal_px[0, 0].item()
    assert inside.sum() > 1000
    assert abs(error.mean()) < 0.05 * pixel


def test_pinholes_close_and_unseen_space_is_solid() -> None:
    cameras = spread_cameras(GRID.radius_m, views=20, size_px=128)
    fusion = Fusion(GRID, truncation_voxels=4.0)
    rng = np.random.default_rng(3)
    for view in range(20):
        depth = sphere_depth(cameras, view)
        depth[rng.random(depth.shape) < 0.03] = 0  # gaps between splats
        fusion.integrate(depth, cameras, view)
    surface = fusion.surface(blur(fusion.distances(min_views=1), voxels=1.0))
    surface, _ = keep_large(surface, min_share=0.02)
    found = report(surface)
    assert found.watertight and found.components == 1
    assert found.volume_m3 == pytest.approx(4 / 3 * math.pi * RADIUS**3, rel=0.08)


def test_blur_keeps_planes_and_zero_is_nothing() -> None:
    plane = np.broadcast_to(np.linspace(-1, 1, 24)[:, None, None], (24, 24, 24)).copy()
    np.testing.assert_allclose(blur(plane, voxels=1.0)[6:-6], plane[6:-6], atol=1e-9)
    assert blur(plane, voxels=0.0) is plane


@pytest.mark.parametrize("offset_m", [0.025, 0.0, -0.03])
def test_the_level_follows_the_silhouettes(ball, offset_m: float) -> None:
    fusion, field, cameras, _ = ball
    masks = np.stack([sphere_depth(cameras, view, RADIUS + offset_m) > 0 for view in range(20)])
    tried = best_level(field, fusion, masks, cameras)
    best = max(tried, key=lambda fit: fit.overlap)
    radii = np.linalg.norm(fusion.surface(field - best.level).positions, axis=1)
    assert radii.mean() == pytest.approx(RADIUS + offset_m, abs=STEP * 4.0 * GRID.voxel_m)
    assert best.overlap > 0.96
    empty = fusion.surface(np.ones_like(field))
    assert len(empty.faces) == 0 and overlap(empty, cameras, masks) == 0


def gaussians(means: np.ndarray, scale: float = 0.01, opacity: float = 0.9) -> Gaussians:
    count = len(means)
    return Gaussians(
        means=torch.tensor(means, dtype=torch.float32),
        quaternions=torch.tensor([[1.0, 0, 0, 0]]).repeat(count, 1),
        scales=torch.full((count, 3), scale),
        opacities=torch.full((count,), opacity),
        sh=torch.zeros(count, 1, 3),
    )


def test_the_ball_holds_the_object_and_ignores_strays() -> None:
    rng = np.random.default_rng(5)
    body = rng.normal(size=(2000, 3))
    body = body / np.linalg.norm(body, axis=1, keepdims=True) * 0.3 + [2, -1, 0.5]
    alone = bounding_ball(gaussians(body), outlier_share=0.01)
    strays = np.concatenate([body, [[30.0, 0, 0], [0, -20, 0]]])
    found = bounding_ball(gaussians(strays), outlier_share=0.01)
    np.testing.assert_allclose(found.center, [2, -1, 0.5], atol=0.01)
    assert found.radius_m == pytest.approx(0.33, abs=0.01)
    assert found.radius_m == alone.radius_m
    with pytest.raises(InputError, match="nothing to mesh"):
        bounding_ball(gaussians(body, opacity=0.01), outlier_share=0.01)


def test_cameras_see_the_whole_ball_from_all_sides() -> None:
    cameras = spread_cameras(0.5, views=32, size_px=100)
    eyes = np.stack([rays(cameras, view)[0] for view in range(32)])
    directions = eyes / np.linalg.norm(eyes, axis=1, keepdims=True)
    assert np.abs(directions.mean(axis=0)).max() < 0.05
    assert directions[:, 1].max() > 0.95 and directions[:, 1].min() < -0.95
    for view in (0, 13, 31):
        depth = sphere_depth(cameras, view, 0.5)
        border = np.concatenate([depth[0], depth[-1], depth[:, 0], depth[:, -1]])
        assert not border.any()
        assert (depth > 0).any(axis=1).sum() > 94
