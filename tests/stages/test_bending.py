"""Bends of depth maps: by the definition pixel by pixel, on planes and spheres, by differences."""

import math

import pytest
import torch
from splatworks.renderers.choose import splat_renderer
from splatworks.stages.geometry.bending import COVERED, JUMP, bending

F64 = torch.float64
FOCAL = torch.tensor([[40.0, 30.0]], dtype=F64)


def rays(height: int, width: int):
    """Directions with z = 1 through the pixels, "height width 3"."""
    rows, columns = torch.meshgrid(
        torch.arange(height, dtype=F64) + 0.5, torch.arange(width, dtype=F64) + 0.5, indexing="ij"
    )
    across, down = (columns - width / 2) / FOCAL[0, 0], (rows - height / 2) / FOCAL[0, 1]
    return torch.stack([across, down, torch.ones_like(across)], -1)


def plane(normal, distance: float, height: int = 12, width: int = 16):
    return (distance / (rays(height, width) @ torch.tensor(normal, dtype=F64)))[None, ..., None]


def ball(radius: float, size: int, focal_px: float):
    """Depth of a ball 3 m away, and 1 but towards its rim, where the slope has no bound."""
    middle = torch.arange(size, dtype=F64) + 0.5 - size / 2
    squares = (middle[:, None] ** 2 + middle**2) / focal_px**2 + 1
    root = 9 - squares * (9 - radius**2)
    depth = (3 - root.clamp(min=0).sqrt()) / squares
    return depth[None, ..., None], (root > 0.4 * radius**2).to(F64)[None, ..., None]


