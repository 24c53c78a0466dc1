"""The parts of training on photographs: loading, the start, the loss, Markov chains, schedules."""

import logging
import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from PIL import Image
from splatworks.pipeline.errors import InputError
from splatworks.renderers import reference
from splatworks.renderers.scene import Cameras, Gaussians
from splatworks.stages.formats import captures
from splatworks.stages.formats.photos import load_all, target_of
from splatworks.stages.geometry.activation import Parameters, activate
from splatworks.stages.geometry.densify import born
from splatworks.stages.geometry.psnr import psnr_db
from splatworks.stages.reconstruct import Config, loss, mcmc
from splatworks.stages.reconstruct.loop import coefficients_at, halvings_at
from splatworks.stages.reconstruct.settings import Density, Rates, Start, Views
from splatworks.stages.reconstruct.start import extent_of, first_gaussians, focus_of

from . import photo_folders as made
from .splat_objects import sphere

NAMES = [entry.name for entry in fields(Parameters)]
LOG = logging.getLogger("reconstruct")


def photos(folder, max_side_px: int = 1000):
    return list(load_all(captures.load(folder).shots, max_side_px, LOG))


# --- photographs ---


def test_pixels_come_in_as_they_are(tmp_path) -> None:
    found = photos(made.nerfstudio(tmp_path / "n", 4))
    expected = made.pictures(made.cameras(4))
    for photo, pixels in zip(found, expected, strict=True):
        assert np.array_equal(photo.pixels.permute(1, 2, 0).numpy(), pixels)
        assert photo.alpha is None and photo.counts is None


def test_reducing_averages_and_scales_the_camera(tmp_path) -> None:
    whole, half = (photos(made.nerfstudio(tmp_path / n, 4), side)[1] for n, side in
                   (("a", 1000), ("b", 20)))  # fmt: skip
    expected = torch.nn.functional.avg_pool2d(whole.pixels.float()[None], 2)[0]
    assert (half.pixels.float() - expected).abs().max() <= 0.5
    assert half.lens.focal_px[0] == whole.lens.focal_px[0] / 2
    assert half.lens.center_px == (10, 10) and half.lens.width_px == 20


def test_reducing_before_straightening_changes_next_to_nothing(tmp_path) -> None:
    folder = made.nerfstudio(tmp_path / "n", 3, k1=0.1, behind=0.5)
    fine, coarse = (photos(folder, side)[1] for side in (1000, 10))
    expected = torch.nn.functional.avg_pool2d(fine.pixels.float()[None], 4)[0]
    assert (coarse.pixels.float() - expected).abs().mean() < 6  # Of 255, at 10 x 10 pixels.
    assert coarse.lens.focal_px[0] == pytest.approx(fine.lens.focal_px[0] / 4)
    assert coarse.lens.center_px == pytest.approx((5, 5)) and coarse.lens.is_straight


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK", "I;16"])
def test_every_kind_of_picture_becomes_rgb(tmp_path, mode) -> None:
    folder = made.nerfstudio(tmp_path / "n", 3)
    path = folder / "images" / "001.png"
    gray = Image.open(path).convert("L")
    if mode == "I;16":
        Image.fromarray(np.asarray(gray).astype(np.uint16) * 257).save(path)
    elif mode == "CMYK":
        gray.convert("CMYK").save(path.with_suffix(".jpg"), quality=98)
        path.unlink()
        made.edited(folder, lambda d: d["frames"][1].update(file_path="images/001.jpg"))
    else:
        gray.convert(mode).save(path)
    found = next(photo for photo in photos(folder) if photo.name.startswith("001"))
    tolerance = 6 if mode == "CMYK" else 1
    difference = found.pixels.float() - torch.from_numpy(np.array(gray)).float()
    assert difference.abs().max() <= tolerance
    assert (found.alpha is not None) == (mode in ("LA", "RGBA"))


