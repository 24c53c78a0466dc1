"""The judge against derivations that share no code with it."""

import math
from dataclasses import replace

import pytest
import torch
from splatworks.renderers import cpu, projection, reference
from splatworks.renderers.scene import Cameras, Gaussians

from .scenes import ALL, PARAMETERS, cameras, changed, gaussians, opened

F64 = torch.float64
RENDERERS = pytest.mark.parametrize(
    "render", [reference.render, cpu.render], ids=["reference", "cpu"]
)


def one(mean, scales, quaternion, opacity: float, color: float = 0.7) -> Gaussians:
    sh = torch.full((1, 1, 3), (color - 0.5) / 0.28209479177387814, dtype=F64)
    return Gaussians(
        means=torch.tensor([mean], dtype=F64),
        quaternions=torch.tensor([quaternion], dtype=F64),
        scales=torch.tensor([scales], dtype=F64),
        opacities=torch.tensor([opacity], dtype=F64),
        sh=sh,
    )


def straight(width: int, height: int, focal: float) -> Cameras:
    """At the origin, looking along world +Z with OpenCV axes."""
    return Cameras(
        world_to_camera=torch.eye(4, dtype=F64)[None],
        focal_px=torch.tensor([[focal, focal]], dtype=F64),
        center_px=torch.tensor([[width / 2, height / 2]], dtype=F64),
        width_px=width,
        height_px=height,
    )


def test_rotation_is_the_exponential_of_the_rotation_vector() -> None:
    rng = torch.Generator().manual_seed(0)
    for _ in range(5):
        axis = torch.randn(3, generator=rng, dtype=F64)
        angle = axis.norm()
        x, y, z = axis.tolist()
        generator = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=F64)
        half = torch.cat([(angle / 2).cos()[None], (angle / 2).sin() * axis / angle])
        found = projection.rotation_matrices(3.7 * half)
        torch.testing.assert_close(found, torch.linalg.matrix_exp(generator), rtol=0, atol=1e-13)


