"""The scorer's own pictures: cameras against the mesh renderer, light, and what is put on top."""

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.fft
import torch
from splatworks.renderers import meshes
from splatworks.stages.geometry.orbit import look_at_origin
from splatworks.stages.toybox import catalog
from splatworks.stages.toybox.props import Prop
from splatworks.stages.toybox.raycast import Model
from splatworks.stages.toybox.scorer import disturb, pictures


def toy(kind: str, **words: str) -> Prop:
    plain = {"color": "red", "pattern": "none", "pattern_color": "", "part_color": ""}
    return Prop(id=0, kind=kind, shape_seed=4, split="train", **(plain | words))


@pytest.fixture(scope="module")
def mug() -> Model:
    return Model(toy("mug"))


def test_cameras_agree_with_the_mesh_renderer(mug: Model) -> None:
    """Silhouettes of a thing that is unlike its mirror image, from odd directions."""
    scene = meshes.MeshScene(vertices=mug.shape.vertices, faces=mug.shape.faces.astype(np.int64))
    for azimuth, elevation in ((0.0, 0.0), (50.0, -15.0), (200.0, 55.0)):
        shot = pictures.plain_shot(azimuth, elevation)
        alpha = pictures.picture(mug, shot)[..., 3] / 255
        tangent = math.tan(math.asin(0.5 / shot.distance_m)) / shot.fill
        cameras = look_at_origin(
            [azimuth],
            [elevation],
            distance_m=shot.distance_m,
            fovy_deg=2 * math.degrees(math.atan(tangent)),
            size_px=(64, 64),
        )
        other = meshes.render(scene, cameras, supersample=2).alpha[0, ..., 0].numpy()
        assert (np.abs(alpha - other) > 0.01).sum() <= 4
        assert alpha.sum() > 400


def test_shift_and_roll_move_the_picture(mug: Model) -> None:
    shot = pictures.plain_shot(30.0, 20.0)
    plain = pictures.picture(mug, shot)[..., 3].astype(float)
    moved = replace(shot, shift=(10 / 32, -4 / 32))
    shifted = pictures.picture(mug, moved)[..., 3].astype(float)
    assert np.abs(shifted[4:, 10:] - plain[:-4, :-10]).max() <= 1
    top = replace(shot, elevation_deg=90.0 - 1e-4, azimuth_deg=0.0)
    turned = pictures.picture(mug, replace(top, roll_deg=90.0))[..., 3].astype(float)
    straight = pictures.picture(mug, top)[..., 3].astype(float)
    # A camera that rolls counter-clockwise sees the world turn clockwise.
    assert np.abs(turned - np.rot90(straight, -1)).mean() < 1


def test_without_light_colors_are_the_catalogs(mug: Model) -> None:
    image = pictures.picture(mug.repainted(toy("mug", color="blue")), pictures.plain_shot(0, 0))
    inside = image[image[..., 3] == 255][:, :3]
    blue = np.rint(np.array(catalog.COLORS["blue"]) * 255)
    assert (np.abs(inside - blue).max(axis=1) <= 1).mean() > 0.8


def test_the_key_light_comes_from_where_it_is_said_to(mug: Model) -> None:
    shot = replace(pictures.plain_shot(0.0, 0.0), strength=0.6, ambient=0.3)
    right = replace(shot, key=np.array([1.0, 0.0, 0.0]))
    left = replace(shot, key=np.array([-1.0, 0.0, 0.0]))
    difference = pictures.picture(mug, right).astype(int) - pictures.picture(mug, left)
    red = difference[16:48, :, 0]
    assert red[:, 40:].sum() > 1000 and red[:, :24].sum() < -1000


def test_repainting_is_building_anew(mug: Model) -> None:
    words = {"color": "green", "pattern": "checks", "pattern_color": "white", "part_color": "blue"}
    shot = pictures.plain_shot(60.0, 10.0)
    repainted = pictures.picture(mug.repainted(toy("mug", **words)), shot)
    assert np.array_equal(repainted, pictures.picture(Model(toy("mug", **words)), shot))
    assert mug.prop.color == "red", "the first is left alone"


def test_shots_are_spread_over_all_that_is_promised() -> None:
    draw = np.random.default_rng(0)
    shots = [pictures.drawn_shot(draw) for _ in range(400)]
    heights = [shot.elevation_deg for shot in shots]
    assert min(heights) < -10 and max(heights) > 55
    assert all(-15 <= height <= 60 for height in heights)
    counts, _ = np.histogram([shot.azimuth_deg for shot in shots], bins=8, range=(0, 360))
    assert counts.min() > 25
    unlit = [shot for shot in shots if shot.strength == 0]
    assert 60 < len(unlit) < 140 and all(shot.ambient == 1 for shot in unlit)
    assert min(shot.distance_m for shot in shots) > catalog.OBJECT_RADIUS_M * 2
    assert all(abs(axis) + shot.fill < 1.06 for shot in shots for axis in shot.shift)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(8)


