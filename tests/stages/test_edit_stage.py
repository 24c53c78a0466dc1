"""Editing by a picture as a whole: what moves, what stays, going on after an interruption."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from splatworks.pipeline.cli import main
from splatworks.pipeline.errors import InputError
from splatworks.stages.artifacts import CameraFile, ImagesDir, PictureFile
from splatworks.stages.edit import Config, Inputs, run
from splatworks.stages.edit.settings import Coarse, Fine, Matching, Rigidity, Texture
from splatworks.stages.edit.texture import Wish, painted, solved, split, system
from splatworks.stages.formats import cameras as camera_files
from splatworks.stages.formats import splats
from splatworks.stages.formats.splats import RawSplats

from .edit_setup import (
    camera,
    patched,
    picture,
    right_shifted,
    two_balls,
    with_harmonics,
    write_png,
)
from .splat_objects import context, saved, sphere

QUICK = Config(
    coarse=Coarse(iterations=60, anchors=60, place_rate=0.015, group_iterations=20),
    fine=Fine(iterations=15),
    what="geometry",
)


def inputs_for(folder: Path, scene: RawSplats, edited: np.ndarray, view, mask=None) -> Inputs:
    folder.mkdir(parents=True, exist_ok=True)
    return Inputs(
        splats=saved(scene, folder / "in.ply"),
        camera=CameraFile(camera_files.save(view, folder / "in.camera.json")),
        image=PictureFile(write_png(edited, folder / "edited.png")),
        mask=mask,
    )


def psnr(left: np.ndarray, right: np.ndarray) -> float:
    return float(-10 * np.log10(np.square(left - right).mean() + 1e-12))


def report(out) -> dict:
    return json.loads((out.report.path / "report.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def shifted(tmp_path_factory):
    """The right one of two balls goes up by more than its diameter."""
    folder = tmp_path_factory.mktemp("shift")
    scene, view = with_harmonics(two_balls(150), 1), camera(64)
    goal = right_shifted(scene, [0.0, 0.55, 0.0])
    inputs = inputs_for(folder, scene, picture(goal, view), view)
    return scene, goal, view, run(inputs, QUICK, context(folder)), inputs, folder


def test_a_shift_is_found(shifted) -> None:
    scene, goal, view, out, *_ = shifted
    after = splats.load(out.splats.path)
    start = psnr(picture(scene, view), picture(goal, view))
    assert psnr(picture(after, view), picture(goal, view)) > start + 10
    right = scene.means[:, 0] > 0
    way = after.means[right] - scene.means[right]
    assert np.median(way[:, 1]) == pytest.approx(0.55, abs=0.05)
    assert np.abs(np.median(way[:, [0, 2]], axis=0)).max() < 0.05


def test_the_hidden_side_comes_along(shifted) -> None:
    scene, _, _, out, *_ = shifted
    after = splats.load(out.splats.path)
    back = (scene.means[:, 0] > 0) & (scene.means[:, 2] < -0.1)
    assert back.sum() > 20
    assert (after.means - scene.means)[back, 1].min() > 0.35


def test_what_the_edit_does_not_touch_is_bit_identical(shifted) -> None:
    scene, _, _, out, *_ = shifted
    after = splats.load(out.splats.path)
    left = scene.means[:, 0] < 0
    for name in ("means", "log_scales", "logit_opacities", "quaternions", "sh"):
        assert np.array_equal(getattr(after, name)[left], getattr(scene, name)[left]), name
    figures = report(out)
    assert figures["untouched"] >= left.sum()
    assert figures["moved"] <= (~left).sum()
    assert figures["moved_by_median"] == pytest.approx(0.55, abs=0.05)
    assert figures["difference_after"] < 0.4 * figures["difference_before"]
    # From 300 degrees, the ball that stays is before the other one.
    assert figures["other_views_deg"] == [60.0, 180.0, 320.0]


def test_opacities_and_colors_stay_in_an_edit_of_the_geometry(shifted) -> None:
    scene, _, _, out, *_ = shifted
    after = splats.load(out.splats.path)
    assert np.array_equal(after.logit_opacities, scene.logit_opacities)
    assert np.array_equal(after.sh[:, 0], scene.sh[:, 0])


def test_interrupted_and_run_again_gives_the_same_bytes(shifted, tmp_path) -> None:
    _, _, _, out, inputs, _ = shifted
    wanted = hashlib.sha256(out.splats.path.read_bytes()).hexdigest()
    config = replace(QUICK, checkpoint_every_s=0.0, preview_every_s=1e9)
    for iterations_until in (23, 66, 88):
        folder = tmp_path / str(iterations_until)
        base = context(folder)
        with pytest.raises(KeyboardInterrupt):
            run(inputs, config, replace(base, progress=stopping(iterations_until)))
        assert list(base.scratch.glob("*.safetensors"))
        again = run(inputs, config, replace(base, threads=2))
        assert hashlib.sha256(again.splats.path.read_bytes()).hexdigest() == wanted


def stopping(after: int):
    """A progress bar at which somebody loses patience."""
    from contextlib import contextmanager

    seen = [0]

    @contextmanager
    def progress(title: str, total: int, done: int = 0):
        class Bar:
            def advance(self, steps: int = 1, note: str = "") -> None:
                seen[0] += steps
                if seen[0] > after:
                    raise KeyboardInterrupt

        yield Bar()

    return progress


def test_without_the_positional_loss_a_long_shift_is_not_found(shifted, tmp_path) -> None:
    _scene, goal, view, out, inputs, _ = shifted
    config = replace(
        QUICK, matching=Matching(weight=0.0, find_pairs=False), fine=Fine(iterations=0)
    )
    alone = run(inputs, config, context(tmp_path))
    score = [
        psnr(picture(splats.load(one.splats.path), view), picture(goal, view))
        for one in (alone, out)
    ]
    assert score[1] > score[0] + 4


def test_an_unchanged_picture_returns_the_same_bytes(tmp_path) -> None:
    scene, view = two_balls(100), camera(48)
    inputs = inputs_for(tmp_path / "in", scene, picture(scene, view), view)
    out = run(inputs, Config(), context(tmp_path / "run"))
    assert out.splats.path.read_bytes() == inputs.splats.path.read_bytes()
    assert report(out)["untouched"] == len(scene)


def test_the_picture_of_an_edit_changes_the_edited_scene_no_more(shifted, tmp_path) -> None:
    *_, view, out, _, _ = shifted
    after = splats.load(out.splats.path)
    inputs = inputs_for(tmp_path / "in", after, picture(after, view), view)
    again = run(inputs, QUICK, context(tmp_path / "run"))
    assert again.splats.path.read_bytes() == inputs.splats.path.read_bytes()


# Repainting


def painted_ball():
    scene, view = patched(sphere(500, 0.4)), camera(64)
    own = picture(scene, view)
    edited = own.copy()
    edited[24:40, 24:40] = [0.9, 0.85, 0.1]
    mask = np.zeros((64, 64), bool)
    mask[24:40, 24:40] = True
    return scene, view, edited, mask


def test_a_patch_is_repainted_and_geometry_stays(tmp_path) -> None:
    scene, view, edited, mask = painted_ball()
    inputs = inputs_for(tmp_path / "in", scene, edited, view)
    config = Config(what="texture", texture=Texture(rounds=0))
    out = run(inputs, config, context(tmp_path / "run"))
    after = splats.load(out.splats.path)
    for name in ("means", "log_scales", "logit_opacities", "quaternions"):
        assert np.array_equal(getattr(after, name), getattr(scene, name))
    now = picture(after, view)
    inner = np.zeros_like(mask)
    inner[27:37, 27:37] = True
    assert np.abs(now - edited)[inner].mean() < 0.05
    assert psnr(now[~mask], picture(scene, view)[~mask]) > 22
    back = scene.means[:, 2] < 0
    assert np.array_equal(after.sh[back], scene.sh[back])


def test_a_wide_gaussian_that_reaches_into_the_mask_keeps_its_color() -> None:
    """And no color leaves 0 to 1."""
    from splatworks.stages.scene.affine import joined

    scene, view, edited, mask = painted_ball()
    wide = sphere(1, 0.01, (0.0, 0.0, 0.55), opacity=0.5)
    wide = replace(wide, log_scales=np.full((1, 3), np.log(0.3), np.float32))
    both = joined([scene, wide], scene)
    edited[mask] = [0.0, 0.0, 1.0]
    wish = Wish(view, edited.astype(np.float32), mask, np.ones(3, np.float32))
    found = painted(both, [wish], Texture(rounds=2), lambda _: None)
    (row,) = np.flatnonzero(found.origin == len(scene))
    assert np.array_equal(found.splats.sh[row], both.sh[-1])
    seen = 0.28209479 * found.splats.sh[:, 0] + 0.5
    assert seen.min() > -1e-5
    assert seen.max() < 1 + 1e-5


def test_splitting_paints_finer_than_the_gaussians_are() -> None:
    _scene, view, edited, mask = painted_ball()
    coarse = patched(sphere(120, 0.4))
    checks = np.indices((16, 16)).sum(axis=0) // 4 % 2
    edited[24:40, 24:40] = np.where(checks[..., None], [0.95, 0.9, 0.9], [0.1, 0.1, 0.2])
    wish = Wish(view, edited.astype(np.float32), mask, np.ones(3, np.float32))
    plain = painted(coarse, [wish], Texture(rounds=0), lambda _: None)
    fine = painted(coarse, [wish], Texture(rounds=3), lambda _: None)
    assert fine.error_after < 0.8 * plain.error_after
    assert len(coarse) < len(fine.splats) <= 1.5 * len(coarse) + 3
    kept = np.bincount(fine.origin, minlength=len(coarse)) == 1
    assert (fine.origin < len(coarse)).all()
    assert kept.sum() > 0.5 * len(coarse)


def test_a_split_gaussian_looks_about_the_same() -> None:
    scene, view = patched(sphere(120, 0.4)), camera(64)
    parts, parents = split(scene, np.arange(0, 120, 3))
    assert len(parts) == len(parents) == 120 + 3 * 40
    assert psnr(picture(parts, view), picture(scene, view)) > 27
    unsplit = parents[: 120 - 40]
    assert np.array_equal(parts.means[:80], scene.means[unsplit])
    for parent in (0, 3, 117):
        own = parts.means[parents == parent]
        assert np.allclose(own.mean(axis=0), scene.means[parent], atol=1e-6)


def test_repainting_solves_its_least_squares() -> None:
    """No other change of the colors has a smaller sum of squares."""
    scene, view, edited, mask = painted_ball()
    wish = Wish(view, edited.astype(np.float32), mask, np.ones(3, np.float32))
    problem = replace(
        system(scene, [wish]), low=np.full((500, 3), -9.0), high=np.full((500, 3), 9.0)
    )
    settings = Texture(iterations=400, keep=0.02)
    found = solved(problem, settings)

    def cost(x: np.ndarray) -> float:
        off = problem.matrix @ x - problem.residual
        return np.square(off).sum() + settings.keep * np.square(x).sum()

    rng = np.random.default_rng(0)
    for _ in range(20):
        step = 0.02 * rng.standard_normal(found.shape) * problem.free[:, None]
        assert cost(found) < cost(found + step) + 1e-6
    assert not found[~problem.free].any()
    assert cost(found) < 0.2 * cost(0 * found)


def test_auto_tells_a_recoloring_from_a_move(tmp_path) -> None:
    scene, view, edited, _ = painted_ball()
    config = replace(QUICK, what="auto")
    out = run(inputs_for(tmp_path / "in", scene, edited, view), config, context(tmp_path / "run"))
    figures = report(out)
    assert figures["recolored"] > 0
    assert figures["moved"] == 0
    assert "difference_coarse" not in figures


@pytest.mark.parametrize("what", ["auto", "texture", "remove"])
def test_paint_where_nothing_is_is_refused(tmp_path, what) -> None:
    scene, view = two_balls(150), camera(48)
    edited = picture(scene, view)
    edited[1:6, 2:40] = [0.1, 0.2, 0.9]
    inputs = inputs_for(tmp_path / "in", scene, edited, view)
    with pytest.raises(InputError, match="nothing of the scene lies under the edit"):
        run(inputs, replace(QUICK, what=what), context(tmp_path / "run"))


# Several views, and the command line


def test_two_views_fix_the_depth_that_one_leaves_open(tmp_path) -> None:
    scene = two_balls(150)
    goal = right_shifted(scene, [0.0, 0.15, 0.25])
    views = [camera(48), camera(48, azimuth_deg=90.0)]
    folder = tmp_path / "views"
    folder.mkdir()
    for number, view in enumerate(views):
        write_png(picture(goal, view), folder / f"{number:03d}.png")
    both = replace(
        views[0],
        world_to_camera=torch.cat([v.world_to_camera for v in views]),
        focal_px=torch.cat([v.focal_px for v in views]),
        center_px=torch.cat([v.center_px for v in views]),
    )
    inputs = Inputs(
        splats=saved(scene, tmp_path / "in.ply"),
        camera=CameraFile(camera_files.save(both, folder / "cameras.json")),
        image=ImagesDir(folder),
    )
    config = replace(QUICK, fine=Fine(iterations=0))
    out = run(inputs, config, context(tmp_path / "run"))
    after = splats.load(out.splats.path)
    right = scene.means[:, 0] > 0
    way = np.median((after.means - scene.means)[right], axis=0)
    assert way == pytest.approx([0.0, 0.15, 0.25], abs=0.06)


def test_numbers_of_pictures_and_cameras_must_agree(tmp_path) -> None:
    scene, view = two_balls(30), camera(32)
    inputs = inputs_for(tmp_path / "in", scene, picture(scene, view), view)
    folder = tmp_path / "views"
    folder.mkdir()
    with pytest.raises(InputError, match="holds 1 cameras for 0"):
        run(replace(inputs, image=ImagesDir(folder)), Config(), context(tmp_path / "run"))


@pytest.fixture(scope="module")
def rendered(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("commands")
    saved(two_balls(150), folder / "scene.ply")
    words = ["--orbit", "3", "--size", "48x40", "--out", str(folder / "views")]
    assert main(["render", str(folder / "scene.ply"), *words]) == 0
    return folder


def test_render_writes_a_camera_beside_each_picture(rendered: Path) -> None:
    names = sorted(path.name for path in (rendered / "views").iterdir())
    assert names == sorted(f"00{k}.{end}" for k in range(3) for end in ("camera.json", "png"))
    view = camera_files.load(rendered / "views" / "001.camera.json")
    assert (view.width_px, view.height_px) == (48, 40)
    with Image.open(rendered / "views" / "001.png") as image:
        shown = np.asarray(image) / 255
    own = picture(splats.load(rendered / "scene.ply"), view)
    assert np.abs(own.clip(0, 1) - shown).max() <= 0.51 / 255
    assert 0.03 < (shown < 0.99).any(axis=-1).mean() < 0.9


def test_render_never_writes_over_a_picture(rendered: Path, capsys) -> None:
    words = ["--orbit", "1", "--size", "48x40", "--out", str(rendered / "views")]
    assert main(["render", str(rendered / "scene.ply"), *words]) == 2
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["--orbit", "3", "--camera", "x.json"],
        [],
        ["--orbit", "0"],
        ["--orbit", "2", "--size", "large"],
        ["--orbit", "1", "--out", "none.jpg"],
    ],
)
def test_render_explains_what_it_can_not_do(rendered: Path, words: list[str], capsys) -> None:
    out = ["--out", str(rendered / "none")]
    assert main(["render", str(rendered / "scene.ply"), *out, *words]) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert not (rendered / "none").exists()


def edit_words(folder: Path, image: Path, out: str) -> list[str]:
    view = str(folder / "views" / "000.camera.json")
    return ["edit", str(folder / "scene.ply"), "--camera", view, "--image", str(image),
            "--out", str(folder / out)]  # fmt: skip


def test_the_command_repaints_and_can_be_repeated(rendered: Path, capsys) -> None:
    with Image.open(rendered / "views" / "000.png") as image:
        pixels = np.asarray(image).copy()
    view = camera_files.load(rendered / "views" / "000.camera.json")
    scene = splats.load(rendered / "scene.ply")
    # Where nothing of the background shows: it can not be painted.
    shown = np.abs(picture(scene, view) - picture(scene, view, 0.0)).max(axis=-1) < 0.05
    assert shown.mean() > 0.1
    pixels[shown] = pixels[shown] // 2
    path = write_png(pixels / 255, rendered / "edited.png")
    words = [*edit_words(rendered, path, "run"), "--what", "texture"]
    assert main(words) == 0
    assert "recolored" in capsys.readouterr().out
    assert main(words) == 0
    assert "reused" in capsys.readouterr().out
    after = splats.load(rendered / "run" / "latest" / "edit" / "scene.ply")
    now = picture(after, view)
    assert np.abs(now - pixels / 255)[shown].mean() < 0.06


def test_the_command_says_that_nothing_was_edited(rendered: Path, capsys) -> None:
    words = edit_words(rendered, rendered / "views" / "000.png", "same")
    assert main(words) == 0
    assert "the picture shows no edit" in capsys.readouterr().out
    result = rendered / "same" / "latest" / "edit" / "scene.ply"
    assert result.read_bytes() == (rendered / "scene.ply").read_bytes()


def test_the_command_explains_bad_input(rendered: Path, capsys) -> None:
    absent = edit_words(rendered, rendered / "none.png", "bad")
    assert main(absent) == 2
    assert "no such file" in capsys.readouterr().err
    words = edit_words(rendered, rendered / "views" / "000.png", "bad")
    assert main([*words, "--image", str(rendered / "views" / "001.png")]) == 2
    assert "1 --camera and 2 --image" in capsys.readouterr().err
    assert main([words[0], words[1], "--out", words[-1]]) == 2
    assert "Give the edited picture, and the camera file" in capsys.readouterr().err
    swapped = list(words)
    swapped[3] = swapped[5]
    assert main(swapped) == 2
    assert "000.png: no camera file. Take the .camera.json" in capsys.readouterr().err
    assert not (rendered / "bad").exists()
    empty = rendered / "empty.ply"
    text = (rendered / "scene.ply").read_bytes().partition(b"end_header\n")[0]
    empty.write_bytes(text.replace(b"vertex 300", b"vertex 0") + b"end_header\n")
    words[1] = str(empty)
    assert main(words) == 2
    assert "holds no Gaussians" in capsys.readouterr().err


def test_what_was_erased_is_painted_and_removing_it_is_offered(rendered: Path, capsys) -> None:
    with Image.open(rendered / "views" / "000.png") as image:
        pixels = np.asarray(image).copy()
    pixels[:, 24:] = 255
    path = write_png(pixels / 255, rendered / "erased.png")
    quick = ["coarse.iterations=3", "coarse.limbs=false", "coarse.anchors=40", "texture.rounds=0"]
    words = edit_words(rendered, path, "erased")
    assert main([*words, *(word for one in quick for word in ("--set", f"edit.{one}"))]) == 0
    assert "--what remove takes it out" in capsys.readouterr().err
    assert main([*words, "--what", "remove", "--set", "edit.removal.iterations=3"]) == 0
    assert "--what remove" not in capsys.readouterr().err


@pytest.mark.parametrize("below", [False, True])
def test_a_file_for_a_run_directory_is_said_and_left_alone(rendered: Path, below, capsys) -> None:
    file = rendered / f"taken-{below}"
    file.write_text("mine")
    out = str(file / "run" if below else file)
    words = edit_words(rendered, rendered / "views" / "000.png", out)
    words[-1] = out
    assert main(words) == 2
    assert "is a file, or lies below one" in capsys.readouterr().err
    assert file.read_text() == "mine"
    made = ["render", str(rendered / "scene.ply"), "--orbit", "1", "--out", out]
    assert main(made) == 2
    assert "expected a directory" in capsys.readouterr().err or not below


def test_settings_out_of_range_are_named() -> None:
    for settings in (
        lambda: Matching(color=1.5),
        lambda: Matching(leaving=0.0),
        lambda: Rigidity(eta=1.0),
        lambda: Coarse(anchors=0),
        lambda: Fine(last_rate=0.0),
        lambda: Texture(keep=-1.0),
        lambda: Config(explained=2.0),
    ):
        with pytest.raises(ValueError, match="must"):
            settings()


# A second surface


def with_a_wall(scene: RawSplats) -> RawSplats:
    """A gray wall behind."""
    from splatworks.stages.scene.affine import joined

    from .splat_objects import raw

    rows, columns = np.meshgrid(np.linspace(-0.9, 0.9, 26), np.linspace(-0.9, 0.9, 26))
    means = np.stack([columns.ravel(), rows.ravel(), np.full(676, -0.6)], axis=1)
    shade = 0.5 + 0.2 * np.sin(5 * means[:, :1]) * np.ones(3)
    wall = raw(means, np.tile([0.06, 0.06, 0.01], (676, 1)),
               np.tile([1.0, 0, 0, 0], (676, 1)), np.full(676, 0.97), shade)  # fmt: skip
    return joined([scene, wall], scene)


def test_a_wall_behind_the_edited_ball_stays(tmp_path) -> None:
    balls, view = two_balls(150), camera(64)
    scene = with_a_wall(balls)
    right = (scene.means[:, 0] > 0) & (scene.means[:, 2] > -0.4)
    goal = right_shifted(balls, [0.0, 0.25, 0.0])
    shown = picture(with_a_wall(goal), view)
    out = run(inputs_for(tmp_path / "in", scene, shown, view), QUICK, context(tmp_path / "run"))
    after = splats.load(out.splats.path)
    way = after.means - scene.means
    assert np.median(way[right, 1]) == pytest.approx(0.25, abs=0.05)
    wall = scene.means[:, 2] < -0.5
    assert (way[wall] == 0).all(axis=1).mean() > 0.95
    assert np.abs(way[wall]).max() < 0.03


def test_the_front_layer_is_cut_at_the_widest_gap_in_depth() -> None:
    from splatworks.stages.edit.reach import front_layer

    depths = np.array([2.0, 1.0, 1.05, 2.1, 1.02, 9.0])
    weights = np.array([3.0, 2.0, 2.0, 3.0, 1.0, 0.0])
    assert front_layer(depths, weights).tolist() == [False, True, True, False, True, False]
    smooth = np.linspace(1, 1.5, 50)
    assert front_layer(smooth, np.ones(50)).all()
    few = front_layer(np.array([1.0, 2.0]), np.array([0.06, 9.0]))
    assert few.tolist() == [True, True]  # Too little in front to be a surface.


# Removal


def test_a_removed_ball_goes_with_its_back_and_the_wall_behind_stays(tmp_path) -> None:
    from splatworks.stages.scene.affine import take

    balls, view = two_balls(150), camera(64)
    scene = with_a_wall(balls)
    right = (scene.means[:, 0] > 0) & (scene.means[:, 2] > -0.4)
    goal = take(scene, ~right)
    inputs = inputs_for(tmp_path / "in", scene, picture(goal, view), view)
    out = run(inputs, Config(what="remove"), context(tmp_path / "run"))
    after = splats.load(out.splats.path)
    left = {tuple(row) for row in after.means.tolist()}
    kept = np.array([tuple(row) in left for row in scene.means.tolist()])
    assert kept[right].mean() < 0.05
    back = right & (scene.means[:, 2] < -0.08)
    assert kept[back].mean() < 0.1
    assert kept[~right].mean() > 0.99
    assert report(out)["removed"] == (~kept).sum()
    assert report(out)["untouched"] == len(after)
    assert psnr(picture(after, view), picture(goal, view)) > 30


def test_removing_everything_is_refused(tmp_path) -> None:
    scene, view = two_balls(60), camera(48)
    inputs = inputs_for(tmp_path / "in", scene, np.ones((48, 48, 3), np.float32), view)
    with pytest.raises(InputError, match="everything would be removed"):
        run(inputs, Config(what="remove"), context(tmp_path / "run"))
