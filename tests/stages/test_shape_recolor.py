"""Colors of Gaussians from the views that see them best, on two balls known in closed form."""

from dataclasses import replace

import torch
from splatworks.renderers.choose import splat_renderer
from splatworks.stages.geometry.orbit import look_at_origin
from splatworks.stages.shape.blob import SH_DC, isotropic
from splatworks.stages.shape.recolor import disagreement, recolored

from . import balls

GRAY = torch.tensor([0.5, 0.5, 0.5])
RENDERER = splat_renderer("cpu")
SIDES = look_at_origin(
    [45.0 * k for k in range(8)] * 2,
    [-10.0] * 8 + [40.0] * 8,
    distance_m=1.8,
    fovy_deg=40.0,
    size_px=(96, 96),
)
ALPHA = balls.pictures(SIDES)
IMAGES = balls.over(ALPHA, GRAY)


def on_the_balls(count: int = 1500, depth: float = 1.0):
    """Green Gaussians around each ball, at a share of its radius."""
    k = torch.arange(count // 2) + 0.5
    height, turn = 1 - 4 * k / count, torch.pi * (1 + 5**0.5) * k
    flat = (1 - height**2).sqrt()
    unit = torch.stack([flat * turn.cos(), height, flat * turn.sin()], -1)
    means = torch.cat([torch.tensor(c) + depth * r * unit for c, r, _ in balls.BALLS])
    green = torch.tensor([0.1, 0.8, 0.1]).expand(len(means), 3)
    radii = torch.tensor([r for _, r, _ in balls.BALLS]).repeat_interleave(count // 2)
    apart = depth * radii * (8 * torch.pi / count) ** 0.5
    return isotropic(means, 0.6 * apart, green, opacity=0.95)


def colors(gaussians):
    return gaussians.sh[:, 0] * SH_DC + 0.5


def in_sight(means):
    """Which lie neither in the other ball or close to it, nor at the bottom of their own."""
    (red, wide, _), (blue, narrow, _) = balls.BALLS
    apart = [(means - torch.tensor(c)).norm(dim=-1) - r for c, r in ((blue, narrow), (red, wide))]
    half = len(means) // 2
    gap = torch.cat([apart[0][:half], apart[1][half:]])
    low = torch.cat(
        [means[:half, 1] < red[1] - 0.6 * wide, means[half:, 1] < blue[1] - 0.6 * narrow]
    )
    return (gap > 0.04) & ~low


def test_each_gets_the_color_of_what_it_lies_on() -> None:
    start = on_the_balls(depth=0.97)
    made = recolored(start, IMAGES, ALPHA[..., 3], SIDES, RENDERER)
    true = torch.tensor([c for *_, c in balls.BALLS]).repeat_interleave(750, dim=0)
    error = (colors(made) - true).abs().amax(dim=1)[in_sight(start.means)]
    assert len(error) > 900
    assert float((error < 0.15).float().mean()) > 0.9
    for name in ("means", "scales", "quaternions", "opacities"):
        assert torch.equal(getattr(made, name), getattr(start, name))


def test_where_a_view_has_background_it_says_nothing_of_colors() -> None:
    """The blue ball is missing in all pictures but three, which is what makes them worth asking."""
    start, (_, blue) = on_the_balls(depth=0.97), balls.BALLS
    alone = ALPHA.clone()
    missing = (ALPHA[..., 2] > ALPHA[..., 0]) & (torch.arange(16) % 6 != 0)[:, None, None]
    alone[missing] = 0.0
    images = balls.over(alone, GRAY)
    made = recolored(start, images, alone[..., 3], SIDES, RENDERER)
    error = (colors(made)[750:] - torch.tensor(blue[2])).abs().amax(dim=1)
    changed = (made.sh[750:] != start.sh[750:]).any(dim=(1, 2))
    assert int(changed.sum()) > 200
    assert float((error[changed] < 0.15).float().mean()) > 0.8


def test_what_lies_inside_keeps_its_color() -> None:
    shell, core = on_the_balls(), on_the_balls(count=300, depth=0.2)
    names = ("means", "quaternions", "scales", "opacities", "sh")
    both = replace(shell, **{n: torch.cat([getattr(shell, n), getattr(core, n)]) for n in names})
    made = recolored(both, IMAGES, ALPHA[..., 3], SIDES, RENDERER)
    assert float((made.sh[-300:] == core.sh).all(dim=(1, 2)).float().mean()) > 0.9
    assert float((made.sh[:-300] != shell.sh).any(dim=(1, 2)).float().mean()) > 0.7


def test_a_pattern_that_is_elsewhere_in_every_view_keeps_its_contrast() -> None:
    """Black dots on a third of the pixels: in the median over views there is none, and their mean
    is a wash with a fraction of their spread."""
    rng = torch.Generator().manual_seed(0)
    dots = (torch.rand(16, 12, 12, generator=rng) < 1 / 3).float()
    dots = torch.nn.functional.interpolate(dots[:, None], scale_factor=8)[:, 0, ..., None]
    images = (1 - dots).expand(16, 96, 96, 3).contiguous()
    everywhere = torch.ones(16, 96, 96)
    made = colors(recolored(on_the_balls(), images, everywhere, SIDES, RENDERER))[:, 0]
    assert 0.2 < float((made < 0.5).float().mean()) < 0.5
    of_one_view = float(images.std())
    of_a_mean_of_four = of_one_view / 4**0.5
    assert float(made.std()) > 1.3 * of_a_mean_of_four


def test_views_of_one_thing_agree() -> None:
    start = on_the_balls(depth=0.97)
    assert disagreement(start, IMAGES, ALPHA[..., 3], SIDES, RENDERER) < 0.01


def test_disagreement_is_a_standard_deviation_of_color() -> None:
    """In every second picture of a ring the balls are darker by a known amount, on all channels:
    half of that is the deviation, where dark and light views have an equal say."""
    lighter = (ALPHA[..., 3:] > 0) * (torch.arange(16) % 2 == 0)[:, None, None, None]
    start, inside = on_the_balls(depth=0.97), ALPHA[..., 3]
    found = [
        disagreement(start, IMAGES + lighter * by, inside, SIDES, RENDERER) for by in (0.2, 0.4)
    ]
    assert 0.075 < found[0] < 0.11
    assert abs(found[1] / found[0] - 2) < 0.15


def test_views_from_flat_angles_have_no_say_in_it() -> None:
    """The outermost pixels, a ninth of all, are green: views that see a Gaussian there see it at a
    flat angle, and others see it well."""
    start, inside = on_the_balls(depth=0.97), ALPHA[..., 3]
    eroded = torch.nn.functional.avg_pool2d(inside[:, None], 3, 1, padding=1)[:, 0]
    rim = ((inside > 0.5) & (eroded < 0.99))[..., None]
    spoiled = torch.where(rim, torch.tensor([0.0, 1.0, 0.0]), IMAGES)
    assert float(rim.sum() / inside.sum()) > 0.1
    assert disagreement(start, spoiled, inside, SIDES, RENDERER) < 0.1
