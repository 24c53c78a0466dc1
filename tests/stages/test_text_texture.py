"""Text to texture: what is seen, how it is lit, whether an object's look is found; exactness."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from splatworks.pipeline.cli import main
from splatworks.pipeline.errors import InputError
from splatworks.stages import text_texture
from splatworks.stages.artifacts import GuidanceDir, MeshFile, PromptFile
from splatworks.stages.distill.ramp import Ramp
from splatworks.stages.distill.settings import Guide, Looks, Noise
from splatworks.stages.encoding import field_files, uses
from splatworks.stages.encoding.field import Field, FieldSettings
from splatworks.stages.encoding.settings import Settings
from splatworks.stages.formats import gltf, prompts, srgb, tensors, wild
from splatworks.stages.geometry.appearance import Appearance, Places
from splatworks.stages.geometry.components import Surface
from splatworks.stages.text_texture.frame import standard
from splatworks.stages.text_texture.lesson import LOG_COLUMNS, Lesson, logged
from splatworks.stages.text_texture.object import Object
from splatworks.stages.text_texture.stage import paint
from splatworks.stages.text_texture.surface import compose, coverage, lit, look

from . import striped_ball
from .distill_setup import Embedded, Killed, context

MIDDLE, RADIUS_M, FRONT_DEG = (7.0, 1.0, -2.0), 3.0, 90.0
WAVES = np.array([[9.0, 0, 6], [0, 12.0, 0], [0, 5.0, 9]])
SMALL = text_texture.Config(
    iterations=12,
    guide=Guide(scale=1.0),
    noise=Noise(max=Ramp(start=0.6, stop=0.2), min=Ramp(start=0.1, stop=0.02)),
    views=Looks(per_step=3, close_up_share=0.0),
    levels=6,
    table_size=1 << 12,
    texture_size_px=64,
    samples=1,
    front_deg=FRONT_DEG,
    start="gray",
    checkpoint_every_s=0.0,
)


def wanted(points: np.ndarray) -> np.ndarray:
    """The ball's colors, at points of the standard frame."""
    return 0.5 + 0.35 * np.sin(points @ WAVES)


def ball(subdivisions: int = 4) -> trimesh.Trimesh:
    """Of the size that the standard frame asks for."""
    return trimesh.creation.icosphere(subdivisions, radius=0.5)


def subject(shape: trimesh.Trimesh) -> Object:
    corners = np.asarray(shape.vertex_normals)[shape.faces]
    return Object(Surface(np.asarray(shape.vertices), np.asarray(shape.faces)), corners)


def seen_of(shape: trimesh.Trimesh, size_px: int = 40, samples: int = 2):
    what = subject(shape)
    views = striped_ball.cameras([(20.0, 10.0), (200.0, 40.0)], size_px)
    return look(what.surface, what.normals, views, samples), views


@pytest.fixture(scope="module")
def oracle(tmp_path_factory) -> Path:
    """A guidance model that knows one ball, as large as the standard frame."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("oracle")
    patch = pytest.MonkeyPatch()
    patch.setattr(striped_ball, "PARTS", (((0.0, 0.0, 0.0), 0.5),))
    striped_ball.oracle(32, per_word=4).save(folder / "oracle")
    patch.undo()
    return folder / "oracle"


@pytest.fixture(scope="module")
def inputs(oracle, tmp_path_factory) -> text_texture.Inputs:
    """The ball somewhere else, of another size, looking to +X."""
    folder = tmp_path_factory.mktemp("inputs")
    shape = ball(3)
    shape.apply_scale(RADIUS_M / 0.5)
    shape.apply_translation(MIDDLE)
    mesh = gltf.Mesh(np.asarray(shape.vertices, np.float32), np.asarray(shape.faces))
    gltf.save(mesh, folder / "ball.glb")
    prompts.save(prompts.Prompt("a striped ball"), folder / "prompt.json")
    return text_texture.Inputs(
        MeshFile(folder / "ball.glb"), PromptFile(folder / "prompt.json"), GuidanceDir(oracle)
    )


@pytest.fixture(scope="module")
def whole(inputs, tmp_path_factory) -> Path:
    """An uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    paint(inputs, SMALL, context(folder))
    return folder


