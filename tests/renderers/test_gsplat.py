"""The CUDA backend on a machine without CUDA: arguments and results, by a stand-in.

The stand-in takes exactly the arguments of the real `gsplat.rasterization` (bound to its
signature), projects and colors with gsplat's own torch reference, and blends by a dense loop.
"""

import inspect
import math
import sys
from dataclasses import replace

import pytest
import torch
from splatworks.renderers import gsplat as backend
from splatworks.renderers import reference
from splatworks.renderers.errors import MissingOutputError, UnavailableError
from splatworks.renderers.scene import Cameras

from .scenes import ALL, PARAMETERS, cameras, gaussians, opened

real = pytest.importorskip("gsplat")
MADE = ALL - {"median_depth"}


def stand_in(*args, **kwargs):
    from gsplat.cuda import _torch_impl as impl

    bound = inspect.signature(real.rasterization).bind(*args, **kwargs)
    bound.apply_defaults()
    a = bound.arguments
    assert a["packed"] is False and a["rasterize_mode"] == "classic" and a["backgrounds"] is None
    covariances, _ = impl._quat_scale_to_covar_preci(a["quats"], a["scales"], True, False)
    radii, means2d, depths, conics, _ = impl._fully_fused_projection(
        a["means"], covariances, a["viewmats"], a["Ks"], a["width"], a["height"],
        eps2d=a["eps2d"], near_plane=a["near_plane"],
    )  # fmt: skip
    colors = a["colors"]
    if a["sh_degree"] is not None:
        eyes = torch.inverse(a["viewmats"])[:, :3, 3]
        directions = a["means"] - eyes[:, None]
        colors = impl._spherical_harmonics(
            a["sh_degree"], directions, colors.expand(len(eyes), -1, -1, -1)
        )
        colors = (colors + 0.5).clamp(min=0)
    if a["render_mode"] == "RGB+ED":
        colors = torch.cat([colors, depths[..., None]], dim=-1)
    pictures = [
        blend(means2d[k], conics[k], colors[k], depths[k], radii[k], a)
        for k in range(len(a["viewmats"]))
    ]
    images, alphas = (torch.stack(p) for p in zip(*pictures, strict=True))
    if a["render_mode"] == "RGB+ED":
        depth = images[..., -1:] / alphas.clamp(min=1e-10)
        images = torch.cat([images[..., :-1], depth], dim=-1)
    return images, alphas, {"means2d": means2d, "radii": radii, "conics": conics}


def blend(means2d, conics, colors, depths, radii, a):
    height, width = a["height"], a["width"]
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    image, left = torch.zeros(height, width, colors.shape[-1]), torch.ones(height, width)
    running = torch.ones(height, width, dtype=torch.bool)
    for i in depths.sort(stable=True).indices.tolist():
        if (radii[i] <= 0).any():
            continue
        dx, dy = x - means2d[i, 0], y - means2d[i, 1]
        ca, cb, cc = conics[i]
        sigma = (ca * dx * dx + cc * dy * dy) / 2 + cb * dx * dy
        alpha = (a["opacities"][i] * torch.exp(-sigma)).clamp(max=0.999)
        alpha = torch.where(alpha < 1 / 255, 0.0, alpha)
        running = running & (left * (1 - alpha) > 1e-4)
        alpha = torch.where(running, alpha, 0.0)
        image = image + (left * alpha)[..., None] * colors[i]
        left = left * (1 - alpha)
    return image, (1 - left)[..., None]


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "_rasterization", lambda device: stand_in)


@pytest.mark.parametrize("outputs", [MADE, {"rgb", "alpha"}, {"rgb", "depth"}, {"channels"}])
def test_pictures_are_those_of_the_reference(faked, outputs) -> None:
    scene = gaussians(50, seed=30)
    view = cameras(20, 16, azimuths_deg=(0.0, 70.0), focal_px=(24.0, 20.0), center_px=(9.0, 8.5))
    found, wanted = (r(scene, view, frozenset(outputs)) for r in (backend.render, reference.render))
    for name in ALL | {"means2d", "radii_px"}:
        a, b = getattr(found, name), getattr(wanted, name)
        assert (a is None) == (b is None), name
        if a is None:
            continue
        if name in {"means2d", "radii_px"}:  # gsplat draws the box of 3.33 standard deviations.
            shown = wanted.radii_px > 0
            a, b = a[shown], b[shown]
        torch.testing.assert_close(a.double(), b, rtol=1e-3, atol=2e-4, msg=name)


