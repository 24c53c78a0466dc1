"""What is seen, locked and in focus when a mesh is simplified."""

from pathlib import Path

import numpy as np
import pytest
import trimesh
from splatworks.pipeline.errors import InputError
from splatworks.stages.artifacts import RegionFile, TexturedMeshFile
from splatworks.stages.formats import regions
from splatworks.stages.formats.model import Material, Model, Texture
from splatworks.stages.geometry.appearance import Appearance
from splatworks.stages.geometry.components import Surface
from splatworks.stages.simplify import Inputs, Shape
from splatworks.stages.simplify.opacity import opacity, seen_through, translucent
from splatworks.stages.simplify.selection import selected
from splatworks.stages.simplify.visibility import HIDDEN, at_vertices, openness
from splatworks.stages.simplify.weights import between_materials, weigh

NOTHING = Inputs(TexturedMeshFile(Path("none.glb")))


def ball(radius: float = 1.0, center=(0, 0, 0), subdivisions: int = 2) -> Surface:
    mesh = trimesh.creation.icosphere(subdivisions, radius)
    return Surface(np.asarray(mesh.vertices) + center, np.asarray(mesh.faces))


def both(one: Surface, two: Surface) -> Surface:
    return Surface(
        np.concatenate([one.positions, two.positions]),
        np.concatenate([one.faces, two.faces + len(one.positions)]),
    )


def test_a_ball_is_open_and_one_inside_it_is_not() -> None:
    outer, inner = ball(), ball(0.5)
    assert openness(outer).min() > 0.95
    found = openness(both(outer, inner))
    assert found[: len(outer.faces)].min() > 0.95
    assert found[len(outer.faces) :].max() == 0
    mesh = both(outer, inner)
    model = Model(mesh.positions, mesh.faces, np.zeros(len(mesh.faces), np.int64))
    weights = weigh(Appearance(model), NOTHING, Shape())
    assert weights.of_faces is not None and weights.of_faces.min() == HIDDEN
    assert weights.shown is None


def test_the_inside_of_an_open_box_is_half_seen() -> None:
    """The bottom of a cube without a lid sees its opening under a known form factor, 0.2."""
    cube = trimesh.creation.box()
    for _ in range(4):
        cube = cube.subdivide()
    faces = np.asarray(cube.faces)
    normal = np.asarray(cube.face_normals)
    bottom = normal[:, 2] < -0.5
    lid = normal[:, 2] > 0.5
    inside = faces[~lid]
    # A second, lower floor shuts the bottom from below, so that only the opening counts.
    under = np.asarray(cube.vertices) * [1, 1, 1e-3] - [0, 0, 0.505]
    shut = Surface(
        np.concatenate([cube.vertices, under]),
        np.concatenate([inside, faces + len(cube.vertices)]),
    )
    seen = openness(shut)[: len(inside)][bottom[~lid]]
    assert seen.mean() == pytest.approx(2 * 0.5 * 0.1998, rel=0.1)


def test_openness_knows_neither_scale_nor_place() -> None:
    mesh = both(ball(), ball(0.7, (1.5, 0, 0)))
    far = Surface(mesh.positions * 100 + [5000, 0, -300], mesh.faces)
    assert openness(far) == pytest.approx(openness(mesh), abs=0.04)


def test_vertices_take_the_mean_of_their_faces() -> None:
    square = Surface(
        np.array([[0.0, 0, 0], [2, 0, 0], [2, 1, 0], [0, 1, 0], [9, 9, 9]]),
        np.array([[0, 1, 2], [0, 2, 3]]),
    )
    found = at_vertices(square, np.array([1.0, 0.5]))
    assert found == pytest.approx([0.75, 1, 0.75, 0.5, 1])


def test_shapes_select_vertices(tmp_path) -> None:
    places = np.array([[0.0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]])
    shapes = {
        regions.All(): [1, 1, 1, 1],
        regions.Sphere(center=(0, 0, 0), radius=1.5): [1, 1, 0, 0],
        regions.Box(center=(0.5, 0, 0), size=(1.2, 0.5, 0.5)): [1, 1, 0, 0],
        regions.Box(center=(0, 1, 0), size=(3, 0.5, 0.5), rotation=(0.5**0.5, 0, 0, 0.5**0.5)): [
            1, 0, 1, 0,
        ],
        regions.Plane(point=(0, 0, 1), normal=(0, 0, 1)): [0, 0, 0, 1],
        regions.Range(property="y", low=1, high=5): [0, 0, 1, 0],
    }  # fmt: skip
    for shape, expected in shapes.items():
        path = regions.save([regions.Term(shape=shape)], tmp_path / "r.json")
        assert selected(path, places).tolist() == [bool(k) for k in expected], shape
    terms = [
        regions.Term(shape=regions.All()),
        regions.Term(shape=regions.Sphere(center=(0, 0, 0), radius=0.5), how="remove"),
    ]
    path = regions.save(terms, tmp_path / "r.json")
    assert selected(path, places).tolist() == [False, True, True, True]


