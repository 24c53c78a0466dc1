"""Scenes that nobody would make on purpose: nothing crashes, hangs or quietly turns to rubbish."""

from dataclasses import replace

import pytest
import torch
from splatworks.renderers import cpu, reference
from splatworks.renderers.cpu import lists
from splatworks.renderers.scene import Cameras, Gaussians

from .scenes import ALL, PARAMETERS, cameras, gaussians, opened, overlapping, uniform

ODD = (float("nan"), float("inf"), -float("inf"), 0.0, -1.0, 1e-30, 1e30, -1e30, 3e38)
PICTURES = ("rgb", "alpha", "depth", "median_depth", "normal", "channels")


def wild(seed: int) -> tuple[Gaussians, Cameras]:
    """Splats all over and inside the camera, needles, dust and walls, odd numbers in any place."""
    rng = torch.Generator().manual_seed(seed)
    n = int(torch.randint(1, 200, (), generator=rng))
    scene = gaussians(n, seed=seed, degree=seed % 4)
    scales = 10 ** uniform(-9, 4, (n, 3), rng)
    means = scene.means * 10 ** uniform(-3, 2, (n, 1), rng)
    means[: n // 10] = torch.tensor([0.0, 0.0, 1.8]) + 0.02 * torch.randn(n // 10, 3, generator=rng)
    scene = replace(scene, means=means, scales=scales)
    values = {}
    for name in PARAMETERS:
        spoiled = getattr(scene, name).clone()
        flat = spoiled.view(-1)
        at = torch.randint(0, len(flat), (1 + len(flat) // 60,), generator=rng)
        which = torch.randint(0, len(ODD), (len(at),), generator=rng)
        flat[at] = torch.tensor(ODD)[which]
        values[name] = spoiled
    values["quaternions"][:: max(2, n // 5)] = 0
    width, height = (int(torch.randint(1, 70, (), generator=rng)) for _ in range(2))
    return replace(scene, **values), cameras(width, height, elevation_deg=0.0)


@pytest.mark.parametrize("seed", range(30))
def test_wild_scenes(seed: int) -> None:
    """Finite, alpha in [0, 1], gradients zero where nothing is drawn, the same from two threads."""
    scene, view = wild(seed)
    scene = opened(scene)
    frames = cpu.render(scene, view, ALL, contributors=3)
    for name in ("alpha", "weights", "radii_px"):
        assert getattr(frames, name).isfinite().all()
    assert (frames.alpha >= 0).all() and (frames.alpha <= 1).all()
    assert frames.contributors.ids.max() < len(scene.means)
    hidden = frames.radii_px[0] == 0
    frames.alpha.sum().backward()
    assert not scene.opacities.grad[hidden].any()
    again = cpu.render(scene, view, ALL, threads=2, contributors=3)
    for name in (*PICTURES, "weights", "radii_px", "means2d"):
        assert torch.equal(
            torch.nan_to_num(getattr(again, name)), torch.nan_to_num(getattr(frames, name))
        )


@pytest.mark.parametrize("seed", range(100, 112))
def test_wild_but_finite_scenes_agree(seed: int) -> None:
    """Without odd numbers, the reference says what should come out, needles and walls or not."""
    rng = torch.Generator().manual_seed(seed)
    scene = gaussians(60, seed=seed)
    scales = 10 ** uniform(-6, 0.5, (60, 3), rng)
    means = scene.means * uniform(0.1, 3.0, (60, 1), rng)
    scene = replace(scene, scales=scales, means=means)
    view = cameras(45, 37)
    found = cpu.render(scene, view).rgb.double()
    wanted = reference.render(scene, view).rgb
    assert ((found - wanted).abs().amax(-1) < 1e-4).double().mean() >= 0.997


def test_a_million_pixels_under_each_splat() -> None:
    """Splats larger than the picture; far ones are hidden and cost little."""
    scene = gaussians(40, seed=40)
    scene = replace(scene, scales=torch.full((40, 3), 5.0), opacities=torch.full((40,), 0.7))
    scene, view = opened(scene), cameras(1000, 1000)
    frames = cpu.render(scene, view)
    assert frames.alpha.min() > 0.99
    frames.rgb.sum().backward()
    assert scene.sh.grad.isfinite().all() and scene.sh.grad.any()


@pytest.mark.parametrize("size", [(1, 1), (1, 33), (4097, 2)])
def test_pictures_of_odd_sizes(size: tuple[int, int]) -> None:
    scene, view = gaussians(50, seed=41), cameras(*size, focal_px=(40.0, 40.0))
    found, wanted = cpu.render(scene, view), reference.render(scene, view)
    assert found.rgb.shape == wanted.rgb.shape
    assert (found.rgb.double() - wanted.rgb).abs().max() < 1 / 255


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists made all at once, or a handful of splats at a time, behind finished blocks or not."""

    def job() -> list[torch.Tensor]:
        scene = opened(replace(overlapping(), channels=None))
        frames = cpu.render(scene, cameras(70, 40), ALL - {"channels"}, contributors=3)
        (frames.rgb.square().sum() + frames.alpha.sum()).backward()
        pictures = [frames.rgb, frames.depth, frames.median_depth, frames.contributors.ids]
        return [*pictures, *(getattr(scene, name).grad for name in PARAMETERS[:5])]

    together = job()
    monkeypatch.setattr(lists, "CHUNK_LEAST", 1)
    monkeypatch.setattr(lists, "CHUNK_PER_TILE", 2)
    for whole, chunked in zip(together, job(), strict=True):
        assert torch.equal(whole, chunked)


@pytest.mark.parametrize("threads", [2, 3, 5])
def test_any_number_of_threads_gives_the_same_bits(threads: int) -> None:
    """Pictures and gradients, over several chunks, stripes and cameras."""
    scene = gaussians(4000, seed=42, size=0.04)
    view = cameras(150, 130, azimuths_deg=(0.0, 90.0))

    def job(count: int) -> list[torch.Tensor]:
        given = opened(scene)
        frames = cpu.render(given, view, ALL, threads=count, contributors=2)
        (frames.rgb.square().sum() + frames.depth.sum() + frames.channels.sum()).backward()
        pictures = [getattr(frames, name) for name in (*PICTURES, "weights")]
        return [
            *pictures,
            frames.contributors.ids,
            frames.contributors.weights,
            *(getattr(given, name).grad for name in PARAMETERS),
        ]

    for alone, shared in zip(job(1), job(threads), strict=True):
        assert torch.equal(alone, shared)


def test_threads_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="threads is 0"):
        cpu.render(gaussians(2), cameras(8, 8), threads=0)
