"""Fields: what they take, how they are kept, and what they are good for."""

import dataclasses
import math

import numpy as np
import pytest
import torch
import trimesh
from splatworks.pipeline.errors import InputError
from splatworks.stages.encoding import field_files, uses
from splatworks.stages.encoding.field import Field, FieldSettings, normals
from splatworks.stages.encoding.optimizer import FieldAdam
from splatworks.stages.encoding.settings import Settings
from splatworks.stages.formats import gltf, tensors
from splatworks.stages.geometry.atlas import atlas, texels
from splatworks.stages.geometry.bake import bake
from splatworks.stages.geometry.components import Surface, compact, components, report
from splatworks.stages.geometry.isosurface import isosurface
from splatworks.stages.randomness import generator

SMALL = Settings(dims=3, levels=4, table_size=1 << 10, n_min=4, n_max=24)
LOW, SIDE, RADIUS = (-2.0, -3.0, 1.0), 4.0, 1.3
MIDDLE = np.array(LOW, np.float32) + SIDE / 2


def settings(kind: str, channels: int = 3) -> FieldSettings:
    return FieldSettings(kind=kind, encoding=SMALL, channels=channels, low=LOW, side=SIDE)


def places(count: int, seed: int = 0) -> torch.Tensor:
    unit = torch.rand(count, 3, generator=generator(seed, "places"))
    return unit * SIDE + torch.tensor(LOW)


@pytest.fixture(scope="module")
def ball() -> Field:
    """Trained on the signed distance of a sphere that stands off the middle of the world."""
    field = Field(settings("distance", 1))
    optimizer = FieldAdam(field.groups(0.005))
    for k in range(250):
        points = places(2048, k)
        wanted = (points - torch.from_numpy(MIDDLE)).norm(dim=1) - RADIUS
        optimizer.zero_grad()
        (field(points)[:, 0] - wanted).abs().mean().backward()
        if k == 150:
            for group in optimizer.param_groups:
                group["lr"] /= 10
        optimizer.step()
    return field


def test_a_sphere_is_meshed_where_it_is(ball: Field) -> None:
    surface = uses.mesh(ball, 48)
    found = report(surface)
    assert found.watertight and found.components == 1
    assert found.volume_m3 == pytest.approx(4 / 3 * math.pi * RADIUS**3, rel=0.03)
    radii = np.linalg.norm(surface.positions - MIDDLE, axis=1)
    assert np.abs(radii - RADIUS).mean() < 0.01 * SIDE


def test_normals_point_outward_and_fd_is_smoother(ball: Field) -> None:
    outward = torch.nn.functional.normalize(torch.randn(500, 3, generator=generator(4)), dim=1)
    on_sphere = torch.from_numpy(MIDDLE) + RADIUS * outward
    error = {}
    for mode in ("fd", "analytic"):
        found = normals(ball, on_sphere, mode)
        torch.testing.assert_close(found.norm(dim=1), torch.ones(500))
        cosine = (found * outward).sum(1).clamp(-1, 1)
        error[mode] = float(cosine.arccos().rad2deg().mean())
    assert error["fd"] < error["analytic"] < 20
    assert error["fd"] < 6


def test_fd_steps_half_a_cell(ball: Field) -> None:
    """By the book: f(p + h e) - f(p - h e), h half a finest cell in world units."""
    points = places(20, 7) * 0.9 + 0.1 * torch.from_numpy(MIDDLE)
    step = 0.5 * SIDE / SMALL.n_max
    rises = []
    with torch.no_grad():
        for axis in range(3):
            shift = torch.zeros(3)
            shift[axis] = step
            rises.append(ball(points + shift) - ball(points - shift))
    expected = torch.nn.functional.normalize(torch.cat(rises, dim=1), dim=1)
    torch.testing.assert_close(normals(ball, points), expected, atol=2e-4, rtol=0)
    assert (normals(ball, points, step=4 * step) - expected).abs().max() > 0.02
    torch.testing.assert_close(normals(ball, points, step=step), expected, atol=2e-4, rtol=0)
    with pytest.raises(ValueError, match="image has no normals"):
        normals(Field(settings("image")), points)


