"""Textures from splats: like the splats, sharp, sober about what is hidden, the same every time."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from splatworks.renderers import meshes
from splatworks.renderers.choose import splat_renderer
from splatworks.stages import texture
from splatworks.stages.artifacts import MeshFile, SplatsFile
from splatworks.stages.formats import gltf, splats, tensors
from splatworks.stages.geometry.activation import activate
from splatworks.stages.geometry.likeness import likeness
from splatworks.stages.geometry.orbit import look_at_origin
from splatworks.stages.texture import blend as blending
from splatworks.stages.texture import paint as painting
from splatworks.stages.texture import robust, views

from .painted import as_mesh, context, cover, stripes

QUICK = texture.Config(texture_size_px=256, views=20, render_size_px=192, edge_px=2.0)
SHAPES = {
    "ball": trimesh.creation.icosphere(3, radius=0.45),
    "box": trimesh.creation.box((0.6, 0.5, 0.55)),
}


def paint(tmp_path: Path, mesh: gltf.Mesh, raw: splats.RawSplats, config=QUICK, threads=1):
    tmp_path.mkdir(exist_ok=True)
    inputs = texture.Inputs(
        MeshFile(gltf.save(mesh, tmp_path / "mesh.glb")),
        SplatsFile(splats.save(raw, tmp_path / "splats.ply")),
    )
    return texture.run(inputs, config, context(tmp_path, threads)).textured.path


@pytest.mark.parametrize("name", SHAPES)
def test_the_mesh_looks_like_the_splats(tmp_path: Path, name: str) -> None:
    """The acceptance figures: 25 dB and 2/255, eight unseen views, own renderers."""
    raw = cover(SHAPES[name], 20_000)
    found = gltf.load(paint(tmp_path, as_mesh(SHAPES[name]), raw))
    cameras = look_at_origin(
        [10, 55, 100, 145, 190, 235, 280, 325],
        [0, 30, -30, 60, -60, 15, 80, -10],
        distance_m=1.8,
        fovy_deg=40,
        size_px=(256, 256),
    )
    expected = splat_renderer("cpu")(activate(raw), cameras)
    scene = meshes.MeshScene(found.positions, found.faces, found.uvs, found.base_color)
    got = meshes.render(scene, cameras)
    pictures = (torch.cat([f.rgb, f.alpha], dim=-1).numpy() for f in (expected, got))
    figures = likeness(zip(*pictures, strict=True))
    assert figures.psnr_db >= 25 and figures.inner_psnr_db >= 28
    assert np.abs(figures.color_error_255).max() <= 2


def test_the_texture_has_the_true_colors(tmp_path: Path) -> None:
    """Against the coloring itself, at the middle of every face."""
    shape = SHAPES["ball"]
    raw = cover(shape, 20_000)
    path = paint(tmp_path, as_mesh(shape), raw)
    found = gltf.load(path)
    middles = found.positions[found.faces].mean(axis=1)
    uvs = found.uvs[found.faces].mean(axis=1)
    columns, rows = np.floor(uvs * 256).astype(int).T
    got = found.base_color[rows, columns] / 255
    error = np.abs(got - stripes(middles))
    assert error.mean() < 0.02 and np.quantile(error, 0.99) < 0.1


def test_threads_and_interruptions_change_nothing(tmp_path: Path) -> None:
    shape = trimesh.creation.icosphere(2, radius=0.4)
    raw, mesh = cover(shape, 1_500), as_mesh(shape)
    config = texture.Config(texture_size_px=128, views=8, render_size_px=96)
    first = paint(tmp_path / "a", mesh, raw, config).read_bytes()
    assert paint(tmp_path / "b", mesh, raw, config, threads=3).read_bytes() == first
    ctx = context(tmp_path / "c")
    cameras, _ = views.around(mesh.positions, 8, 40.0, (96, 96))
    shots = views.render_views(activate(raw), cameras, ctx)
    tensors.save({"views": torch.from_numpy(shots[:3])}, ctx.scratch / "views-0000.safetensors")
    tensors.save({"views": torch.from_numpy(shots[3:5])}, ctx.scratch / "views-0003.safetensors")
    assert paint(tmp_path / "c", mesh, raw, config).read_bytes() == first


def test_kept_views_are_really_used(tmp_path: Path) -> None:
    shape = trimesh.creation.icosphere(2, radius=0.4)
    ctx = context(tmp_path)
    marked = torch.full((2, 32, 32, 4), 0.5)
    tensors.save({"views": marked}, ctx.scratch / "views-0000.safetensors")
    cameras, _ = views.around(shape.vertices.astype(np.float32), 4, 40.0, (32, 32))
    shots = views.render_views(activate(cover(shape, 300)), cameras, ctx)
    assert (shots[:2] == 0.5).all() and (shots[2:] != 0.5).any()


def test_what_no_view_sees_is_continued(tmp_path: Path) -> None:
    """Splats cover the upper part only; the lower gets colors of the nearest covered surface."""
    shape = SHAPES["ball"]
    raw = cover(shape, 20_000, lambda points: np.tile([0.2, 0.7, 0.4], (len(points), 1)))
    upper = raw.means[:, 1] > -0.1
    names = ("means", "log_scales", "logit_opacities", "quaternions", "sh")
    raw = splats.RawSplats(*(getattr(raw, name)[upper] for name in names))
    found = gltf.load(paint(tmp_path, as_mesh(shape), raw))
    error = np.abs(found.base_color / 255 - [0.2, 0.7, 0.4])
    assert error.max() < 0.03, "no background, no black, nowhere in the picture"


def test_nothing_to_see_gives_gray_and_a_warning(tmp_path: Path, caplog) -> None:
    raw = cover(trimesh.creation.icosphere(1, radius=0.1), 50)
    raw.means[:] += 50
    found = gltf.load(paint(tmp_path, as_mesh(SHAPES["box"]), raw))
    assert (np.abs(found.base_color.astype(int) - 128) <= 1).all()
    assert "no view shows the mesh" in caplog.text


def test_every_setting_arrives_where_it_belongs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a mesh with a radius of two metres that once had colors of its own."""
    given = {}

    def spy(name: str):
        function = getattr(painting, name)

        def instead(*values, **named):
            given[name] = (*values, *named.values())
            return function(*values, **named)

        monkeypatch.setattr(painting, name, instead)

    for name in ("atlas", "around", "blend", "spread"):
        spy(name)
    shape = trimesh.creation.icosphere(1, radius=2.0)
    mesh = replace(as_mesh(shape), colors=np.ones((len(shape.vertices), 3), np.float32))
    config = texture.Config(
        texture_size_px=128, gutter_px=3, views=5, render_size_px=48, fovy_deg=50.0,
        sharpness=3.0, min_cosine=0.15, min_alpha=0.8, edge_px=2.5, outlier=0.3,
    )  # fmt: skip
    found = gltf.load(paint(tmp_path, mesh, cover(shape, 3_000), config))
    assert found.base_color.shape == (128, 128, 3) and found.colors is None
    assert given["atlas"][1:] == (128, 3)
    assert given["around"][1:] == (5, 50.0, (48, 48))
    rules = given["blend"][5]
    assert (rules.sharpness, rules.min_cosine, rules.min_alpha) == (3.0, 0.15, 0.8)
    assert (rules.edge_px, rules.outlier) == (2.5, 0.3)
    # A hundredth of the radius, and a half of it.
    assert rules.tolerance_m == pytest.approx(0.02, rel=1e-6)
    assert given["spread"][2] == pytest.approx(1, rel=1e-6)


