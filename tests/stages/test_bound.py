"""Gaussians on triangles: frames, layout, files, and how they follow a moved mesh."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import polar
from scipy.spatial.transform import Rotation
from splatworks.pipeline.errors import InputError
from splatworks.renderers.choose import named
from splatworks.renderers.projection import covariances, rotation_matrices
from splatworks.stages.bound import attached, consistency, deform, frames, layout
from splatworks.stages.formats import bindings, tensors
from splatworks.stages.formats.bindings import Binding
from splatworks.stages.formats.splats import RawSplats, Sidecar
from splatworks.stages.geometry.activation import activate
from splatworks.stages.scene.affine import about, carried
from splatworks.stages.scene.harmonics import turned, turned_each

from .scene_setup import camera_after, view

F64 = torch.float64


def binding(per_face: int = 6, seed: int = 0, degree: int = 3, subdivisions: int = 1) -> Binding:
    """A ball that carries Gaussians of random sizes, turns and colors."""
    rng = torch.Generator().manual_seed(seed)
    ball = trimesh.creation.icosphere(subdivisions, radius=0.4)
    faces = torch.from_numpy(np.array(ball.faces)).int()
    count = len(faces) * per_face
    return Binding(
        vertices=torch.from_numpy(np.array(ball.vertices)).float(),
        faces=faces,
        owner=torch.arange(len(faces), dtype=torch.int32).repeat_interleave(per_face),
        barycentrics=layout.barycentrics(per_face).repeat(len(faces), 1),
        log_scales=torch.randn(count, 2, generator=rng) * 0.4 - 3.2,
        turns=torch.randn(count, 2, generator=rng),
        logit_opacities=torch.randn(count, generator=rng) + 1,
        sh=torch.randn(count, (degree + 1) ** 2, 3, generator=rng) * 0.3,
        thickness=4e-7,
    )


def rest(b: Binding) -> RawSplats:
    corners = attached.rest_corners(b)
    return attached.splats_of(b, corners, frames.frames(corners))


def moved(b: Binding, matrix: np.ndarray) -> RawSplats:
    corners = attached.rest_corners(b).numpy()
    return deform.posed(b, torch.from_numpy(corners @ matrix[:3, :3].T + matrix[:3, 3]))


def spread(splats: RawSplats) -> np.ndarray:
    scales = torch.from_numpy(splats.log_scales).double().exp()
    return covariances(torch.from_numpy(splats.quaternions).double(), scales).numpy()


def picture(splats: RawSplats, camera) -> np.ndarray:
    frames = named("cpu")(activate(splats), camera)
    return (frames.rgb + 1 - frames.alpha).numpy()


def psnr_db(a: np.ndarray, b: np.ndarray) -> float:
    return -10 * math.log10(max(float(np.square(a - b).mean()), 1e-30))


# --- frames and layout ---


def test_places_lie_inside_and_are_those_of_the_paper() -> None:
    for count in (1, 3, 4, 6):
        weights = layout.barycentrics(count)
        assert weights.shape == (count, 3) and bool((weights > 0).all())
        assert torch.allclose(weights.sum(dim=1), torch.ones(count, dtype=F64))
        assert torch.allclose(weights.mean(dim=0), torch.full((3,), 1 / 3, dtype=F64)), "centered"
    assert sorted(layout.barycentrics(6)[:, 0].tolist()) == pytest.approx(
        [1 / 6, 1 / 6, 1 / 6, 5 / 12, 5 / 12, 2 / 3]
    )


@pytest.mark.parametrize("count, share", [(1, 0.289), (3, 0.183), (4, 0.144), (6, 0.134)])
def test_first_sizes_follow_the_shortest_edge(count: int, share: float) -> None:
    corners = torch.tensor([[[0, 0, 0], [3.0, 0, 0], [0, 2.0, 0]]], dtype=F64)
    assert float(layout.first_deviations(corners, count)) == pytest.approx(2 * share, abs=1e-3)


def test_frames_are_right_handed_with_the_normal_third() -> None:
    corners = torch.randn(50, 3, 3, generator=torch.Generator().manual_seed(0), dtype=F64)
    found = frames.frames(corners)
    assert torch.allclose(found.mT @ found, torch.eye(3, dtype=F64).expand(50, 3, 3))
    assert torch.allclose(torch.linalg.det(found), torch.ones(50, dtype=F64))
    for face, axes in zip(corners, found, strict=True):
        normal = np.cross(face[1] - face[0], face[2] - face[0])
        assert np.allclose(axes[:, 2], normal / np.linalg.norm(normal))


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**31))
def test_quaternions_against_scipy(seed: int) -> None:
    turns = Rotation.random(20, rng=np.random.default_rng(seed))
    half = Rotation.from_rotvec(math.pi * np.eye(3))  # Half turns: w is 0.
    for every in (turns, half):
        found = frames.quaternions(torch.from_numpy(every.as_matrix()))
        back = Rotation.from_quat(found.numpy(), scalar_first=True)
        assert np.abs((back * every.inv()).magnitude()).max() < 1e-7
        assert np.allclose(found.norm(dim=1), 1)


def test_a_turn_in_the_plane_is_twice_the_angle_of_its_number() -> None:
    corners = torch.tensor([[[0, 0, 0], [1.0, 0, 0], [0, 1.0, 0]]], dtype=F64)
    angle = 0.35
    turns = 2.5 * torch.tensor([[math.cos(angle), math.sin(angle)]], dtype=F64)
    q = frames.orientations(frames.frames(corners), torch.tensor([0]), turns)
    axes = rotation_matrices(q)[0]
    wanted = [math.cos(2 * angle), math.sin(2 * angle), 0]
    assert torch.allclose(axes[:, 0], torch.tensor(wanted, dtype=F64))
    assert torch.allclose(axes[:, 2], torch.tensor([0.0, 0, 1], dtype=F64))


@pytest.mark.parametrize("per_face", [1, 3, 4, 6])
def test_means_lie_inside_and_third_axes_are_normals(per_face: int) -> None:
    b = binding(per_face)
    made = rest(b)
    corners = attached.rest_corners(b).numpy()[b.owner.numpy()]
    weights = trimesh.triangles.points_to_barycentric(corners, made.means.astype(np.float64))
    assert weights.min() > 0.16
    axes = rotation_matrices(torch.from_numpy(made.quaternions).double())[:, :, 2].numpy()
    normals = trimesh.triangles.normals(corners)[0]
    assert np.abs(axes - normals).max() < 1e-6
    assert made.log_scales[:, 2] == pytest.approx(math.log(b.thickness))


@pytest.mark.parametrize("which", ["corners", "turns"])
def test_orientations_agree_with_finite_differences(which: str) -> None:
    rng = torch.Generator().manual_seed(4)
    values = {
        "corners": torch.randn(4, 3, 3, generator=rng, dtype=F64),
        "turns": torch.randn(4, 2, generator=rng, dtype=F64),
    }

    def made(value: torch.Tensor) -> torch.Tensor:
        given_values = {**values, which: value}
        q = frames.orientations(
            frames.frames(given_values["corners"]), torch.arange(4), given_values["turns"]
        )
        return rotation_matrices(q)

    assert torch.autograd.gradcheck(made, values[which].clone().requires_grad_())


# --- moving ---


def test_a_mesh_that_has_not_moved_gives_the_same_bits() -> None:
    b = binding()
    again, first = deform.posed(b, attached.rest_corners(b)), rest(b)
    for name in ("means", "log_scales", "logit_opacities", "quaternions", "sh"):
        assert np.array_equal(getattr(again, name), getattr(first, name)), name


def test_only_what_moves_changes() -> None:
    b = binding()
    corners = attached.rest_corners(b)
    corners[7] = corners[7] * 1.3
    again, first = deform.posed(b, corners), rest(b)
    changed = (again.means != first.means).any(axis=1)
    assert set(b.owner.numpy()[changed]) == {7} and changed.sum() == 6
    for name in ("log_scales", "quaternions", "sh"):
        same = getattr(again, name)[~changed] == getattr(first, name)[~changed]
        assert same.all(), name


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**31))
def test_a_rigid_motion_gives_the_turned_scene(seed: int) -> None:
    """Against the module that moves whole scenes by other formulas; and seen by a moved camera."""
    rng = np.random.default_rng(seed)
    b = binding(3, seed % 1000)
    turn = Rotation.random(rng=rng).as_matrix()
    matrix = about(turn, (0.1, 0.2, -0.1), rng.normal(size=3))
    found, wanted = moved(b, matrix), carried(rest(b), matrix)
    assert np.abs(found.means - wanted.means).max() < 2e-6
    assert np.abs(found.sh - wanted.sh).max() < 2e-6
    assert np.abs(spread(found) - spread(wanted)).max() < 1e-6 * spread(wanted).max()
    camera = view(seed % 360, 10)
    one, other = picture(rest(b), camera), picture(found, camera_after(camera, matrix, 1.0))
    assert psnr_db(one, other) > 50


def test_view_dependent_color_turns_along() -> None:
    """Without turning the harmonics the same comparison fails."""
    b = binding()
    matrix = about(Rotation.from_rotvec([0, 0, 2.0]).as_matrix(), (0, 0, 0))
    camera = view(30, 10)
    stays = replace(moved(b, matrix), sh=b.sh.numpy())
    after = camera_after(camera, matrix, 1.0)
    assert psnr_db(picture(rest(b), camera), picture(stays, after)) < 35


def test_twice_as_large_a_mesh_has_gaussians_twice_as_large() -> None:
    b = binding()
    found, first = moved(b, np.diag([2.0, 2, 2, 1])), rest(b)
    assert found.log_scales[:, :2] - first.log_scales[:, :2] == pytest.approx(math.log(2), abs=1e-6)
    assert np.array_equal(found.log_scales[:, 2], first.log_scales[:, 2]), "thickness stays"
    assert np.abs(found.quaternions - first.quaternions).max() < 1e-6
    assert np.abs(found.sh - first.sh).max() < 1e-6


@pytest.mark.parametrize("seed", range(3))
def test_any_linear_map_carries_the_covariances_in_the_plane(seed: int) -> None:
    rng = np.random.default_rng(seed)
    b = binding(seed=seed)
    matrix = np.eye(4)
    matrix[:3, :3] = np.eye(3) + 0.5 * rng.normal(size=(3, 3))
    found = spread(moved(b, matrix))
    wanted = matrix[:3, :3] @ spread(rest(b)) @ matrix[:3, :3].T
    scale = np.abs(wanted).max(axis=(1, 2))
    assert (np.abs(found - wanted).max(axis=(1, 2)) / scale).max() < 1e-4


@pytest.mark.parametrize("seed", range(2))
def test_color_turns_by_the_rotation_within_a_shear(seed: int) -> None:
    """Of each triangle, by SciPy's polar decomposition of the whole map of its frame."""
    rng = np.random.default_rng(seed)
    b = binding(1, degree=1, seed=seed)
    matrix = np.eye(4)
    matrix[:3, :3] = np.eye(3) + 0.4 * rng.normal(size=(3, 3))
    corners = attached.rest_corners(b).numpy()
    pairs = []
    for places in (corners, corners @ matrix[:3, :3].T):
        edges = np.stack([places[:, 1] - places[:, 0], places[:, 2] - places[:, 0]], axis=2)
        normals = trimesh.triangles.normals(places)[0]
        pairs.append(np.concatenate([edges, normals[:, :, None]], axis=2))
    found = moved(b, matrix).sh
    for k, (before, after) in enumerate(zip(*pairs, strict=True)):
        rotation, _ = polar(after @ np.linalg.inv(before))
        assert np.abs(found[k] - turned(b.sh.numpy()[k : k + 1], rotation)[0]).max() < 1e-5