def test_the_distance_is_in_world_units() -> None:
    """The same parameters over a cube twice as large: twice the distance."""
    small = Field(settings("distance", 1))
    large = Field(dataclasses.replace(small.settings, side=2 * SIDE))
    points = places(50)
    moved = (points - torch.tensor(LOW)) * 2 + torch.tensor(LOW)
    torch.testing.assert_close(large(moved), 2 * small(points))


def test_radiance_depends_on_the_direction_and_density_is_positive() -> None:
    field = Field(settings("radiance", 4))
    points = places(40)
    directions = torch.nn.functional.normalize(torch.randn(40, 3, generator=generator(1)), dim=1)
    found = field(points, directions)
    assert (found[:, :3] > 0).all() and (found[:, :3] < 1).all() and (found[:, 3] > 0).all()
    assert not torch.allclose(found, field(points, -directions))
    with pytest.raises(ValueError, match="radiance takes directions"):
        field(points)
    with pytest.raises(ValueError, match="texture takes no directions"):
        Field(settings("texture"))(points, directions)


def test_kept_on_disk_to_the_bit(tmp_path, ball: Field) -> None:
    path = field_files.save(ball, tmp_path / "a.safetensors")
    again = field_files.load(path)
    assert again.settings == ball.settings
    assert torch.equal(again(places(100)), ball(places(100)))
    other = field_files.save(again, tmp_path / "b.safetensors")
    assert path.read_bytes() == other.read_bytes()


def test_broken_files_are_named(tmp_path, ball: Field) -> None:
    path = field_files.save(ball, tmp_path / "a.safetensors")
    found, metadata = tensors.load(path)

    def rewritten(changes: dict, header: dict | None = None) -> None:
        kept = {k: v for k, v in {**found, **changes}.items() if v is not None}
        tensors.save(kept, path, metadata if header is None else header)

    rewritten({}, {"format": "other"})
    with pytest.raises(InputError, match=r"no field/1 file \(format 'other'\)"):
        field_files.load(path)
    rewritten({"encoding.table": torch.zeros(7, 2)})
    with pytest.raises(InputError, match=r"encoding\.table is \(7, 2\); its settings ask for"):
        field_files.load(path)
    rewritten({"biases.0": None})
    with pytest.raises(InputError, match=r"biases\.0 is absent"):
        field_files.load(path)
    rewritten({"biases.0": torch.full((64,), torch.nan)})
    with pytest.raises(InputError, match=r"biases\.0 holds values that are not finite"):
        field_files.load(path)
    bad = {**metadata["field"], "encoding": {**metadata["field"]["encoding"], "table_size": 1000}}
    rewritten({}, {**metadata, "field": bad})
    with pytest.raises(InputError, match=r"cannot be used .*power of two"):
        field_files.load(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="cut short"):
        field_files.load(path)


