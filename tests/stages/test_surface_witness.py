"""What the views bear out of a surface, on planes in closed form."""

import numpy as np
import pytest
from splatworks.renderers.scene import Cameras
from splatworks.stages.geometry.components import Surface, compact, components, joined
from splatworks.stages.geometry.orbit import look_at_origin
from splatworks.stages.surface.backdrop import grown, through_holes
from splatworks.stages.surface.fusing import DepthMaps
from splatworks.stages.surface.looking import Look, rays
from splatworks.stages.surface.witness import borne_out, without_patches

TOLERANCE = 0.03


def camera(azimuth_deg: float = 0.0) -> Cameras:
    """Two metres from the origin."""
    return look_at_origin([azimuth_deg], [0.0], distance_m=2.0, fovy_deg=40, size_px=(64, 48))


def flat_look(depth: float | np.ndarray, azimuth_deg: float = 0.0) -> Look:
    """A wall across the optical axis, or a map."""
    one = camera(azimuth_deg)
    whole = np.broadcast_to(np.float32(depth), (one.height_px, one.width_px)).copy()
    return Look(one, whole, np.where(whole > 0, 0, -1).astype(np.int32))


def at_depth(depth: float, pixels: np.ndarray | None = None) -> np.ndarray:
    """World places at so much depth behind the middle of pixels (column, row)."""
    one = camera()
    chosen = np.ones((one.height_px, one.width_px), bool)
    lines = rays(one, chosen)
    ways = lines.directions.reshape(one.height_px, one.width_px, 3)
    pixels = np.array([[20, 20], [40, 30]]) if pixels is None else pixels
    return lines.origin + depth * ways[pixels[:, 1], pixels[:, 0]]


def counted(looks: list[Look], points: np.ndarray) -> tuple[list[int], list[int]]:
    seen, through = DepthMaps(looks, carve=False).witnesses(points, TOLERANCE, threads=1)
    return seen.tolist(), through.tolist()


@pytest.mark.parametrize(
    ("depth", "seen", "through"),
    # 1.941 and 2.061 lie between 3 % of their own depth and 3 % of the wall's.
    [
        (1.941, 0, 1),
        (2.061, 1, 0),
        (2.0, 1, 0),
        (2.0 / 1.02, 1, 0),
        (2.0 / 0.98, 1, 0),
        (2.0 / 1.04, 0, 1),
        (2.0 / 0.96, 0, 0),
    ],
)
def test_a_wall_bears_out_what_lies_on_it(depth: float, seen: int, through: int) -> None:
    """The tolerance is a share of the place's own depth, on both sides of the wall."""
    assert counted([flat_look(2.0)], at_depth(depth)) == ([seen] * 2, [through] * 2)


def test_outside_of_the_picture_or_behind_nothing_is_said() -> None:
    beside = np.array([[0.0, 0.0, 9.0], [9.0, 0.0, 0.0]]) + at_depth(2.0)
    behind = at_depth(-2.0)
    assert counted([flat_look(2.0)], np.concatenate([beside, behind])) == ([0] * 4, [0] * 4)
    assert counted([flat_look(0.0)], at_depth(2.0)) == ([0] * 2, [0] * 2)


def test_at_an_edge_both_depths_are_believed() -> None:
    """Left half near, right half far: between them any depth is seen, none looked through."""
    depth = np.full((48, 64), 1.0, np.float32)
    depth[:, 32:] = 3.0
    one = camera()
    o, pose = one.center_px[0].numpy(), one.world_to_camera[0].double().numpy()
    x = (32.0 - o[0]) / float(one.focal_px[0, 0])
    local = np.array([[x * z, 0.01 * z, z] for z in (0.9, 1.5, 2.9, 3.5)])
    places = (local - pose[:3, 3]) @ pose[:3, :3]
    assert counted([flat_look(depth)], places) == ([0, 1, 1, 0], [1, 0, 0, 0])
    unknown = depth.copy()
    unknown[:, 31] = -1.0
    assert counted([flat_look(unknown)], places) == ([0] * 4, [0] * 4)


def test_views_add_up_and_threads_change_nothing() -> None:
    looks = [flat_look(2.0), flat_look(2.5), flat_look(2.0, 180.0), flat_look(1.0)]
    points = np.random.default_rng(0).normal(0, 0.4, (300_000, 3))
    one = DepthMaps(looks, carve=False).witnesses(points, TOLERANCE, threads=1)
    two = DepthMaps(looks, carve=False).witnesses(points, TOLERANCE, threads=2)
    each = [
        DepthMaps([look], carve=False).witnesses(points, TOLERANCE, threads=1) for look in looks
    ]
    for k in range(2):
        assert (one[k] == two[k]).all() and (one[k] == sum(part[k] for part in each)).all()
        assert one[k].max() >= 2