def test_alpha_is_premultiplied(tmp_path) -> None:
    folder = made.blender(tmp_path / "b")
    path = folder / "test" / "r_6.png"
    pixels = np.array(Image.open(path))
    pixels[pixels[..., 3] == 0] = (200, 100, 50, 0)  # A color where nothing is.
    pixels[20, 20, 3] = 128
    Image.fromarray(pixels).save(path)
    shot = photos(folder)[0]
    assert shot.name == "r_6.png" and shot.alpha is not None
    half = np.rint(pixels[20, 20, :3].astype(float) * 128 / 255)
    assert shot.pixels[:, 20, 20].tolist() == half.tolist()
    target = target_of(shot, 0, "cpu")
    on_white = loss.wanted(target, torch.ones(3))
    outside = shot.alpha[0] == 0
    assert outside.any() and (on_white[:, outside] == 1).all()
    assert (loss.wanted(target, torch.zeros(3))[:, outside] == 0).all()


def test_masks_and_bent_corners_do_not_count(tmp_path) -> None:
    folder = made.nerfstudio(tmp_path / "n", 3, k1=0.8)
    mask = np.full((made.SIZE, made.SIZE), 255, np.uint8)
    mask[:, :10] = 0
    Image.fromarray(mask).save(folder / "mask.png")
    made.edited(folder, lambda d: d["frames"][0].update(mask_path="mask.png"))
    masked, bent, _ = photos(folder)
    assert bent.counts is not None and not bent.counts[0, 0, 0] and bent.counts[0, 20, 20]
    assert masked.counts is not None and not masked.counts[0, 20, 3] and masked.counts[0, 20, 30]
    assert target_of(masked, 1, "cpu").counts is not None


def test_sizes_that_do_not_fit_their_cameras(tmp_path, caplog) -> None:
    folder = made.nerfstudio(tmp_path / "n", 4)
    path = folder / "images" / "002.png"
    Image.open(path).resize((80, 80)).save(path)
    found = photos(folder)
    assert found[2].lens.focal_px[0] == pytest.approx(2 * found[1].lens.focal_px[0])
    assert "1 of 4 photographs have another size" in caplog.text
    Image.open(path).resize((80, 40)).save(path)
    with pytest.raises(InputError, match=r"002.png: 80 x 40 px, but its camera says 40 x 40"):
        photos(folder)


def test_exif_turns_are_followed_where_the_camera_asks_for_it(tmp_path, caplog) -> None:
    folder = made.nerfstudio(tmp_path / "n", 3, h=20, cy=10.0)
    upright = Image.fromarray(np.arange(800, dtype=np.uint8).reshape(20, 40))
    exif = Image.Exif()
    exif[0x0112] = 6  # To be shown turned by a quarter.
    for k in range(3):
        path = folder / "images" / f"{k:03d}.png"
        upright.save(path)
    upright.transpose(Image.Transpose.ROTATE_90).save(folder / "images" / "001.png", exif=exif)
    found = photos(folder)
    assert torch.equal(found[1].pixels, found[0].pixels)
    assert "1 of 3 photographs were turned" in caplog.text
    upright.save(folder / "images" / "001.png", exif=exif)  # Its stored size fits: left alone.
    assert torch.equal(photos(folder)[1].pixels, found[0].pixels)


