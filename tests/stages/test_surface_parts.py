"""Fusing, contraction, tetrahedra and depths, on what is known in closed form."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial import Delaunay
from splatworks.renderers.scene import Cameras
from splatworks.stages.formats.srgb import decode
from splatworks.stages.geometry.activation import activate
from splatworks.stages.geometry.components import Surface, canonical, edge_counts, report
from splatworks.stages.geometry.framing import spread_cameras
from splatworks.stages.geometry.likeness import one_by_one
from splatworks.stages.geometry.open3d_module import open3d
from splatworks.stages.geometry.orbit import look_at_origin
from splatworks.stages.surface import Config
from splatworks.stages.surface.coloring import vertex_colors
from splatworks.stages.surface.depths import UNKNOWN
from splatworks.stages.surface.fusing import DepthMaps
from splatworks.stages.surface.looking import Look, look, rays
from splatworks.stages.surface.points import strays
from splatworks.stages.surface.poisson import _cut
from splatworks.stages.surface.shapes import shapes_of
from splatworks.stages.surface.stage import keep_largest
from splatworks.stages.surface.task import Region, Task
from splatworks.stages.surface.tetrahedra import crossings, wound
from splatworks.stages.surface.tets import _short
from splatworks.stages.surface.tsdf import contracted, uncontracted

from .splat_objects import context, raw, turn_z_to

RADIUS = 0.37


def ball_look(camera: Cameras, radius: float = RADIUS) -> Look:
    """The exact depth of a ball."""
    lines = rays(camera, np.ones((camera.height_px, camera.width_px), bool))
    d, o = lines.directions, lines.origin
    a, b = (d * d).sum(axis=1), d @ o
    root = b * b - a * (o @ o - radius**2)
    z = np.where(root > 0, (-b - np.sqrt(np.maximum(root, 0))) / a, 0.0)
    depth = z.reshape(camera.height_px, camera.width_px).astype(np.float32)
    return Look(camera, depth, np.where(depth > 0, 0, -1).astype(np.int32))


def ball_looks(views: int = 20, size_px: int = 96) -> list[Look]:
    cameras = spread_cameras(0.5, views=views, size_px=size_px)
    return [ball_look(camera) for camera in one_by_one(cameras)]


def plane_camera() -> Cameras:
    return look_at_origin([0.0], [0.0], distance_m=2.0, fovy_deg=40, size_px=(64, 48))


# --- contraction ---


def test_contraction_goes_back_and_keeps_the_inside() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 3)) * np.exp(rng.uniform(-3, 3, (500, 1)))
    y = contracted(x)
    np.testing.assert_allclose(uncontracted(y), x, rtol=1e-9)
    inside = np.linalg.norm(x, axis=1) <= 1
    assert (y[inside] == x[inside]).all() and np.linalg.norm(y, axis=1).max() < 2
    np.testing.assert_allclose(np.linalg.norm(contracted(np.array([[4.0, 0, 0]])), axis=1), 1.75)


# --- fused distance ---


def test_fused_distance_of_a_ball() -> None:
    maps = DepthMaps(ball_looks(), carve=True)
    rng = np.random.default_rng(1)
    ways = rng.normal(size=(400, 3))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    for away in (-0.01, 0.0, 0.01):
        value, count = maps.distances(ways * (RADIUS + away), np.full(400, 0.03), threads=1)
        assert (count >= 3).all()
        assert np.sign(away) == 0 or (np.sign(value) == np.sign(away)).mean() > 0.99
        assert away != 0 or np.abs(np.median(value)) * 0.03 < 1e-3
    deep, count = maps.distances(np.zeros((1, 3)), np.full(1, 0.03), threads=1)
    assert count[0] == 0 and deep[0] == 0, "no view sees the middle"
    far, _ = maps.distances(ways * 0.6, np.full(400, 0.03), threads=1)
    assert (far == 1).all()


def test_threads_do_not_change_fused_distances() -> None:
    maps = DepthMaps(ball_looks(6, 48), carve=True)
    points = np.random.default_rng(2).normal(0, 0.3, (3 * (1 << 18) // 2, 3))
    limit = np.full(len(points), 0.05)
    one, two = (maps.distances(points, limit, threads=k) for k in (1, 2))
    assert (one[0] == two[0]).all() and (one[1] == two[1]).all()


def test_depth_is_interpolated_on_a_slanted_plane() -> None:
    """Half a pixel of shift would move the plane by half a pixel's slope."""
    camera = plane_camera()
    lines = rays(camera, np.ones((48, 64), bool))
    normal = np.array([0.6, -0.5, 1.0])
    z = -(normal @ lines.origin) / (lines.directions @ normal)
    seen = Look(camera, z.reshape(48, 64).astype(np.float32), np.zeros((48, 64), np.int32))
    maps = DepthMaps([seen], carve=False)
    rng = np.random.default_rng(3)
    points = np.column_stack([rng.uniform(-0.4, 0.4, (300, 2)), np.zeros(300)])
    points[:, 2] = -(points[:, :2] @ normal[:2])
    value, count = maps.distances(points, np.full(300, 0.1), threads=1)
    assert (count == 1).all() and np.abs(value * 0.1).max() < 2e-4
    pixel = 2.0 / camera.focal_px[0, 0].item()
    assert pixel * 0.6 / 2 > 3e-3, "the nearest pixel would be worse"


