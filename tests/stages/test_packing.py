"""Charts and their packing: nothing overlaps, nothing is stretched, whatever comes in."""

import numpy as np
import pytest
import trimesh
from splatworks.stages.formats.gltf import Mesh
from splatworks.stages.geometry import charts as module
from splatworks.stages.geometry.atlas import quick_atlas, texels
from splatworks.stages.geometry.charts import cut
from splatworks.stages.geometry.components import Surface, face_areas
from splatworks.stages.geometry.packing import pack


def soup(count: int, seed: int = 0) -> Surface:
    rng = np.random.default_rng(seed)
    middle = rng.normal(size=(count, 1, 3))
    corners = (middle + 0.1 * rng.normal(size=(count, 3, 3))).reshape(-1, 3)
    return Surface(corners, np.arange(3 * count).reshape(-1, 3))


@pytest.mark.parametrize("gutter", [1, 4])
def test_rectangles_keep_their_distance(gutter) -> None:
    rng = np.random.default_rng(gutter)
    boxes = rng.uniform(0.2, 5, (60, 2))
    flat = (np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * boxes[:, None]).reshape(-1, 2)
    chart = np.repeat(np.arange(60), 4)
    uvs = pack(flat, chart, 256, gutter).astype(float) * 256
    low = np.array([uvs[chart == k].min(axis=0) for k in range(60)])
    high = np.array([uvs[chart == k].max(axis=0) for k in range(60)])
    assert low.min() >= gutter / 2 and high.max() <= 256 - gutter / 2
    for k in range(60):
        apart = np.maximum(low - high[k], low[k] - high).max(axis=1)
        apart[k] = np.inf
        assert apart.min() >= gutter
    sizes = np.sort(high - low, axis=1) / np.sort(boxes, axis=1)
    np.testing.assert_allclose(sizes, sizes[0, 0], rtol=1e-3, err_msg="one scale for all")
    assert ((high - low).prod(axis=1)).sum() > 0.5 * 256**2


def test_a_slanted_chart_is_turned_upright() -> None:
    turn = np.array([[np.cos(0.5236), -np.sin(0.5236)], [np.sin(0.5236), np.cos(0.5236)]])
    flat = np.array([[0, 0], [8, 0], [8, 1], [0, 1.0]]) @ turn.T
    uvs = pack(flat, np.zeros(4, np.int64), 128, 2).astype(float) * 128
    extent = np.ptp(uvs, axis=0)
    assert extent[0] > 120 and extent[1] == pytest.approx(extent[0] / 8, rel=0.02)


def test_more_charts_than_fit_are_none() -> None:
    flat = np.random.default_rng(0).uniform(size=(3000, 2))
    assert pack(flat, np.arange(3000) // 3, 64, 4) is None


@pytest.mark.parametrize("piece", [2000, 50])
def test_charts_have_the_areas_of_their_faces(piece, monkeypatch) -> None:
    monkeypatch.setattr(module, "PIECE_FACES", piece)
    ring = trimesh.creation.torus(0.4, 0.1, 24, 12)
    surface = Surface(np.asarray(ring.vertices), np.asarray(ring.faces, np.int64))
    made = cut(surface)
    np.testing.assert_array_equal(made.vertices[made.faces], surface.faces)
    plane = made.flat[made.faces]
    first, second = plane[:, 1] - plane[:, 0], plane[:, 2] - plane[:, 0]
    drawn = np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]) / 2
    for chart in range(made.count):
        of = made.chart[made.faces[:, 0]] == chart
        assert drawn[of].sum() == pytest.approx(face_areas(surface)[of].sum(), rel=1e-6)
    stretch = drawn / face_areas(surface)
    assert stretch.min() > 0.4 and stretch.max() < 2.5


def wild() -> dict[str, Surface]:
    ball = trimesh.creation.icosphere(2)
    points, faces = np.asarray(ball.vertices), np.asarray(ball.faces, np.int64)
    fan = np.concatenate([points, [[0, 0, 3.0], [0, 3, 0], [3, 0, 0]]])
    flaws = np.array([[0, 0, 1], [5, 5, 5], [0, 1, 162], [0, 1, 163], [0, 1, 164], [0, 1, 2]])
    return {
        "non-manifold": Surface(fan, np.concatenate([faces, flaws])),
        "soup": soup(300),
        "far and tiny": Surface(points * 1e-5 + 1e3, faces),
        "all in one point but one": Surface(
            np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0.0]]),
            np.concatenate([[[0, 1, 2]], np.zeros((50, 3), np.int64)]),
        ),
        "needle": Surface(np.array([[0, 0, 0], [1, 0, 0], [0.5, 1e-9, 0], [0, 1, 0.0]]),
                          np.array([[0, 1, 2], [0, 1, 3]])),
    }  # fmt: skip


@pytest.mark.parametrize("name", wild())
def test_whatever_comes_in_is_unwrapped(name) -> None:
    surface = wild()[name]
    mesh = Mesh(surface.positions.astype(np.float32), surface.faces)
    made = quick_atlas(mesh, 512, 2)
    np.testing.assert_array_equal(made.vertices[made.mesh.faces], surface.faces)
    assert made.mesh.uvs.min() >= 0 and made.mesh.uvs.max() <= 1
    found = texels(made)
    corners = made.mesh.uvs[made.mesh.faces].astype(float) * 512
    sides = corners[:, 1:] - corners[:, :1]
    areas = 0.5 * np.abs(sides[:, 0, 0] * sides[:, 1, 1] - sides[:, 0, 1] * sides[:, 1, 0])
    assert found.inside.sum() > 0.93 * areas.sum(), "overlapping faces would cover fewer texels"


def test_twice_the_same() -> None:
    surface = soup(200, 5)
    mesh = Mesh(surface.positions.astype(np.float32), surface.faces)
    first, again = (quick_atlas(mesh, 256, 2) for _ in range(2))
    np.testing.assert_array_equal(first.mesh.uvs, again.mesh.uvs)


def test_faces_of_different_kinds_share_no_chart() -> None:
    """A flat sheet in three colors would be one chart."""
    shape = trimesh.creation.icosphere(3)
    flat = Surface(np.asarray(shape.vertices) * [1, 1, 0.05], np.asarray(shape.faces, np.int64))
    kinds = np.random.default_rng(4).integers(0, 3, len(flat.faces)) * 7
    made = cut(flat, kinds)
    np.testing.assert_array_equal(made.vertices[made.faces], flat.faces)
    of_face = made.chart[made.faces]
    assert (of_face == of_face[:, :1]).all()
    for chart in range(made.count):
        assert len(np.unique(kinds[of_face[:, 0] == chart])) == 1
    alike = cut(flat, np.full(len(flat.faces), 5))
    np.testing.assert_array_equal(alike.flat, cut(flat).flat)
    assert alike.count < made.count
