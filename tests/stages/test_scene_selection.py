"""Every shape against its definition in plain Python, what cameras see, and who is near whom."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from splatworks.pipeline.errors import InputError
from splatworks.renderers.choose import splat_renderer
from splatworks.stages.formats import regions
from splatworks.stages.formats.edits import Grow, Invert, Move, Select, Shrink
from splatworks.stages.geometry.activation import activate
from splatworks.stages.scene import neighbors, selectors
from splatworks.stages.scene.layers import fingerprint, new_layer, positions
from splatworks.stages.scene.measures import measured
from splatworks.stages.scene.recolor import oklab
from splatworks.stages.scene.visibility import visible_shares

from . import scene_setup as made
from .splat_objects import joined, sphere

CLOUD = made.cloud(300, degree=1)
SCENE = made.scene_of(a=CLOUD)
LAYER = SCENE.layers[0]


def picks(shape, scene=SCENE) -> np.ndarray:
    return selectors.selected_by(scene, scene.layers[0], shape)


def test_a_box_is_oriented() -> None:
    turn = Rotation.from_rotvec([0.3, 0.5, -0.2])
    shape = regions.Box(
        center=(0.1, 0, 0), size=(0.6, 0.2, 0.4), rotation=tuple(np.roll(turn.as_quat(), 1))
    )
    expected = [
        all(abs(v) <= s / 2 for v, s in zip(turn.inv().apply(p - [0.1, 0, 0]), shape.size))  # noqa: B905
        for p in positions(LAYER)
    ]
    assert (picks(shape) == expected).all() and 5 < sum(expected) < 200


def test_a_sphere_and_a_plane() -> None:
    ball = picks(regions.Sphere(center=(0.1, 0.2, 0.3), radius=0.4))
    half = picks(regions.Plane(point=(0, 0.1, 0), normal=(0, 2, 0)))
    for index, (x, y, z) in enumerate(CLOUD.means.tolist()):
        assert ball[index] == (math.dist((x, y, z), (0.1, 0.2, 0.3)) <= 0.4)
        assert half[index] == (y >= 0.1)


def test_shapes_see_gaussians_where_they_have_been_moved() -> None:
    ball = regions.Sphere(center=(0, 0, 0), radius=0.2)
    scene = made.after(SCENE, Move(of="all", translation=(5, 0, 0)))
    assert not picks(ball, scene).any()
    moved = regions.Sphere(center=(5, 0, 0), radius=0.2)
    assert (picks(moved, scene) == picks(ball)).all() and picks(ball).any()


def test_rectangle_lasso_and_brush_work_on_pixels() -> None:
    """A square lasso and a rectangle agree, and both with projecting one centre at a time."""
    cameras = made.view()
    camera = regions.viewpoint(cameras)
    box = regions.Rectangle(camera=camera, corner=(60, 70), opposite=(30, 20))
    ring = regions.Lasso(camera=camera, points=((30, 20), (60, 20), (60, 70), (30, 70)))
    dab = regions.Brush(camera=camera, points=((48, 48),), radius_px=9, through="everything")
    line = replace(dab, points=((20, 48), (70, 48), (70, 20)))
    pose = cameras.world_to_camera[0].numpy().astype(np.float64)
    focal = float(cameras.focal_px[0, 0])
    found = {shape: picks(shape) for shape in (box, ring, dab, line)}
    for index, point in enumerate(CLOUD.means.astype(np.float64)):
        x, y, z = pose[:3, :3] @ point + pose[:3, 3]
        u, v = focal * x / z + 48, focal * y / z + 48
        assert found[box][index] == found[ring][index] == (30 <= u <= 60 and 20 <= v <= 70)
        assert found[dab][index] == (math.hypot(u - 48, v - 48) <= 9)
        across = (20 <= u <= 70 and abs(v - 48) <= 9) or (abs(u - 70) <= 9 and 20 <= v <= 48)
        ends = any(math.hypot(u - p, v - q) <= 9 for p, q in line.points)
        assert found[line][index] == (across or ends)
    assert 5 < found[ring].sum() < 250 and found[dab].any()


def test_a_lasso_that_crosses_itself_is_even_odd() -> None:
    bow = np.array([[0, 0], [10, 10], [10, 0], [0, 10.0]])
    points = np.array([[2, 5], [8, 5], [5, 2], [5, 8], [5, 5.5], [-1, 5], [11, 5.0]])
    inside = selectors._in_polygon(points, bow)
    assert inside.tolist() == [True, True, False, False, False, False, False]


def test_nothing_behind_the_camera_is_picked() -> None:
    behind = made.after(SCENE, Move(of="all", scale=20))
    whole = regions.Rectangle(
        camera=regions.viewpoint(made.view()), corner=(0, 0), opposite=(96, 96)
    )
    pose = made.view().world_to_camera[0].numpy()
    depth = positions(behind.layers[0]) @ pose[2, :3] + pose[2, 3]
    found = picks(whole, behind)
    assert (depth < 0).any() and found.any() and (depth[found] > 0).all()


def test_only_the_front_of_a_sphere_is_visible() -> None:
    ball = sphere(3000)
    scene = made.scene_of(a=ball)
    cameras = made.view(azimuth=0, elevation=0, size=160)
    shape = regions.Rectangle(
        camera=regions.viewpoint(cameras), corner=(0, 0), opposite=(160, 160), through="visible"
    )
    found = picks(shape, scene)
    facing = ball.means[:, 2] / 0.4 - 0.4 / 2.5  # Cosine to the camera, 0 at the outline.
    assert not found[facing < -0.1].any()
    assert found[facing > 0.2].mean() > 0.97
    assert picks(replace(shape, through="everything"), scene).all()


def test_another_layer_hides_what_is_behind_it() -> None:
    ball = sphere(800)
    wall = sphere(800, radius_m=0.5, center=(0, 0, 1.0))
    camera = regions.viewpoint(made.view(azimuth=0, elevation=0))
    shape = regions.Lasso(
        camera=camera, points=((0, 0), (96, 0), (96, 96), (0, 96)), through="visible"
    )
    assert picks(shape, made.scene_of(a=ball)).any()
    assert not picks(shape, made.scene_of(a=ball, b=wall)).any()


def test_shares_are_those_of_the_layer_that_is_asked_for() -> None:
    """Where its Gaussians stand among all must not matter."""
    left, right = sphere(300, 0.2, (-0.4, 0, 0)), sphere(200, 0.2, (0.4, 0, 0))
    camera = regions.viewpoint(made.view(azimuth=0, elevation=0))
    both = made.scene_of(a=left, b=right)
    alone = made.scene_of(b=right)
    np.testing.assert_array_equal(
        visible_shares(both, both.layer("b"), camera),
        visible_shares(alone, alone.layer("b"), camera),
    )


def test_the_visible_share_of_a_gaussian_alone_is_one() -> None:
    lone = made.cloud(1)
    lone = replace(lone, means=lone.means * 0, log_scales=lone.log_scales * 0 - 2.5)
    scene = made.scene_of(a=lone)
    share = visible_shares(scene, scene.layers[0], regions.viewpoint(made.view(size=200)))
    np.testing.assert_allclose(share, 1, atol=0.01)


def test_masks_vote_with_blending_weights() -> None:
    """Masks that are renders of one of two balls find this ball; what no view sees, does not."""
    left, right = sphere(900, 0.2, (-0.3, 0, 0)), sphere(900, 0.2, (0.3, 0, 0))
    scene = made.scene_of(a=joined(left, right))
    cameras = [made.view(a, e) for a, e in ((0, 0), (20, 30), (-20, -30), (180, 0))]
    pictures = [
        splat_renderer("cpu")(activate(left), c).alpha[0, ..., 0].numpy() > 0.5 for c in cameras
    ]
    views = [regions.masks(c, [p]).views[0] for c, p in zip(cameras, pictures, strict=True)]
    found = picks(regions.Masks(views=tuple(views)), scene)
    is_left = np.arange(1800) < 900
    assert found[~is_left].mean() < 0.01
    assert found[is_left].mean() > 0.6
    assert not picks(regions.Masks(views=tuple(views[:1])), scene)[900:].any()


def test_a_mask_of_another_size_or_kind_is_refused() -> None:
    shape = regions.masks(made.view(), [np.ones((96, 96), bool)])
    small = regions.masks(made.view(size=64), [np.ones((64, 64), bool)]).views[0]
    wrong = regions.MaskView(camera=shape.views[0].camera, png=small.png)
    with pytest.raises(InputError, match=r"view 1: the mask has \(64, 64\) px"):
        picks(regions.Masks(views=(wrong,)))
    with pytest.raises(InputError, match="no PNG"):
        picks(regions.Masks(views=(replace(wrong, png="AAAA"),)))


def test_colors_are_near_in_oklab() -> None:
    ball = sphere(500)
    found = picks(regions.Color(color=(0.9, 0.1, 0.1), distance=0.02), made.scene_of(a=ball))
    assert (found == (ball.means[:, 2] > 0.6 * 0.4)).mean() > 0.99


def test_oklab_of_known_colors() -> None:
    """Reference values published with the color space."""
    known = oklab(np.array([[1, 1, 1], [0, 0, 0], [1, 0, 0], [0, 0, 1.0]]))
    expected = [[1, 0, 0], [0, 0, 0], [0.62796, 0.22486, 0.12585], [0.45201, -0.03246, -0.31153]]
    np.testing.assert_allclose(known, expected, atol=2e-5)


def test_measures_by_hand() -> None:
    logs, sh = CLOUD.log_scales.astype(float), CLOUD.sh.astype(float)
    hand = {
        "x": CLOUD.means[:, 0],
        "z": CLOUD.means[:, 2],
        "scale": np.exp(logs.max(1)),
        "thickness": np.exp(logs.min(1)),
        "volume": 4 / 3 * math.pi * np.exp(logs.sum(1)),
        "opacity": 1 / (1 + np.exp(-CLOUD.logit_opacities.astype(float))),
        "green": 0.28209479177387814 * sh[:, 0, 1] + 0.5,
        "sh_energy": np.sqrt((sh[:, 1:] ** 2).sum(axis=(1, 2))),
    }
    for name, expected in hand.items():
        np.testing.assert_allclose(measured(LAYER, name), expected, rtol=1e-5, err_msg=name)
    camera = regions.viewpoint(made.view())
    pose = made.view().world_to_camera[0].numpy()
    depth = measured(LAYER, "depth", camera)
    np.testing.assert_allclose(depth, CLOUD.means @ pose[2, :3] + pose[2, 3], atol=1e-5)


def test_hue_saturation_and_value_are_those_of_the_standard_library() -> None:
    import colorsys

    rgb = np.random.default_rng(3).uniform(size=(300, 3))
    rgb[:5] = [[0, 0, 0], [0.5, 0.5, 0.5], [1, 0, 0], [0, 0, 1], [0.2, 0.7, 0.2]]
    sh = ((rgb - 0.5) / 0.28209479177387814)[:, None].astype(np.float32)
    layer = new_layer("a", replace(CLOUD, sh=sh))
    expected = np.array([colorsys.rgb_to_hsv(*color) for color in rgb])
    for index, name in enumerate(("hue", "saturation", "value")):
        gap = np.abs(measured(layer, name) - expected[:, index])
        if name == "hue":
            assert measured(layer, name).min() >= 0 and measured(layer, name).max() < 1
            gap = np.minimum(gap, 1 - gap)[5:]
        assert gap[rgb.max(1)[-len(gap) :] > 0.01].max() < 1e-4


def test_moves_change_what_is_measured() -> None:
    moved = made.after(SCENE, Move(of="all", scale=3, translation=(1, 0, 0))).layers[0]
    np.testing.assert_allclose(measured(moved, "volume"), 27 * measured(LAYER, "volume"), rtol=1e-5)
    np.testing.assert_allclose(measured(moved, "x"), 3 * measured(LAYER, "x") + 1, rtol=1e-6)


def test_ranges_include_their_ends() -> None:
    opacity = measured(LAYER, "opacity")
    low, high = np.sort(opacity)[[50, 60]]
    found = picks(regions.Range(property="opacity", low=float(low), high=float(high)))
    assert found.sum() == 11
    assert picks(regions.Range(property="opacity", high=float(high))).sum() == 61


def test_the_algebra() -> None:
    a, b = np.array([True, True, False, False]), np.array([True, False, True, False])
    expected = {"set": b, "add": a | b, "remove": [0, 1, 0, 0], "intersect": [1, 0, 0, 0]}
    for how, wanted in expected.items():
        assert (selectors.combined(a, b, how) == np.array(wanted, bool)).all()
    both = (
        regions.Term(shape=regions.Sphere(center=(0, 0, 0), radius=0.4)),
        regions.Term(shape=regions.Plane(point=(0, 0, 0), normal=(1, 0, 0)), how="remove"),
    )
    found = selectors.region(SCENE, LAYER, both)
    assert (found == (picks(both[0].shape) & ~picks(both[1].shape))).all() and found.any()


def test_index_masks_know_their_gaussians() -> None:
    chosen = np.random.default_rng(0).random(300) < 0.3
    shape = regions.indices(chosen, fingerprint(LAYER))
    assert (picks(shape) == chosen).all()
    moved = made.after(SCENE, Move(of="all", translation=(1, 0, 0)))
    with pytest.raises(InputError, match="was made for 300 other Gaussians"):
        picks(shape, moved)
    with pytest.raises(InputError, match="bytes of bits for 300"):
        picks(replace(shape, bits=regions.indices(chosen[:200], "").bits))


# Neighbors: brute force over all pairs.


def gaps(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[:, None] - points[None], axis=-1)


def test_growing_and_shrinking_by_radius() -> None:
    chosen = Select(term=regions.Term(shape=regions.Sphere(center=(0, 0, 0), radius=0.3)))
    start = made.only(made.after(SCENE, chosen)).selected
    near = gaps(positions(LAYER)) <= 0.1
    grown = made.only(made.after(SCENE, chosen, Grow(radius=0.1))).selected
    assert (grown == (start | near[start].any(axis=0))).all() and grown.sum() > start.sum()
    shrunk = made.only(made.after(SCENE, chosen, Shrink(radius=0.1))).selected
    assert (shrunk == (start & ~near[~start].any(axis=0))).all() and shrunk.sum() < start.sum()
    inverted = made.only(made.after(SCENE, chosen, Invert(), Grow(radius=0.1), Invert())).selected
    assert (inverted == shrunk).all()


def test_growing_by_neighbors() -> None:
    points = positions(LAYER)
    start = points[:, 0] > 0.2
    order = np.argsort(gaps(points), axis=1, kind="stable")
    grown = neighbors.grown(start, points, radius=None, neighbors=3)
    expected = start.copy()
    expected[order[start, :4].ravel()] = True
    assert (grown == expected).all() and grown.sum() > start.sum()


def test_parts_islands_and_flood() -> None:
    rng = np.random.default_rng(0)
    centers = np.array([[0, 0, 0], [3, 0, 0], [0, 3, 0]])
    label = np.repeat([0, 1, 2], [100, 40, 3])
    points = centers[label] + rng.uniform(-0.3, 0.3, size=(143, 3))
    found = neighbors.parts(points, 0.6)
    for one in range(3):
        assert len(set(found[label == one])) == 1
    assert len(set(found)) == 3
    assert (neighbors.islands(points, 0.6, below=41) == (label > 0)).all()
    assert (neighbors.islands(points, 0.6, below=40) == (label > 1)).all()
    allowed = np.ones(143, bool)
    assert (neighbors.flooded(points, allowed, 120, 0.6) == (label == 1)).all()
    line = np.stack([np.arange(5.0), np.zeros(5), np.zeros(5)], axis=1)
    gap = np.array([True, True, False, True, True])
    assert neighbors.flooded(line, gap, 4, 1.0).tolist() == [False] * 3 + [True] * 2


def test_a_flood_stays_within_the_color() -> None:
    ball = sphere(2000)
    scene = made.scene_of(a=ball)
    flood = regions.Flood(start=(0, 0, 0.4), radius=0.05, color_distance=0.05)
    assert (picks(flood, scene) == (ball.means[:, 2] > 0.6 * 0.4)).all()
    assert picks(replace(flood, color_distance=None), scene).all()


def test_a_radius_that_links_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbors, "MOST_PAIRS", 1000)
    with pytest.raises(InputError, match="links 44,850 pairs"):
        neighbors.parts(positions(LAYER), 100.0)


def test_floaters_are_lonely_and_faint() -> None:
    ball = sphere(1000)
    far = sphere(30, radius_m=1.5, opacity=0.1)
    firm = sphere(20, radius_m=1.2, opacity=0.9)
    scene = made.scene_of(a=joined(ball, far, firm))
    found = picks(regions.Floaters(), scene)
    assert (np.flatnonzero(found) == np.arange(1000, 1030)).all()
    assert picks(regions.Floaters(opacity=1.0), scene)[1000:].all()
