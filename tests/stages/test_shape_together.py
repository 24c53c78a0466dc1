"""Views drawn again side by side: what is asked of the model, and that they agree afterwards."""

from pathlib import Path

import pytest
import torch
from splatworks.renderers.choose import splat_renderer
from splatworks.renderers.scene import Gaussians
from splatworks.stages import shape
from splatworks.stages.guidance.oracle import OracleGuidance
from splatworks.stages.shape import together
from splatworks.stages.shape.blob import isotropic
from splatworks.stages.shape.fit import pictures_of
from splatworks.stages.shape.views import Seen, draw, plan_views

from . import balls
from .test_shape import WORDS, context

WHITE = torch.ones(16, 3)


@pytest.fixture(scope="module")
def seen() -> Seen:
    views = plan_views(WORDS, "two balls")
    cameras = views.cameras(WORDS, 64)
    return Seen(views, cameras, balls.over(balls.pictures(cameras), torch.ones(3)), WHITE)


@pytest.fixture(scope="module")
def shell() -> Gaussians:
    """What lies right below the surface of the two balls, in gray."""
    points = torch.randn(40_000, 3, generator=torch.Generator().manual_seed(1)) * 0.3
    near = points[(balls.signed_distance(points) + 0.03).abs() < 0.015]
    size = torch.full((len(near),), 0.013)
    return isotropic(near, size, torch.full((len(near), 3), 0.5), opacity=0.9)


def model_of(seen: Seen, pictures: torch.Tensor) -> OracleGuidance:
    """It knows one picture per view."""
    rgba = torch.cat([pictures, torch.ones(16, 64, 64, 1)], dim=-1)
    data = (rgba.permute(0, 3, 1, 2) * 255).round().byte()
    azimuths, elevations = (
        torch.tensor(x) for x in (seen.views.azimuths_deg, seen.views.elevations_deg)
    )
    return OracleGuidance(data, azimuths, elevations, WORDS)


class Watched:
    """Remembers the latents of each call."""

    def __init__(self, model: OracleGuidance) -> None:
        self.model = model
        self.asked: list[tuple[int, torch.Tensor]] = []

    def __getattr__(self, name: str):
        return getattr(self.model, name)

    def predict(self, z_t, t, condition):
        self.asked.append((int(t[0]), z_t.clone()))
        return self.model.predict(z_t, t, condition)


def striped(seen: Seen) -> torch.Tensor:
    """Every second view has the object darker by half: views that contradict each other."""
    inside = balls.pictures(seen.cameras)[..., 3:] > 0.5
    dark = torch.arange(16)[:, None, None, None] % 2 == 1
    return torch.where(inside & dark, 0.5 * seen.images, seen.images)


def spread(pictures: torch.Tensor, seen: Seen) -> float:
    """How far neighboring views differ in the mean lightness of the object."""
    inside = balls.pictures(seen.cameras)[..., 3] > 0.5
    light = torch.stack([p[m].mean() for p, m in zip(pictures, inside, strict=True)])
    return float((light[0::2].mean() - light[1::2].mean()).abs())


def test_what_agrees_is_unchanged(seen, shell) -> None:
    """Pictures of one thing come back as they are, up to the Gaussians' blur."""
    shown = together.agreeing(shell, seen.images, seen.cameras, splat_renderer("cpu"))
    assert (shown - seen.images).abs().mean() < 0.02
    again = together.agreeing(shell, shown, seen.cameras, splat_renderer("cpu"))
    assert (again - shown).abs().mean() < 0.01


def test_what_contradicts_is_brought_into_agreement(seen, shell) -> None:
    pictures = striped(seen)
    shown = together.agreeing(shell, pictures, seen.cameras, splat_renderer("cpu"))
    assert spread(shown, seen) < 0.4 * spread(pictures, seen)


def test_each_view_keeps_its_background(seen, shell) -> None:
    pictures = seen.images.clone()
    pictures[5] = balls.over(balls.pictures(seen.cameras)[5:6], torch.tensor([0.2, 0.5, 0.9]))[0]
    shown = together.agreeing(shell, pictures, seen.cameras, splat_renderer("cpu"))
    assert torch.allclose(shown[5, 0, 0], torch.tensor([0.2, 0.5, 0.9]), atol=0.02)
    assert torch.allclose(shown[4, 0, 0], torch.ones(3), atol=0.02)