def test_cameras_see_the_whole_mesh_from_all_around() -> None:
    points = SHAPES["box"].vertices.astype(np.float32) * 3 + np.float32([5, -2, 1])
    cameras, radius = views.around(points, 40, 40.0, (100, 100))
    turn, shift = cameras.world_to_camera[:, :3, :3], cameras.world_to_camera[:, :3, 3]
    local = torch.einsum("cij,nj->cni", turn, torch.from_numpy(points)) + shift[:, None]
    pixels = local[..., :2] / local[..., 2:] * cameras.focal_px[:, None] + 50
    assert pixels.min() > 0 and pixels.max() < 100 and local[..., 2].min() > 0
    places = -torch.einsum("cji,cj->ci", turn, shift).numpy() - (5, -2, 1)
    directions = places / np.linalg.norm(places, axis=1, keepdims=True)
    cosines = directions @ directions.T - 2 * np.eye(40)
    # 40 even caps are about 36 degrees apart.
    assert np.degrees(np.arccos(cosines.max())) > 18
    assert radius == pytest.approx(1.5 * np.linalg.norm((0.6, 0.5, 0.55)), rel=1e-5)


def test_depth_maps_are_those_of_the_mesh_renderer() -> None:
    """Rays through pixel centres, depth along z, infinite beside the mesh."""
    both = as_mesh(SHAPES["box"])
    cameras, _ = views.around(both.positions, 5, 40.0, (48, 40))
    depths = views.depth_maps(both, cameras, 1)
    frames = meshes.render(meshes.MeshScene(both.positions, both.faces), cameras, supersample=1)
    expected = frames.depth[..., 0].numpy()
    assert np.array_equal(np.isfinite(depths), expected > 0) and (expected > 0).any()
    hit = expected > 0
    np.testing.assert_allclose(depths[hit], expected[hit], rtol=1e-5)


