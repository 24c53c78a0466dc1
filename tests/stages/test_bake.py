"""Baking, completing and filling."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from splatworks.stages.formats.gltf import Mesh
from splatworks.stages.geometry.atlas import Atlas, Texels, atlas, texels
from splatworks.stages.geometry.bake import Maps, bake, fill, spread

SIZE = 256


@pytest.fixture(scope="module")
def box() -> tuple[Atlas, Texels]:
    shape = trimesh.creation.box((1, 1, 1))
    flat = Mesh(
        positions=shape.vertices[shape.faces].reshape(-1, 3).astype(np.float32),
        faces=np.arange(36).reshape(-1, 3),
        normals=np.repeat(shape.face_normals, 3, axis=0).astype(np.float32),
    )
    made = atlas(flat, SIZE, 4)
    return made, texels(made)


def position_color(positions, normals, faces):
    return positions + np.float32(0.5), np.ones(len(positions), bool)


def sample(picture: np.ndarray, uvs: np.ndarray) -> np.ndarray:
    """Bilinear, one point at a time."""
    out = []
    for u, v in uvs * SIZE - 0.5:
        x, y = int(np.floor(u)), int(np.floor(v))
        right, down = u - x, v - y
        upper = picture[y, x] * (1 - right) + picture[y, x + 1] * right
        lower = picture[y + 1, x] * (1 - right) + picture[y + 1, x + 1] * right
        out.append(upper * (1 - down) + lower * down)
    return np.array(out)


def test_every_point_of_the_surface_gets_its_color_back(box: tuple[Atlas, Texels]) -> None:
    """Color = position, looked up by uv; corners and edges included, where seams would show."""
    made, places = box
    picture = fill(bake(places, position_color), mips=3)
    rng = np.random.default_rng(0)
    weights = rng.dirichlet([0.3, 0.3, 0.3], 2000)
    weights[:3] = np.eye(3)
    faces = made.mesh.faces[rng.integers(0, len(made.mesh.faces), 2000)]
    uvs = np.einsum("nc,ncx->nx", weights, made.mesh.uvs[faces].astype(float))
    points = np.einsum("nc,ncx->nx", weights, made.mesh.positions[faces])
    error = np.abs(sample(picture, uvs) - (points + 0.5))
    texel_m = 1 / np.sqrt(places.inside.sum() / 6)
    assert error.max() < 1.6 * texel_m, "at borders the rim repeats the nearest surface point"
    assert np.median(error) < 1e-3


def test_half_a_texel_would_be_noticed(box: tuple[Atlas, Texels]) -> None:
    """A mean signed error of half a texel stands far above what baking leaves."""
    made, places = box
    picture = fill(bake(places, position_color), mips=3)
    faces = made.mesh.faces
    weights = np.random.default_rng(1).dirichlet([4, 4, 4], len(faces))
    uvs = np.einsum("nc,ncx->nx", weights, made.mesh.uvs[faces].astype(float))
    points = np.einsum("nc,ncx->nx", weights, made.mesh.positions[faces])
    assert np.abs(sample(picture, uvs) - points - 0.5).max() < 2e-4
    assert np.abs(sample(picture, uvs + 0.5 / SIZE) - points - 0.5).max() > 2e-3


def test_invalid_answers_stay_out(box: tuple[Atlas, Texels]) -> None:
    _, places = box

    def half(positions, normals, faces):
        values, _ = position_color(positions, normals, faces)
        valid = positions[:, 1] > 0
        values[~valid] = np.nan
        return values, valid

    maps = bake(places, half)
    assert np.isfinite(maps.values).all()
    assert maps.valid.sum() == (places.positions[:, 1] > 0).sum()
    with pytest.raises(ValueError, match="not finite, and called them valid"):
        bake(places, lambda p, n, f: (np.full_like(p, np.nan), np.ones(len(p), bool)))
    with pytest.raises(ValueError, match="answered"):
        bake(places, lambda p, n, f: (p[:5], np.ones(5, bool)))


def test_the_unseen_takes_the_color_of_its_own_side(box: tuple[Atlas, Texels]) -> None:
    """A wall two thin sheets thick: red in front, blue behind; a hole in each is closed."""
    _, places = box
    thin = replace(places, positions=places.positions * np.float32([1, 1, 0.001]))

    def source(positions, normals, faces):
        red, blue = np.float32([1, 0, 0]), np.float32([0, 0, 1])
        values = np.where(normals[:, 2:] > 0, red, blue)
        return values, np.hypot(positions[:, 0], positions[:, 1]) > 0.2

    maps = bake(thin, source)
    assert not maps.valid[places.rows, places.columns].all()
    whole = spread(thin, maps, normal_m=0.5)
    assert whole.valid[places.rows, places.columns].all()
    found = whole.values[places.rows, places.columns]
    front, back = places.normals[:, 2] > 0.9, places.normals[:, 2] < -0.9
    np.testing.assert_allclose(found[front], [[1, 0, 0]] * front.sum(), atol=1e-6)
    np.testing.assert_allclose(found[back], [[0, 0, 1]] * back.sum(), atol=1e-6)


def test_spread_follows_a_gradient(box: tuple[Atlas, Texels]) -> None:
    _, places = box

    def source(positions, normals, faces):
        values, _ = position_color(positions, normals, faces)
        return values, np.abs(positions).max(axis=1) < np.inf

    maps = bake(places, source)
    hole = places.rows % 16 == 0
    maps.valid[places.rows[hole], places.columns[hole]] = False
    maps.values[places.rows[hole], places.columns[hole]] = 0
    whole = spread(places, maps, normal_m=0.5)
    found = whole.values[places.rows, places.columns]
    assert np.abs(found - places.positions - 0.5).max() < 0.05
    assert np.abs(found - places.positions - 0.5)[hole].mean() < 0.01


def mip(picture: np.ndarray, level: int) -> np.ndarray:
    for _ in range(level):
        rows, columns = picture.shape[:2]
        picture = picture.reshape(rows // 2, 2, columns // 2, 2, -1).mean(axis=(1, 3))
    return picture


@pytest.mark.parametrize("level", [1, 2, 3])
def test_mips_do_not_bleed(level: int) -> None:
    """A lone chart of one color: every mip texel that it touches has exactly that color."""
    values, valid = np.zeros((64, 64, 3), np.float32), np.zeros((64, 64), bool)
    valid[13:30, 9:44] = True
    values[valid] = (0.9, 0.3, 0.1)
    picture = fill(Maps(values, valid), mips=level)
    touched = mip(valid[..., None].astype(float), level)[..., 0] > 0
    small = mip(picture.astype(float), level)[touched]
    np.testing.assert_allclose(small, [[0.9, 0.3, 0.1]] * len(small), atol=1e-6)


def test_charts_reach_as_far_as_the_mips_need() -> None:
    """Two colors far apart: within 8 texels of one, nothing of the other is mixed in."""
    values, valid = np.zeros((64, 64, 3), np.float32), np.zeros((64, 64), bool)
    valid[20:30, 4:10] = valid[20:30, 50:60] = True
    values[20:30, 4:10], values[20:30, 50:60] = (1, 0, 0), (0, 0, 1)
    picture = fill(Maps(values, valid), mips=3)
    np.testing.assert_array_equal(picture[12:38, 0:18], np.broadcast_to([1, 0, 0], (26, 18, 3)))
    np.testing.assert_array_equal(picture[12:38, 42:64], np.broadcast_to([0, 0, 1], (26, 22, 3)))
    assert 0.1 < picture[25, 30, 0] < 0.9, "and in the middle a blend"


def test_all_textures_have_four_clean_mips() -> None:
    """Of the fourth level each texel at a chart's corner averages 255 others from outside of it."""
    values, valid = np.zeros((64, 160, 3), np.float32), np.zeros((64, 160), bool)
    valid[15:33, 15:33] = valid[15:33, 127:145] = True
    values[15:33, 15:33], values[15:33, 127:145] = (1, 0, 0), (0, 0, 1)
    picture = fill(Maps(values, valid))
    touched = mip(valid[..., None].astype(float), 4)[..., 0] > 0
    small = mip(picture.astype(float), 4)
    for half, color in ((np.s_[:, :5], (1, 0, 0)), (np.s_[:, 5:], (0, 0, 1))):
        found = small[half][touched[half]]
        np.testing.assert_allclose(found, [color] * len(found), atol=1e-6)