def test_levels_begin_where_told_and_noise_is_new_each_time(seen, shell, tmp_path: Path) -> None:
    model = Watched(model_of(seen, seen.images))
    config = shape.Config(redraw_level=0.3, redraw_steps=4, redraw_scale=1.0)
    together.draw_together(model, shell, seen, "", config, context(tmp_path))
    levels = [t for t, _ in model.asked]
    assert max(levels) == round(0.3 * len(model.alphas_cumprod)) - 1
    assert sorted(levels, reverse=True) == levels and len(set(levels)) == 4
    assert len(model.asked) == 4 * 4, "16 views, four at once"
    gray = model.encode(pictures_of(shell, WHITE, seen.cameras, splat_renderer("cpu"))
                        .permute(0, 3, 1, 2))  # fmt: skip
    abar = model.alphas_cumprod[levels[0]]
    noise = (torch.cat([z for _, z in model.asked[:4]]) - abar.sqrt() * gray) / (1 - abar).sqrt()
    assert noise.mean().abs() < 0.05 and abs(noise.std() - 1) < 0.05
    assert (noise[0] - noise[1]).std() > 1.2, "each view has its own"
    later = model.asked[4][1]
    left = later - (later * noise[:4]).mean() * noise[:4]
    assert left.std() > 0.9 * later.std(), "and each level"


def test_the_first_half_is_drawn_in_agreement(seen, shell, tmp_path: Path, monkeypatch) -> None:
    """A model that insists on contradictions has them in the end, but was asked after views that
    agree; were it asked after its own, the last steps would look like the first ones."""
    pictures = striped(seen)
    calls: list[torch.Tensor] = []

    def watched(gaussians, shown, cameras, renderer):
        calls.append(shown)
        return agreeing(gaussians, shown, cameras, renderer)

    agreeing = together.agreeing
    monkeypatch.setattr(together, "agreeing", watched)
    config = shape.Config(redraw_level=0.9, redraw_steps=6, redraw_scale=1.0)
    model = Watched(model_of(seen, pictures))
    made = together.draw_together(model, shell, seen, "", config, context(tmp_path))
    assert len(calls) == 3
    assert (made - pictures).abs().mean() < 0.02
    last = [torch.cat([z for t, z in model.asked if t == level])
            for level in sorted({t for t, _ in model.asked})]  # fmt: skip
    abar = model.alphas_cumprod[min(t for t, _ in model.asked)]
    clean = model.decode(last[0] / abar.sqrt()).permute(0, 2, 3, 1)
    assert spread(clean, seen) > 0.7 * spread(pictures, seen)
    middle = sorted({t for t, _ in model.asked}, reverse=True)[3]
    noisy = torch.cat([z for t, z in model.asked if t == middle])
    abar = model.alphas_cumprod[middle]
    assert spread(model.decode(noisy / abar.sqrt()).permute(0, 2, 3, 1), seen) < 0.6 * spread(
        pictures, seen
    )


def test_threads_do_not_change_what_is_drawn(seen, shell, tmp_path: Path) -> None:
    model = model_of(seen, seen.images)
    config = shape.Config(redraw_steps=2)
    made = [
        together.draw_together(model, shell, seen, "", config, context(tmp_path, threads))
        for threads in (1, 2)
    ]
    assert torch.equal(*made)


def test_first_views_are_drawn_from_one_noise_and_from_the_top(seen, tmp_path: Path) -> None:
    model = Watched(model_of(seen, seen.images))
    config = shape.Config(guidance_scale=1.0, sampling_steps=5)
    draw(model, seen.views, "", config, context(tmp_path))
    levels = [t for t, _ in model.asked]
    top = len(model.alphas_cumprod) - 1
    assert max(levels) == top and len(set(levels)) == 5
    started = torch.cat([z for t, z in model.asked if t == top])
    assert len(started) == 16
    assert torch.equal(started, started[:1].expand_as(started))