def looks(colors, normals=None, alpha=1.0, rules=None, depth=2.0):
    """Blend uniform views of one point at the origin that faces +Z, from azimuths -60 to 60."""
    count = len(colors)
    cameras = look_at_origin(
        np.linspace(-60, 60, count), [0] * count, distance_m=2, fovy_deg=40, size_px=(16, 16)
    )
    shots = np.ones((count, 16, 16, 4), np.float32) * alpha
    shots[..., :3] *= np.float32(colors).reshape(count, 1, 1, -1)
    depths = np.full((count, 16, 16), depth, np.float32)
    rules = rules or blending.Rules(
        sharpness=4, min_cosine=0.2, min_alpha=0.9, edge_px=0, outlier=0.2, tolerance_m=0.01
    )
    normal = np.float32([[0, 0, 1]] if normals is None else normals)
    place = np.zeros((1, 3), np.float32)
    found, seen = blending.blend(place, normal, shots, depths, cameras, rules, threads=1)
    return found[0], seen[0]


def test_weights_are_the_formula() -> None:
    colors = [0.4, 0.5, 0.45]
    found, seen = looks(colors)
    weight = np.cos(np.radians([-60, 0, 60])) ** 4
    trust = np.maximum(0, 1 - 3 * (np.array(colors) - 0.5) ** 2 / 0.2**2) ** 2
    expected = (weight * trust * colors).sum() / (weight * trust).sum()
    assert seen
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_view_is_read_where_the_point_projects_to() -> None:
    """A picture whose color is its own pixel coordinate gives the projection back, exactly."""
    cameras = look_at_origin([20], [10], distance_m=2, fovy_deg=40, size_px=(64, 48))
    rows, columns = np.meshgrid(np.arange(48) + 0.5, np.arange(64) + 0.5, indexing="ij")
    shot = np.stack([columns / 64, rows / 48, rows * 0, rows * 0 + 1], axis=-1)[None]
    points = np.random.default_rng(0).uniform(-0.3, 0.3, (50, 3)).astype(np.float32)
    pose = cameras.world_to_camera[0].numpy()
    local = points @ pose[:3, :3].T + pose[:3, 3]
    expected = local[:, :2] / local[:, 2:] * cameras.focal_px[0].numpy() / [64, 48] + 0.5
    eye = -pose[:3, :3].T @ pose[:3, 3]
    normals = (eye - points) / np.linalg.norm(eye - points, axis=1, keepdims=True)
    rules = blending.Rules(
        sharpness=1, min_cosine=0.2, min_alpha=0.9, edge_px=0, outlier=9, tolerance_m=0.01
    )
    far = np.full((1, 48, 64), 9, np.float32)
    found, seen = blending.blend(
        points, normals.astype(np.float32), shot.astype(np.float32), far, cameras, rules, 1
    )
    assert seen.all()
    np.testing.assert_allclose(found[:, :2], expected, atol=1e-5)