@pytest.mark.parametrize(
    ("changes", "said"),
    (
        ({"kind": "smell"}, "kind must be one of"),
        ({"kind": "distance", "channels": 3}, "no 3 channels"),
        ({"kind": "occupancy", "channels": 2}, "no 2 channels"),
        ({"low": (0.0, 0.0)}, "low has 2 coordinates, not 3"),
        ({"side": 0.0}, "side of 0"),
        ({"low": (math.nan, 0.0, 0.0)}, "corner"),
        ({"hidden": 0}, "layers of 0"),
    ),
)
def test_bad_settings_are_named(changes: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        FieldSettings(**{"kind": "texture", "encoding": SMALL, **changes})


def test_baked_as_any_other_source() -> None:
    """Every texel gets what the field says about its place."""
    shape = trimesh.creation.icosphere(1, radius=1.2)
    mesh = gltf.Mesh(np.asarray(shape.vertices + MIDDLE, np.float32), np.asarray(shape.faces))
    where = texels(atlas(mesh, 64))
    field = Field(settings("texture", 5))
    maps = bake(where, uses.source(field))
    assert maps.values.shape == (64, 64, 5) and maps.valid.sum() == len(where.rows) > 100
    expected = field(torch.from_numpy(where.positions)).detach().numpy()
    np.testing.assert_allclose(maps.values[where.rows, where.columns], expected, atol=1e-6)


@pytest.mark.parametrize("resolution", (30, 64))
def test_isosurface_of_a_known_distance(resolution: int) -> None:
    asked = []

    def distance(points: np.ndarray) -> np.ndarray:
        asked.append(len(points))
        return np.linalg.norm(points - [0.5, 0.4, 0.6], axis=1) - 0.3

    surface = isosurface(distance, resolution)
    found = report(surface)
    assert found.watertight and found.components == 1
    assert found.volume_m3 == pytest.approx(4 / 3 * math.pi * 0.3**3, rel=0.01)
    radii = np.linalg.norm(surface.positions - [0.5, 0.4, 0.6], axis=1)
    assert np.abs(radii - 0.3).max() < 0.5 / resolution**1.5 + 2e-3
    if resolution == 64:
        assert sum(asked) < 0.75 * 64**3, "blocks far from the surface are skipped"
    assert not len(isosurface(lambda points: np.ones(len(points)), 16).faces)


def test_isosurface_of_what_is_no_distance() -> None:
    """Two balls by a function that says nothing about how far they are, one of them in a single
    block, and a wall of one voxel between two blocks."""

    def inside(points: np.ndarray) -> np.ndarray:
        large = np.linalg.norm(points - [0.5, 0.6, 0.6], axis=1) < 0.2
        small = np.linalg.norm(points - [0.12, 0.12, 0.12], axis=1) < 0.05
        wall = (np.abs(points[:, 0] - 63.5 / 72) < 0.6 / 72) & (points[:, 1] < 0.2)
        return np.where(large | small | wall, -9.0, 9.0)

    assert not len(isosurface(inside, 72).faces)  # All blocks are taken for far.
    found = report(isosurface(inside, 72, everywhere=True))
    assert found.components == 3
    alone = report(isosurface(lambda p: np.where(inside(p) < 0, -1.0, 1.0), 72, everywhere=True))
    assert (alone.components, alone.faces) == (3, found.faces)
    assert not len(isosurface(lambda points: np.ones(len(points)), 16, everywhere=True).faces)


def test_an_occupancy_is_meshed_and_its_normals_point_outward() -> None:
    field = Field(settings("occupancy", 1))
    optimizer = FieldAdam(field.groups(0.005))
    for k in range(150):
        points = places(2048, k)
        inside = ((points - torch.from_numpy(MIDDLE)).norm(dim=1) < RADIUS).float()
        optimizer.zero_grad()
        found = field(points)[:, 0]
        torch.nn.functional.binary_cross_entropy_with_logits(found, inside).backward()
        optimizer.step()
    surface = without_specks(uses.mesh(field, 40))
    found = report(surface)
    assert found.watertight
    assert found.volume_m3 == pytest.approx(4 / 3 * math.pi * RADIUS**3, rel=0.04)
    outward = torch.nn.functional.normalize(torch.randn(300, 3, generator=generator(4)), dim=1)
    on_sphere = torch.from_numpy(MIDDLE) + RADIUS * outward
    for mode in ("fd", "analytic"):
        cosine = (normals(field, on_sphere, mode) * outward).sum(dim=1)
        assert cosine.mean() > 0.8


def without_specks(surface: Surface) -> Surface:
    """The largest part."""
    labels = components(surface)
    kept = labels == np.bincount(labels).argmax()
    return compact(Surface(surface.positions, surface.faces[kept]))


@pytest.mark.parametrize(("width", "height"), ((50, 20), (7, 31)))
def test_pictures_are_read_row_by_row(width: int, height: int, monkeypatch) -> None:
    """With pieces smaller than the picture."""
    monkeypatch.setattr(uses, "CHUNK", 64)
    flat = Settings(dims=2, levels=3, table_size=1 << 8, n_min=2, n_max=20)
    field = Field(FieldSettings(kind="image", encoding=flat, low=(0.0, 0.0)))
    found = np.concatenate(list(uses.rows(field, width, height)))
    assert found.shape == (height, width, 3)
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    points = np.stack([x, y], axis=-1).reshape(-1, 2) / max(width, height)
    expected = field(torch.from_numpy(points.astype(np.float32))).detach().numpy()
    np.testing.assert_allclose(found.reshape(-1, 3), expected, atol=1e-6)
