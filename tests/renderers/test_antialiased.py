"""Opacities against widening: gsplat's own factors, and light that does not grow with distance."""

import importlib
from dataclasses import replace

import pytest
import torch
from splatworks.renderers import cpu, reference
from splatworks.renderers.antialiased import antialiased, compensations
from splatworks.renderers.scene import Gaussians

from .scenes import behind, cameras, gaussians, opened


def test_factors_are_those_of_gsplat() -> None:
    impl = importlib.import_module("gsplat.cuda._torch_impl")
    scene = gaussians(200, seed=50, size=0.02)
    view = cameras(40, 30, focal_px=(52.0, 40.0))
    matrix = torch.eye(3).double()[None]
    matrix[0, [0, 1], [0, 1]], matrix[0, :2, 2] = (
        view.focal_px[0].double(),
        view.center_px[0].double(),
    )
    turns, scales = scene.quaternions.double(), scene.scales.double()
    spread, _ = impl._quat_scale_to_covar_preci(turns, scales, True, False)
    *_, wanted = impl._fully_fused_projection(
        scene.means.double(), spread, view.world_to_camera.double(), matrix, 40, 30,
        calc_compensations=True,
    )  # fmt: skip
    found = compensations(scene, view)
    torch.testing.assert_close(found, wanted[0], rtol=1e-6, atol=1e-9)
    assert found.min() < 0.5 < found.max() <= 1


@pytest.mark.parametrize("render", [reference.render, cpu.render], ids=["reference", "cpu"])
def test_twice_as_far_is_a_quarter_of_the_light(render) -> None:
    """A splat of a tenth of a pixel; without the factor, the widening would hide the distance."""
    point = Gaussians(
        means=torch.zeros(1, 3),
        quaternions=torch.tensor([[0.9, 0.1, 0.3, 0.2]]),
        scales=torch.full((1, 3), 0.02),
        opacities=torch.tensor([0.9]),
        sh=torch.zeros(1, 1, 3),
    )
    light, plain = [], []
    for distance in (4.0, 8.0):
        view = cameras(24, 24, distance_m=distance, focal_px=(60.0, 60.0))
        ((seen, alone),) = antialiased(point, view)
        light.append(render(seen, alone).alpha.sum())
        plain.append(render(point, view).alpha.sum())
    assert 0.2 < light[1] / light[0] < 0.3
    assert plain[1] / plain[0] > 0.7


def test_gradients_are_those_of_finite_differences() -> None:
    scene, view = opened(gaussians(6, seed=51, size=0.02), torch.float64), cameras(20, 20)
    leaves = (scene.means, scene.quaternions, scene.scales)

    def factors(means, quaternions, scales):
        moved = replace(scene, means=means, quaternions=quaternions, scales=scales)
        return compensations(moved, view)

    assert torch.autograd.gradcheck(factors, leaves, eps=1e-6, atol=1e-6)


def test_what_is_behind_flat_or_broken_spoils_nothing() -> None:
    scene = behind()
    scene.means[0], scene.scales[0] = 0, 0
    scene.quaternions[1] = 0
    scene.means[2] = float("nan")
    scene = opened(scene)
    views = antialiased(scene, cameras(24, 24, azimuths_deg=(0.0, 120.0), distance_m=0.4))
    pictures = [cpu.render(seen, camera).rgb for seen, camera in views]
    assert len(pictures) == 2
    torch.stack(pictures).sum().backward()
    for name in ("means", "quaternions", "scales", "opacities", "sh"):
        assert getattr(scene, name).grad.isfinite().all()
    first = compensations(scene, views[0][1]).detach()
    assert first[0] == 0 and first[1] == 1 and first[2] == 1
