"""Fitting photographs and signed distances: quality, resuming, and what cannot be fitted."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from splatworks.pipeline.cli import main
from splatworks.pipeline.contract import Context
from splatworks.stages.artifacts import MeshFile, PhotoFile
from splatworks.stages.encoding import field_files, training, uses
from splatworks.stages.encoding.field import normals
from splatworks.stages.fit import image, sdf, solid
from splatworks.stages.formats import gltf, wild
from splatworks.stages.geometry.components import Surface, report
from splatworks.stages.randomness import generator

from .painted import context

WIDTH, HEIGHT = 60, 36
IMAGE = image.Config(iterations=80, batch=2048, table_size=1 << 12, levels=8)
SDF = sdf.Config(
    iterations=200, batch=4096, samples=16384, levels=5, table_size=1 << 12, n_max=40, hidden=32,
    resolution=40,
)  # fmt: skip


@pytest.fixture(scope="module")
def photo(tmp_path_factory) -> Path:
    """Waves, an edge, and a different color in every corner."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    red = 128 + 90 * np.sin(x / 5)
    green = np.where(x + y > 50, 220, 30)
    blue = 255 * y / HEIGHT
    path = tmp_path_factory.mktemp("photo") / "waves.png"
    Image.fromarray(np.stack([red, green, blue], axis=-1).astype(np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def block(tmp_path_factory) -> Path:
    shape = trimesh.creation.box((2.0, 1.0, 1.4))
    shape.apply_translation((5, 6, -7))
    path = tmp_path_factory.mktemp("block") / "block.glb"
    mesh = gltf.Mesh(np.asarray(shape.vertices, np.float32), np.asarray(shape.faces))
    return gltf.save(mesh, path)


def test_a_picture_comes_back_the_right_way_up(photo: Path, tmp_path) -> None:
    outputs = image.run(image.Inputs(PhotoFile(photo)), IMAGE, context(tmp_path))
    wanted = np.asarray(Image.open(photo), np.float64) / 255
    found = np.asarray(Image.open(outputs.picture.path), np.float64) / 255
    psnr_db = -10 * np.log10(np.square(found - wanted).mean())
    told = json.loads(outputs.report.path.read_text())
    assert psnr_db > 24
    assert told["psnr_db"] == pytest.approx(psnr_db, abs=0.2)
    assert (told["width_px"], told["height_px"]) == (WIDTH, HEIGHT)
    field = field_files.load(outputs.field.path)
    again = np.concatenate(list(uses.rows(field, WIDTH, HEIGHT)))
    np.testing.assert_allclose(again.clip(0, 1), found, atol=0.5 / 255 + 1e-6)


def interrupted(ctx: Context, after: int) -> Context:
    """A context whose user presses Ctrl-C after so many iterations."""
    plain = ctx.progress

    class Impatient:
        def __init__(self, title: str, total: int, done: int = 0) -> None:
            self.left, self.title, self.inner = after, title, plain(title, total, done)

        def __enter__(self):
            self.bar = self.inner.__enter__()
            return self

        def __exit__(self, *error):
            return self.inner.__exit__(*error)

        def advance(self, steps: int = 1, note: str = "") -> None:
            self.bar.advance(steps, note)
            self.left -= steps
            if self.title == "fit" and self.left == 0:
                raise KeyboardInterrupt

    return dataclasses.replace(ctx, progress=Impatient)


def test_resumes_to_the_same_bytes(photo: Path, tmp_path) -> None:
    config = dataclasses.replace(IMAGE, iterations=24, checkpoint_every_s=0.0)
    inputs = image.Inputs(PhotoFile(photo))
    whole = image.run(inputs, config, context(tmp_path / "whole"))
    broken = context(tmp_path / "broken")
    with pytest.raises(KeyboardInterrupt):
        image.run(inputs, config, interrupted(broken, 10))
    kept = sorted(p.name for p in broken.scratch.glob("checkpoint-*"))
    assert kept == ["checkpoint-0000008.safetensors", "checkpoint-0000009.safetensors"]
    (broken.scratch / kept[-1]).write_bytes(b"cut short")
    seen = []
    told = dataclasses.replace(
        broken,
        threads=2,
        progress=lambda title, total, done=0: (
            seen.append((title, done)) or context(tmp_path / "unused").progress(title, total, done)
        ),
    )
    again = image.run(inputs, config, told)
    assert seen == [("fit", 8)]
    for name in ("field", "picture", "report"):
        first, second = (getattr(outputs, name).path.read_bytes() for outputs in (whole, again))
        assert first == second, name


def test_another_runs_checkpoint_is_left_alone(photo: Path, tmp_path) -> None:
    config = dataclasses.replace(IMAGE, iterations=6, checkpoint_every_s=0.0)
    inputs = image.Inputs(PhotoFile(photo))
    whole = image.run(inputs, config, context(tmp_path / "a"))
    ctx = context(tmp_path / "b")
    image.run(inputs, dataclasses.replace(config, rate=0.02), ctx)
    again = image.run(inputs, config, ctx)
    assert again.field.path.read_bytes() == whole.field.path.read_bytes()


def test_a_block_comes_back(block: Path, tmp_path) -> None:
    outputs = sdf.run(sdf.Inputs(MeshFile(block)), SDF, context(tmp_path))
    mesh = gltf.load(outputs.mesh.path)
    told = json.loads(outputs.report.path.read_text())
    found = report(Surface(mesh.positions, mesh.faces))
    assert found.watertight and told["watertight"] and told["watertight_input"]
    assert found.volume_m3 == pytest.approx(2 * 1 * 1.4, rel=0.05)
    np.testing.assert_allclose(mesh.positions.mean(axis=0), (5, 6, -7), atol=0.1)
    assert told["mean_distance_percent"] < 1.0
    assert told["mean_distance_percent"] < told["largest_distance_percent"] < 6.0
    field = field_files.load(outputs.field.path)
    inside, outside = uses.values(field, np.array([(5, 6, -7), (5, 6.75, -7)], np.float32))[:, 0]
    assert inside == pytest.approx(-0.5, abs=0.1) and outside == pytest.approx(0.25, abs=0.08)
    # Shaded no finer than the mesh.
    voxel = field.settings.side / SDF.resolution
    shading = normals(field, torch.from_numpy(mesh.positions), step=voxel).numpy()
    np.testing.assert_allclose(mesh.normals, shading, atol=1e-3)
    assert ((mesh.positions - (5, 6, -7)) * shading).sum(axis=1).min() > 0


def test_a_block_comes_back_from_its_occupancy(block: Path, tmp_path) -> None:
    """Its edges are rounded more than those of a distance: between samples nothing is known."""
    config = dataclasses.replace(SDF, target="occupancy", samples=1 << 16)
    outputs = sdf.run(sdf.Inputs(MeshFile(block)), config, context(tmp_path))
    mesh = gltf.load(outputs.mesh.path)
    told = json.loads(outputs.report.path.read_text())
    assert report(Surface(mesh.positions, mesh.faces)).volume_m3 == pytest.approx(2.8, rel=0.1)
    assert told["intersection_over_union"] > 0.9 and "field_on_surface_percent" not in told
    field = field_files.load(outputs.field.path)
    inside, outside = uses.values(field, np.array([(5, 6, -7), (5, 6.75, -7)], np.float32))[:, 0]
    assert field.settings.kind == "occupancy" and inside > 2 and outside < -2


def test_distances_are_measured_near_the_surface_and_all_over_the_cube(block, tmp_path) -> None:
    model = wild.read(block)
    surface = Surface(model.positions.astype(np.float32), model.faces.astype(np.int64))
    field = solid.build(surface, SDF, 0, 1)
    found = solid.measure(solid.Solid(surface), field, 1 << 14, context(tmp_path))
    points, side = found.points.numpy(), field.settings.side
    assert points.shape == (1 << 14, 3) and side == pytest.approx(2.4)
    at = (points - np.array(field.settings.low)) / side
    assert at.min() >= 0 and at.max() <= 1
    # The distance from a box, written down.
    over = np.abs(points - (5, 6, -7)) - (1.0, 0.5, 0.7)
    true = np.linalg.norm(np.maximum(over, 0), axis=1) + np.minimum(over.max(axis=1), 0)
    np.testing.assert_allclose(found.distances, true, atol=1e-5)
    # A quarter is uniform; the rest lies within three standard deviations, a third for each.
    away = np.abs(true) / side
    grid = (np.stack(np.meshgrid(*[np.arange(40)] * 3), axis=-1).reshape(-1, 3) + 0.5) / 40
    over = np.abs(grid * side + np.array(field.settings.low) - (5, 6, -7)) - (1.0, 0.5, 0.7)
    evenly = np.abs(np.linalg.norm(np.maximum(over, 0), axis=1) + np.minimum(over.max(axis=1), 0))
    for reach, near in ((0.006, 1 + 0.45 + 0.1), (0.03, 2 + 0.45), (0.15, 3)):
        expected = 0.25 * (near + (evenly < reach * side).mean())
        assert (away < reach).mean() == pytest.approx(expected, abs=0.03), reach


@pytest.mark.parametrize("iteration, opened", ((0, False), (59, True), (199, True)))
def test_fine_levels_take_part_later(block, iteration: int, opened: bool) -> None:
    """From 0.3 of the 200 iterations on."""
    model = wild.read(block)
    surface = Surface(model.positions.astype(np.float32), model.faces.astype(np.int64))
    field = solid.build(surface, SDF, 0, 1)
    points = torch.rand(
        500, 3, generator=generator(0, "later")
    ) * field.settings.side + torch.tensor(field.settings.low)
    solid.loss(field, solid.Samples(points, torch.ones(500)), SDF, 0, iteration).backward()
    last = field.encoding.levels[-1].start
    assert bool(field.encoding.table.grad[:last].any())
    assert bool(field.encoding.table.grad[last:].any()) == opened


def test_overlap_is_of_what_both_fill(block: Path) -> None:
    """A block of 2 x 1 x 1.4 against a half-space through its middle, both within the cube."""
    model = wild.read(block)
    surface = Surface(model.positions.astype(np.float32), model.faces.astype(np.int64))
    made = solid.Solid(surface)
    for target, sign in (("distance", 1.0), ("occupancy", -1.0)):
        field = solid.build(surface, dataclasses.replace(SDF, target=target), 0, 1)
        with torch.no_grad():
            for parameter in field.parameters():
                parameter.zero_()
            # x - 5 at last: through the first unit of both layers, which stays positive.
            field.weights[0][0, -3], field.biases[0][0] = 1.0, 5.0
            field.weights[1][0, 0] = 1.0
            field.weights[2][0, 0], field.biases[2][0] = sign, -5.0 * sign
        side = 2 * 1.2
        both, either = 1.0 * 1 * 1.4, side**3 / 2 + 1.0 * 1 * 1.4
        assert solid.overlap(made, field, 0) == pytest.approx(both / either, abs=0.01)


@pytest.mark.parametrize("more", ("old", "new"))
def test_a_part_that_only_one_of_both_has_counts(block: Path, more: str) -> None:
    """Two blocks, 3 apart, against the first of them."""
    box = trimesh.creation.box((2.0, 1.0, 1.4))
    two = trimesh.util.concatenate([box, box.copy().apply_translation((5.0, 0, 0))])
    first, both = (
        Surface(np.asarray(m.vertices, np.float32), np.asarray(m.faces)) for m in (box, two)
    )
    old, new = (both, first) if more == "old" else (first, both)
    field = solid.build(old, dataclasses.replace(SDF, target="occupancy"), 0, 1)
    found = solid.compare(solid.Solid(old), field, new, 0)
    used = old.positions
    diagonal = float(np.linalg.norm(used.max(axis=0) - used.min(axis=0)))
    assert found["largest_distance_percent"] == pytest.approx(100 * 5 / diagonal, rel=1e-3)
    # From 3 to 5 on the second block, 4 in the mean of its symmetric surface; it is half of both.
    assert found["mean_distance_percent"] == pytest.approx(50 * 4 / 2 / diagonal, rel=0.01)


def test_specks_go_and_hollows_stay() -> None:
    ball, hollow, speck = (trimesh.creation.icosphere(2, radius=r) for r in (1.0, 0.4, 0.02))
    hollow.invert()
    speck.apply_translation((2, 0, 0))
    joined = trimesh.util.concatenate([ball, hollow, speck])
    surface = Surface(np.asarray(joined.vertices, np.float32), np.asarray(joined.faces))
    left = solid.without_specks(surface, 0.001)
    assert len(left.faces) == len(ball.faces) + len(hollow.faces)
    assert np.abs(left.positions).max() < 1.01
    assert report(left).volume_m3 == pytest.approx(ball.volume + hollow.volume, rel=1e-4)
    assert len(solid.without_specks(surface, 0.0).faces) == len(surface.faces)


def test_surface_points_are_spread_by_area() -> None:
    """On a square beside one of nine times its area; all in their planes."""
    corners = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)]
    large = [(3 * x + 5, 3 * y, 2) for x, y, _ in corners]
    faces = [(0, 1, 2), (0, 2, 3), (4, 5, 6), (4, 6, 7)]
    surface = Surface(np.array([*corners, *large], np.float32), np.array(faces))
    found = solid.Solid(surface).on(20_000, 0, "test")
    on_large = found[:, 2] > 1
    assert on_large.mean() == pytest.approx(0.9, abs=0.01)
    np.testing.assert_allclose(found[on_large].mean(axis=0), (6.5, 1.5, 2), atol=0.05)
    np.testing.assert_allclose(found[~on_large].std(axis=0), (0.29, 0.29, 0), atol=0.02)


