"""The compiled renderer as a piece of software: bad values, threads, caches, imports."""

import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from splatworks.renderers import cpu, reference
from splatworks.renderers.cpu import compiled, renderer
from splatworks.renderers.scene import Cameras, Gaussians

from .scenes import ALL, PARAMETERS, cameras, changed, gaussians, misfit, opened

RENDERERS = pytest.mark.parametrize(
    "render", [reference.render, cpu.render], ids=["reference", "cpu"]
)
NAN, INF = float("nan"), float("inf")


def without(scene: Gaussians, index: int) -> Gaussians:
    kept = torch.arange(len(scene.means)) != index
    return Gaussians(*(getattr(scene, name)[kept] for name in PARAMETERS))


@RENDERERS
@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_a_value_that_is_not_finite_hides_the_gaussian(render, name: str, value: float) -> None:
    scene, view = gaussians(30, seed=20, size=0.15), cameras(18, 18)
    broken = getattr(scene, name).clone()
    broken.view(30, -1)[4, -1] = value
    spoiled = opened(changed(scene, **{name: broken}))
    frames, wanted = render(spoiled, view, ALL), render(without(scene, 4), view, ALL)
    assert frames.radii_px[0, 4] == 0
    for picture in ("rgb", "alpha", "depth", "normal", "channels"):
        assert torch.equal(getattr(frames, picture), getattr(wanted, picture))
    (frames.rgb.sum() + frames.depth.sum() + frames.normal.sum()).backward()
    for parameter in PARAMETERS[:5]:
        gradient = getattr(spoiled, parameter).grad
        assert gradient.isfinite().all()
        assert not gradient[4].any()


@RENDERERS
def test_a_zero_quaternion_hides_the_gaussian(render) -> None:
    scene, view = gaussians(20, seed=21, size=0.15), cameras(18, 18)
    quaternions = scene.quaternions.clone()
    quaternions[3] = 0
    frames = render(changed(scene, quaternions=quaternions), view)
    assert torch.equal(frames.rgb, render(without(scene, 3), view).rgb)


@RENDERERS
def test_no_gaussians_give_empty_pictures(render) -> None:
    scene = Gaussians(*(getattr(gaussians(3), name)[:0] for name in PARAMETERS))
    scene = opened(scene)
    frames = render(scene, cameras(20, 7), ALL)
    assert frames.rgb.shape == (1, 7, 20, 3)
    assert frames.weights.shape == (1, 0)
    for name in ("rgb", "alpha", "depth", "median_depth", "normal", "channels"):
        assert not getattr(frames, name).any()
    frames.rgb.sum().backward()
    assert scene.means.grad.shape == (0, 3)


@RENDERERS
def test_extreme_sizes_do_not_crash(render) -> None:
    """A point, a needle, a wall, and one wider than the squares of float32 can say."""
    scene = gaussians(4, seed=22)
    scales = torch.tensor([[0.0, 0, 0], [1e-8, 1e-8, 0.5], [30.0, 30.0, 30.0], [1e14, 1.0, 1.0]])
    frames = render(changed(scene, scales=scales, opacities=torch.ones(4)), cameras(20, 20), ALL)
    for name in ("rgb", "alpha", "depth"):
        assert getattr(frames, name).isfinite().all()
    assert frames.alpha.max() > 0.99


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scales": torch.ones(4, 3)}, r"scene.scales has shape \(4, 3\), expected \(5, 3\)"),
        ({"opacities": torch.ones(5, 1)}, r"scene.opacities has shape \(5, 1\), expected \(5,\)"),
        ({"sh": torch.ones(5, 5, 3)}, "scene.sh has 5 coefficients"),
        ({"sh": torch.ones(5, 3)}, r"scene.sh has shape \(5, 3\)"),
        ({"channels": None}, "'channels' was asked for"),
    ],
)
@RENDERERS
def test_what_does_not_fit_is_refused(render, change: dict, message: str) -> None:
    """The kernels check no bounds: a short array would be read past its end."""
    with pytest.raises(ValueError, match=message):
        render(misfit(gaussians(5), **change), cameras(8, 8), ALL)


@RENDERERS
def test_no_pixels_and_no_cameras_are_refused(render) -> None:
    view = cameras(8, 8)
    none = Cameras(view.world_to_camera[:0], view.focal_px[:0], view.center_px[:0], 8, 8)
    flat = Cameras(view.world_to_camera, view.focal_px, view.center_px, 8, 0)
    for bad in (none, flat):
        with pytest.raises(ValueError, match="nothing to render"):
            render(gaussians(5), bad)


def test_only_what_was_asked_for_comes_back() -> None:
    scene, view = gaussians(5), cameras(8, 8)
    frames = cpu.render(scene, view, frozenset({"alpha"}))
    assert frames.rgb is None and frames.depth is None and frames.weights is None
    everything = cpu.render(scene, view, ALL)
    assert torch.equal(frames.alpha, everything.alpha)
    plain = cpu.render(scene, view)
    assert torch.equal(plain.rgb, everything.rgb)


def test_float64_and_views_of_tensors_are_taken() -> None:
    scene, view = gaussians(30, seed=23), cameras(18, 18)
    wide = opened(scene, torch.float64)
    turned = Gaussians(
        *(
            t.mT.contiguous().mT if t.ndim == 2 else t
            for t in (getattr(wide, n) for n in PARAMETERS)
        )
    )
    frames = cpu.render(turned, view)
    assert torch.equal(frames.rgb, cpu.render(scene, view).rgb)
    frames.rgb.sum().backward()
    assert wide.means.grad.dtype == torch.float64