def test_of_equal_axes_none_is_swapped() -> None:
    """A small stretch turns a round Gaussian's axes by at most 45 degrees."""
    b = binding()
    b = replace(b, log_scales=torch.full_like(b.log_scales, -3.0))
    stretch = np.diag([1.0, 1.02, 1.0, 1.0])
    axes = [
        rotation_matrices(torch.from_numpy(s.quaternions).double()).numpy()
        for s in (rest(b), moved(b, stretch))
    ]
    cosine = np.einsum("nij,nij->nj", *axes)
    assert cosine.min() > math.cos(math.pi / 4) - 1e-2


@pytest.mark.parametrize("kind", ["line", "point"])
def test_a_collapsed_triangle_keeps_finite_gaussians(kind: str) -> None:
    b = binding()
    corners = attached.rest_corners(b)
    corners[3, 2] = (corners[3, 0] + corners[3, 1]) / 2
    if kind == "point":
        corners[3] = corners[3, :1]
    found = deform.posed(b, corners)
    for name in ("means", "log_scales", "quaternions", "sh"):
        assert np.isfinite(getattr(found, name)).all(), name
    of_it = b.owner.numpy() == 3
    least = found.log_scales[of_it].min(axis=1)
    assert least == pytest.approx(math.log(b.thickness), abs=1e-4)
    assert frames.without_area(corners).nonzero()[:, 0].tolist() == [3]