def drawn(*shape: int, seed: int = 0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def by_loops(depth, alpha, focal) -> float:
    total = 0.0
    for view in range(depth.shape[0]):
        z, a = depth[view, ..., 0].tolist(), alpha[view, ..., 0].tolist()
        for y in range(len(z)):
            for x in range(len(z[0])):
                for dy, dx, f in ((0, 1, float(focal[view, 0])), (1, 0, float(focal[view, 1]))):
                    places = [(y + k * dy, x + k * dx) for k in (-1, 0, 1)]
                    if all(0 <= r < len(z) and 0 <= c < len(z[0]) for r, c in places):
                        before, here, after = (z[r][c] for r, c in places)
                        if min(a[r][c] for r, c in places) >= COVERED:
                            bend = here * f * (1 / before - 2 / here + 1 / after)
                            total += min(abs(bend), JUMP)
    return total


def test_every_pixel_by_the_definition() -> None:
    depth, alpha = 1 + 0.05 * drawn(2, 7, 9, 1), 0.6 + 0.5 * drawn(2, 7, 9, 1, seed=1)
    focal = torch.tensor([[40.0, 30.0], [10.0, 20.0]], dtype=F64)
    found = float(bending(depth, alpha, focal))
    assert found == pytest.approx(by_loops(depth, alpha, focal), rel=1e-10)
    assert found > 10


@pytest.mark.parametrize("normal", [(0.0, 0.0, 1.0), (0.6, -0.3, 1.0), (-2.0, 1.0, 1.0)])
def test_a_plane_is_not_bent(normal) -> None:
    depth = plane(normal, 4.0)
    assert float(bending(depth, torch.ones_like(depth), FOCAL)) < 1e-9


def test_a_roof_is_bent_at_its_ridge_alone() -> None:
    """Two planes that meet at x = 0 with slopes of 0.5 each way: 0.5 - (-0.5) per row."""
    depth = torch.maximum(plane((0.5, 0.0, 1.0), 4.0), plane((-0.5, 0.0, 1.0), 4.0))
    found = float(bending(depth, torch.ones_like(depth), FOCAL))
    # The ridge lies between two columns, each of which has a part of the change.
    assert found == pytest.approx(12 * 1.0, rel=0.03)


def test_the_edge_of_something_counts_as_a_jump_and_does_not_pull() -> None:
    depth = plane((0.0, 0.0, 1.0), 4.0).clone()
    depth[:, :, 8:] = 3.0
    depth.requires_grad_()
    found = bending(depth, torch.ones_like(depth), FOCAL)
    assert float(found.detach()) == pytest.approx(12 * 2 * JUMP)
    (gradient,) = torch.autograd.grad(found, depth)
    assert not gradient.any()


def test_more_pixels_of_the_same_ball_show_the_same_bend() -> None:
    """Per line across the picture the changes of slope add up to what the ball turns."""
    coarse, fine = (
        float(bending(*ball(0.5, size, 2.0 * size), torch.full((1, 2), 2.0 * size))) / size
        for size in (64, 256)
    )
    assert fine == pytest.approx(coarse, rel=0.15)


def test_what_is_not_covered_has_no_say() -> None:
    depth, alpha = 1 + 0.05 * drawn(1, 8, 8, 1), torch.ones(1, 8, 8, 1, dtype=F64)
    alpha[:, :4] = 0.5
    hidden = depth.clone()
    hidden[:, :4] = math.nan
    focal = FOCAL[:1]
    rest = float(bending(depth[:, 4:], alpha[:, 4:], focal))
    for given in (depth, hidden):
        given = given.clone().requires_grad_()
        found = bending(given, alpha, focal)
        assert float(found.detach()) == pytest.approx(rest)
        (gradient,) = torch.autograd.grad(found, given)
        assert torch.isfinite(gradient).all() and not gradient[:, :4].any()


def test_a_picture_of_two_pixels_has_none() -> None:
    one = torch.ones(1, 2, 2, 1, dtype=F64)
    assert float(bending(one, one, FOCAL)) == 0


def test_the_gradient_is_that_of_differences() -> None:
    """With the pixel's size held, as it is in the gradient: bends are of second order in it."""
    depth = (2 + 0.02 * drawn(1, 6, 7, 1)).requires_grad_()
    alpha = torch.ones_like(depth).detach()
    (gradient,) = torch.autograd.grad(bending(depth, alpha, FOCAL), depth)
    direction, h = drawn(1, 6, 7, 1, seed=2) - 0.5, 1e-7
    with torch.no_grad():
        ahead, behind = (bending(depth + s * h * direction, alpha, FOCAL) for s in (1, -1))
    # The size of the pixel follows the depth, by 1 % of it here at most.
    assert float((ahead - behind) / (2 * h)) == pytest.approx(
        float((gradient * direction).sum()), rel=2e-2
    )


def test_gaussians_follow_it() -> None:
    """One step against the gradient makes a bumpy wall of Gaussians flatter."""
    from splatworks.renderers.scene import Gaussians
    from splatworks.stages.geometry.orbit import look_at_origin
    from splatworks.stages.shape.blob import isotropic

    line = torch.linspace(-0.3, 0.3, 20)
    y, x = torch.meshgrid(line, line, indexing="ij")
    bumps = 0.03 * torch.rand(400, generator=torch.Generator().manual_seed(0))
    means = torch.stack([x.flatten(), y.flatten(), bumps], -1)
    wall = isotropic(means, torch.full((400,), 0.03), torch.full((400, 3), 0.5), opacity=0.9)
    camera = look_at_origin([0.0], [0.0], distance_m=1.8, fovy_deg=30.0, size_px=(48, 48))
    render = splat_renderer("cpu")

    def bend(at: torch.Tensor) -> torch.Tensor:
        moved = Gaussians(at, wall.quaternions, wall.scales, wall.opacities, wall.sh)
        frames = render(moved, camera, frozenset({"alpha", "depth"}))
        return bending(frames.depth, frames.alpha, camera.focal_px)

    leaf = means.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(bend(leaf), leaf)
    assert gradient[:, 2].abs().sum() > 2 * gradient[:, 0].abs().sum()
    with torch.no_grad():
        step = 0.002 * gradient / gradient.abs().max()
        assert bend(means - step) < 0.98 * bend(means) < bend(means + step)