def test_an_unreadable_picture_is_named(tmp_path) -> None:
    folder = made.nerfstudio(tmp_path / "n", 3)
    (folder / "images" / "001.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"001.png: no readable picture"):
        photos(folder)


def test_the_pyramid_halves_pictures_and_cameras_alike(tmp_path) -> None:
    photo = photos(made.nerfstudio(tmp_path / "n", 3))[0]
    target = target_of(photo, 2, "cpu")
    assert target.rgb.shape == (3, 10, 10) and target.cameras.width_px == 10
    assert float(target.cameras.focal_px[0, 0]) == pytest.approx(photo.lens.focal_px[0] / 4)
    expected = torch.nn.functional.avg_pool2d(photo.pixels.float()[None] / 255, 4)[0]
    torch.testing.assert_close(target.rgb, expected)


# --- the start ---


def test_cameras_around_a_thing_look_at_it(tmp_path) -> None:
    found = photos(made.nerfstudio(tmp_path / "n", 8))
    center, radius = focus_of(found)
    assert center.norm() < 1e-5 and radius == pytest.approx(1.8, rel=1e-5)
    assert extent_of(found) == pytest.approx(1.1 * 1.8, rel=0.25)


def test_cameras_side_by_side_have_no_common_point() -> None:
    pose = torch.eye(4)
    eyes = [pose.clone() for _ in range(3)]
    for k, each in enumerate(eyes):
        each[0, 3] = k
    shots = [made_photo(each) for each in eyes]
    center, radius = focus_of(shots)
    assert torch.isfinite(center).all() and center[2] > 0.5 and radius > 0.5


def made_photo(pose: torch.Tensor):
    from splatworks.stages.formats.lens import Lens
    from splatworks.stages.formats.photos import Photo

    lens = Lens(width_px=8, height_px=8, focal_px=(8.0, 8.0), center_px=(4.0, 4.0))
    return Photo("x", lens, pose, torch.full((3, 8, 8), 51, dtype=torch.uint8), None, None)


def test_random_gaussians_have_the_color_of_what_sees_them(tmp_path) -> None:
    folder = made.nerfstudio(tmp_path / "n", 8)
    values = first_gaussians(photos(folder), None, Start(gaussians=400), 2, seed=3)
    again = first_gaussians(photos(folder), None, Start(gaussians=400), 2, seed=3)
    assert torch.equal(values.means, again.means) and values.sh.shape == (400, 9, 3)
    radius = values.means.norm(dim=1) / 0.9
    assert ((radius > 1).float().mean() - 0.5).abs() < 0.01 and radius.max() <= 16.01
    shot = [made_photo(torch.eye(4))]
    there = first_gaussians(shot, None, Start(gaussians=64, outside_share=0.0), 0, seed=0)
    colors = there.sh[:, 0] * 0.28209479177387814 + 0.5
    assert set(colors[:, 0].mul(100).round().int().tolist()) <= {20, 50}  # Seen, or gray.
    assert (values.log_scales == values.log_scales[:, :1]).all()


def test_points_of_the_capture_come_first(tmp_path) -> None:
    folder = made.colmap(tmp_path / "c", binary=True)
    capture = captures.load(folder)
    values = first_gaussians(photos(folder), capture.points, Start(), 0, seed=0)
    np.testing.assert_allclose(values.means.numpy(), capture.points.positions, rtol=1e-6)
    colors = values.sh[:, 0] * 0.28209479177387814 + 0.5
    np.testing.assert_allclose(colors.numpy(), capture.points.colors / 255, atol=1e-6)
    table = capture.points.positions
    distance = np.sort(np.linalg.norm(table[:, None] - table[None], axis=-1), axis=1)[:, 1:4]
    expected = np.sqrt((distance**2).mean(axis=1)).clip(max=0.18)
    np.testing.assert_allclose(values.log_scales[:, 0].exp().numpy(), expected, rtol=1e-4)


# --- the loss ---


def test_the_loss_by_hand_and_where_nothing_counts() -> None:
    rng = torch.Generator().manual_seed(0)
    a, b = torch.rand(2, 3, 12, 12, generator=rng, dtype=torch.float64).unbind()
    assert float(loss.photometric(a, b, None, 0.0)) == pytest.approx(float((a - b).abs().mean()))
    counts = torch.zeros(1, 12, 12, dtype=torch.float64)
    counts[:, :, :6] = 1
    a = a.requires_grad_()
    found = loss.photometric(a, b, counts, 0.2)
    found.backward()
    assert not a.grad[:, :, 6:].any() and a.grad[:, :, :6].all()
    b2 = b.clone()
    b2[:, :, 6:] = 0.123
    again = loss.photometric(a, b2, counts, 0.2).detach()
    assert float(again) == pytest.approx(float(found.detach()))
    a = a.detach()
    l1 = loss.photometric(a, b, counts, 0.0)
    assert float(l1) == pytest.approx(float((a - b).abs()[:, :, :6].mean()))


def test_psnr_by_hand() -> None:
    a, b = torch.zeros(3, 4, 4), torch.full((3, 4, 4), 0.1)
    assert psnr_db(a, b, None) == pytest.approx(20.0, abs=1e-5)
    assert psnr_db(a, a, None) == math.inf
    counts = torch.zeros(1, 4, 4)
    counts[0, 0, 0] = 1
    b[:, 0, 0] = 1.0
    assert psnr_db(a, b, counts) == pytest.approx(0.0, abs=1e-6)


# --- Markov chains ---


def front(size_px: int = 48) -> Cameras:
    pose = torch.eye(4, dtype=torch.float64)
    pose[2, 3] = 2.0
    return Cameras(
        pose[None], torch.full((1, 2), 40.0, dtype=torch.float64),
        torch.full((1, 2), size_px / 2, dtype=torch.float64), size_px, size_px,
    )  # fmt: skip


@pytest.mark.parametrize("count", [2, 5, 20])
def test_many_in_place_of_one_look_the_same(count) -> None:
    """By eq. 9 the summed light of all pixels stays. (Their profile changes a little.)"""
    opacity, scale = torch.tensor([0.8], dtype=torch.float64), torch.full((1, 3), 0.15).double()
    each, size = mcmc.shared_by(opacity, scale, torch.tensor([count]))
    assert 1 - (1 - float(each)) ** count == pytest.approx(0.8)

    def drawn(n: int, o: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        scene = Gaussians(
            means=torch.zeros(n, 3, dtype=torch.float64),
            quaternions=torch.tensor([[1.0, 0, 0, 0]], dtype=torch.float64).expand(n, 4),
            scales=s.expand(n, 3),
            opacities=o.expand(n),
            sh=torch.ones(n, 1, 3, dtype=torch.float64),
        )
        return reference.render(scene, front(), frozenset({"rgb", "alpha"})).alpha

    one, many = drawn(1, opacity, scale), drawn(count, each, size)
    middle = one[0, 24, 24, 0]
    assert float(many[0, 24, 24, 0]) == pytest.approx(float(middle), rel=0.02)
    # Along a line through the middle, where the equation was derived.
    assert float(many[0, 24].sum()) == pytest.approx(float(one[0, 24].sum()), rel=0.04)


def population(count: int = 60):
    raw = sphere(count, 0.5, (0, 0, 0))
    values = Parameters(*(torch.from_numpy(getattr(raw, name)).clone() for name in NAMES))
    return born(values)


def test_the_dead_move_to_the_living_and_rows_are_added() -> None:
    start = population()
    dead = torch.zeros(60, dtype=torch.bool)
    dead[10:20] = True
    done = mcmc.relocate(start, dead, 66, 0.005, torch.Generator().manual_seed(0))
    assert len(done) == 66
    alive = {tuple(row) for row in start.values.means[~dead].tolist()}
    assert all(tuple(row) in alive for row in done.values.means.tolist())
    assert not done.first.means[10:20].any() and len(done.first.means) == 66
    copies = torch.cat([done.values.means[10:20], done.values.means[60:]])
    for place in copies:
        same = (done.values.means == place).all(dim=1)
        opacities = torch.sigmoid(done.values.logit_opacities[same])
        assert len(opacities) >= 2 and torch.allclose(opacities, opacities[0])
        index = (start.values.means == place).all(dim=1) & ~dead
        whole = float(torch.sigmoid(start.values.logit_opacities[index])[0])
        assert 1 - (1 - float(opacities[0])) ** len(opacities) == pytest.approx(whole, abs=1e-4)
    untouched = [k for k in range(60) if not dead[k] and not
                 (copies == start.values.means[k]).all(dim=1).any()]  # fmt: skip
    for name in ("log_scales", "logit_opacities"):
        before, after = getattr(start.values, name), getattr(done.values, name)
        assert torch.equal(before[untouched], after[untouched])


def test_nothing_dead_and_no_room_changes_nothing() -> None:
    start = population()
    nobody = torch.zeros(60, dtype=torch.bool)
    assert mcmc.relocate(start, nobody, 60, 0.005, torch.Generator()) is start
    assert mcmc.relocate(start, ~nobody, 60, 0.005, torch.Generator()) is start


def test_noise_moves_the_transparent_within_their_extent() -> None:
    values = population().values
    flat = replace(values, log_scales=torch.tensor([[0.1, 0.1, 1e-4]]).log().expand(60, 3))
    thin = replace(flat, logit_opacities=torch.full((60,), -9.0))
    moved = mcmc.noise(thin, 1e-2, 1.0, torch.Generator().manual_seed(0))
    solid = replace(flat, logit_opacities=torch.full((60,), 4.0))
    still = mcmc.noise(solid, 1e-2, 1.0, torch.Generator().manual_seed(0))
    assert still.abs().max() < 1e-20 < moved.abs().mean()
    # Covariance times noise: along the thin axis next to nothing.
    from splatworks.renderers.projection import rotation_matrices

    normal = rotation_matrices(flat.quaternions)[:, :, 2]
    across = (moved * normal).sum(dim=1).abs()
    assert across.max() < 1e-4 * moved.norm(dim=1).max()


def test_wishes_are_the_slope_of_what_they_say() -> None:
    values = Parameters(*(getattr(population().values, name).double() for name in NAMES))
    zero = Parameters(*(torch.zeros_like(getattr(values, name)) for name in NAMES))
    leaves = replace(
        values,
        log_scales=values.log_scales.clone().requires_grad_(),
        logit_opacities=values.logit_opacities.clone().requires_grad_(),
    )
    gaussians = activate(leaves)
    (0.3 * (gaussians.opacities.mean() + gaussians.scales.mean())).backward()
    found = mcmc.with_wishes(zero, values, 0.3)
    torch.testing.assert_close(found.log_scales, leaves.log_scales.grad)
    torch.testing.assert_close(found.logit_opacities, leaves.logit_opacities.grad)


# --- schedules and settings ---


def test_levels_of_detail_and_of_color() -> None:
    config = Config(iterations=100, sh_every=10, views=Views(coarse_levels=2, coarse_share=0.3))
    assert [halvings_at(config, k) for k in (0, 14, 15, 29, 30, 99)] == [2, 2, 1, 1, 0, 0]
    assert [coefficients_at(config, k) for k in (0, 9, 10, 25, 99)] == [1, 1, 4, 9, 16]
    assert halvings_at(replace(config, views=Views(coarse_levels=0)), 0) == 0


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda: Config(iterations=0), "iterations"),
        (lambda: Config(ssim_weight=1.5), "ssim_weight"),
        (lambda: Config(sh_degree=4), "sh_degree"),
        (lambda: Config(sh_every=0), "sh_every"),
        (lambda: Config(evaluate_every=-1), "evaluate_every"),
        (lambda: Config(checkpoint_every_s=-1.0), "checkpoint_every_s"),
        (lambda: Views(max_side_px=4), "max_side_px"),
        (lambda: Views(hold_out_every=1), "hold_out_every"),
        (lambda: Views(coarse_levels=9), "coarse_levels"),
        (lambda: Views(coarse_share=2.0), "coarse_share"),
        (lambda: Start(gaussians=1), "gaussians"),
        (lambda: Start(opacity=1.0), "opacity"),
        (lambda: Start(outside_share=-0.1), "outside_share"),
        (lambda: Rates(sh=-1.0), "rates.sh"),
        (lambda: Rates(means_final=1.0), "means_final"),
        (lambda: Density(max_gaussians=1), "max_gaussians"),
        (lambda: Density(every=-1), "every"),
        (lambda: Density(until_share=1.5), "until_share"),
        (lambda: Density(gradient=0.0), "gradient"),
        (lambda: Density(noise=-1.0), "noise"),
    ],
)
def test_settings_out_of_range_are_named(make, said) -> None:
    with pytest.raises(ValueError, match=said):
        make()