def test_fill_keeps_what_is_valid_and_covers_the_rest() -> None:
    rng = np.random.default_rng(0)
    values, valid = rng.random((37, 50, 2), np.float32), np.zeros((37, 50), bool)
    valid[5:9, 7:20] = valid[25:, 40:] = True
    values[~valid] = 0
    picture = fill(Maps(values, valid), mips=1)
    np.testing.assert_array_equal(picture[valid], values[valid])
    assert picture[~valid].min() > 0
    low, high = values[valid].min(axis=0), values[valid].max(axis=0)
    assert (picture >= low - 1e-6).all() and (picture <= high + 1e-6).all(), "averages only"
    np.testing.assert_array_equal(picture[4, 7:20], values[5, 7:20])
    with pytest.raises(ValueError, match="no texel is valid"):
        fill(Maps(values, np.zeros_like(valid)), mips=1)


def test_a_constant_is_continued_as_a_constant() -> None:
    values, valid = np.zeros((33, 64, 3), np.float32), np.zeros((33, 64), bool)
    valid[2, 3] = valid[30, 60] = True
    values[valid] = (0.25, 0.5, 0.75)
    picture = fill(Maps(values, valid), mips=0)
    np.testing.assert_allclose(picture, np.broadcast_to([0.25, 0.5, 0.75], picture.shape))
