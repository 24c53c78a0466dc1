"""The way back: from a point on a level to a place on the input."""

import numpy as np
import pytest
from splatworks.stages.geometry.components import Surface
from splatworks.stages.geometry.decimation import Rules, correspond, simplify
from splatworks.stages.geometry.open3d_module import open3d

from .shapes import bumpy, grid, moved, plate, surface, together


def scattered(level, count: int, seed: int = 0):
    """Faces, points on them, and the normals there."""
    rng = np.random.default_rng(seed)
    corners = level.positions[level.faces]
    crosses = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas = np.linalg.norm(crosses, axis=1)
    faces = rng.choice(len(areas), count, p=areas / areas.sum())
    weights = rng.dirichlet([1, 1, 1], count)
    points = np.einsum("pk,pkc->pc", weights, corners[faces])
    return faces, points, crosses[faces]


def places(mesh: Surface, faces: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.einsum("pk,pkc->pc", weights, mesh.positions[mesh.faces[faces]])


def test_points_come_back_to_the_nearest_place() -> None:
    """On a simple surface successive mapping finds what a search over everything finds."""
    ball = bumpy(4)
    made = simplify(ball, targets=[2000, 400])
    for number, level in enumerate(made.levels):
        faces, points, _ = scattered(level, 4000)
        found, weights = correspond(made, number, faces, points)
        assert (weights >= -1e-9).all() and np.allclose(weights.sum(1), 1)
        gone = np.linalg.norm(places(ball, found, weights) - points, axis=1)
        scene = open3d().t.geometry.RaycastingScene(nthreads=1)
        tensor = open3d().core.Tensor
        scene.add_triangles(
            tensor(ball.positions.astype(np.float32)), tensor(ball.faces.astype(np.uint32))
        )
        least = scene.compute_distance(tensor(points.astype(np.float32))).numpy()
        assert (gone >= least - 1e-5).all()
        assert np.mean(gone < least + 1e-4) > 0.97 and gone.max() < 0.1


def test_nothing_removed_is_the_identity() -> None:
    """Also through welding, doubles and degenerate faces: numbers are those of the input."""
    ball = bumpy(2)
    junk = surface([[0, 0, 0], [1, 0, 0], [2, 0, 0]], [[0, 1, 2]])
    mesh = together(junk, ball, ball)
    made = simplify(mesh, targets=[10**9])
    level = made.levels[0]
    assert sorted(level.face_ids) == list(range(1, 321))
    faces, points, _ = scattered(level, 500)
    found, weights = correspond(made, 0, faces, points)
    np.testing.assert_array_equal(found, level.face_ids[faces])
    np.testing.assert_allclose(places(mesh, found, weights), points, atol=1e-9)


def bleeding(ratio: float, way: str) -> float:
    """Share of points of a thin plate's two sheets that land on the other one."""
    cells, thickness = 46, 0.005
    mesh = plate(cells, thickness)
    made = simplify(mesh, targets=[round(ratio * len(mesh.faces))])
    level = made.levels[0]
    faces, points, normals = scattered(level, 6000)
    up = normals[:, 2] / np.linalg.norm(normals, axis=1)
    flat = np.abs(up) > 0.5
    faces, points, normals, up = faces[flat], points[flat], normals[flat], up[flat]
    if way == "global":
        scene = open3d().t.geometry.RaycastingScene(nthreads=1)
        tensor = open3d().core.Tensor
        scene.add_triangles(
            tensor(mesh.positions.astype(np.float32)), tensor(mesh.faces.astype(np.uint32))
        )
        near = scene.compute_closest_points(tensor(points.astype(np.float32)))
        found = near["primitive_ids"].numpy().astype(np.int64)
    else:
        found, _ = correspond(made, 0, faces, points, filtered=way == "filtered")
    sheet = 2 * cells * cells
    side = np.where(found < sheet, 1, np.where(found < 2 * sheet, -1, 0))
    return float(np.mean(side * np.sign(up) < 0))


@pytest.mark.parametrize("ratio", [0.2, 0.05, 0.02])
def test_thin_plates_keep_their_sides_apart(ratio: float) -> None:
    plain, filtered, near = (bleeding(ratio, way) for way in ("plain", "filtered", "global"))
    assert filtered <= 1e-3
    assert plain <= max(0.5 * near, 1e-3) or plain < 0.01
    if ratio == 0.02:
        assert near > 0.02, "the plate is not thin enough to test anything"


def test_parts_do_not_borrow_from_each_other() -> None:
    """Two flat sheets, one just above the other: every point stays with its own."""
    one = grid(20)
    mesh = together(one, moved(one, [0, 0, 1e-3]))
    made = simplify(mesh, targets=[40])
    level = made.levels[0]
    faces, points, _ = scattered(level, 3000)
    found, _ = correspond(made, 0, faces, points, filtered=False)
    np.testing.assert_array_equal(found >= len(one.faces), points[:, 2] > 5e-4)


def test_threads_and_blocks_do_not_matter() -> None:
    ball = bumpy(4)
    made = simplify(ball, targets=[300], rules=Rules(virtual_edges="global"))
    faces, points, _ = scattered(made.levels[0], 50_000)
    one = correspond(made, 0, faces, points, threads=1)
    two = correspond(made, 0, faces, points, threads=2)
    some = correspond(made, 0, faces[-500:], points[-500:])
    assert one[0].tobytes() == two[0].tobytes() and one[1].tobytes() == two[1].tobytes()
    assert one[0][-500:].tobytes() == some[0].tobytes()


def test_the_history_stays_small() -> None:
    ball = bumpy(5)
    made = simplify(ball, targets=[200])
    records = made.levels[0].history_end
    assert made.history.bytes_used / records < 350
    assert len(made.history.starts) == records + 1
    assert (np.diff(made.history.starts) <= 64).all()