def sheet(low: float, high: float, depth: float, steps: int) -> Surface:
    """A square grid across the axis of `camera()`, at so much depth."""
    pose = camera().world_to_camera[0].double().numpy()
    line = np.linspace(low, high, steps)
    x, y = np.meshgrid(line, line)
    local = np.stack([x, y, np.full_like(x, depth)], -1).reshape(-1, 3)
    k = np.arange(steps * steps).reshape(steps, steps)
    a, b, c, d = k[:-1, :-1], k[:-1, 1:], k[1:, :-1], k[1:, 1:]
    faces = np.concatenate([np.stack([a, b, c], -1), np.stack([b, d, c], -1)]).reshape(-1, 3)
    return Surface((local - pose[:3, 3]) @ pose[:3, :3], faces)


def left_of(surface: Surface, *looks: Look) -> Surface:
    kept = borne_out(surface, looks, tolerance=TOLERANCE, threads=1)
    return compact(Surface(surface.positions, surface.faces[kept]))


def test_what_is_looked_through_or_hidden_goes() -> None:
    wall, bulge = sheet(-0.6, 0.6, 2.0, 20), sheet(-0.2, 0.2, 1.5, 12)
    cellar = sheet(-0.2, 0.2, 2.6, 12)
    left = left_of(joined([bulge, wall, cellar]), flat_look(2.0))
    assert len(left.faces) == len(wall.faces)
    depth = left.positions @ camera().world_to_camera[0].double().numpy()[2, :3]
    assert np.ptp(depth) < 1e-9


def test_a_face_that_spans_a_window_goes() -> None:
    """Its corners lie on the frame, one metre away; in its middle one looks three metres far."""
    depth = np.full((48, 64), 1.0, np.float32)
    depth[12:36, 16:48] = 3.0
    corners = at_depth(1.0, np.array([[5, 5], [58, 5], [32, 45]]))
    span = Surface(corners, np.array([[0, 1, 2]]))
    assert len(left_of(span, flat_look(1.0)).faces) == 1
    assert len(left_of(span, flat_look(depth)).faces) == 0


def test_the_majority_of_the_views_decides() -> None:
    wall = sheet(-0.3, 0.3, 2.0, 20)
    for looks, stays in (
        ([2.0, 3.0], True), ([2.0, 3.0, 3.0], False), ([2.0, 2.0, 3.0, 1.0, 1.0], True),
    ):  # fmt: skip
        left = left_of(wall, *map(flat_look, looks))
        assert len(left.faces) == (len(wall.faces) if stays else 0)


def test_small_patches_stay() -> None:
    wall = sheet(-1, 1, 2.0, 30)
    kept = np.ones(len(wall.faces), bool)
    middle = wall.positions[wall.faces].mean(axis=1)
    big = np.linalg.norm(middle - middle[0], axis=1) < 0.5
    small = np.linalg.norm(middle - middle[-1], axis=1) < 0.2
    kept[big | small] = False
    assert small.sum() < 50 < big.sum()
    left = without_patches(wall, kept, fewest=50)
    assert len(left.faces) == len(wall.faces) - big.sum()
    assert components(left).max() == 0
    none = without_patches(wall, kept, fewest=1)
    assert len(none.faces) == kept.sum() and none.faces.max() == len(none.positions) - 1
    assert (kept == ~(big | small)).all(), "what came in is left alone"


# --- the backdrop ---


def holed(surface: Surface, radius: float) -> Surface:
    """Without the faces around the origin."""
    middle = surface.positions[surface.faces].mean(axis=1)
    keep = np.linalg.norm(middle, axis=1) > radius
    return compact(Surface(surface.positions, surface.faces[keep]))


def test_only_what_is_seen_through_a_hole_is_taken() -> None:
    """A hole of radius 0.3 seen from 2 m away opens a cone; at 2.2 m depth its radius is 0.33."""
    wall, far = holed(sheet(-1.5, 1.5, 2.0, 81), 0.3), sheet(-1.5, 1.5, 2.2, 41)
    looks = [flat_look(2.0)]
    wanted = through_holes(wall, far, looks)
    away = np.linalg.norm(far.positions, axis=1)[far.faces]
    depth = camera().world_to_camera[0].double().numpy()[2, :3]
    assert wanted.any() and np.allclose(far.positions @ depth, 0.2)
    side = 3.0 / 40
    assert away[wanted].min(axis=1).max() < np.hypot(0.33 + side, 0.2)
    assert away[~wanted].max(axis=1).min() > np.hypot(0.33 - 2 * side, 0.2)
    assert not through_holes(sheet(-1.5, 1.5, 2.0, 81), far, looks).any(), "no hole"
    assert not through_holes(wall, far, [flat_look(0.0)]).any(), "nothing there for the splats"
    assert not through_holes(wall, sheet(2.0, 3.0, 2.2, 5), looks).any(), "beside the hole"


def test_rings_grow_by_one_face_each() -> None:
    flat = sheet(-1, 1, 2.0, 21)
    middle = flat.positions[flat.faces].mean(axis=1) @ _across()
    start = np.linalg.norm(middle, axis=1) < 0.06
    assert start.any() and (grown(flat, start, 0) == start).all()
    for rings in (1, 3):
        wide = grown(flat, start, rings)
        reach = np.abs(middle[wide]).max()
        assert 0.1 * rings < reach <= 0.1 * (rings + 1) + 1e-9


def _across() -> np.ndarray:
    """World places to the picture plane's two axes."""
    return camera().world_to_camera[0].double().numpy()[:2, :3].T