@pytest.mark.parametrize(
    ("shape", "said"),
    [(regions.Color(color=(1, 0, 0), distance=0.1), "color selects splats only"),
     (regions.Range(property="opacity", low=0.5), "range selects splats only"),
     (regions.Sphere(center=(9, 9, 9), radius=0.1), "selects no vertex")],
)  # fmt: skip
def test_what_cannot_be_selected_is_said(tmp_path, shape, said) -> None:
    path = regions.save([regions.Term(shape=shape)], tmp_path / "r.json")
    with pytest.raises(InputError, match=said):
        selected(path, np.zeros((1, 3)))


def test_borders_of_materials_are_found_through_seams() -> None:
    """Two triangles that meet at an edge by place only."""
    positions = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]])
    model = Model(positions, np.arange(6).reshape(2, 3), np.array([0, 1]), (Material(), Material()))
    assert between_materials(model).tolist() == [False, True, True, True, True, False]


def test_weights_multiply(tmp_path) -> None:
    mesh = ball()
    importance = np.full((len(mesh.positions), 1), 2, np.float32)
    model = Model(
        mesh.positions, mesh.faces, np.zeros(len(mesh.faces), np.int64), importance=importance
    )
    shape = regions.Plane(point=(0, 0, 0.5), normal=(0, 0, 1))
    region = RegionFile(regions.save([regions.Term(shape=shape)], tmp_path / "r.json"))
    given = TexturedMeshFile(tmp_path / "none.glb")
    source = Appearance(model)
    found = weigh(source, Inputs(given, focus=region), Shape(visibility=False, focus_weight=5.0))
    upper = mesh.positions[:, 2] >= 0.5
    assert found.locked is None
    assert found.of_vertices == pytest.approx(np.where(upper, 10, 2))
    assert found.of_faces is not None and set(np.unique(found.of_faces)) >= {2.0, 10.0}
    found = weigh(source, Inputs(given, lock=region), Shape())
    assert found.locked is not None and found.locked.tolist() == upper.tolist()
    plain = Model(mesh.positions, mesh.faces, np.zeros(len(mesh.faces), np.int64))
    found = weigh(Appearance(plain), Inputs(given), Shape(visibility=False))
    assert found.of_vertices is None and found.of_faces is None and found.locked is None


def striped_box(mode: str, alpha: int = 255) -> Model:
    """A box around a ball. The box shows a picture whose left quarter has `alpha`, the rest 0."""
    cube, inner = trimesh.creation.box((4, 4, 4)), ball()
    corners = np.asarray(cube.vertices)[np.asarray(cube.faces)].reshape(-1, 3)
    uvs = np.tile(np.array([[0, 0], [1, 0], [0, 1]], np.float32), (len(cube.faces), 1))
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[:, :16, 3] = alpha
    faces = np.arange(len(corners)).reshape(-1, 3)
    return Model(
        positions=np.concatenate([corners, inner.positions]),
        faces=np.concatenate([faces, inner.faces + len(corners)]),
        face_materials=np.repeat([0, 1], [len(faces), len(inner.faces)]),
        materials=(
            Material(base_color=Texture(pixels), alpha_mode=mode, double_sided=True),  # type: ignore[arg-type]
            Material(),
        ),
        uvs=(np.concatenate([uvs, np.zeros((len(inner.positions), 2), np.float32)]),),
    )


def test_opacity_is_the_share_of_the_face_that_is_painted() -> None:
    """Of the triangle below the diagonal, the strip u < 1/4 is 1 - (3/4)² of the area."""
    box = 12
    painted = 1 - 0.75**2
    for mode, alpha, expected in (
        ("MASK", 255, painted), ("BLEND", 255, painted), ("BLEND", 128, painted * 128 / 255),
        ("MASK", 100, 0.0), ("OPAQUE", 255, 1.0),
    ):  # fmt: skip
        source = Appearance(striped_box(mode, alpha))
        found = opacity(source)
        assert found[:box] == pytest.approx(expected, abs=0.04)
        assert (found[box:] == 1).all()
        assert translucent(source) == (mode != "OPAQUE")


def test_points_are_seen_through_where_the_picture_is_clear() -> None:
    source = Appearance(striped_box("MASK"))
    u = np.array([0.1, 0.2, 0.3, 0.6])
    corners = np.column_stack([0.9 - u, u, np.full(4, 0.1)])
    on_box = seen_through(source, np.zeros(4, np.int64), corners)
    assert on_box.tolist() == [False, False, True, True]
    assert not seen_through(source, np.full(4, 20), corners).any()


def test_what_lies_behind_a_cut_out_is_seen() -> None:
    box = 12
    behind = weigh(Appearance(striped_box("OPAQUE")), NOTHING, Shape())
    assert behind.of_faces is not None and behind.shown is None
    assert behind.of_faces[box:] == pytest.approx(HIDDEN)
    through = weigh(Appearance(striped_box("MASK")), NOTHING, Shape())
    assert through.of_faces is not None and through.shown is not None
    assert 0.4 < through.of_faces[box:].mean() < 0.7  # 9/16 of the directions, two panes at most.
    assert (through.of_faces[:box] < 0.5).all()
    assert through.shown[:36] == pytest.approx(1 - 0.75**2, abs=0.04)
    assert (through.shown[36:] == 1).all()
    unlooked = weigh(Appearance(striped_box("MASK")), NOTHING, Shape(visibility=False))
    assert unlooked.of_faces is not None
    assert unlooked.of_faces[:box] == pytest.approx(1 - 0.75**2, abs=0.04)
    assert (unlooked.of_faces[box:] == 1).all()