def test_background_carves_only_where_asked_and_unknown_never() -> None:
    camera, point = plane_camera(), np.zeros((1, 3))
    for depth, carve, wanted in ((0.0, True, 1), (0.0, False, 0), (UNKNOWN, True, 0)):
        seen = Look(camera, np.full((48, 64), depth, np.float32), np.full((48, 64), -1, np.int32))
        value, count = DepthMaps([seen], carve=carve).distances(point, np.ones(1), threads=1)
        assert count[0] == wanted and value[0] == wanted


def test_no_mixing_across_an_edge() -> None:
    """Left half near, right half far: between them the depth jumps, it does not slope."""
    camera = plane_camera()
    depth = np.full((48, 64), 1.5, np.float32)
    depth[:, 32:] = 2.5
    maps = DepthMaps([Look(camera, depth, np.zeros((48, 64), np.int32))], carve=False)
    lines = rays(camera, np.ones((48, 64), bool))
    d = lines.directions.reshape(48, 64, 3)[24, 31:33]
    middle = lines.origin + 1.52 * (0.6 * d[0] + 0.4 * d[1])
    value, _ = maps.distances(middle[None], np.full(1, 0.1), threads=1)
    assert value[0] * 0.1 == pytest.approx(-0.02, abs=1e-5)


def test_fusing_agrees_with_open3d() -> None:
    """Open3D's own integration of the same maps; it looks up the nearest pixel."""
    looks, voxel, trunc = ball_looks(20, 128), 0.02, 4.0
    o3d = open3d()
    core = o3d.core
    volume = o3d.t.geometry.VoxelBlockGrid(
        ("tsdf", "weight"), (core.float32, core.float32), ((1), (1)), voxel, 8, 4000
    )
    for seen in looks:
        image = o3d.t.geometry.Image(core.Tensor(seen.depth))
        (fx, fy), (cx, cy) = seen.camera.focal_px[0].tolist(), seen.camera.center_px[0].tolist()
        lens = core.Tensor(np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float64))
        pose = core.Tensor(seen.camera.world_to_camera[0].double().numpy())
        keys = volume.compute_unique_block_coordinates(image, lens, pose, 1.0, 10.0, trunc)
        volume.integrate(keys, image, lens, pose, 1.0, 10.0, trunc)
    theirs = volume.extract_triangle_mesh(weight_threshold=0.5).vertex.positions.numpy()
    value, count = DepthMaps(looks, carve=False).distances(
        theirs.astype(np.float64), np.full(len(theirs), voxel * trunc), threads=1
    )
    assert len(theirs) > 1000 and (count > 0).all()
    off = value * trunc
    assert abs(np.median(off)) < 0.05 and np.median(np.abs(off)) < 0.2, "in voxels"