def test_one_view_that_disagrees_is_ignored() -> None:
    found, _ = looks([0.5, 0.5, 1.0, 0.5, 0.5])
    np.testing.assert_allclose(found, 0.5, atol=1e-6)


def test_color_is_freed_from_alpha_and_thin_pixels_do_not_count() -> None:
    found, seen = looks([0.6, 0.6, 0.6], alpha=0.95)
    np.testing.assert_allclose(found, 0.6, atol=1e-6)
    assert seen and not looks([0.6, 0.6, 0.6], alpha=0.85)[1]


def test_slanted_and_averted_views_do_not_count() -> None:
    assert not looks([0.5] * 3, normals=[[0, 0, -1]])[1]
    assert not looks([0.5], normals=[[1, 0, 0]])[1]
    # From -60, 0 and 60 degrees the cosines with +X are negative, 0 and 0.87.
    found, seen = looks([0.1, 0.5, 0.9], normals=[[1, 0, 0]])
    assert seen
    np.testing.assert_allclose(found, 0.9, atol=1e-6)


def test_the_limits_of_what_a_view_sees() -> None:
    """Cosine 0.2, tolerance 0.01 m; a single view stands at azimuth -60, two metres away."""
    for angle, wanted in ((77, True), (80, False)):  # cosines 0.22 and 0.17
        turned = np.radians(angle - 60)
        assert looks([0.5], normals=[[np.sin(turned), 0, np.cos(turned)]])[1] == wanted
    assert looks([0.5], depth=1.991)[1] and not looks([0.5], depth=1.989)[1]


def test_without_a_view_near_the_median_the_median_counts() -> None:
    """Red, green and blue in equal shares: black, channel by channel, and far from all three."""
    rules = blending.Rules(
        sharpness=0, min_cosine=0.2, min_alpha=0.9, edge_px=0, outlier=0.2, tolerance_m=0.01
    )
    found, seen = looks(np.eye(3), rules=rules)
    assert seen and not found.any()


def front(count: int = 1):
    """Cameras at (0, 0, 2), all the same: 40 x 24 pixels, the origin in their middle."""
    return look_at_origin([0] * count, [0] * count, distance_m=2, fovy_deg=40, size_px=(40, 24))


def test_beside_the_picture_and_behind_the_camera_nothing_is_seen() -> None:
    half = np.array([20, 12]) / front().focal_px[0].numpy() * 2  # At the depth of the origin.
    inside = [[0.95, 0], [-0.95, 0], [0, 0.92], [0, -0.92]] * half
    outside = [[1.01, 0], [-1.01, 0], [0, 1.02], [0, -1.02]] * half
    points = np.zeros((9, 3), np.float32)
    points[:8, :2] = np.concatenate([inside, outside])
    points[8] = (0, 0, 3)
    normals = np.float32([[0, 0, 1]] * 8 + [[0, 0, -1]])
    rules = blending.Rules(
        sharpness=1, min_cosine=0.2, min_alpha=0.9, edge_px=0, outlier=0.5, tolerance_m=0.01
    )
    shots, depths = np.ones((1, 24, 40, 4), np.float32), np.full((1, 24, 40), 2, np.float32)
    _, seen = blending.blend(points, normals, shots, depths, front(), rules, 2)
    assert seen.tolist() == [True] * 4 + [False] * 5


