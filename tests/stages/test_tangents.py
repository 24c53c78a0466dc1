"""Frames of normal maps and normals with creases, against cases worked out by hand."""

import numpy as np
import pytest
import trimesh
from splatworks.stages.geometry.frames import to_frames
from splatworks.stages.geometry.tangents import corner_angles, crease_normals, tangents

SQUARE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], float)
UP = np.tile([0.0, 0, 1], (4, 1))
FACES = np.array([[0, 1, 2], [0, 2, 3]])
UVS = np.array([[0, 1], [1, 1], [1, 0], [0, 0]], float)


def test_upright_turned_and_mirrored_layouts() -> None:
    """With v down, an upright picture has u along +X and w = 1."""
    np.testing.assert_allclose(tangents(SQUARE, UP, UVS, FACES)[0], [[1, 0, 0, 1]] * 3, atol=1e-6)
    mirrored = UVS * [-1, 1]
    found = tangents(SQUARE, UP, mirrored, FACES)
    np.testing.assert_allclose(found[1], [[-1, 0, 0, -1]] * 3, atol=1e-6)
    quarter = UVS[:, ::-1] * [1, -1]  # u grows where v grew: down.
    found = tangents(SQUARE, UP, quarter, FACES)
    np.testing.assert_allclose(found[0], [[0, -1, 0, 1]] * 3, atol=1e-6)


def test_the_bitangent_points_up_the_picture() -> None:
    """For any affine layout, n x t times w is the direction in which v falls, within the plane
    and perpendicular to t."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        matrix = rng.normal(size=(2, 2))
        if abs(np.linalg.det(matrix)) < 0.1:
            continue
        uvs = SQUARE[:, :2] @ matrix.T
        t = tangents(SQUARE, UP, uvs, FACES)[0, 0].astype(float)
        inverse = np.linalg.inv(matrix)
        along_u, up = inverse[:, 0], -inverse[:, 1]
        np.testing.assert_allclose(t[:2], along_u / np.linalg.norm(along_u), atol=1e-5)
        b = t[3] * np.cross([0, 0, 1], t[:3])[:2]
        assert b @ up > 0


def test_corners_with_the_same_attributes_share_their_frame_by_angle() -> None:
    """Two faces of a roof: the mean at the ridge leans to the face with the wider angle."""
    positions = np.array([[0, 0, 0], [0, 1, 0], [2, 0.5, 0], [-1, -4, 0.0]])
    normals = np.tile([0.0, 0, 1], (4, 1))
    uvs = np.array([[0, 0], [0, -1], [1, -1], [-1, 0.3]])
    faces = np.array([[0, 2, 1], [0, 1, 3]])
    found = tangents(positions, normals, uvs, faces)
    angles = corner_angles(positions[faces])
    alone = [tangents(positions, normals, uvs, faces[k : k + 1])[0] for k in range(2)]
    if alone[0][0, 3] == alone[1][0, 3]:
        wanted = alone[0][0, :3] * angles[0, 0] + alone[1][0, :3] * angles[1, 0]
        wanted /= np.linalg.norm(wanted)
    else:
        wanted = alone[0][0, :3]
    np.testing.assert_allclose(found[0, 0, :3], wanted, atol=1e-6)


def test_no_area_in_the_picture_still_gives_a_frame() -> None:
    found = tangents(SQUARE, UP, np.zeros((4, 2)), FACES)
    np.testing.assert_allclose(np.linalg.norm(found[..., :3], axis=-1), 1, atol=1e-6)
    np.testing.assert_allclose(found[..., 2], 0, atol=1e-6)


def test_a_box_keeps_its_edges_and_a_ball_has_none() -> None:
    box = trimesh.creation.box()
    normals = crease_normals(box.vertices, box.faces)
    np.testing.assert_allclose(normals, np.repeat(box.face_normals[:, None], 3, 1), atol=1e-6)
    ball = trimesh.creation.icosphere(3)
    normals = crease_normals(ball.vertices, ball.faces)
    np.testing.assert_allclose(normals, ball.vertices[ball.faces], atol=0.01)
    smooth = crease_normals(box.vertices, box.faces, crease_deg=180.0)
    np.testing.assert_allclose(
        smooth, box.vertices[box.faces] / np.linalg.norm(box.vertices[0]), atol=1e-6
    )


def test_soups_are_smoothed_like_welded_meshes() -> None:
    ball = trimesh.creation.icosphere(2)
    soup = ball.vertices[ball.faces].reshape(-1, 3)
    faces = np.arange(len(soup)).reshape(-1, 3)
    np.testing.assert_allclose(
        crease_normals(soup, faces), crease_normals(ball.vertices, ball.faces), atol=1e-6
    )


def test_a_fan_of_thousands_is_no_trouble() -> None:
    count = 3000
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    rim = np.column_stack([np.cos(angle), np.sin(angle), 0 * angle])
    positions = np.concatenate([[[0, 0, 0.1]], rim])
    faces = np.column_stack([0 * angle, 1 + np.arange(count), 1 + (np.arange(count) + 1) % count])
    normals = crease_normals(positions, faces.astype(np.int64))
    np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1, atol=1e-5)
    assert normals[:, 0, 2].min() > 0.9


@pytest.mark.parametrize("w", [1.0, -1.0])
def test_a_viewer_gets_the_directions_back(w) -> None:
    """What a viewer computes from the texel is the direction that went in (glTF 2.0, 3.9.3)."""
    rng = np.random.default_rng(3)
    normals = np.array([[0.1, 0, 1], [0, 0.2, 1], [-0.2, 0, 1]])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    frames = rng.normal(size=(3, 3)) * 0.2 + [1, 0, 0]
    frames -= normals * (frames * normals).sum(axis=1, keepdims=True)
    frames /= np.linalg.norm(frames, axis=1, keepdims=True)
    weights = rng.dirichlet([1, 1, 1], 40)
    directions = rng.normal(size=(40, 3)) * 0.4 + [0, 0, 1]
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    given = np.concatenate([frames, np.full((3, 1), w)], axis=1)
    found = to_frames(
        directions.astype(np.float32), given[None].astype(np.float32),
        normals[None].astype(np.float32), np.zeros(40, np.int64), weights,
    )  # fmt: skip
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    for k in range(40):
        n = weights[k] @ normals
        t = weights[k] @ frames
        n, t = n / np.linalg.norm(n), t / np.linalg.norm(t)
        seen = found[k, 0] * t + found[k, 1] * w * np.cross(n, t) + found[k, 2] * n
        np.testing.assert_allclose(seen / np.linalg.norm(seen), directions[k], atol=1e-4)


def test_what_looks_away_lies_flat() -> None:
    up = np.float32([[[0, 0, 1]] * 3])
    along = np.float32([[[1, 0, 0, 1]] * 3])
    found = to_frames(
        np.float32([[0, 0, -1]]), along, up, np.zeros(1, np.int64), np.full((1, 3), 1 / 3)
    )
    assert found[0, 2] > 0