# --- tetrahedra ---


def ball_tetrahedra(count: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    corners = np.random.default_rng(4).uniform(-0.6, 0.6, (count, 3))
    return corners, Delaunay(corners).simplices.astype(np.int64)


def test_marching_tetrahedra_of_a_ball_is_closed_and_faces_outward() -> None:
    corners, tetrahedra = ball_tetrahedra()
    value = np.linalg.norm(corners, axis=1) - RADIUS
    found = crossings(tetrahedra, value < 0)
    assert (value[found.solid] < 0).all() and (value[found.free] >= 0).all()
    share = value[found.solid] / (value[found.solid] - value[found.free])
    places = corners[found.solid] + share[:, None] * (corners[found.free] - corners[found.solid])
    about = report(canonical(wound(places, found, corners)))
    assert about.watertight and about.components == 1
    # Chords lie inside of the ball.
    assert 0.9 < about.volume_m3 / (4 / 3 * math.pi * RADIUS**3) < 1.01


@pytest.mark.parametrize("solid", range(16))
def test_every_case_of_one_tetrahedron(solid: int) -> None:
    """A plane's worth of triangles between the two kinds of corners, and none that is flat."""
    corners = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    inside = np.array([(solid >> k) & 1 == 1 for k in range(4)])
    found = crossings(np.array([[0, 1, 2, 3]]), inside)
    assert len(found.faces) == {0: 0, 1: 1, 2: 2, 3: 1, 4: 0}[int(inside.sum())]
    if not len(found.faces):
        return
    places = (corners[found.solid] + corners[found.free]) / 2
    surface = wound(places, found, corners)
    a, b, c = np.moveaxis(surface.positions[surface.faces], 1, 0)
    cross = np.cross(b - a, c - a)
    assert np.linalg.norm(cross, axis=1).min() > 0.1
    outward = corners[~inside].mean(axis=0) - corners[inside].mean(axis=0)
    assert (cross @ outward > 0).all()
    assert edge_counts(surface.faces) == (len(places), 0), "two triangles share an edge"


def test_triangles_on_long_edges_are_dropped() -> None:
    corners = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, -5]])
    both = np.array([[0, 1, 2, 3], [0, 1, 2, 4]])
    found = crossings(both, np.array([True, False, False, False, False]))
    kept = _short(found, corners, np.full(5, 0.6))
    assert len(found.faces) == 2 and kept.tetrahedra.tolist() == [0], "one edge is 5 long"
    assert sorted(kept.free.tolist()) == [1, 2, 3] and kept.faces.max() == 2
    assert not len(_short(found, corners, np.full(5, 0.4)).faces)


def test_the_two_parts_of_a_scene_meet_at_the_cube() -> None:
    """Each triangle of a plane is in one of them, up to the reach of the background."""
    line = np.linspace(-5, 5, 21)
    grid = np.stack(np.meshgrid(line, line, [0.0]), -1).reshape(-1, 3)
    flat = np.add(grid, [1.0, 2.0, 3.0])
    plane = Surface(flat, Delaunay(flat[:, :2]).simplices.astype(np.int64))
    region = Region(np.array([1.0, 2.0, 3.0]), 1.5, is_object=False)
    inner, outer = (_cut(plane, region, inside, 2.0) for inside in (True, False))
    assert len(inner.faces) == 2 * 6 * 6 and len(outer.faces) == 2 * (12 * 12 - 6 * 6)
    assert np.abs(inner.positions - region.center).max() <= 1.5


# --- depths, strays, parts ---


