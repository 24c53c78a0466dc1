"""Where the edit is, and pictures in the states that people save them in."""

import io
import logging
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from splatworks.pipeline.errors import InputError
from splatworks.stages.edit.difference import MARGIN_PX, difference
from splatworks.stages.edit.pictures_in import erased, retouched
from splatworks.stages.edit.resaved import as_saved
from splatworks.stages.geometry.activation import activate
from splatworks.stages.scene.affine import joined

from .edit_setup import camera, picture, right_shifted, two_balls, write_png
from .splat_objects import sphere

LOG = logging.getLogger("splatworks.test")


def textured(size: int = 96) -> np.ndarray:
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:size, :size] / size
    base = np.stack([rows, columns, 0.5 + 0.3 * np.sin(20 * rows * columns)], axis=-1)
    return (base + 0.1 * rng.standard_normal(base.shape)).clip(0, 1).astype(np.float32)


def overlap(found: np.ndarray, truth: np.ndarray) -> float:
    return (found & truth).sum() / (found | truth).sum()


def test_the_same_picture_differs_nowhere() -> None:
    own = textured()
    assert not difference(own, own).mask.any()


@pytest.mark.parametrize("quality", [95, 80, 60])
def test_jpeg_is_no_edit(quality: int) -> None:
    own = textured()
    file = io.BytesIO()
    Image.fromarray((own * 255).round().astype(np.uint8)).save(file, "JPEG", quality=quality)
    again = np.asarray(Image.open(file)).astype(np.float32) / 255
    found = difference(own, again)
    assert not found.mask.any()
    assert found.noise > 0.003


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.05])
def test_a_repainted_patch_is_found_through_noise(noise: float) -> None:
    own = textured()
    edited = own + noise * np.random.default_rng(1).standard_normal(own.shape).astype(np.float32)
    truth = np.zeros(own.shape[:2], bool)
    truth[30:60, 20:50] = True
    edited[truth] = [0.9, 0.1, 0.1]
    found = difference(own, edited.clip(0, 1))
    assert overlap(found.mask, truth) > 0.5
    rows, columns = np.nonzero(found.mask)
    assert rows.min() >= 30 - MARGIN_PX - 3
    assert columns.max() <= 50 + MARGIN_PX + 3
    assert found.mask[truth].mean() > 0.98


def test_a_thin_stroke_is_found() -> None:
    own = textured()
    edited = own.copy()
    edited[40:42, 10:80] = [1.0, 0.0, 1.0]
    found = difference(own, edited)
    assert found.mask[40:42, 12:78].mean() > 0.9
    assert found.mask.mean() < 0.15


def test_a_faint_recoloring_is_found() -> None:
    own = textured()
    edited = own.copy()
    edited[20:70, 20:70] += np.array([0.08, 0.0, -0.08], np.float32)
    assert difference(own, edited.clip(0, 1)).mask[25:65, 25:65].mean() > 0.95


def test_a_single_bad_pixel_is_no_edit() -> None:
    own = textured()
    edited = own.copy()
    edited[50, 50] = 1 - edited[50, 50].round()
    assert not difference(own, edited).mask.any()


@pytest.fixture(scope="module")
def on_white():
    """Textured, and small before a flat background, which says nothing about noise."""
    own = np.ones((96, 128, 3), np.float32)
    own[30:62, 20:110] = textured()[:32, :90]
    return own


def saved_as(pixels: np.ndarray, **options) -> tuple[np.ndarray, bytes]:
    file = io.BytesIO()
    Image.fromarray(np.rint(pixels * 255).astype(np.uint8)).save(file, **options)
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB")).astype(np.float32) / 255, file.getvalue()


@pytest.mark.parametrize(
    "options",
    [
        {"format": "JPEG", "quality": 78},
        {"format": "JPEG", "quality": 33},
        {"format": "JPEG", "quality": 52, "subsampling": 1},
        {"format": "WEBP", "quality": 52},
    ],
)
def test_compression_of_an_object_on_white_is_no_edit_and_paint_under_it_is(
    on_white, options
) -> None:
    again, data = saved_as(on_white, **options)
    assert difference(on_white, again).mask.any()  # Taken at its word, it is one.
    assert not difference(as_saved(on_white, again, data), again).mask.any()
    painted = on_white.copy()
    painted[40:50, 50:70] = [0.9, 0.1, 0.1]
    truth = np.zeros(painted.shape[:2], bool)
    truth[40:50, 50:70] = True
    again, data = saved_as(painted, **options)
    found = difference(as_saved(on_white, again, data), again).mask
    assert found[truth].all()
    assert found.sum() < 8 * truth.sum()  # Blocks of 16 px are compressed together.