def test_the_rate_falls_over_the_second_half(photo: Path) -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    schedule = training.Schedule(iterations=8, rate=0.5, checkpoint_every_s=1e9, signature="")
    rates = []
    for k in range(8):
        training.step(None, optimizer, lambda _: weight.sum(), schedule, k)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates[:5] == [0.5] * 5
    assert rates[6] == pytest.approx(0.5 * 0.1**0.5)


def test_the_command(photo: Path, tmp_path, capsys) -> None:
    line = ["fit", "image", str(photo), "--out", str(tmp_path / "run"), "--device", "cpu"]
    for name, value in (("iterations", 12), ("batch", 512), ("levels", 4), ("table_size", 1024)):
        line += ["--set", f"fit.{name}={value}"]
    assert main(line) == 0
    said = capsys.readouterr().out
    assert "60 x 36 pixels" in said and "dB" in said and "made" in said
    results = tmp_path / "run" / "latest" / "fit"
    assert {"field.safetensors", "picture.png", "report.json"} <= {
        p.name for p in results.iterdir()
    }
    assert main(line) == 0
    assert "reused" in capsys.readouterr().out


def flat_mesh(path: Path) -> Path:
    points = np.array([(0, 0, 0), (1, 1, 1), (2, 2, 2)], np.float32)
    return gltf.save(gltf.Mesh(points, np.array([(0, 1, 2)])), path)


