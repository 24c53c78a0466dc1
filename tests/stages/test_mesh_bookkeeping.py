"""Parts, closedness, order, smoothing and decimation of plain triangle arrays."""

import numpy as np
import pytest
import trimesh
from splatworks.stages.geometry.components import (
    Surface,
    canonical,
    components,
    face_volumes,
    is_watertight,
    keep_large,
    report,
    taubin,
    vertex_normals,
    weld,
)
from splatworks.stages.geometry.decimation import decimate


def box(side: float = 1.0, center=(0.0, 0.0, 0.0)) -> Surface:
    mesh = trimesh.creation.box([side] * 3)
    return Surface(mesh.vertices + np.asarray(center), np.asarray(mesh.faces, np.int64))


def ball(subdivisions: int = 4, radius: float = 1.0) -> Surface:
    mesh = trimesh.creation.icosphere(subdivisions, radius)
    return Surface(np.asarray(mesh.vertices), np.asarray(mesh.faces, np.int64))


def together(*parts: Surface) -> Surface:
    starts = np.cumsum([0, *(len(part.positions) for part in parts)])
    return Surface(
        np.concatenate([part.positions for part in parts]),
        np.concatenate([p.faces + start for p, start in zip(parts, starts, strict=False)]),
    )


def turned(surface: Surface) -> Surface:
    return Surface(surface.positions, surface.faces[:, ::-1])


def test_canonical_order_forgets_the_order_of_vertices_and_faces() -> None:
    rng = np.random.default_rng(0)
    first = ball(2)
    new = rng.permutation(len(first.positions))
    faces = np.argsort(new)[first.faces][rng.permutation(len(first.faces))]
    starts = rng.integers(3, size=(len(faces), 1))
    faces = np.take_along_axis(faces, (starts + np.arange(3)) % 3, axis=1)
    a, b = canonical(first), canonical(Surface(first.positions[new], faces))
    assert np.array_equal(a.positions, b.positions) and np.array_equal(a.faces, b.faces)
    assert face_volumes(a).sum() == pytest.approx(face_volumes(first).sum(), rel=1e-12)
    assert (a.faces[:, 0] < a.faces[:, 1:].min(axis=1)).all()


def test_weld_joins_seams_and_drops_what_collapses() -> None:
    soup = box()
    split = Surface(soup.positions[soup.faces].reshape(-1, 3), np.arange(36).reshape(-1, 3))
    assert report(split).components == 12
    needle = Surface(split.positions, np.concatenate([split.faces, [[0, 0, 1]]]))
    joined = weld(needle)
    assert len(joined.positions) == 8 and len(joined.faces) == 12
    assert report(joined).watertight and report(joined).components == 1


def test_report_of_a_box() -> None:
    found = report(box(0.5))
    assert (found.faces, found.vertices, found.components) == (12, 8, 1)
    assert found.watertight and found.volume_m3 == pytest.approx(0.125)
    assert report(turned(box(0.5))).volume_m3 == pytest.approx(-0.125)


def test_closedness_wants_every_edge_twice_in_opposite_directions() -> None:
    faces = box().faces
    assert is_watertight(faces)
    assert not is_watertight(faces[1:])  # a hole
    assert not is_watertight(np.concatenate([faces[1:], faces[:1, ::-1]]))  # one face turned
    assert not is_watertight(np.concatenate([faces, faces[:1]]))  # one twice
    assert not is_watertight(faces[:0])


def test_floaters_and_cavities_go_and_legs_stay() -> None:
    table, leg, speck = box(1.0), box(0.4, (3, 0, 0)), box(0.1, (0, 3, 0))
    cavity = turned(box(0.9))
    kept, removed = keep_large(together(table, speck, cavity, leg), min_share=0.05)
    assert removed == 2
    assert report(kept).components == 2
    assert report(kept).volume_m3 == pytest.approx(1 + 0.064)
    assert len(kept.positions) == 16
    labels = components(together(table, leg))
    assert len(set(labels[:12])) == 1 and len(set(labels[12:])) == 1 and labels[0] != labels[12]


def test_normals_do_not_depend_on_how_a_square_is_cut() -> None:
    """Weighted by angle, a cube's corners point along its diagonals."""
    cube = box()
    wanted = cube.positions / np.linalg.norm(cube.positions, axis=1, keepdims=True)
    np.testing.assert_allclose(vertex_normals(cube), wanted, atol=1e-12)


def test_taubin_smooths_noise_and_keeps_the_volume() -> None:
    clean = ball(4)
    noise = np.random.default_rng(1).normal(size=clean.positions.shape) * 0.01
    rough = Surface(clean.positions + noise, clean.faces)
    smooth = taubin(rough, iterations=10)

    def roughness(surface: Surface) -> float:
        return float(np.linalg.norm(surface.positions, axis=1).std())

    assert roughness(smooth) < 0.4 * roughness(rough)
    volume = face_volumes(clean).sum()
    assert face_volumes(smooth).sum() == pytest.approx(volume, rel=0.01)
    again = taubin(clean, iterations=0)
    assert np.array_equal(again.positions, clean.positions)


@pytest.mark.parametrize("target", [2000, 500, 100])
def test_decimation_meets_its_target_and_stays_closed(target: int) -> None:
    fine = ball(4)
    coarse = decimate(fine, target_faces=target)
    assert 0.95 * target <= len(coarse.faces) <= target
    assert report(coarse).watertight and report(coarse).volume_m3 > 0
    # The sagitta of a triangle that is one of n equal ones on the unit sphere, about 2.4 / n.
    distance = np.abs(np.linalg.norm(coarse.positions, axis=1) - 1)
    assert distance.max() < 8 / target
    again = decimate(fine, target_faces=target)
    assert np.array_equal(again.positions, coarse.positions)
    assert np.array_equal(again.faces, coarse.faces)


def test_decimation_leaves_small_meshes_alone() -> None:
    assert decimate(box(), target_faces=12).faces.shape == (12, 3)
    with pytest.raises(ValueError, match="target_faces"):
        decimate(box(), target_faces=3)
