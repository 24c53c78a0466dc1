"""The compiled renderer against the reference: pictures and all gradients."""

import pytest
import torch
from splatworks.renderers import cpu, reference
from splatworks.renderers.projection import image_covariances
from splatworks.renderers.scene import Cameras, Frames, Gaussians

from .scenes import ALL, CASES, PARAMETERS, cameras, changed, gaussians, opened, uniform

PICTURES = ("rgb", "alpha", "depth", "normal", "channels")


def cotangent(shape: torch.Size, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def run(render, scene: Gaussians, cameras: Cameras) -> tuple[Frames, dict[str, torch.Tensor]]:
    """Pictures, and gradients of one random weighted sum of all differentiable ones."""
    scene = opened(scene)
    frames = render(scene, cameras, ALL)
    frames.means2d.retain_grad()
    loss = sum(
        (getattr(frames, name).double() * cotangent(getattr(frames, name).shape, seed)).sum()
        for seed, name in enumerate(PICTURES)
    )
    loss.backward()
    gradients = {name: getattr(scene, name).grad for name in PARAMETERS}
    return frames, gradients | {"means2d": frames.means2d.grad}


@pytest.fixture(scope="module", params=CASES, ids=lambda name: name)
def both(request):
    return run(cpu.render, *CASES[request.param]), run(reference.render, *CASES[request.param])


@pytest.mark.parametrize("name", [*PICTURES, "median_depth"])
def test_pictures(both, name: str) -> None:
    """At least 99.9 % of the pixels within 1e-4, all within 1/255 of the largest value.

    The rest are pixels where a test (1/255, 1e-4) falls differently in float32; for the median
    depth, where the transmittance passes one half, any depth may then come out.
    """
    (found, _), (wanted, _) = both
    expected = getattr(wanted, name)
    error = (getattr(found, name).double() - expected).abs().detach()
    assert error.isfinite().all()
    error = error.amax(dim=-1) / expected.abs().max().clamp(min=1)
    assert (error < 1e-4).double().mean() >= 0.999
    if name != "median_depth":
        assert error.max() < 1 / 255
    assert expected.abs().max() > 0.1, "the scene does not show anything"


def test_what_is_given_per_gaussian(both) -> None:
    (found, _), (wanted, _) = both
    assert torch.equal(found.radii_px > 0, wanted.radii_px > 0)
    torch.testing.assert_close(found.radii_px.double(), wanted.radii_px, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.means2d.double(), wanted.means2d, rtol=1e-5, atol=1e-4)
    # One pixel may fall on the other side of a threshold.
    torch.testing.assert_close(found.weights.double(), wanted.weights, rtol=1e-4, atol=1 / 255)


@pytest.mark.parametrize("name", [*PARAMETERS, "means2d"])
def test_gradients(both, name: str) -> None:
    """Relative L2 distance at most 1e-3 over all Gaussians."""
    (_, found), (_, wanted) = both
    difference = (found[name].double() - wanted[name].double()).norm()
    assert difference <= 1e-3 * wanted[name].double().norm()
    assert wanted[name].norm() > 0


@pytest.mark.parametrize("name", CASES)
def test_colors_alone_take_the_short_way_to_the_same_gradients(name: str) -> None:
    """Three values per pixel are moved block by block, more of them pixel by pixel.

    Where alpha is at its largest, 1 / (1 - alpha) is a thousand and amplifies the order of sums.
    """
    scene, view = CASES[name]
    tolerance = 5e-4 if name == "beyond the largest alpha" else 1e-5
    results = []
    for outputs in (frozenset({"rgb", "alpha"}), ALL):
        given = opened(scene)
        frames = cpu.render(given, view, outputs)
        loss = sum(
            (getattr(frames, picture) * cotangent(getattr(frames, picture).shape, seed)).sum()
            for seed, picture in enumerate(("rgb", "alpha"))
        )
        loss.backward()
        results.append([frames.rgb, *(getattr(given, p).grad for p in PARAMETERS[:5])])
    for alone, among_others in zip(*results, strict=True):
        assert among_others.norm() > 0
        assert (alone - among_others).norm() <= tolerance * among_others.norm()


@pytest.mark.parametrize("size", [(35, 21), (34, 23), (33, 22), (19, 3), (3, 18)], ids=str)
def test_no_block_reaches_over_the_edge(size: tuple[int, int]) -> None:
    """Of every remainder by four: a pixel too many would land at the start of the next row."""
    scene, view = gaussians(60, seed=12, size=0.3), cameras(*size, focal_px=(20.0, 20.0))
    results = []
    for outputs in (frozenset({"rgb", "alpha"}), ALL):
        given = opened(scene)
        frames = cpu.render(given, view, outputs)
        ((frames.rgb * cotangent(frames.rgb.shape, 0)).sum() + frames.alpha.sum()).backward()
        results.append([frames.rgb, frames.alpha, given.means.grad, given.sh.grad])
    for by_blocks, by_pixels in zip(*results, strict=True):
        assert by_pixels.norm() > 0
        assert (by_blocks - by_pixels).norm() <= 1e-6 * by_pixels.norm()


def test_a_splat_reaches_the_last_pixel_above_the_cut_off_and_no_further() -> None:
    """One pixel of each is 5e-5 above or below 1/255: nothing is lost to outlines or lists."""
    rng = torch.Generator().manual_seed(13)
    n, tried = 16, 0
    place = torch.arange(n)
    view = Cameras(torch.eye(4)[None], *torch.tensor([[[100.0, 100]], [[48.0, 48]]]), 96, 96)
    for seed in range(60):
        corners = torch.stack([place % 4, place // 4], dim=-1) * 24
        rays = (corners + uniform(8, 16, (n, 2), rng) - 48) / 100
        scene = changed(
            gaussians(n, seed=seed, degree=0),
            means=torch.cat([rays, torch.ones(n, 1)], dim=-1),
            scales=uniform(0.002, 0.02, (n, 3), rng),
            opacities=torch.full((n,), 0.9),
        )
        centers, spread = projected(scene, view)
        pixel = (centers + uniform(-3, 3, (n, 2), rng)).floor()
        away = pixel + 0.5 - centers
        sigma = 0.5 * torch.einsum("ni,nij,nj->n", away, spread.inverse(), away)
        above = torch.rand(n, generator=rng) < 0.5
        opacities = torch.where(above, 1 + 5e-5, 1 - 5e-5) * sigma.exp() / 255
        usable = opacities < 0.9
        scene = changed(scene, opacities=torch.where(usable, opacities, 0.0).float())
        x, y = pixel.long().unbind(-1)
        drawn = cpu.render(scene, view).alpha[0, y, x, 0] > 0
        assert torch.equal(drawn[usable], above[usable])
        tried += int(usable.sum())
    assert tried > 500


def projected(scene: Gaussians, view: Cameras) -> tuple[torch.Tensor, torch.Tensor]:
    """Centres (n, 2) and covariances (n, 2, 2) in the picture, in float64."""
    wide = opened(scene, torch.float64)
    centers = reference.render(wide, view).means2d[0]
    return centers.detach(), image_covariances(wide, view)[0].detach()


def test_batches_add_up_the_gradients_of_their_cameras() -> None:
    """For every degree: the later cameras add to what the first has set."""
    for degree in range(4):
        scene, angles = gaussians(40, seed=degree, degree=degree), (0.0, 70.0, 200.0)
        together, apart = opened(scene), opened(scene)
        cpu.render(together, cameras(24, 24, azimuths_deg=angles)).rgb.sum().backward()
        for angle in angles:
            cpu.render(apart, cameras(24, 24, azimuths_deg=(angle,))).rgb.sum().backward()
        for name in ("means", "sh"):
            torch.testing.assert_close(
                getattr(together, name).grad, getattr(apart, name).grad, rtol=1e-4, atol=1e-4
            )


def test_the_field_of_view_of_the_derivative_follows_the_centre_of_the_picture() -> None:
    """Wide splats left of an off-centre picture, where x/z is held within its widened edges."""
    scene = gaussians(60, seed=17, size=0.3)
    view = cameras(40, 24, distance_m=0.45, focal_px=(12.0, 12.0), center_px=(32.0, 5.0))
    found, wanted = cpu.render(scene, view), reference.render(scene, view)
    assert (found.rgb.double() - wanted.rgb).abs().max() < 1 / 255
    torch.testing.assert_close(found.radii_px.double(), wanted.radii_px, rtol=1e-4, atol=1e-5)


def test_nothing_nearer_than_the_near_plane_is_drawn() -> None:
    scene = changed(
        gaussians(2, seed=18, size=1e-4), means=torch.tensor([[0, 0, 0.009], [0, 0, 0.011]])
    )
    view = Cameras(torch.eye(4)[None], *torch.tensor([[[20.0, 20.0]], [[8.0, 8.0]]]), 16, 16)
    for render in (cpu.render, reference.render):
        assert (render(scene, view).radii_px[0] > 0).tolist() == [False, True]


def test_colors_learn_where_alpha_is_held() -> None:
    """Everywhere at its largest alpha, a splat's only gradient is that by its color."""
    scene = opened(changed(gaussians(1, seed=19, degree=0, size=500.0), opacities=torch.ones(1)))
    frames = cpu.render(scene, cameras(8, 8))
    frames.rgb.sum().backward()
    assert not scene.opacities.grad.any() and scene.sh.grad.abs().min() > 1


def test_gradients_of_a_picture_with_several_rows_of_tiles_per_stripe() -> None:
    scene, view = gaussians(60, seed=18), cameras(24, 300, focal_px=(300.0, 300.0))
    (_, found), (_, wanted) = run(cpu.render, scene, view), run(reference.render, scene, view)
    for name in ("means", "opacities", "sh"):
        difference = (found[name].double() - wanted[name].double()).norm()
        assert difference <= 1e-3 * wanted[name].double().norm()
