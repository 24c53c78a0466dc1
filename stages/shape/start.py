"""The work of the shape stage: sample views, carve them, or strew a blob."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ...pipeline.contract import Context
from ...renderers.scene import Cameras, Gaussians
from ..artifacts import PictureFile, SplatsFile
from ..formats import pictures, prompts, splats
from ..geometry.activation import deactivate
from ..geometry.orbit import look_at_origin
from ..guidance import load as guidance_loader
from ..guidance.backgrounds import contrasting
from ..guidance.protocol import Guidance
from ..guidance.sample import sample
from ..guidance.view_words import ViewWords
from ..randomness import generator
from . import Config, Inputs, Outputs, hull
from .blob import blob, isotropic

VIEWS_AT_ONCE = 4
"""Views per batch: fixed, so that the result does not depend on the number of threads."""
STRAY_BORDER = 0.25
"""A picture has no plain background if more of its border than this differs from the median."""


@dataclass(frozen=True, slots=True)
class Views:
    """Where the model is asked to look from, and in which words."""

    azimuths_deg: list[float]
    elevations_deg: list[float]
    captions: list[str]
    labels: list[str]


def make_start(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    prompt = prompts.load(inputs.prompt.path)
    guidance = guidance_loader.load(inputs.guidance.path, ctx.device)
    _warn_of_unknown_words(guidance, prompt.text, ctx)
    views = plan_views(guidance.view_words, prompt.text)
    images = _sample_views(guidance, views, prompt.negative, config, ctx)
    understood = _save_understood(images, views, ctx)
    cameras = _cameras(guidance.view_words, views, images.shape[1])
    gaussians = _choose(images, cameras, guidance.view_words, config, ctx)
    raw = deactivate(gaussians)
    file = splats.RawSplats(
        raw.means.numpy(),
        raw.log_scales.numpy(),
        raw.logit_opacities.numpy(),
        raw.quaternions.numpy(),
        raw.sh.numpy(),
    )
    path = splats.save(file, ctx.out / "splats.ply")
    return Outputs(splats=SplatsFile(path), understood=understood)


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


def _warn_of_unknown_words(guidance: Guidance, prompt: str, ctx: Context) -> None:
    unknown = guidance.unknown_words(prompt)
    if unknown:
        ctx.log.warning(
            "the model does not know %s and will ignore %s. For any other words, "
            "pass an open-vocabulary model with --guidance PATH.",
            ", ".join(repr(word) for word in unknown),
            "it" if len(unknown) == 1 else "them",
        )


@torch.no_grad()
def _sample_views(
    guidance: Guidance, views: Views, negative: str, config: Config, ctx: Context
) -> Float[Tensor, "v s s 3"]:
    """One picture per view, all from the same noise, in sRGB [0, 1]."""
    noise = torch.randn(1, *guidance.latent_shape, generator=generator(ctx.seed, "noise"))
    empty = guidance.embed([negative])
    chunks = [
        views.captions[k : k + VIEWS_AT_ONCE] for k in range(0, len(views.captions), VIEWS_AT_ONCE)
    ]
    with ctx.progress("sampling views", config.sampling_steps * len(chunks)) as bar:

        def draw(captions: list[str]) -> Tensor:
            latents = sample(
                guidance,
                guidance.embed(captions),
                empty,
                noise.expand(len(captions), -1, -1, -1).to(guidance.alphas_cumprod.device),
                steps=config.sampling_steps,
                scale=config.guidance_scale,
                on_step=lambda done, total: bar.advance(),
            )
            return guidance.decode(latents).clamp(0, 1).permute(0, 2, 3, 1).float().cpu()

        with ThreadPoolExecutor(max(1, ctx.threads)) as pool:
            return torch.cat(list(pool.map(draw, chunks))).contiguous()


def _save_understood(images: Float[Tensor, "v s s 3"], views: Views, ctx: Context) -> PictureFile:
    tiles = [
        pictures.label(image.numpy(), text)
        for image, text in zip(images, views.labels, strict=True)
    ]
    columns = len(set(views.azimuths_deg))
    return PictureFile(pictures.save(pictures.sheet(tiles, columns), ctx.out / "understood.png"))


def _cameras(words: ViewWords, views: Views, size: int) -> Cameras:
    return look_at_origin(
        views.azimuths_deg,
        views.elevations_deg,
        distance_m=words.camera.distance_m,
        fovy_deg=words.camera.fovy_deg,
        size_px=(size, size),
    )


def _choose(
    images: Float[Tensor, "v s s 3"],
    cameras: Cameras,
    words: ViewWords,
    config: Config,
    ctx: Context,
) -> Gaussians:
    radius = words.camera.object_radius_m
    start_blob = blob(config.blob_gaussians, radius, ctx.seed)
    if config.method == "blob":
        return start_blob
    inside, stray = hull.silhouettes(images)
    plain = stray < STRAY_BORDER
    if config.method == "auto" and int(plain.sum()) < 4:
        ctx.log.info(
            "%d of %d views have no plain background: starting from a blob",
            int((~plain).sum()),
            len(plain),
        )
        return start_blob
    shell = _carve(images[plain], inside[plain], _take(cameras, plain), radius, config)
    if shell is None:
        ctx.log.warning("the sampled views fit no common solid: starting from a blob")
        return start_blob
    ctx.log.info(
        "visual hull of %d views: %d surface cells", int(plain.sum()), len(shell.positions)
    )
    return _gaussians(shell, config, ctx.seed)


def _carve(
    images: Tensor, inside: Tensor, cameras: Cameras, radius: float, config: Config
) -> hull.Surface | None:
    """The hull's surface, or None where it is next to nothing."""
    reach = 1.1 * radius
    occupancy = hull.carve(
        inside,
        cameras,
        radius_m=reach,
        resolution=config.resolution,
        disagreeing=min(config.disagreeing_views, len(images) // 4),
    )
    if int((occupancy > 0.5).sum()) < 0.001 * occupancy.numel():
        return None
    return hull.surface(occupancy, images, cameras, radius_m=reach)


def _gaussians(shell: hull.Surface, config: Config, seed: int) -> Gaussians:
    """One Gaussian per surface cell, or a random choice of them where there are too many."""
    count = len(shell.positions)
    kept = torch.arange(count)
    if count > config.max_gaussians:
        order = torch.randperm(count, generator=generator(seed, "thinning"))
        kept = order[: config.max_gaussians].sort().values
    size = 0.6 * shell.cell_m * (count / len(kept)) ** 0.5
    return isotropic(
        shell.positions[kept], torch.full((len(kept),), size), shell.colors[kept], opacity=0.7
    )


def _take(cameras: Cameras, which: Tensor) -> Cameras:
    return Cameras(
        cameras.world_to_camera[which],
        cameras.focal_px[which],
        cameras.center_px[which],
        cameras.width_px,
        cameras.height_px,
    )