def test_a_jpeg_saved_as_png_is_still_known(on_white) -> None:
    again, _ = saved_as(on_white, format="JPEG", quality=60)
    same, png = saved_as(again, format="PNG")
    assert np.array_equal(same, again)
    assert not difference(as_saved(on_white, again, png), again).mask.any()


def test_what_no_compression_explains_is_compared_with_the_picture_itself(on_white) -> None:
    darker = 0.8 * on_white
    again, data = saved_as(darker, format="PNG")
    assert as_saved(on_white, again, data) is on_white
    assert as_saved(on_white, on_white, data) is on_white


def test_a_scene_darkened_all_over_is_edited_and_not_noisy() -> None:
    own = textured()
    assert difference(own, 0.85 * own).mask.mean() > 0.8


@pytest.fixture(scope="module")
def shown():
    splats = two_balls(150)
    view = camera(64)
    return splats, view, picture(splats, view), picture(right_shifted(splats, [0, 0.25, 0]), view)


def read(shown, path, **options):
    splats, view, *_ = shown
    settings = {"mask": None, "background": "auto", "log": LOG} | options
    return retouched(activate(splats), view, path, **settings)


def test_an_edit_on_the_other_background_is_found_as_well(shown, tmp_path) -> None:
    splats, view, *_ = shown
    black = picture(right_shifted(splats, [0, 0.25, 0]), view, background=0.0)
    shot = read(shown, write_png(black, tmp_path / "a.png"))
    assert shot.background.tolist() == [0, 0, 0]
    white = read(shown, write_png(shown[3], tmp_path / "b.png"))
    assert white.background.tolist() == [1, 1, 1]
    assert overlap(shot.mask, white.mask) > 0.8
    assert not white.mask[:, :25].any()


def test_a_transparent_picture_is_put_on_the_background(shown, tmp_path) -> None:
    _splats, _view, _own, edited = shown
    alpha = (edited < 0.999).any(axis=-1, keepdims=True).astype(np.float32)
    shot = read(shown, write_png(np.concatenate([edited * alpha, alpha], -1), tmp_path / "a.png"))
    plain = read(shown, write_png(edited, tmp_path / "b.png"))
    assert overlap(shot.mask, plain.mask) > 0.9


def test_fully_transparent_is_refused(shown, tmp_path) -> None:
    empty = np.zeros((64, 64, 4), np.float32)
    with pytest.raises(InputError, match="fully transparent"):
        read(shown, write_png(empty, tmp_path / "a.png"))


def test_another_size_of_the_same_shape_is_rescaled_with_a_warning(shown, tmp_path, caplog) -> None:
    write_png(shown[3], tmp_path / "small.png")
    with Image.open(tmp_path / "small.png") as image:
        image.resize((128, 128), Image.Resampling.BICUBIC).save(tmp_path / "a.png")
    with caplog.at_level(logging.WARNING):
        shot = read(shown, tmp_path / "a.png")
    assert "rescaled" in caplog.text
    plain = read(shown, write_png(shown[3], tmp_path / "b.png"))
    assert overlap(shot.mask, plain.mask) > 0.8


def test_another_shape_is_refused(shown, tmp_path) -> None:
    with pytest.raises(InputError, match="50 x 64 px, its camera 64 x 64"):
        read(shown, write_png(shown[3][:, :50], tmp_path / "a.png"))


def test_sixteen_bits_and_gray_are_read(shown, tmp_path) -> None:
    gray = np.rint(shown[2].mean(axis=-1) * 65535).astype(np.uint16)
    Image.fromarray(gray).save(tmp_path / "a.png")
    shot = read(shown, tmp_path / "a.png")
    assert shot.edited.shape == (64, 64, 3)
    assert np.abs(shot.edited.mean(axis=-1) - gray / 65535).max() < 0.01


def test_a_picture_of_another_camera_is_warned_about(shown, tmp_path, caplog) -> None:
    splats, *_ = shown
    near = camera(64, distance_m=0.75)
    with caplog.at_level(logging.WARNING):
        retouched(activate(splats), near, write_png(1 - picture(splats, near), tmp_path / "a.png"),
                  None, "white", LOG)  # fmt: skip
    assert "Is it of this camera?" in caplog.text