def test_harmonics_turned_each_by_its_own() -> None:
    rng = np.random.default_rng(0)
    sh = rng.normal(size=(5, 16, 3)).astype(np.float32)
    turns = Rotation.random(5, rng=rng).as_matrix()
    found = turned_each(sh, turns)
    for k in range(5):
        assert np.abs(found[k] - turned(sh[k : k + 1], turns[k])[0]).max() < 1e-6
    assert np.array_equal(found[:, 0], sh[:, 0])


# --- smoothness ---


def test_normal_consistency_of_known_shapes() -> None:
    box = trimesh.creation.box()
    normals = torch.from_numpy(np.array(box.face_normals))
    pairs = torch.from_numpy(consistency.neighbors_across(np.array(box.faces)))
    assert len(pairs) == 18
    # Six of the edges are diagonals of flat sides, twelve are right angles.
    assert float(consistency.normal_consistency(normals, pairs)) == pytest.approx(12 / 18)
    open_edge = np.array([[0, 1, 2]])
    assert len(consistency.neighbors_across(open_edge)) == 0
    assert float(consistency.normal_consistency(normals[:1], pairs[:0])) == 0
    three = np.array([[0, 1, 2], [1, 0, 3], [0, 1, 4]])
    assert len(consistency.neighbors_across(three)) == 0, "no such thing at edges of three"