def test_gradients_reach_every_parameter(faked) -> None:
    scenes = [opened(gaussians(30, seed=31)) for _ in range(2)]
    view = cameras(16, 16)
    for scene, render in zip(scenes, (backend.render, reference.render), strict=True):
        frames = render(scene, view, MADE)
        frames.means2d.retain_grad()
        loss = frames.rgb.square().sum() + frames.depth.sum() + frames.normal.sum()
        (loss + frames.channels.sum()).backward()
        assert frames.means2d.grad.any()
    for name in PARAMETERS:
        found, wanted = (getattr(s, name).grad.double() for s in scenes)
        assert (found - wanted).norm() <= 1e-2 * wanted.norm(), name


@pytest.mark.parametrize("name", PARAMETERS)
def test_bad_gaussians_are_hidden(faked, name: str) -> None:
    """One with a value that is not a number, one with a zero quaternion."""
    scene = gaussians(12, seed=32)
    scene.quaternions[5] = 0
    getattr(scene, name).view(12, -1)[2, -1] = float("nan")
    scene = opened(scene)
    frames = backend.render(scene, cameras(12, 12), MADE)
    for picture in ("rgb", "depth", "normal", "channels"):
        assert getattr(frames, picture).isfinite().all()
    assert not frames.weights[0, [2, 5]].any() and frames.weights.sum() > 0
    (frames.rgb.sum() + frames.channels.sum()).backward()
    for parameter in PARAMETERS:
        gradient = getattr(scene, parameter).grad
        assert gradient.isfinite().all() and not gradient[[2, 5]].any()


def test_the_kernels_never_see_a_bad_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """They do not test; and a quaternion of length zero would be divided by."""
    seen = {}

    def spy(**arguments):
        seen.update(arguments)
        return stand_in(**arguments)

    monkeypatch.setattr(backend, "_rasterization", lambda device: spy)
    scene = gaussians(4, seed=33)
    scene.scales[1], scene.quaternions[2] = float("inf"), 0
    backend.render(scene, cameras(8, 8))
    for name in ("means", "quats", "scales", "opacities", "colors"):
        assert seen[name].isfinite().all() and seen[name].dtype == torch.float32
    assert seen["quats"].norm(dim=-1).min() > 0.1 and seen["scales"].min() > 0
    assert seen["opacities"][[1, 2]].tolist() == [0, 0]
    # As docs/conventions.md has them, whatever gsplat's defaults are.
    assert (seen["near_plane"], seen["eps2d"]) == (0.01, 0.3)


def test_what_is_given_in_float64_or_linear_light(faked) -> None:
    scene, view = gaussians(20, seed=34), cameras(12, 12)
    wide = Cameras(
        view.world_to_camera.double(), view.focal_px.double(), view.center_px.double(), 12, 12
    )
    frames = backend.render(replace(scene, color_space="linear"), wide)
    assert frames.color_space == "linear"
    torch.testing.assert_close(frames.rgb, backend.render(scene, view).rgb)


def test_radii_are_three_deviations_along_the_longer_axis() -> None:
    """Half axes of 5 and 2 px, turned by 30 degrees; drawn only where both of gsplat's are."""
    c, s = math.cos(math.pi / 6), math.sin(math.pi / 6)
    turn = torch.tensor([[c, -s], [s, c]])
    precision = turn @ torch.diag(torch.tensor([1 / 25, 1 / 4])) @ turn.T
    conic = torch.stack([precision[0, 0], precision[0, 1], precision[1, 1]])
    found = backend._radii(torch.tensor([[[15, 9], [15, 0], [0, 0]]]), conic.expand(1, 3, 3))
    torch.testing.assert_close(found, torch.tensor([[15.0, 0, 0]]))


def test_without_cuda_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UnavailableError, match="needs a CUDA device"):
        backend.render(gaussians(3), cameras(4, 4))


def test_the_function_is_the_one_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert backend._rasterization(torch.device("cuda")) is real.rasterization
    monkeypatch.setitem(sys.modules, "gsplat", None)
    with pytest.raises(UnavailableError, match="needs the package gsplat"):
        backend._rasterization(torch.device("cuda"))


def test_a_scene_on_the_wrong_device_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(ValueError, match="expected a CUDA device"):
        backend.render(gaussians(3), cameras(4, 4))


def test_median_depth_is_made_elsewhere() -> None:
    with pytest.raises(MissingOutputError, match="these do: reference, cpu"):
        backend.render(gaussians(3), cameras(4, 4), frozenset({"median_depth"}))