def test_the_depth_is_that_of_the_disks_plane() -> None:
    """One large slanted disk: the renderer's median depth is its center's everywhere."""
    normal = np.array([[0.5, -0.3, 0.8]])
    normal /= np.linalg.norm(normal)
    scene = activate(
        raw([[0.05, 0.02, -0.03]], [[0.4, 0.4, 0.004]], turn_z_to(normal), np.array([0.99]),
            [[0.5, 0.5, 0.5]])
    )  # fmt: skip
    seen = look(scene, plane_camera(), alpha_threshold=0.5)
    chosen = seen.depth > 0
    assert chosen.sum() > 300 and (seen.hit[chosen] == 0).all() and (seen.hit[~chosen] == -1).all()
    lines = rays(seen.camera, chosen)
    places = lines.origin + seen.depth[chosen][:, None] * lines.directions
    off = (places - [0.05, 0.02, -0.03]) @ normal[0]
    assert np.abs(off).max() < 1e-3
    assert np.ptp(seen.depth[chosen]) > 0.2, "the plane is slanted"


def test_hits_name_the_median_gaussian() -> None:
    """The first of two disks has the larger weight; at the second half of the light is gone."""
    ahead = np.array([[0.0, 0, 1.0]])
    scene = activate(
        raw([[0, 0, 0.2], [0, 0, -0.2]], [[0.5, 0.5, 0.01]] * 2,
            np.repeat(turn_z_to(ahead), 2, axis=0), np.array([0.45, 0.4]), [[0.5] * 3] * 2)
    )  # fmt: skip
    seen = look(scene, plane_camera(), alpha_threshold=0.5)
    assert seen.hit[24, 32] == 1
    assert seen.depth[24, 32] == pytest.approx(2.2, abs=1e-3)


def test_strays_are_those_far_from_the_others() -> None:
    rng = np.random.default_rng(6)
    points = np.concatenate([rng.normal(0, 0.1, (2000, 3)), [[5.0, 0, 0], [0, -7.0, 1]]])
    found = strays(points, 20, 20.0)
    assert found[-2:].all() and not found[:-2].any()
    assert not strays(points[:1], 20, 20.0).any()


def test_the_largest_parts_are_kept() -> None:
    grid = np.stack(np.meshgrid(np.arange(4.0), np.arange(4.0), [0.0]), -1).reshape(-1, 3)
    square = Delaunay(grid[:, :2]).simplices.astype(np.int64)
    three = Surface(
        np.concatenate([grid, grid[:4] + 100, grid + 200]),
        np.concatenate([square, [[16, 17, 18]], square + 20]),
    )
    kept, removed = keep_largest(three, most=50, fewest=5)
    assert removed == 1 and len(kept.faces) == 36 and report(kept).components == 2
    kept, removed = keep_largest(three, most=1, fewest=1)
    assert removed == 2 and kept.positions.max() < 50, "the first of two equal ones"


def test_the_camera_that_sees_nothing_has_an_empty_look() -> None:
    scene = activate(
        raw([[0, 0, 9.0]], [[0.1] * 3], [[1.0, 0, 0, 0]], np.array([0.9]), [[0.5] * 3])
    )
    seen = look(scene, plane_camera(), alpha_threshold=0.5)
    assert (seen.hit == -1).all() and (seen.depth == 0).all()
    assert torch.is_tensor(seen.camera.focal_px)


def test_what_no_view_sees_does_not_color(tmp_path) -> None:
    """A white Gaussian at the vertex itself, below a red one that all pixels show."""
    scene = activate(
        raw([[0, 0, 0.1], [0, 0, 0]], [[0.1] * 3] * 2, [[1.0, 0, 0, 0]] * 2, np.array([0.9, 0.9]),
            [[0.8, 0.1, 0.1], [0.95] * 3])
    )  # fmt: skip
    seen = Look(plane_camera(), np.ones((48, 64), np.float32), np.zeros((48, 64), np.int32))
    region = Region(np.zeros(3), 1.0, is_object=True)
    task = Task(scene, shapes_of(scene), [seen], region, Config(), context(tmp_path))
    found = vertex_colors(np.zeros((1, 3)), task)
    np.testing.assert_allclose(found[0], decode(np.array([0.8, 0.1, 0.1])), atol=1e-3)