# --- the file ---


def test_a_binding_comes_back_as_it_was(tmp_path) -> None:
    b = replace(binding(4, degree=1), sidecar=Sidecar(up_axis="+z", meters_per_unit=0.5))
    path = bindings.save(b, tmp_path / "b.safetensors")
    found = bindings.load(path)
    for name in bindings.TENSORS:
        assert torch.equal(getattr(found, name), getattr(b, name)), name
    assert found.thickness == b.thickness and found.sidecar == b.sidecar
    again = bindings.save(found, tmp_path / "c.safetensors")
    assert path.read_bytes() == again.read_bytes()


def changed(path, *, values=None, drop=(), **metadata) -> None:
    held, header = tensors.load(path)
    held = {name: v for name, v in {**held, **(values or {})}.items() if name not in drop}
    tensors.save(held, path, {**header, **metadata})


@pytest.mark.parametrize(
    "change, said",
    [
        ({"kind": "binding/2"}, "newer version"),
        ({"kind": "field/1"}, 'expected "binding/1"'),
        ({"thickness": -1.0}, "thickness"),
        ({"thickness": "thin"}, "thickness"),
        ({"sidecar": {"up": "+y"}}, "sidecar"),
        ({"drop": ("turns",)}, "lacks the tensors"),
        ({"values": {"more": torch.zeros(1)}}, "does not expect"),
        ({"values": {"turns": torch.zeros(480, 2)}}, "turn is zero"),
        ({"values": {"owner": torch.full((480,), 80, dtype=torch.int32)}}, "owner names"),
        ({"values": {"faces": torch.full((80, 3), -1, dtype=torch.int32)}}, "faces names"),
        ({"values": {"sh": torch.zeros(480, 5, 3)}}, "5 SH coefficients"),
        ({"values": {"sh": torch.full((480, 4, 3), math.nan)}}, "not finite"),
        ({"values": {"log_scales": torch.zeros(480, 3)}}, "log_scales is"),
        ({"values": {"barycentrics": torch.ones(480, 3, dtype=F64)}}, "add up to 1"),
        (
            {"values": {"barycentrics": torch.tensor([[2.0, -1, 0]], dtype=F64).repeat(480, 1)}},
            "negative",
        ),
    ],
)
def test_a_damaged_binding_is_refused(tmp_path, change, said) -> None:
    path = bindings.save(binding(6, degree=1), tmp_path / "b.safetensors")
    changed(path, **change)
    with pytest.raises(InputError, match=said):
        bindings.load(path)


def test_what_is_no_binding_is_refused(tmp_path) -> None:
    (tmp_path / "b").write_bytes(b"glTF" + bytes(100))
    with pytest.raises(InputError, match="no readable safetensors"):
        bindings.load(tmp_path / "b")
    with pytest.raises(InputError, match="no such file"):
        bindings.load(tmp_path / "c")