def test_covariance_is_the_derivative_of_the_projection() -> None:
    """The renderer writes J by hand; here it comes from differentiating world point to pixel."""
    scene = gaussians(6, seed=3)
    scene = Gaussians(*(getattr(scene, name).double() for name in PARAMETERS[:5]))
    view = cameras(50, 40, azimuths_deg=(35.0,), focal_px=(60.0, 45.0), center_px=(22.0, 23.0))
    matrix = view.world_to_camera[0].double()

    def pixel(point: torch.Tensor) -> torch.Tensor:
        x, y, z = matrix[:3, :3] @ point + matrix[:3, 3]
        return torch.stack([60 * x / z + 22, 45 * y / z + 23])

    found = projection.image_covariances(scene, view)[0]
    for k in range(6):
        w, *xyz = (scene.quaternions[k] / scene.quaternions[k].norm()).tolist()
        # Rotating unit vectors by q v q*, not by the matrix formula.
        v, u = torch.eye(3, dtype=F64), torch.tensor(xyz, dtype=F64)
        turned = v + 2 * torch.linalg.cross(
            u.expand(3, 3), torch.linalg.cross(u.expand(3, 3), v) + w * v
        )
        axes = (turned * scene.scales[k][:, None]).T
        j = torch.autograd.functional.jacobian(pixel, scene.means[k])
        wanted = j @ axes @ axes.T @ j.T + 0.3 * torch.eye(2, dtype=F64)
        torch.testing.assert_close(found[k], wanted, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(
            projection.image_points(scene, view)[0, k], pixel(scene.means[k])
        )


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("side", [-1, 1])
def test_far_outside_the_jacobian_is_the_one_at_the_widened_border(axis: int, side: int) -> None:
    """A picture of 40 px with f = 20 and its middle at 17 px: the borders are at x/z = -0.85 and
    1.15, and J is held 0.15 * 40 / 20 = 0.3 beyond them."""
    view = replace(straight(40, 40, 20.0), center_px=torch.full((1, 2), 17.0, dtype=F64))
    limit = {-1: -1.15, 1: 1.45}[side]

    def covariance(ratio: float) -> torch.Tensor:
        mean = [0.5, 0.5, 2.0]
        mean[axis] = 2 * ratio
        splat = one(mean, (0.1, 0.2, 0.3), (0.9, 0.1, -0.3, 0.2), 0.9)
        return projection.image_covariances(splat, view)[0]

    torch.testing.assert_close(covariance(4 * limit), covariance(limit), rtol=1e-12, atol=0)
    assert not torch.allclose(covariance(0.99 * limit), covariance(limit), rtol=1e-4)


@RENDERERS
def test_color_is_seen_along_the_ray_from_the_camera(render) -> None:
    """From azimuth 90 and elevation 30 the ray to the origin runs along (-√3/2, -1/2, 0)."""
    scene = one((0.0, 0.0, 0.0), (0.5, 0.5, 0.5), (1.0, 0, 0, 0), 0.9)
    sh = torch.zeros(1, 4, 3, dtype=F64)
    sh[0, 3, 0], sh[0, 1, 1], sh[0, 2, 2] = 0.4, 0.4, 0.4
    view = cameras(9, 9, azimuths_deg=(90.0,), elevation_deg=30.0, focal_px=(9.0, 9.0))
    frames = render(changed(scene, sh=sh), view)
    c1 = math.sqrt(3 / (4 * math.pi))
    wanted = torch.tensor([0.5 + 0.4 * c1 * math.sqrt(3) / 2, 0.5 + 0.4 * c1 / 2, 0.5]).double()
    found = (frames.rgb / frames.alpha)[0, 4, 4].double()
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


@RENDERERS
def test_normals_look_at_the_camera_wherever_it_stands(render) -> None:
    """A splat flat along world X, seen from both of its sides."""
    scene = one((0.1, 0.0, 0.0), (0.01, 0.4, 0.4), (1.0, 0, 0, 0), 0.9)
    view = cameras(9, 9, azimuths_deg=(70.0, 250.0), elevation_deg=10.0, focal_px=(9.0, 9.0))
    frames = render(scene, view, frozenset({"normal", "alpha"}))
    for k, sign in enumerate((1.0, -1.0)):
        found = (frames.normal / frames.alpha)[k, 4, 4].double()
        wanted = torch.tensor([sign, 0.0, 0.0]).double()
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


@RENDERERS
def test_one_round_splat_in_closed_form(render) -> None:
    """On the axis, alpha = o exp(-r² / 2 (f² s² / z² + 0.3)); cut below 1/255 (at the last)."""
    f, s, z, opacity, color = 30.0, 0.05, 1.5, 0.8, 0.7
    frames = render(
        one((0.0, 0.0, z), (s, s, s), (1.0, 0, 0, 0), opacity, color), straight(16, 12, f)
    )
    variance = (f * s / z) ** 2 + 0.3
    for j, i in [(5, 7), (6, 8), (4, 10), (8, 5), (0, 0), (7, 11)]:
        r2 = (i + 0.5 - 8) ** 2 + (j + 0.5 - 6) ** 2
        alpha = opacity * math.exp(-r2 / 2 / variance)
        alpha = alpha if alpha >= 1 / 255 else 0.0
        assert frames.alpha[0, j, i, 0].item() == pytest.approx(alpha, abs=1e-6)
        assert frames.rgb[0, j, i, 1].item() == pytest.approx(color * alpha, abs=1e-6)


def by_the_loop(alphas: list[float], values: list[float]) -> tuple[float, float]:
    """Blending of one pixel as the reference CUDA code does it."""
    transmittance = out = 0.0
    transmittance = 1.0
    for alpha, value in zip(alphas, values, strict=True):
        alpha = min(0.999, alpha)
        if alpha < 1 / 255:
            continue
        if transmittance * (1 - alpha) <= 1e-4:
            break
        out += transmittance * alpha * value
        transmittance *= 1 - alpha
    return out, 1 - transmittance


@RENDERERS
@pytest.mark.parametrize(
    "opacities",
    [
        (0.45, 0.3, 0.9, 0.2),
        (0.9999, 0.95, 0.6, 0.3),  # clamped; the second is left out, and so are the weaker behind
        (0.9, 0.88, 0.92, 0.9, 0.9, 0.05),
        (0.003, 0.4, 0.0039, 0.00393, 0.7),
    ],
    ids=["plain", "clamped and stopped", "stopped for good", "cut"],
)
def test_blending_of_one_pixel_by_the_definition(render, opacities) -> None:
    """Splats so wide that they are flat over the picture, listed back to front."""
    n = len(opacities)
    values = [0.9 - 0.13 * k for k in range(n)]
    scene = Gaussians(
        means=torch.tensor([[0.0, 0.0, 1.0 + 0.1 * (n - k)] for k in range(n)], dtype=F64),
        quaternions=torch.tensor([[1.0, 0, 0, 0]], dtype=F64).repeat(n, 1),
        scales=torch.full((n, 3), 1e3, dtype=F64) * torch.tensor([1, 1, 1e-6], dtype=F64),
        opacities=torch.tensor(opacities, dtype=F64).flip(0),
        sh=((torch.tensor(values, dtype=F64).flip(0) - 0.5) / 0.28209479177387814)[:, None, None]
        .repeat(1, 1, 3),
    )  # fmt: skip
    frames = render(scene, straight(3, 2, 20.0), ALL - {"channels"})
    # Index n - 1 is nearest: its depth is 1.1.
    out, alpha = by_the_loop(list(opacities), values)
    assert frames.rgb[0, 1, 1, 0].item() == pytest.approx(out, abs=2e-6)
    assert frames.alpha[0, 1, 1, 0].item() == pytest.approx(alpha, abs=2e-6)
    depths = [1.0 + 0.1 * (k + 1) for k in range(n)]
    blended, _ = by_the_loop(list(opacities), depths)
    assert frames.depth[0, 1, 1, 0].item() == pytest.approx(blended / alpha, abs=1e-5)
    left, median = 1.0, 0.0
    for opacity, depth in zip(opacities, depths, strict=True):
        left *= 1 - min(0.999, opacity) * (opacity >= 1 / 255)
        if left <= 0.5:
            median = depth
            break
    assert frames.median_depth[0, 1, 1, 0].item() == pytest.approx(median, abs=1e-6)


@pytest.mark.parametrize("name", PARAMETERS)
def test_gradients_agree_with_finite_differences(name: str) -> None:
    """Away from the cuts, all pictures at once, in float64."""
    scene = gaussians(4, seed=12, degree=3, size=0.9)
    scene = changed(scene, opacities=torch.tensor([0.5, 0.6, 0.4, 0.7]))
    scene = opened(scene, F64)
    view = cameras(5, 4, azimuths_deg=(25.0,), focal_px=(6.0, 5.0))

    def pictures(values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        frames = reference.render(changed(scene, **{name: values}), view, ALL)
        assert (frames.alpha > 0.1).all()
        return frames.rgb, frames.alpha, frames.depth, frames.normal, frames.channels

    values = getattr(scene, name).detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(pictures, values)


@RENDERERS
def test_where_alpha_is_held_at_its_largest_value_it_has_no_gradient(render) -> None:
    """Flat splats over the whole picture; one pixel's share in each gradient is the same."""
    for opacity, share in ((0.9999, 0.0), (0.9, 1.0)):
        scene = opened(one((0.0, 0.0, 1.0), (1e3, 1e3, 1e-3), (1.0, 0, 0, 0), opacity, 0.7))
        frames = render(scene, straight(5, 3, 20.0))
        (frames.rgb.sum() + frames.alpha.sum()).backward()
        wanted = 15 * (3 * 0.7 + 1) * share
        assert scene.opacities.grad.item() == pytest.approx(wanted, rel=1e-5, abs=1e-9)
        assert scene.sh.grad[0, 0, 0].item() == pytest.approx(
            15 * min(opacity, 0.999) * 0.28209479177387814, rel=1e-5
        )


@RENDERERS
def test_the_order_of_the_list_does_not_matter(render) -> None:
    scene, view = gaussians(60, seed=13), cameras(24, 24)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(1))
    shuffled = Gaussians(*(getattr(scene, name)[order] for name in PARAMETERS))
    a, b = (render(s, view, ALL) for s in (scene, shuffled))
    for name in ("rgb", "alpha", "depth", "median_depth", "normal", "channels"):
        torch.testing.assert_close(getattr(a, name), getattr(b, name), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(a.weights[:, order], b.weights, rtol=1e-5, atol=1e-5)


@RENDERERS
def test_equal_depths_go_by_index(render) -> None:
    """Depths that differ, but not in float32, count as equal."""
    near = one((0.0, 0.0, 1.0 + 2e-9), (0.5, 0.5, 0.5), (1.0, 0, 0, 0), 0.9, 0.9)
    pair = Gaussians(
        means=torch.cat([near.means, near.means - torch.tensor([0, 0, 2e-9], dtype=F64)]),
        quaternions=near.quaternions.repeat(2, 1),
        scales=near.scales.repeat(2, 1),
        opacities=near.opacities.repeat(2),
        sh=torch.cat([near.sh, -near.sh]),
    )
    frames = render(pair, straight(2, 2, 4.0))
    alpha = frames.alpha.max().item()
    a = 1 - math.sqrt(1 - alpha)
    wanted = 0.9 * a + (1 - a) * a * 0.1
    assert frames.rgb.max().item() == pytest.approx(wanted, abs=1e-5)


@RENDERERS
def test_a_splat_behind_the_camera_is_not_drawn(render) -> None:
    view = straight(8, 8, 8.0)
    for z in (-1.0, 0.0, 0.0099):
        frames = render(one((0, 0, z), (0.1, 0.1, 0.1), (1.0, 0, 0, 0), 0.9), view)
        assert not frames.alpha.any()
        assert not frames.radii_px.any()
    frames = render(one((0, 0, 0.0101), (0.1, 0.1, 0.1), (1.0, 0, 0, 0), 0.9), view)
    assert frames.alpha.any()


@RENDERERS
def test_depth_and_normal_of_a_plane_of_splats(render) -> None:
    """Flat splats on z = 2: every covered pixel says 2, and the normal looks at the camera."""
    grid = torch.linspace(-1, 1, 21, dtype=F64)
    x, y = torch.meshgrid(grid, grid, indexing="xy")
    n = x.numel()
    scene = Gaussians(
        means=torch.stack([x, y, torch.full_like(x, 2.0)], dim=-1).reshape(-1, 3),
        quaternions=torch.tensor([[1.0, 0, 0, 0]], dtype=F64).repeat(n, 1),
        scales=torch.tensor([[0.1, 0.1, 0.001]], dtype=F64).repeat(n, 1),
        opacities=torch.full((n,), 0.9, dtype=F64),
        sh=torch.zeros(n, 1, 3, dtype=F64),
    )
    frames = render(scene, straight(20, 20, 30.0), ALL - {"channels"})
    covered = frames.alpha > 0.5
    assert covered.double().mean() > 0.9
    for depth in (frames.depth, frames.median_depth):
        torch.testing.assert_close(
            depth[covered].double(), torch.full_like(depth[covered], 2).double(), rtol=1e-6, atol=0
        )
    wanted = torch.cat([torch.zeros_like(frames.rgb[..., :2]), -frames.alpha], dim=-1)
    torch.testing.assert_close(frames.normal, wanted, rtol=1e-5, atol=1e-6)


@RENDERERS
def test_weights_add_up_to_alpha(render) -> None:
    frames = render(gaussians(80, seed=14), cameras(30, 26, azimuths_deg=(0.0, 90.0)), ALL)
    torch.testing.assert_close(
        frames.weights.sum(dim=1), frames.alpha.sum(dim=(1, 2, 3)), rtol=1e-5, atol=1e-5
    )
    assert not frames.weights[frames.radii_px == 0].any()


@RENDERERS
def test_a_color_below_zero_is_black_and_has_no_gradient(render) -> None:
    scene = opened(one((0.0, 0.0, 1.0), (0.3, 0.3, 0.3), (1.0, 0, 0, 0), 0.8, -0.4))
    frames = render(scene, straight(4, 4, 4.0))
    frames.rgb.sum().backward()
    assert not frames.rgb.any()
    assert not scene.sh.grad.any()