def results(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((folder / "out").iterdir())}


# --- the frame ---


def test_the_front_is_turned_to_z_and_all_lies_within_the_radius() -> None:
    points = np.array([[3.0, 0, 0], [-1, 2, 1], [1, -2, -1], [1, 0, 5]])
    frame = standard(points, 0.5, 90.0)
    moved = frame.points(points)
    assert np.linalg.norm(moved, axis=1).max() == pytest.approx(0.5)
    np.testing.assert_allclose(frame.directions(np.array([[1.0, 0, 0]])), [[0, 0, 1]], atol=1e-12)
    np.testing.assert_allclose(frame.directions(np.array([[0, 1.0, 0]])), [[0, 1, 0]], atol=1e-12)
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    np.testing.assert_allclose(frame.points(middle[None]), [[0, 0, 0]], atol=1e-12)
    assert np.linalg.det(frame.turn) == pytest.approx(1)


# --- what is seen ---


def test_rays_meet_a_ball_where_geometry_says() -> None:
    seen, views = seen_of(ball(5))
    points = seen.points.double()
    assert points.norm(dim=1).sub(0.5).abs().max() < 1e-3
    surface = subject(ball(5)).surface
    corners = surface.positions[surface.faces[seen.faces]]
    np.testing.assert_allclose(np.einsum("pk,pkc->pc", seen.weights, corners), points, atol=1e-6)
    assert (seen.normals - points / 0.5).norm(dim=1).max() < 0.05
    # Each point projects into its own pixel.
    for view in range(2):
        pose = views.world_to_camera[view].double()
        mine = seen.view == view
        local = points[mine] @ pose[:3, :3].T + pose[:3, 3]
        at = local[:, :2] / local[:, 2:] * views.focal_px[view] + views.center_px[view]
        pixel = seen.pixel[mine] - view * 40 * 40
        assert (at[:, 0].floor().long() - pixel % 40).abs().max() == 0
        assert (at[:, 1].floor().long() - pixel // 40).abs().max() == 0
        eye = -pose[:3, :3].T @ pose[:3, 3]
        assert ((eye - points[mine]) * points[mine]).sum(dim=1).min() > -1e-3  # The near side.


def test_the_silhouette_has_a_balls_area() -> None:
    seen, views = seen_of(ball(5), 40, 3)
    # A ball of radius r at distance d shows a disc of radius f r / sqrt(d^2 - r^2).
    radius_px = float(views.focal_px[0, 0]) * 0.5 / math.sqrt(1.8**2 - 0.5**2)
    found = coverage(seen).flatten(1).sum(dim=1)
    assert found.numpy() == pytest.approx(math.pi * radius_px**2, rel=0.01)


def test_pictures_are_means_over_the_rays_of_a_pixel() -> None:
    seen, _ = seen_of(ball(3), 12, 3)
    colors = torch.rand(len(seen.points), 3, generator=torch.Generator().manual_seed(0))
    behind = torch.tensor([[0.1, 0.2, 0.3], [0.9, 0.8, 0.7]])
    made = compose(seen, colors, behind)
    expected = behind[:, :, None, None].expand(2, 3, 12, 12).clone()
    for view in range(2):
        for row in range(12):
            for column in range(12):
                at = seen.pixel == (view * 12 + row) * 12 + column
                rest = (9 - int(at.sum())) * behind[view]
                expected[view, :, row, column] = (colors[at].sum(dim=0) + rest) / 9
    torch.testing.assert_close(made, expected)


def test_both_sides_of_a_sheet_face_the_camera() -> None:
    sheet = trimesh.Trimesh([[-0.3, -0.3, 0], [0.3, -0.3, 0], [0, 0.4, 0]], [[0, 1, 2]])
    seen, views = seen_of(sheet)
    for view in range(2):
        pose = views.world_to_camera[view]
        eye = -pose[:3, :3].T @ pose[:3, 3]
        mine = seen.view == view
        assert mine.any() and ((eye - seen.points[mine]) * seen.normals[mine]).sum(1).min() > 0


def test_light_multiplies_linear_colors() -> None:
    colors = torch.rand(200, 3, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.2
    light = torch.linspace(0.3, 1.4, 200)
    expected = srgb.encode(srgb.decode(colors.double().numpy()) * light.numpy()[:, None])
    np.testing.assert_allclose(lit(colors, light).numpy(), expected, atol=1e-5)
    torch.testing.assert_close(lit(colors, torch.ones(200)), colors)


# --- the loss ---


def small_lesson(tmp_path, guidance, config=SMALL) -> Lesson:
    from splatworks.stages.distill.questions import Task

    task = Task(guidance, "a striped ball", "", config, 5, "cpu")
    spread = lambda function, items: [function(item) for item in items]  # noqa: E731
    return Lesson(task, config, subject(ball(2)), Embedded(guidance), spread, context(tmp_path))


def small_field() -> Field:
    encoding = Settings(dims=3, levels=3, table_size=1 << 8, n_min=4, n_max=16)
    settings = FieldSettings(
        kind="texture", encoding=encoding, low=(-0.6,) * 3, side=1.2, hidden=8, layers=1
    )
    return Field(settings, seed=1)


def test_the_gradient_by_the_field_is_that_of_the_pictures(tmp_path) -> None:
    """With the model's gradient held fixed, against finite differences of sum(g * pictures)."""
    guidance = striped_ball.oracle(16, per_word=1)
    lesson, painted = small_lesson(tmp_path, guidance), small_field()
    loss = lesson(painted, 3)
    loss.backward()
    _, answers = lesson._asked(painted, 3)
    g = torch.cat([a.gradient for a in answers]).double()
    assert loss.item() == pytest.approx(sum(a.loss for a in answers) / len(answers))
    bias = painted.biases[-1]
    found = bias.grad.clone()
    for channel in range(3):
        sums = []
        for step in (1e-2, -1e-2):
            with torch.no_grad():
                bias[channel] += step
                sums.append(float((g * lesson._asked(painted, 3)[0].double()).sum()))
                bias[channel] -= step
        assert float(found[channel]) == pytest.approx((sums[0] - sums[1]) / 2e-2, rel=2e-2)


def test_the_threshold_bounds_every_pixel_and_is_found_once(tmp_path) -> None:
    guidance = striped_ball.oracle(16, per_word=1)
    lesson, painted = small_lesson(tmp_path, guidance), small_field()
    before = [p.detach().clone() for p in painted.parameters()]
    lesson.threshold = found = lesson.calibrate(painted)
    assert all(torch.equal(a, b) for a, b in zip(before, painted.parameters(), strict=True))
    answers = [a for k in range(12) for a in lesson._asked(painted, k)[1]]
    assert max(a.gradient.abs().max() for a in answers) <= found * (1 + 1e-6)
    assert 0.001 < np.mean([a.clip.clipped_share for a in answers]) < 0.1
    (tmp_path / "scratch" / "threshold.json").write_text('{"threshold": 0.25}')
    assert lesson.calibrate(painted) == 0.25
    plain = replace(SMALL, clip=replace(SMALL.clip, calibrate=False, threshold=0.5))
    assert small_lesson(tmp_path / "other", guidance, plain).calibrate(painted) == 0.5


def test_lamps_stand_near_the_camera_and_some_views_have_none(tmp_path) -> None:
    guidance = striped_ball.oracle(16, per_word=1)
    lesson = small_lesson(tmp_path, guidance)
    seen, views = seen_of(ball(2), 16, 1)
    kinds = {"lit": 0, "not": 0}
    for iteration in range(40):
        light = lesson._lamps(seen, views, iteration)
        assert light.min() >= 0.6 and light.max() <= 0.6 + 0.4 * 1.5 + 1e-6
        for view in range(2):
            mine = light[seen.view == view]
            kinds["not" if bool((mine == 1).all()) else "lit"] += 1
    assert 28 <= kinds["not"] <= 52  # Half of 80 draws.
    dark = replace(SMALL, light=text_texture.Light(share=1.0, ambient=0.0, spread=0.0))
    light = small_lesson(tmp_path / "dark", guidance, dark)._lamps(seen, views, 0)
    # A lamp at the eye itself: Lambert's cosine between normal and way to the eye.
    pose = views.world_to_camera
    eye = -(pose[:, :3, :3].transpose(1, 2) @ pose[:, :3, 3:])[..., 0]
    way = torch.nn.functional.normalize(eye[seen.view] - seen.points, dim=1)
    torch.testing.assert_close(light, 1.5 * (way * seen.normals).sum(dim=1).clamp(min=0))
    # Over the disc of a ball that is far away its mean is 1; near to it, the middle weighs less.
    assert light.mean().item() == pytest.approx(1, abs=0.1)


class Broken:
    """Answers that are not numbers, after a while."""

    def __init__(self, guidance, good: int) -> None:
        self.guidance, self.good = guidance, good

    def __getattr__(self, name):
        return getattr(self.guidance, name)

    def predict(self, z_t, t, condition):
        found = self.guidance.predict(z_t, t, condition)
        self.good -= 1
        return found if self.good >= 0 else replace(found, eps=found.eps * math.nan,
                                                    x0=found.x0 * math.nan)  # fmt: skip


def test_bad_steps_move_nothing_and_too_many_end_the_run(tmp_path) -> None:
    guidance = striped_ball.oracle(16, per_word=1)
    lesson, painted = small_lesson(tmp_path, Broken(guidance, 0)), small_field()
    for iteration in range(9):
        loss = lesson(painted, iteration)
        loss.backward()
        assert loss.item() == 0
        assert all((p.grad == 0).all() for p in painted.parameters())
    with pytest.raises(InputError, match="10 steps in a row were not finite"):
        lesson(painted, 9)
    log = logged(tmp_path / "scratch", 10)
    assert log["skipped"].tolist() == [1.0] * 10


def test_a_cut_off_line_of_the_log_is_no_loss(tmp_path) -> None:
    (tmp_path / "log.jsonl").write_text("[0, 1.0, 0.1, 0.0, 0.0]\n[1, 2.0, 0.\n[1, 3.0, 0, 0, 0]\n")
    log = logged(tmp_path, 2)
    assert list(log) == list(LOG_COLUMNS) and log["loss"].tolist() == [1.0, 3.0]


# --- does it work ---


def surface_colors(path: Path, count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Points of a textured file in the standard frame, and their sRGB colors."""
    model = wild.read(path)
    appearance = Appearance(model)
    rng = np.random.default_rng(0)
    areas = appearance.areas_m2
    faces = rng.choice(len(areas), count, p=areas / areas.sum())
    weights = rng.dirichlet((1, 1, 1), count)
    places = Places(faces, weights, np.full(count, 1e3))
    colors = srgb.encode(appearance.base_color(places)[:, :3])
    points = np.einsum("pk,pkc->pc", weights, model.positions[model.faces[faces]])
    turned = (points - MIDDLE) * 0.5 / RADIUS_M
    # +X of the file is +Z of the frame.
    return np.stack([-turned[:, 2], turned[:, 1], turned[:, 0]], axis=1), colors


def psnr_db(found: np.ndarray, expected: np.ndarray) -> float:
    return float(-10 * np.log10(np.square(found - expected).mean()))


def test_the_look_that_a_model_knows_comes_back_on_the_right_side(inputs, tmp_path) -> None:
    """Where the views look, at 32 pixels in 80 iterations and without lamps, which the known ball
    does not have."""
    config = replace(
        SMALL, iterations=80, light=text_texture.Light(share=0.0), texture_size_px=256, samples=2,
        checkpoint_every_s=60.0,
    )  # fmt: skip
    done = paint(inputs, config, context(tmp_path))
    points, colors = surface_colors(done.textured.path)
    shown = points[:, 1] > -0.25  # No view comes from below.
    found = psnr_db(colors[shown], wanted(points[shown]))
    assert found > 22, found
    mirrored = points[shown] * [-1, 1, 1]
    assert found > psnr_db(colors[shown], wanted(mirrored)) + 6
    field = field_files.load(done.field.path)
    again = uses.values(field, points[shown].astype(np.float32))
    assert psnr_db(again, colors[shown]) > 30
    mesh = wild.read(done.textured.path)
    assert np.ptp(mesh.positions, axis=0) == pytest.approx([6, 6, 6], rel=0.01)
    log, metadata = tensors.load(done.log.path)
    assert log["loss"][-10:].mean() < log["loss"][:10].mean() and metadata["clip_threshold"] > 0


def test_it_can_start_from_the_look_that_the_mesh_has(inputs, tmp_path) -> None:
    """Without iterations worth the name the old colors are still there."""
    shape = ball(3)
    colors = np.concatenate([wanted(np.asarray(shape.vertices)), np.ones((642, 1))], axis=1)
    mesh = gltf.Mesh(
        np.asarray(shape.vertices, np.float32), np.asarray(shape.faces),
        colors=srgb.decode(colors[:, :3]).astype(np.float32),
    )  # fmt: skip
    gltf.save(mesh, tmp_path / "ball.glb")
    given = replace(inputs, mesh=MeshFile(tmp_path / "ball.glb"))
    config = replace(
        SMALL, iterations=1, rate=1e-6, start="own", front_deg=0.0, texture_size_px=256,
        detail=1.0,
    )  # fmt: skip
    done = paint(given, config, context(tmp_path))
    field = field_files.load(done.field.path)
    points = np.asarray(shape.triangles_center)
    assert psnr_db(uses.values(field, points.astype(np.float32)), wanted(points)) > 26


# --- exactness ---


def test_two_threads_give_the_same_bytes_as_one(inputs, whole, tmp_path) -> None:
    paint(inputs, SMALL, context(tmp_path, threads=2))
    assert results(tmp_path) == results(whole)


@pytest.mark.parametrize("stop_at", [1, 6, 11])
def test_interrupted_and_continued_gives_the_same_bytes(inputs, whole, tmp_path, stop_at) -> None:
    with pytest.raises(Killed):
        paint(inputs, SMALL, context(tmp_path, stop_at=stop_at))
    assert not list((tmp_path / "out").iterdir())
    paint(inputs, SMALL, context(tmp_path))
    assert results(tmp_path) == results(whole)


# --- bad input ---


@pytest.mark.parametrize(
    "line, said",
    [
        (["nowhere.glb", "--prompt", "a ball"], "nowhere.glb: no such file"),
        (["empty.obj", "--prompt", "a ball"], "empty.obj"),
        (["ball.glb", "--prompt", "  "], "the prompt is empty"),
        (["ball.glb", "--prompt", "a ball", "--guidance", "./none/at/all"], "--guidance"),
        (["ball.glb", "--prompt", "a ball", "--set", "texture.loss=vsd"], "loss"),
        (["ball.glb", "--prompt", "a ball", "--set", "texture.light.ambient=2"], "light.ambient"),
    ],
)
def test_what_cannot_be_painted(line, said, inputs, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ball.glb").write_bytes(inputs.mesh.path.read_bytes())
    (tmp_path / "empty.obj").write_text("v 0 0 0\n")
    assert main(["texture", *line, "--out", "run"]) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error


def test_the_command_paints(inputs, tmp_path, monkeypatch, capsys) -> None:
    """With the built-in model."""
    monkeypatch.chdir(tmp_path)
    line = [
        "texture", str(inputs.mesh.path), "--prompt", "a red mushroom", "--out", "run",
        "--set", "texture.iterations=1", "--set", "texture.start=gray",
        "--set", "texture.texture_size_px=64", "--set", "texture.samples=1",
    ]  # fmt: skip
    assert main(line) == 0
    assert "took" in capsys.readouterr().out
    assert wild.read(tmp_path / "run/latest/texture/textured.glb").materials[0].base_color
    assert main(line) == 0
    assert "reused" in capsys.readouterr().out
