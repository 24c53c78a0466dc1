"""Unwrapping, against the definition: every texel, by hand, one at a time."""

import numpy as np
import pytest
import trimesh
from scipy import ndimage
from splatworks.pipeline.errors import InputError
from splatworks.stages.formats.gltf import Mesh
from splatworks.stages.geometry import atlas as module
from splatworks.stages.geometry.atlas import Atlas, Texels, atlas, texels


def as_mesh(shape: trimesh.Trimesh) -> Mesh:
    return Mesh(shape.vertices.astype(np.float32), shape.faces.astype(np.int64))


SHAPES = {
    "ball": trimesh.creation.icosphere(2, radius=0.5),
    "box": trimesh.creation.box((0.4, 0.6, 0.8)),
    "ring": trimesh.creation.torus(0.4, 0.1, 24, 12),
}


@pytest.fixture(params=SHAPES, scope="module")
def unwrapped(request: pytest.FixtureRequest) -> tuple[Mesh, Atlas, Texels]:
    mesh = as_mesh(SHAPES[request.param])
    made = atlas(mesh, 256, 4)
    return mesh, made, texels(made)


def test_the_surface_is_the_same(unwrapped: tuple[Mesh, Atlas, Texels]) -> None:
    mesh, made, _ = unwrapped
    split = made.mesh
    np.testing.assert_array_equal(split.positions[split.faces], mesh.positions[mesh.faces])
    np.testing.assert_array_equal(made.vertices[split.faces], mesh.faces)
    assert split.uvs.min() >= 0 and split.uvs.max() <= 1


def test_it_is_the_same_twice(unwrapped: tuple[Mesh, Atlas, Texels]) -> None:
    mesh, made, _ = unwrapped
    again = atlas(mesh, 256, 4)
    np.testing.assert_array_equal(again.mesh.uvs, made.mesh.uvs)
    np.testing.assert_array_equal(again.mesh.faces, made.mesh.faces)


def test_charts_do_not_overlap_and_keep_their_gutter(
    unwrapped: tuple[Mesh, Atlas, Texels],
) -> None:
    _, made, found = unwrapped
    corners = made.mesh.uvs[made.mesh.faces].astype(float) * 256
    sides = corners[:, 1:] - corners[:, :1]
    areas = 0.5 * np.abs(sides[:, 0, 0] * sides[:, 1, 1] - sides[:, 0, 1] * sides[:, 1, 0])
    # Overlapping faces would cover fewer texels than their areas add up to.
    assert found.inside.sum() > 0.98 * areas.sum()
    inside = np.zeros((256, 256), bool)
    inside[found.rows[found.inside], found.columns[found.inside]] = True
    charts, count = ndimage.label(np.tile(inside, (2, 2)), np.ones((3, 3)))
    for chart in range(1, count + 1):
        distance = ndimage.distance_transform_edt(charts != chart)
        others = (charts > 0) & (charts != chart)
        assert distance[others].min() > 4, "also across the border, where the picture repeats"


def test_texels_lie_where_the_coordinates_say(unwrapped: tuple[Mesh, Atlas, Texels]) -> None:
    """Interpolating the uvs at a texel's barycentrics gives the texel's own centre."""
    _, made, found = unwrapped
    corners = made.mesh.uvs[made.mesh.faces[found.faces]].astype(float) * 256
    places = np.einsum("tc,tcx->tx", found.barycentrics, corners)
    centers = np.stack([found.columns, found.rows], axis=1) + 0.5
    distance = np.linalg.norm(places - centers, axis=1)
    assert distance[found.inside].max() < 1e-3
    assert 0 < distance[~found.inside].max() < module.REACH_PX
    assert found.barycentrics.min() >= 0
    np.testing.assert_allclose(found.barycentrics.sum(axis=1), 1, atol=1e-6)
    triangles = made.mesh.positions[made.mesh.faces[found.faces]]
    points = np.einsum("tc,tcx->tx", found.barycentrics, triangles)
    np.testing.assert_allclose(found.positions, points, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found.normals, axis=1), 1, atol=1e-5)