def test_cameras_together_are_cameras_one_by_one() -> None:
    scene = opened(gaussians(60, seed=24))
    azimuths = (0.0, 50.0, 170.0)
    together = cpu.render(scene, cameras(20, 20, azimuths_deg=azimuths), ALL)
    for k, azimuth in enumerate(azimuths):
        alone = cpu.render(scene, cameras(20, 20, azimuths_deg=(azimuth,)), ALL)
        for name in ("rgb", "depth", "weights", "means2d"):
            assert torch.equal(getattr(together, name)[k], getattr(alone, name)[0])


def test_threads_change_nothing() -> None:
    """Pictures and gradients are the same bits, rendered alone or beside another thread."""
    scenes = [gaussians(400, seed=k) for k in range(6)]
    view = cameras(48, 48)

    def job(scene: Gaussians) -> list[torch.Tensor]:
        scene = opened(scene)
        frames = cpu.render(scene, view, ALL)
        (frames.rgb.square().sum() + frames.depth.sum()).backward()
        return [frames.rgb, frames.weights, scene.means.grad, scene.sh.grad, scene.scales.grad]

    alone = [job(scene) for scene in scenes]
    with ThreadPoolExecutor(3) as pool:
        beside = list(pool.map(job, scenes))
    for a, b in zip(alone, beside, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_what_has_no_gradient_says_so() -> None:
    frames = cpu.render(opened(gaussians(9, seed=26)), cameras(12, 12), ALL)
    for name in ("weights", "median_depth", "radii_px"):
        assert not getattr(frames, name).requires_grad


@pytest.mark.parametrize("name", ["means", "opacities"])
def test_a_gradient_of_a_gradient_is_refused_and_not_zero(name: str) -> None:
    scene = opened(gaussians(9, seed=27))
    value = getattr(scene, name)
    loss = cpu.render(scene, cameras(12, 12)).rgb.square().sum()
    (gradient,) = torch.autograd.grad(loss, value, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        (gradient.square().sum() + value.sum()).backward()


@RENDERERS
def test_the_color_space_is_passed_on(render) -> None:
    scene = replace(gaussians(2), color_space="linear")
    assert render(scene, cameras(4, 4)).color_space == "linear"


def test_a_scene_elsewhere_is_refused() -> None:
    scene = gaussians(3)
    away = Gaussians(*(getattr(scene, name).to("meta") for name in PARAMETERS))
    with pytest.raises(ValueError, match="the scene is on meta, expected the CPU"):
        cpu.render(away, cameras(4, 4))


def test_cameras_in_float64_keep_their_digits() -> None:
    """Far from the origin a float32 shift would be off by a hundredth of a pixel."""
    scene, view = gaussians(40, seed=28), cameras(24, 24)
    offset = torch.tensor([3000.0, -2000.0, 1000.0])
    pose = view.world_to_camera.double()
    moved = replace(scene, means=scene.means + offset)
    rounded = replace(scene, means=moved.means - offset)  # Exact: what float32 left of the means.
    pose[:, :3, 3] -= pose[:, :3, :3] @ offset.double()
    far = cpu.render(moved, replace(view, world_to_camera=pose))
    near = cpu.render(rounded, view)
    torch.testing.assert_close(far.means2d, near.means2d, rtol=0, atol=1e-4)


def test_backward_twice_gives_the_same() -> None:
    scene = opened(gaussians(60, seed=25))
    frames = cpu.render(scene, cameras(20, 20), ALL)
    loss = frames.rgb.square().sum() + frames.channels.sum()
    first = torch.autograd.grad(loss, scene.means, retain_graph=True)[0]
    assert torch.equal(first, torch.autograd.grad(loss, scene.means)[0])


def test_a_cache_that_cannot_be_written_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file in the place of a directory stands for read-only ones, which root can write to."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    usable = tmp_path / "cache"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(blocked / "numba"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(usable))
    monkeypatch.setattr(compiled.tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))
    directory = compiled.cache_directory.__wrapped__
    assert directory().parent == usable
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert directory().parent == tmp_path / "tmp"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(usable))
    assert directory().parent == usable


def test_a_cache_that_others_can_write_to_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """numba unpickles what it finds there."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "shared"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine"))
    first = compiled.cache_directory.__wrapped__()
    assert first.parent == tmp_path / "shared"
    first.chmod(0o777)
    assert compiled.cache_directory.__wrapped__().parent == tmp_path / "mine"


def test_the_cache_notices_edits_in_any_kernel_file() -> None:
    assert compiled.source_hash() in compiled.cache_directory().name
    assert len(compiled.source_hash()) == 12


def test_compiling_is_announced_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(compiled, "is_cold", lambda: True)
    renderer._kernels.cache_clear()
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            cpu.render(gaussians(2), cameras(4, 4))
    assert [r.message.startswith("compiling the CPU renderer") for r in caplog.records] == [True]
    renderer._kernels.cache_clear()


def test_importing_is_light() -> None:
    code = (
        "import sys, splatworks.renderers.cpu, splatworks.renderers.choose,"
        " splatworks.renderers.meshes, splatworks.renderers.gsplat;"
        "print([m for m in ('numba', 'open3d', 'gsplat', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