def test_a_view_fades_towards_a_depth_edge() -> None:
    """Of two views one has a step to a depth behind, between columns 19 and 20."""
    rules = blending.Rules(
        sharpness=1, min_cosine=0.2, min_alpha=0.9, edge_px=6, outlier=1e4, tolerance_m=0.01
    )
    depths = np.full((2, 24, 40), 2, np.float32)
    depths[1, :, 20:] = 3
    depths[:, 12:] += 0.02  # Two tolerances are no edge yet.
    shots = np.ones((2, 24, 40, 4), np.float32)
    shots[0, ..., :3], shots[1, ..., :3] = 0.2, 0.8
    columns = np.arange(9.25, 31, 0.3)  # Of pixel centres: never halfway.
    rows = np.linspace(2.3, 20.2, len(columns))
    focal = front().focal_px[0].numpy()
    points = np.stack([(columns - 19.5) / focal[0], (11.5 - rows) / focal[1], 0 * rows], axis=1)
    found, seen = blending.blend(
        (2 * points).astype(np.float32),
        np.tile(np.float32([[0, 0, 1]]), (len(points), 1)),
        shots, depths, front(2), rules, 1,
    )  # fmt: skip
    assert seen.all()
    nearest = np.floor(columns + 0.5)
    fade = np.clip(np.minimum(abs(nearest - 19), abs(nearest - 20)) / 6, 0.02, 1)
    assert fade.min() == 0.02 and fade.max() == 1
    np.testing.assert_allclose(found[:, 0], (0.2 + 0.8 * fade) / (1 + fade), atol=1e-5)


def test_depth_between_pixels_by_hand() -> None:
    """Bilinear on one surface; at a step the nearer, so that what is behind stays hidden."""
    depth_at = blending._depth_at.py_func
    slope = np.array([[1.0, 1.01], [1.02, 1.03]])
    assert depth_at(slope, 0, 0, 0.5, 0.25, 0.02) == pytest.approx(1.0125)
    for step in ([[1.0, 2.0], [1.0, 2.0]], [[3.0, np.inf], [1.0, 3.0]]):
        assert depth_at(np.array(step), 0, 0, 0.5, 0.9, 0.02) == 1


def test_the_weighted_median_by_hand() -> None:
    def median(values: list[float], weights: list[float]) -> float:
        found, order = np.array(values)[:, None], np.zeros(len(values), int)
        middle = robust.weighted_median.py_func
        return middle(found, 0, np.array(weights), len(values), order)

    assert median([3, 1, 2], [1, 1, 1]) == 2
    assert median([3, 1, 2], [5, 1, 1]) == 3
    assert median([3, 1, 2], [1, 5, 1]) == 1
    assert median([7], [0.1]) == 7
    assert median([2, 1], [1, 1]) == 1, "half of the weight is enough"


def test_a_hidden_point_does_not_borrow_from_what_hides_it() -> None:
    """A ball behind a plate: views show white where the way to its front is free, else black."""
    ball = trimesh.creation.icosphere(3, radius=0.3)
    plate = trimesh.creation.box((0.5, 0.5, 0.02))
    plate.apply_translation([0, 0, 0.45])
    both = as_mesh(trimesh.util.concatenate([ball, plate]))
    cameras, _ = views.around(both.positions, 24, 40.0, (128, 128))
    depths = views.depth_maps(both, cameras, 1)
    rules = blending.Rules(
        sharpness=1, min_cosine=0.1, min_alpha=0.9, edge_px=2, outlier=0.5, tolerance_m=0.01
    )
    point, facing = np.float32([[0, 0, 0.3]]), np.float32([[0, 0, 1]])
    shots = np.ones((24, 128, 128, 4), np.float32)
    free = np.zeros(24, bool)
    for index, pose in enumerate(cameras.world_to_camera.double().numpy()):
        eye = -pose[:3, :3].T @ pose[:3, 3]
        at_plate = 0.14 / (eye[2] - 0.3) * eye[:2]  # The way to the eye, at the plate's middle.
        free[index] = eye[2] > 0.3 and np.abs(at_plate).max() > 0.25
        shots[index, ..., :3] = float(free[index])
    assert 0 < free.sum() < 12
    found, seen = blending.blend(point, facing, shots, depths, cameras, rules, 1)
    assert seen[0]
    np.testing.assert_allclose(found[0], 1, atol=1e-6)


@pytest.mark.parametrize(
    "bad",
    [
        {"texture_size_px": 10},
        {"gutter_px": 0},
        {"gutter_px": 40, "texture_size_px": 128},
        {"views": 0},
        {"min_alpha": float("nan")},
        {"outlier": 0.0},
    ],
)
def test_a_bad_setting_is_named(bad: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        texture.Config(**bad)