@pytest.fixture(scope="module")
def pixels(mug: Model) -> torch.Tensor:
    image = pictures.picture(mug, pictures.plain_shot(30.0, 20.0))
    return torch.from_numpy(image).expand(64, -1, -1, -1).contiguous()


def test_disturbed_pictures_differ_and_come_again(pixels: torch.Tensor) -> None:
    first, alpha = disturb.disturbed(pixels, generator())
    assert first.shape == (64, 3, 64, 64)
    assert first.min() >= 0 and first.max() <= 1 and first.isfinite().all()
    assert torch.equal(first, disturb.disturbed(pixels, generator())[0])
    assert alpha.shape == (64, 64, 64) and alpha.amax((1, 2)).min() > 0.8
    assert (first[1:] - first[:-1]).abs().mean((1, 2, 3)).min() > 0.02


def test_the_toy_can_still_be_seen(pixels: torch.Tensor) -> None:
    """In the mean over many, backgrounds cancel: the mug stands out in red, and is symmetric."""
    many = torch.cat([disturb.disturbed(pixels, generator())[0] for _ in range(2)]).mean(0)
    both = (pixels[0] / 255 + pixels[0].flip(1) / 255) / 2
    inside, outside = both[..., 3] == 1, both[..., 3] == 0
    assert many[0][inside].mean() > 0.6 and many[1][inside].mean() < 0.25
    assert (many[:, outside] - 0.5).abs().mean() < 0.1


def test_backgrounds_are_flat_graded_or_noisy_and_of_any_color() -> None:
    found = disturb.backgrounds(300, 16, generator())
    flat = found.flatten(2).std(-1).amax(-1) < 1e-6
    assert 70 < int(flat.sum()) < 130
    corners = found[:, :, [0, 0, -1, -1], [0, -1, 0, -1]]
    middle = found[:, :, 7:9, 7:9].mean((2, 3))
    graded = ((corners.mean(-1) - middle).abs().amax(-1) < 1e-5) & ~flat
    assert 70 < int(graded.sum()) < 130
    means = found.mean((2, 3))
    assert means.min() < 0.1 and means.max() > 0.9


def test_compression_quantizes_the_cosine_transform() -> None:
    draw = generator()
    image = torch.rand(40, 3, 16, 16, generator=draw)
    out = disturb.compressed(image, draw)
    changed = (out != image).flatten(1).any(1)
    assert 5 < int(changed.sum()) < 25
    for picture in out[changed]:
        waves = scipy.fft.dctn(picture[0, 8:, :8].double().numpy(), norm="ortho")
        ratio = waves / (1 + 0.25 * np.add.outer(np.arange(8), np.arange(8)))
        steps = np.abs(ratio[np.abs(ratio) > 5e-3])
        smallest = steps.min()
        # All are whole multiples of one step, of which the smallest is a small multiple.
        fits = [np.abs(steps * k / smallest - np.rint(steps * k / smallest)).max() for k in (1, 2)]
        assert min(fits) < 0.02
    # Noise barely above the quantum stays nearly what it was in the mean.
    assert (out.mean((2, 3)) - image.mean((2, 3))).abs().max() < 0.06


def test_softening_keeps_brightness_and_takes_detail() -> None:
    draw = generator()
    layers = torch.rand(60, 4, 32, 32, generator=draw)
    soft = disturb.softened(layers, draw)
    assert (soft.mean((1, 2, 3)) - layers.mean((1, 2, 3))).abs().max() < 0.02

    def detail(x: torch.Tensor) -> torch.Tensor:
        return (x[..., 1:] - x[..., :-1]).abs().mean((1, 2, 3))

    kept = detail(soft) / detail(layers)
    assert 12 < int((kept > 0.999).sum()) < 36
    assert kept.min() < 0.5 and kept.max() < 1.001


def test_bulges_mirror_half_and_move_little() -> None:
    ramp = (torch.arange(64) + 0.5) / 64
    layers = torch.stack([ramp.expand(64, 64), ramp[:, None].expand(64, 64)] * 2)
    out = disturb.bulged(layers.expand(80, 4, 64, 64).contiguous(), generator())
    inner = out[:, :, 8:-8, 8:-8]
    across = inner[:, 0].mean(1)
    mirrored = across[:, 0] > across[:, -1]
    assert 25 < int(mirrored.sum()) < 55
    expected = torch.where(mirrored[:, None, None], 1 - ramp[8:-8], ramp[8:-8])
    assert (inner[:, 0] - expected).abs().max() < 0.02
    assert (inner[:, 1] - ramp[8:-8, None]).abs().max() < 0.02
    assert (inner[:, 1] - ramp[8:-8, None]).abs().amax((1, 2)).median() > 0.003
