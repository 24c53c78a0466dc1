"""Ray-cast meshes: cameras, attributes, texture and light."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from splatworks.renderers import meshes, reference
from splatworks.renderers.scene import Gaussians

from .scenes import cameras, misfit


def quad(z: float = 0.0, size: float = 0.5) -> dict:
    """Faces +Z; its picture seen from there is upright with uv (0, 0) at the top left."""
    corners = np.array([[-1, 1], [1, 1], [1, -1], [-1, -1]], np.float32) * size
    return {
        "vertices": np.concatenate([corners, np.full((4, 1), z, np.float32)], axis=1),
        "faces": np.array([[0, 3, 2], [0, 2, 1]]),
        "uvs": np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32),
    }


def box(center, half) -> meshes.MeshScene:
    """An axis-aligned box."""
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)
    sides = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = [f for a, b, c, d in sides for f in ((a, b, c), (a, c, d))]
    vertices = np.asarray(center, np.float32) + signs * np.asarray(half, np.float32)
    return meshes.MeshScene(vertices, np.array(faces))


FRONT = {"elevation_deg": 0.0, "distance_m": 2.0}


def test_depth_is_z_and_not_distance() -> None:
    frames = meshes.render(meshes.MeshScene(**quad(z=0.5, size=2.0)), cameras(16, 12, **FRONT))
    torch.testing.assert_close(frames.depth, torch.full((1, 12, 16, 1), 1.5), rtol=1e-6, atol=0)
    assert (frames.alpha == 1).all()
    torch.testing.assert_close(frames.normal[0, 3, 4], torch.tensor([0.0, 0.0, 1.0]))


def test_a_hit_is_where_barycentrics_and_depth_say() -> None:
    scene = box((0.05, -0.1, 0.0), (0.2, 0.3, 0.25))
    view = cameras(31, 24, azimuths_deg=(40.0,), focal_px=(30.0, 26.0), center_px=(14.0, 13.0))
    frames = meshes.render(scene, view, supersample=1)
    hit = frames.face_id[0] >= 0
    assert 0.05 < hit.double().mean() < 0.9
    assert torch.equal(hit, frames.alpha[0, ..., 0] > 0)
    assert torch.equal(hit, frames.depth[0, ..., 0] > 0)
    corners = torch.from_numpy(scene.vertices[scene.faces])[frames.face_id[0][hit]]
    points = (corners * frames.barycentric[0][hit][..., None]).sum(dim=1)
    matrix = view.world_to_camera[0]
    x, y, z = (points @ matrix[:3, :3].T + matrix[:3, 3]).T
    v, u = hit.nonzero().T + 0.5
    torch.testing.assert_close(z, frames.depth[0, ..., 0][hit], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(30 * x / z + 14, u, rtol=0, atol=1e-3)
    torch.testing.assert_close(26 * y / z + 13, v, rtol=0, atol=1e-3)


def test_the_same_cameras_as_the_splat_renderers() -> None:
    """A dense cloud of tiny splats on the box's surface has the box's silhouette and depth."""
    scene = box((0.1, 0.05, -0.1), (0.15, 0.3, 0.2))
    rng = np.random.default_rng(0)
    steps = np.linspace(0, 1, 25)
    a, b = (t.ravel() for t in np.meshgrid(steps, steps))
    low, high = scene.vertices.min(0), scene.vertices.max(0)
    points = []
    for axis in range(3):
        for end in (low[axis], high[axis]):
            p = np.empty((len(a), 3))
            p[:, axis] = end
            p[:, (axis + 1) % 3] = low[(axis + 1) % 3] + a * (high - low)[(axis + 1) % 3]
            p[:, (axis + 2) % 3] = low[(axis + 2) % 3] + b * (high - low)[(axis + 2) % 3]
            points.append(p)
    means = torch.from_numpy(np.concatenate(points))
    n = len(means)
    splats = Gaussians(
        means=means,
        quaternions=torch.from_numpy(rng.normal(size=(n, 4))),
        scales=torch.full((n, 3), 0.006).double(),
        opacities=torch.full((n,), 0.95).double(),
        sh=torch.zeros(n, 1, 3).double(),
    )
    view = cameras(36, 30, azimuths_deg=(0.0, 115.0), focal_px=(50.0, 42.0), center_px=(16.0, 16.5))
    mesh = meshes.render(scene, view, supersample=4)
    splat = reference.render(splats, view, frozenset({"alpha", "median_depth"}))
    # 0.3 px² blur the outline: compare centroids and areas, which half a pixel would spoil.
    y, x = torch.meshgrid(torch.arange(30.0), torch.arange(36.0), indexing="ij")
    for k in range(2):
        inside, outline = mesh.alpha[k, ..., 0].double(), splat.alpha[k, ..., 0] > 0.5
        for coordinate in (x, y):
            centers = [(coordinate * m).sum() / m.sum() for m in (inside, outline.double())]
            assert abs(centers[0] - centers[1]) < 0.1
        both = (inside == 1) & outline
        depth = (splat.median_depth[k, ..., 0] - mesh.depth[k, ..., 0]).abs()[both]
        assert depth.median() < 0.02  # a pixel is 0.04 m wide
        assert both.sum() > 0.5 * outline.sum()


def test_texture_is_upright_and_not_mirrored() -> None:
    texture = np.zeros((2, 2, 3), np.uint8)
    texture[0, 0], texture[0, 1] = (255, 0, 0), (0, 255, 0)
    texture[1, 0], texture[1, 1] = (0, 0, 255), (255, 255, 255)
    texture = texture.repeat(8, axis=0).repeat(8, axis=1)
    view = cameras(20, 20, focal_px=(40.0, 40.0), **FRONT)  # The quad fills the picture exactly.
    frames = meshes.render(meshes.MeshScene(**quad(), texture=texture), view)
    for (j, i), color in {
        (4, 4): (1, 0, 0),
        (4, 15): (0, 1, 0),
        (15, 4): (0, 0, 1),
        (15, 15): (1, 1, 1),
    }.items():
        torch.testing.assert_close(
            frames.rgb[0, j, i], torch.tensor(color).float(), rtol=0, atol=1e-5
        )


def test_bilinear_sampling_by_hand() -> None:
    texture = np.arange(6, dtype=np.float32).reshape(2, 3, 1)
    uvs = np.array(
        [
            [0.5 / 3, 0.25],  # centre of the first texel
            [1.0 / 3, 0.25],  # between the first and the second
            [0.5 / 3, 0.5],  # between the two rows
            [0.0, 0.25],  # the edge: half the first, half the last
            [1.0 + 0.5 / 3, -0.75],  # repeats
            [0.5 / 3, 0.0],  # the upper edge: half the first row, half the last
        ]
    )
    found = meshes.sample(texture, uvs)[:, 0]
    np.testing.assert_allclose(found, [0.0, 0.5, 1.5, 1.0, 0.0, 1.5], atol=1e-6)


def test_colors_are_interpolated_in_linear_light_and_shown_in_srgb() -> None:
    colors = np.array([[0.2] * 3, [0.2] * 3, [0.8] * 3, [0.8] * 3], np.float32)
    view = cameras(21, 21, focal_px=(42.0, 42.0), **FRONT)
    frames = meshes.render(meshes.MeshScene(**quad(), vertex_colors=colors), view)
    assert frames.rgb[0, 10, 10, 0].item() == pytest.approx(0.7353569830524495, abs=1e-4)


def test_a_texture_is_srgb_mixed_in_linear_light_and_tinted_by_the_colors() -> None:
    """IEC 61966-2-1: 188 is 0.5029 linear, halfway from black to white is 0.7354."""
    texture = np.full((2, 1, 4), 188, np.uint8)
    texture[..., 3] = 7  # A fourth channel is ignored.
    view = cameras(21, 21, focal_px=(42.0, 42.0), **FRONT)
    plain = meshes.MeshScene(**quad(), texture=texture)
    np.testing.assert_allclose(meshes.render(plain, view).rgb[0, 10, 10], 188 / 255, atol=1e-5)
    colors = np.tile(np.float32([1, 0.214041 / 0.502886, 0.002 / 0.502886]), (4, 1))
    tinted = meshes.render(replace(plain, vertex_colors=colors), view).rgb[0, 10, 10]
    np.testing.assert_allclose(tinted, [188 / 255, 0.5, 0.02584], atol=1e-5)
    texture = np.uint8([[[0] * 3], [[255] * 3]])
    striped = meshes.render(meshes.MeshScene(**quad(), texture=texture), view, supersample=1)
    np.testing.assert_allclose(striped.rgb[0, 10, 10], 0.7353569830524495, atol=1e-5)


def test_supersampling_gives_the_covered_share() -> None:
    """An edge at a quarter of a pixel column."""
    scene = meshes.MeshScene(**quad(size=0.5))
    view = cameras(12, 12, focal_px=(18.5, 18.5), **FRONT)  # the quad spans 9.25 px
    frames = meshes.render(scene, view, supersample=8)
    assert frames.alpha[0, 6, 1, 0].item() == pytest.approx(0.625)
    assert frames.alpha.sum().item() == pytest.approx(9.25**2, rel=1e-3)
    gray = frames.rgb[0, 6, 6, 0]
    torch.testing.assert_close(frames.rgb[0, 6, 1, 0], 0.625 * gray)


def test_light_is_fixed_to_the_world_and_falls_on_the_seen_side() -> None:
    scene = meshes.MeshScene(**quad())
    front, back = (
        meshes.render(scene, cameras(9, 9, azimuths_deg=(a,), **FRONT), shading="lit")
        for a in (0.0, 180.0)
    )
    bright, dark = front.rgb[0, 4, 4, 0].item(), back.rgb[0, 4, 4, 0].item()
    light = meshes.LIGHT_DIRECTION / np.linalg.norm(meshes.LIGHT_DIRECTION)
    linear = meshes.BARE_COLOR * (meshes.AMBIENT + (1 - meshes.AMBIENT) * light[2])
    assert bright == pytest.approx(1.055 * linear ** (1 / 2.4) - 0.055, abs=1e-4)
    linear = meshes.BARE_COLOR * meshes.AMBIENT
    assert dark == pytest.approx(1.055 * linear ** (1 / 2.4) - 0.055, abs=1e-4)


def test_smooth_normals_are_interpolated() -> None:
    """Between the corners (-1, 0, 1) and (1, 0, 1) stands (2 x, 0, 1), made one long."""
    normals = np.array([[-1, 0, 1], [1, 0, 1], [1, 0, 1], [-1, 0, 1]], np.float32)
    view = cameras(21, 21, focal_px=(42.0, 42.0), **FRONT)
    frames = meshes.render(meshes.MeshScene(**quad(), normals=normals), view, supersample=1)
    x = (np.arange(21) + 0.5 - 10.5) / 21
    wanted = np.stack([2 * x, 0 * x, 0 * x + 1], axis=-1) / np.hypot(2 * x, 1)[:, None]
    np.testing.assert_allclose(frames.normal[0, 7], wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"faces": np.array([[0, 1, 9]])}, "faces point at vertices 0 to 9, but there are 4"),
        ({"faces": np.zeros((0, 3), int)}, "no faces"),
        ({"uvs": None, "texture": np.zeros((2, 2, 3), np.uint8)}, "a texture needs uvs"),
        ({"normals": np.zeros((3, 3), np.float32)}, "normals has 3 rows"),
        ({"vertex_colors": np.zeros((5, 3), np.float32)}, "vertex_colors has 5 rows"),
        ({"uvs": np.zeros((5, 2), np.float32)}, "uvs has 5 rows"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        meshes.render(misfit(meshes.MeshScene(**quad()), **change), cameras(4, 4))


def test_no_rays_are_refused() -> None:
    with pytest.raises(ValueError, match="supersample must be at least 1, got 0"):
        meshes.render(meshes.MeshScene(**quad()), cameras(4, 4), supersample=0)