def test_a_small_object_from_the_other_side_is_warned_about_and_a_part_of_it_is_not(
    shown, tmp_path, caplog
) -> None:
    """However much flat background there is."""
    splats, _, _, part = shown
    with caplog.at_level(logging.WARNING):
        read(shown, write_png(part, tmp_path / "part.png"))
        assert not caplog.text
        other = picture(splats, camera(64, azimuth_deg=90))
        assert (other < 0.99).any(axis=-1).mean() < 0.2
        read(shown, write_png(other, tmp_path / "other.png"))
    assert "Is it of this camera?" in caplog.text


def test_lost_colors_are_warned_about(shown, tmp_path, caplog) -> None:
    gray = np.repeat(shown[2].mean(axis=-1, keepdims=True), 3, axis=-1)
    with caplog.at_level(logging.WARNING):
        read(shown, write_png(gray, tmp_path / "gray.png"))
    assert "gray.png: is gray, and the scene is not" in caplog.text
    assert "camera" not in caplog.text


def test_a_picture_that_was_made_smaller_and_is_blurred_by_it_is_no_edit(tmp_path, caplog) -> None:
    splats, view = two_balls(400), camera(64)
    dots = np.random.default_rng(0).uniform(-1, 1, splats.sh.shape).astype(np.float32)
    splats = replace(splats, sh=dots)
    write_png(picture(splats, view), tmp_path / "whole.png")
    with Image.open(tmp_path / "whole.png") as image:
        image.resize((16, 16), Image.Resampling.LANCZOS).save(tmp_path / "small.png")
    with caplog.at_level(logging.WARNING):
        shot = retouched(activate(splats), view, tmp_path / "small.png", None, "white", LOG)
    assert "rescaled" in caplog.text
    assert difference(shot.own, shot.edited).mask.any()  # Taken at its word, it is one.
    assert not shot.mask.any()


def test_erased_is_where_nothing_but_background_is_left(shown, tmp_path) -> None:
    _, _, own, part = shown
    gone = own.copy()
    gone[:, 32:] = 1.0
    assert erased(read(shown, write_png(gone, tmp_path / "gone.png")))
    assert not erased(read(shown, write_png(part, tmp_path / "part.png")))
    assert not erased(read(shown, write_png(own, tmp_path / "own.png")))


def test_a_camera_in_a_hollow_object_is_warned_about_and_one_in_a_room_is_not(
    shown, tmp_path, caplog
) -> None:
    path = write_png(shown[2], tmp_path / "a.png")

    def told(scene, eye: float) -> str:
        caplog.clear()
        here = camera(64)
        pose = here.world_to_camera.clone()
        pose[0, :3, 3] -= pose[0, :3, :3] @ pose.new_tensor([eye, 0.0, -2.0])
        retouched(activate(scene), replace(here, world_to_camera=pose), path, None, "white", LOG)
        return caplog.text

    with caplog.at_level(logging.WARNING):
        ball, room = sphere(400, 0.2), sphere(400, 1.0)
        both = joined([ball, replace(ball, means=ball.means + np.float32([1.5, 0, 0]))], ball)
        assert "walled in" in told(both, 0.0)
        assert "walled in" in told(both, 1.5)
        assert "walled in" not in told(both, 0.7)
        assert "walled in" not in told(room, 0.0)


def test_a_camera_inside_of_something_is_refused(shown, tmp_path) -> None:
    splats, view, own, _ = shown
    scene = activate(splats)
    means, scales = scene.means.clone(), scene.scales.clone()
    means[0] = means.new_tensor([0.0, 0.0, 2.0])
    scales[0] = 0.3
    path = write_png(own, tmp_path / "a.png")
    with pytest.raises(InputError, match="inside of 1 Gaussians"):
        retouched(replace(scene, means=means, scales=scales), view, path, None, "auto", LOG)


def test_a_mask_overrides_and_an_empty_one_is_refused(shown, tmp_path) -> None:
    mask = np.zeros((64, 64, 3), np.float32)
    path = write_png(shown[3], tmp_path / "a.png")
    with pytest.raises(InputError, match="empty"):
        read(shown, path, mask=write_png(mask, tmp_path / "m.png"))
    mask[10:20, 10:20] = 1
    shot = read(shown, path, mask=write_png(mask, tmp_path / "n.png"))
    assert shot.mask[10:20, 10:20].all()
    assert shot.mask.sum() <= 16 * 16


def test_no_picture_is_refused(shown, tmp_path) -> None:
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(InputError, match=r"a\.png: no readable picture \(none of PNG, "):
        read(shown, tmp_path / "a.png")
    with pytest.raises(InputError, match="no such file"):
        read(shown, tmp_path / "b.png")