def distance_by_hand(point: np.ndarray, corners: np.ndarray) -> float:
    """To a triangle, by walking densely along its edges."""
    a, b, c = corners
    turns = [np.cross(q - p, point - p) for p, q in ((a, b), (b, c), (c, a))]
    if min(turns) >= 0 or max(turns) <= 0:
        return 0.0
    steps = np.linspace(0, 1, 2001)[:, None]
    walks = [p + steps * (q - p) - point for p, q in ((a, b), (b, c), (c, a))]
    return min(float(np.linalg.norm(walk, axis=1).min()) for walk in walks)


@pytest.mark.filterwarnings("ignore:Arrays of 2-dimensional vectors")
def test_the_rasterizer_matches_the_definition() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(1, 11, (6, 3, 2))
    corners[4, 2] = corners[4, 1]  # A face without area still has its edge.
    faces, squares, count = module._rasterize(corners, 12, 1.5)
    rows, columns, _, listed, inside = module._listed(corners, faces, squares, count)
    weights = np.zeros((12, 12, 3))
    weights[rows, columns] = listed
    np.testing.assert_array_equal(faces[rows, columns] >= 0, True)
    assert count == (faces >= 0).sum() and (inside == (squares[rows, columns] == 0)).all()
    for row in range(12):
        for column in range(12):
            point = np.array([column + 0.5, row + 0.5])
            by_hand = [distance_by_hand(point, triangle) for triangle in corners]
            nearest = min(by_hand)
            if nearest > 1.5 + 1e-3:
                assert faces[row, column] == -1
            elif nearest < 1.5 - 1e-3:
                assert by_hand[faces[row, column]] == pytest.approx(nearest, abs=1e-2)
                assert np.sqrt(squares[row, column]) == pytest.approx(nearest, abs=1e-2)
                if nearest == 0:
                    assert faces[row, column] == by_hand.index(0.0), "the first face has it"
                    place = weights[row, column] @ corners[faces[row, column]]
                    np.testing.assert_allclose(place, point, atol=1e-9)


def test_normals_are_smooth_across_split_vertices() -> None:
    shape = SHAPES["ball"]
    split = Mesh(
        shape.vertices[shape.faces].reshape(-1, 3).astype(np.float32),
        np.arange(3 * len(shape.faces)).reshape(-1, 3),
    )
    normals = module.smooth_normals(split)
    np.testing.assert_allclose(normals, split.positions / 0.5, atol=0.02)


def test_a_soup_of_triangles_is_refused() -> None:
    rng = np.random.default_rng(0)
    corners = rng.normal(size=(3000, 3)).astype(np.float32)
    soup = Mesh(corners, np.arange(3000).reshape(-1, 3))
    with pytest.raises(InputError, match=r"falls into \d+ charts, too many for a texture of 64"):
        atlas(soup, 64, 4)
    with pytest.raises(ValueError, match="no atlas of 64 px with a gutter of 9"):
        atlas(soup, 64, 9)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_size_and_flaws_of_the_mesh_do_not_matter(scale: float) -> None:
    """Degenerate, doubled and non-manifold faces, unused vertices, millimetres and kilometres."""
    shape = SHAPES["ball"]
    flaws = [[0, 0, 1], [5, 5, 5], [0, 1, 50], [0, 1, 60], shape.faces[7], [162, 163, 164]]
    points = np.concatenate([shape.vertices, [[0, 0, 0], [1, 0, 0], [2, 0, 0], [9, 9, 9]]])
    mesh = Mesh((points * scale).astype(np.float32), np.concatenate([shape.faces, flaws]))
    made = atlas(mesh, 128, 4)
    np.testing.assert_array_equal(made.vertices[made.mesh.faces], mesh.faces)
    assert np.isfinite(made.mesh.uvs).all()
    assert set(range(320)) <= set(texels(made).faces.tolist()), "every sound face has texels"


def test_a_large_mesh_is_cut_in_pieces() -> None:
    """A ball of 82 000 faces, with which xatlas has crashed."""
    shape = trimesh.creation.icosphere(6)
    made = atlas(as_mesh(shape), 1024, 2)
    assert len(shape.faces) > module.MOST_FACES
    np.testing.assert_array_equal(made.vertices[made.mesh.faces], shape.faces)
