"""The report's sheet: what an edit was about, and from where it is looked at."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from splatworks.renderers.projection import camera_centers, image_points, view_depths
from splatworks.renderers.scene import Cameras
from splatworks.stages.edit import sheet, subject, vantage
from splatworks.stages.edit.pictures_in import Retouched
from splatworks.stages.edit.sheet import Scenes
from splatworks.stages.edit.vantage import Cloud
from splatworks.stages.formats.splats import RawSplats
from splatworks.stages.geometry.activation import activate
from splatworks.stages.geometry.orbit import look_at_origin
from splatworks.stages.scene.affine import take

from .edit_setup import picture
from .splat_objects import joined, raw, sphere

RED = (3.0, -1.5, -1.5)


def eye(elevation_deg: float = 0.0, azimuth_deg: float = 0.0, size=(80, 64)) -> Cameras:
    return look_at_origin(
        [azimuth_deg], [elevation_deg], distance_m=3.0, fovy_deg=40.0, size_px=size
    )


def wall(half_m: float, turn_deg: float = 0.0, shift=(0.0, 0.0, 0.0), each: int = 24) -> RawSplats:
    """A square of flat Gaussians that faces +Z, turned about +Y and shifted."""
    steps = np.linspace(-half_m, half_m, each)
    x, y = (part.ravel() for part in np.meshgrid(steps, steps))
    angle = math.radians(turn_deg)
    points = np.stack([x * math.cos(angle), y, -x * math.sin(angle)], axis=1) + shift
    width = 0.9 * 2 * half_m / each
    turn = [math.cos(angle / 2), 0.0, math.sin(angle / 2), 0.0]
    count = len(points)
    return raw(
        points, np.tile([width, width, 0.02 * width], (count, 1)), np.tile(turn, (count, 1)),
        np.full(count, 0.95), np.tile([0.4, 0.5, 0.6], (count, 1)),
    )  # fmt: skip


def shifted(scene: RawSplats, rows: np.ndarray, way) -> Scenes:
    means = scene.means.copy()
    means[rows] += np.asarray(way, np.float32)
    return Scenes(scene, replace(scene, means=means), np.arange(len(scene)))


def repainted(scene: RawSplats, rows: np.ndarray) -> Scenes:
    sh = scene.sh.copy()
    sh[rows, 0] = RED
    return Scenes(scene, replace(scene, sh=sh), np.arange(len(scene)))


def views(scenes: Scenes, camera: Cameras) -> dict[float, Cameras]:
    before, after = picture(scenes.before, camera), picture(scenes.after, camera)
    mask = np.abs(before - after).max(axis=-1) > 0.02
    shot = Retouched(camera, before, after, mask, np.ones(3, np.float32), 0.0)
    return dict(zip(*sheet.other_views(scenes, shot), strict=True))


def silhouette(splats: RawSplats, camera: Cameras) -> np.ndarray:
    """Where something dark is seen on white."""
    return (1 - picture(replace(splats, sh=0 * splats.sh), camera)).max(axis=-1) > 0.1


def cut_off(shape: np.ndarray) -> bool:
    return bool(shape[[0, -1]].any() or shape[:, [0, -1]].any())


# Cameras


@pytest.mark.parametrize("elevation_deg", [0.0, 25.0, -40.0])
def test_a_camera_turned_keeps_its_height(elevation_deg: float) -> None:
    wanted = eye(elevation_deg, 130.0)
    first = eye(elevation_deg, 30.0)
    axes = vantage.turned(first, 100.0)
    found = vantage.placed(first, axes, np.zeros(3), 3.0)
    assert torch.allclose(found.world_to_camera, wanted.world_to_camera, atol=1e-5)


def test_a_camera_that_lies_on_its_side_turns_about_its_own_vertical() -> None:
    roll = torch.eye(4)
    roll[:2, :2] = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    side = replace(eye(), world_to_camera=roll @ eye().world_to_camera)
    axes = vantage.turned(side, 90.0)
    first = side.world_to_camera[0, :3, :3].double().numpy()
    assert axes[1] == pytest.approx(first[1], abs=1e-6)
    assert axes[2] @ first[2] == pytest.approx(0.0, abs=1e-6)


def test_the_pivot_is_in_the_middle_of_the_picture() -> None:
    camera = replace(eye(20.0), center_px=torch.tensor([[11.0, 50.0]]))
    pivot = np.array([0.3, -0.2, 0.7])
    found = vantage.placed(camera, vantage.turned(camera, 77.0), pivot, 1.7)
    scene = activate(take(sphere(1), np.zeros(1, int)))
    scene = replace(scene, means=torch.from_numpy(pivot)[None].float())
    assert image_points(scene, found)[0, 0].numpy() == pytest.approx([40.0, 32.0], abs=1e-3)
    assert float(view_depths(scene.means, found)[0, 0]) == pytest.approx(1.7, abs=1e-5)


@pytest.mark.parametrize("center", [(40.0, 32.0), (20.0, 45.0)])
def test_the_distance_to_fit_is_the_smallest_at_which_all_is_in_the_picture(center) -> None:
    rng = np.random.default_rng(3)
    points = rng.normal(size=(60, 3)) * [0.5, 0.3, 0.8]
    cloud = Cloud(points, np.zeros(60), np.ones(60))
    camera = replace(eye(), center_px=torch.tensor([center]))
    axes, pivot = vantage.turned(camera, 35.0), np.array([0.1, 0.05, -0.1])
    found = vantage.distance_to_fit(cloud, pivot, axes, camera)

    def filled(distance: float) -> float:
        """Largest share of the half picture that a point is away from its middle."""
        pose = vantage.placed(camera, axes, pivot, distance).world_to_camera[0].double().numpy()
        x, y, z = pose[:3, :3] @ points.T + pose[:3, 3:]
        focal = float(camera.focal_px[0, 0])
        place = np.abs([(focal * x / z + center[0]) / 40 - 1, (focal * y / z + center[1]) / 32 - 1])
        return float(np.where(z > 0, place.max(axis=0), np.inf).max())

    assert filled(found) == pytest.approx(vantage.FILLED, abs=1e-4)
    assert filled(0.97 * found) > vantage.FILLED


def test_strays_do_not_count() -> None:
    points = np.concatenate([np.random.default_rng(0).uniform(-0.3, 0.3, (999, 3)), [[30, 0, 0]]])
    camera, axes = eye(), vantage.turned(eye(), 0.0)
    with_stray = Cloud(points, np.zeros(1000), np.ones(1000))
    heavy = replace(with_stray, mass=np.where(points[:, 0] > 1, 100.0, 1.0))
    near, far = (vantage.distance_to_fit(c, np.zeros(3), axes, camera) for c in (with_stray, heavy))
    assert near < 2
    assert far > 50
    assert vantage.middle(with_stray, camera) == pytest.approx(np.zeros(3), abs=0.05)
    assert vantage.share_shown(with_stray, camera) == pytest.approx(0.999)


# What an edit was about


def test_what_is_drawn_along_a_little_was_not_edited() -> None:
    scene = sphere(100)
    way = np.zeros((100, 3))
    way[:40, 0], way[40:60, 0] = 0.5, 0.05
    scenes = shifted(scene, np.arange(100), way)
    found = subject.changed(scenes.before, scenes.after, scenes.origin)
    assert np.array_equal(np.flatnonzero(found.after), np.arange(40))
    assert np.array_equal(found.before, found.after)


def test_what_was_taken_out_and_what_was_split_and_painted() -> None:
    scene = sphere(50)
    origin = np.concatenate([np.arange(10, 50), [49, 49]])
    after = take(scene, origin)
    after.sh[-2:, 0] = RED
    found = subject.changed(scene, after, origin)
    assert np.array_equal(np.flatnonzero(found.before), [*range(10), 49])
    assert np.array_equal(np.flatnonzero(found.after), [40, 41])


def test_haze_does_not_join_two_bodies() -> None:
    left, right = sphere(300, 0.3, (-0.5, 0, 0)), sphere(300, 0.3, (0.5, 0, 0))
    rng = np.random.default_rng(0)
    haze = sphere(400, 0.1, opacity=0.1)
    places = rng.uniform([-0.5, -0.2, -0.2], [0.5, 0.2, 0.2], (400, 3)).astype(np.float32)
    scene = joined(left, right, replace(haze, means=places))
    thing = np.arange(1000) < 20
    found = subject.body_of(scene, np.arange(1000), subject.Part(thing, thing)).before
    assert found[:300].all()
    assert not found[300:600].any()
    solid = replace(scene, logit_opacities=np.full(1000, 3.0, np.float32))
    joint = subject.body_of(solid, np.arange(1000), subject.Part(thing, thing)).before
    assert joint[:600].mean() > 0.95


# From where it is looked at


@pytest.mark.parametrize("painted", [False, True])
def test_an_object_is_shown_from_all_sides_in_its_size(painted: bool) -> None:
    """Off the middle and edited at its front alone, where the middle of what is seen is not that
    of the object."""
    ball = sphere(600, 0.35, (0.25, 0.1, 0.9))
    front = ball.means[:, 2] > 1.1
    scenes = repainted(ball, front) if painted else shifted(ball, front, (0, 0, 0.05))
    camera = eye(10.0)
    size = silhouette(ball, camera).sum()
    found = views(scenes, camera)
    assert list(found) == [60.0, 180.0, 300.0]
    for angle, view in found.items():
        shape = silhouette(ball, view)
        assert shape.sum() == pytest.approx(size, rel=0.1)
        assert not cut_off(shape)
        rows, columns = np.nonzero(shape)
        assert (columns.mean() + 0.5, rows.mean() + 0.5) == pytest.approx((40, 32), abs=1.5)
        centers = camera_centers(torch.cat([camera.world_to_camera, view.world_to_camera]))
        way = centers.double().numpy() - [0.25, 0.1, 0.9]
        turn = np.degrees(np.arctan2(way[:, 0], way[:, 2]))
        assert (turn[1] - turn[0] - angle + 180) % 360 - 180 == pytest.approx(0, abs=8)


def test_what_is_long_in_depth_is_not_cut_off() -> None:
    rod = sphere(900, 0.2)
    rod = replace(rod, means=(rod.means * [1, 1, 7]).astype(np.float32))
    camera = eye()
    assert not cut_off(silhouette(rod, camera))
    found = views(shifted(rod, np.arange(900), (0.05, 0, 0)), camera)
    assert list(found) == [60.0, 180.0, 300.0]
    for view in found.values():
        assert not cut_off(silhouette(rod, view))


def test_both_places_of_what_was_moved_are_shown() -> None:
    scene = joined(sphere(300, 0.2, (-0.5, 0, 0)), wall(4.0, shift=(0, 0, -0.6), each=40))
    scenes = shifted(scene, np.arange(300), (1.0, 0, 0))
    for view in views(scenes, eye()).values():
        for splats in (scenes.before, scenes.after):
            assert not cut_off(silhouette(take(splats, np.arange(300)), view))


def test_nothing_is_shown_from_behind_a_wall() -> None:
    """Which does not matter for an object that is not before one."""
    ball = sphere(400, 0.3, (0.1, 0, 0.6))
    scene = joined(ball, wall(2.0))
    found = views(shifted(scene, np.arange(400), (0.2, 0, 0)), eye())
    assert list(found) == [60.0, 300.0]
    for view in found.values():
        assert float(camera_centers(view.world_to_camera)[0, 2]) > 0.5
    alone = views(shifted(ball, np.arange(400), (0.2, 0, 0)), eye())
    assert list(alone) == [60.0, 180.0, 300.0]


def test_blurs_behind_a_wall_do_not_make_it_a_side() -> None:
    """Such as captures have where no photograph sees; they move along with what is before it."""
    ball = sphere(400, 0.3, (0.1, 0, 0.6))
    places = np.random.default_rng(0).uniform([-0.8, -0.5, -1.6], [0.8, 0.5, -0.8], (40, 3))
    blurs = sphere(40, opacity=0.5)
    blurs = replace(blurs, means=places.astype(np.float32), log_scales=0 * blurs.log_scales - 1)
    scene = joined(ball, blurs, wall(2.0))
    found = views(shifted(scene, np.arange(440), (0.2, 0, 0)), eye())
    assert all(angle < 90 or angle > 270 for angle in found)
    assert len(found) == 2


def test_a_body_before_a_wall_is_in_the_middle_where_its_front_alone_was_painted() -> None:
    ball = sphere(600, 0.35, (0.1, 0, 0.9))
    scenes = repainted(joined(ball, wall(2.5)), np.flatnonzero(ball.means[:, 2] > 1.15))
    for view in views(scenes, eye()).values():
        _, columns = np.nonzero(silhouette(ball, view))
        assert columns.mean() + 0.5 == pytest.approx(40, abs=1.5)


def test_a_painted_wall_is_not_shown_from_behind() -> None:
    scene = wall(2.5, each=40)
    patch = np.abs(scene.means[:, :2] - [0.3, 0.1]).max(axis=1) < 0.3
    found = views(repainted(scene, patch), eye())
    assert list(found) == [60.0, 300.0]


def test_another_angle_where_the_wanted_one_is_hidden() -> None:
    """A screen stands where the side view would look through it."""
    ball = sphere(400, 0.3)
    angle = math.radians(60.0)
    place = (1.2 * math.sin(angle), 0.0, 1.2 * math.cos(angle))
    scene = joined(ball, wall(0.45, 60.0, place))
    found = views(shifted(scene, np.arange(400), (0, 0.02, 0)), eye())
    first, *others = found
    assert first in (20.0, 40.0, 80.0)
    assert others == [180.0, 300.0]
    shape = silhouette(ball, found[first])
    full, alone = (picture(one, found[first]) for one in (scene, ball))
    hidden = shape & (np.abs(full - alone).max(axis=-1) > 0.1)
    assert hidden.sum() < 0.2 * shape.sum()


def test_a_flat_picture_is_not_shown_edgewise() -> None:
    facing = wall(0.4)
    assert list(views(repainted(facing, np.arange(200)), eye())) == [60.0, 180.0, 300.0]
    slanted = wall(0.4, turn_deg=-25.0)
    found = views(repainted(slanted, np.arange(200)), eye())
    assert 60.0 not in found
    seen = silhouette(slanted, eye()).sum()
    for view in found.values():
        assert silhouette(slanted, view).sum() > 0.25 * seen


def test_an_unchanged_scene_is_shown_too() -> None:
    scene = sphere(300)
    scenes = Scenes(scene, scene, np.arange(300))
    shot = Retouched(eye(), picture(scene, eye()), picture(scene, eye()),
                     np.zeros((64, 80), bool), np.ones(3, np.float32), 0.0)  # fmt: skip
    shown, angles = sheet.sheet(scenes, shot)
    assert angles == [60.0, 180.0, 300.0]
    assert shown.shape == (2 * 64 + 4, 5 * 80 + 4 * 4, 3)
    cell = shown[:64, 2 * 84 : 2 * 84 + 80]
    assert np.abs(cell - picture(scene, sheet.other_views(scenes, shot)[1][0])).max() < 1e-6


def test_a_view_that_shows_nothing_still_has_a_sheet() -> None:
    scene = sphere(60)
    away = eye()
    pose = away.world_to_camera.clone()
    pose[0, 2, 3] = -3.0  # The scene is behind the camera.
    away = replace(away, world_to_camera=pose)
    white = np.ones((64, 80, 3), np.float32)
    shot = Retouched(away, white, white, np.zeros((64, 80), bool), white[0, 0], 0.0)
    shown, angles = sheet.sheet(Scenes(scene, scene, np.arange(60)), shot)
    assert shown.shape[0] == 2 * 64 + 4
    assert len(angles) <= 3