def clear_picture(path: Path) -> Path:
    Image.new("RGBA", (20, 20), (255, 0, 0, 100)).save(path)
    return path


def text(path: Path) -> Path:
    path.write_text("hello")
    return path


@pytest.mark.parametrize(
    ("kind", "make", "more", "said"),
    (
        ("image", lambda p: p / "absent.png", (), "no such file"),
        ("image", lambda p: text(p / "a.png"), (), "no readable picture"),
        ("image", lambda p: clear_picture(p / "a.png"), (), "partly transparent"),
        ("image", None, ("table_size=1000",), "table_size must be a power of two, got 1000"),
        ("image", None, ("lattice=hexagons",), "hexagons"),
        ("image", None, ("iterations=0",), "iterations must lie between"),
        ("sdf", lambda p: text(p / "a.glb"), (), "no GLB file"),
        ("sdf", lambda p: flat_mesh(p / "a.glb"), (), "degenerate; there is no surface"),
        ("sdf", lambda p: text(p / "a.xyz"), (), "a mesh ends in"),
        ("sdf", None, ("n_max=1e9",), "no longer tells them apart"),
    ),
)
def test_one_line_for_what_cannot_be_fitted(
    kind: str, make, more, said: str, photo: Path, block: Path, tmp_path, capsys
) -> None:
    path = make(tmp_path) if make else {"image": photo, "sdf": block}[kind]
    line = ["fit", kind, str(path), "--out", str(tmp_path / "run"), "--device", "cpu"]
    for setting in more:
        line += ["--set", f"fit.{setting}"]
    assert main(line) == 2
    told = capsys.readouterr().err
    assert said in told and "Traceback" not in told
    assert not (tmp_path / "run" / "latest" / "fit").exists()
