"""What a model draws for a prompt from all sides, one view by itself."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

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


@dataclass(frozen=True, slots=True)
class Seen:
    """Pictures of one thing and where each was taken from."""

    views: Views
    cameras: Cameras
    images: Float[Tensor, "v s s 3"]
    backgrounds: Float[Tensor, "v 3"]
    """The plain color behind each."""

    def on(self, device: str) -> "Seen":
        cameras = replace(
            self.cameras,
            world_to_camera=self.cameras.world_to_camera.to(device),
            focal_px=self.cameras.focal_px.to(device),
            center_px=self.cameras.center_px.to(device),
        )
        return Seen(self.views, cameras, self.images.to(device), self.backgrounds.to(device))


@torch.no_grad()
def draw(
    guidance: Guidance, views: Views, negative: str, config: Config, ctx: Context
) -> Float[Tensor, "v s s 3"]:
    """One picture per view, all from the same noise, in sRGB [0, 1]."""
    noise = torch.randn(1, *guidance.latent_shape, generator=generator(ctx.seed, "noise"))
    shared = noise.to(guidance.alphas_cumprod.device)
    empty = guidance.embed([negative])
    starts = list(range(0, len(views), VIEWS_AT_ONCE))
    with ctx.progress("sampling views", config.sampling_steps * len(starts)) as bar:

        def drawn(k: int) -> Tensor:
            captions = views.captions[k : k + VIEWS_AT_ONCE]
            latents = sample(
                guidance,
                guidance.embed(captions),
                empty,
                shared.expand(len(captions), -1, -1, -1),
                steps=config.sampling_steps,
                scale=config.guidance_scale,
                method=config.guidance_method,
                on_step=lambda done, total: bar.advance(),
            )
            return guidance.decode(latents).clamp(0, 1).permute(0, 2, 3, 1).float().cpu()

        return torch.cat(in_order(drawn, starts, ctx.threads)).contiguous()


def in_order(work: Callable[[int], Tensor], items: list[int], threads: int) -> list[Tensor]:
    """What `work` makes of each item, some at once."""
    with ThreadPoolExecutor(max(1, threads)) as pool:
        return list(pool.map(work, items))
