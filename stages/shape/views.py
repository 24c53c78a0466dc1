"""What a model draws for a prompt from all sides: alone, or after what a scene looks like."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ...pipeline.contract import Context
from ...renderers.scene import Cameras
from ..geometry.orbit import look_at_origin
from ..guidance.backgrounds import contrasting
from ..guidance.protocol import Guidance
from ..guidance.sample import sample
from ..guidance.view_words import ViewWords
from ..randomness import generator
from . import Config

VIEWS_AT_ONCE = 4
"""Views per batch: fixed, so that the result does not depend on the number of threads."""


@dataclass(frozen=True, slots=True)
class Views:
    """Where the model is asked to look from, and in which words."""

    azimuths_deg: list[float]
    elevations_deg: list[float]
    captions: list[str]
    labels: list[str]

    def __len__(self) -> int:
        return len(self.captions)

    def only(self, kept: Tensor) -> "Views":
        """Those for which `kept` is true."""
        numbers = [k for k, keep in enumerate(kept.tolist()) if keep]
        return Views(
            [self.azimuths_deg[k] for k in numbers],
            [self.elevations_deg[k] for k in numbers],
            [self.captions[k] for k in numbers],
            [self.labels[k] for k in numbers],
        )

    def cameras(self, words: ViewWords, size: int) -> Cameras:
        return look_at_origin(
            self.azimuths_deg,
            self.elevations_deg,
            distance_m=words.camera.distance_m,
            fovy_deg=words.camera.fovy_deg,
            size_px=(size, size),
        )


def plan_views(words: ViewWords, prompt: str) -> Views:
    """Every azimuth word at every elevation word, on the background that contrasts most."""
    elevations = [word.center_deg for word in words.elevation] or [15.0]
    chosen = contrasting(words.backgrounds, prompt)
    plan = Views([], [], [], [])
    for elevation in elevations:
        for azimuth in (word.center_deg for word in words.azimuth):
            name = chosen.name if chosen else None
            plan.azimuths_deg.append(azimuth)
            plan.elevations_deg.append(elevation)
            plan.captions.append(words.text(prompt, azimuth, elevation, background=name))
            plan.labels.append(words.nearest_azimuth(azimuth).word)
    return plan


@torch.no_grad()
def draw(
    guidance: Guidance,
    views: Views,
    negative: str,
    config: Config,
    ctx: Context,
    *,
    like: Float[Tensor, "v s s 3"] | None = None,
    level: float = 1.0,
    noise: int = 0,
) -> Float[Tensor, "v s s 3"]:
    """One picture per view, all from the same noise, in sRGB [0, 1].

    Args:
        like: Pictures to begin with (SDEdit, Meng et al. 2021): noised to `level`, a share of the
            schedule, and denoised towards the views' captions.
        noise: Its number. What one noise puts at the same pixels of all views, which no solid can
            show, is put there again by the same noise, and not by another.
    """
    shared = _noise(guidance, ctx.seed, noise).to(guidance.alphas_cumprod.device)
    empty = guidance.embed([negative])
    starts = list(range(0, len(views), VIEWS_AT_ONCE))
    steps = config.sampling_steps if like is None else config.redraw_steps
    title = "sampling views" if like is None else "drawing views again"
    with ctx.progress(title, steps * len(starts)) as bar:

        def drawn(k: int) -> Tensor:
            captions = views.captions[k : k + VIEWS_AT_ONCE]
            latents = sample(
                guidance,
                guidance.embed(captions),
                empty,
                shared.expand(len(captions), -1, -1, -1),
                steps=steps,
                scale=config.guidance_scale,
                method=config.guidance_method,
                start=None if like is None else _encoded(guidance, like[k : k + VIEWS_AT_ONCE]),
                start_share=level,
                on_step=lambda done, total: bar.advance(),
            )
            return guidance.decode(latents).clamp(0, 1).permute(0, 2, 3, 1).float().cpu()

        return torch.cat(_in_order(drawn, starts, ctx.threads)).contiguous()


def _noise(guidance: Guidance, seed: int, number: int) -> Float[Tensor, "1 channel height width"]:
    labels = ("noise", number) if number else ("noise",)
    return torch.randn(1, *guidance.latent_shape, generator=generator(seed, *labels))


def _encoded(guidance: Guidance, images: Float[Tensor, "v s s 3"]) -> Tensor:
    return guidance.encode(images.permute(0, 3, 1, 2).to(guidance.alphas_cumprod.device))


def _in_order(work: Callable[[int], Tensor], items: list[int], threads: int) -> list[Tensor]:
    with ThreadPoolExecutor(max(1, threads)) as pool:
        return list(pool.map(work, items))
