"""The work of the shape stage: sample views, carve them, fit Gaussians to them, draw them again."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from ...pipeline.contract import Context
from ...renderers.choose import splat_renderer
from ...renderers.scene import Gaussians
from ..artifacts import PictureFile, SplatsFile
from ..formats import pictures, prompts, splats
from ..geometry.activation import deactivate
from ..guidance import load as guidance_loader
from ..guidance.protocol import Guidance
from ..randomness import generator
from . import Config, Inputs, Outputs, hull
from .blob import blob, isotropic
from .fit import fit, moved
from .recolor import disagreement, recolored
from .together import draw_together
from .views import Seen, Views, draw, plan_views

STRAY_BORDER = 0.25
"""A picture has no plain background if more of its border than this differs from the median."""
FEWEST_VIEWS = 4
"""With fewer views on a plain background, `auto` takes a blob."""


def make_start(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    prompt = prompts.load(inputs.prompt.path)
    guidance = guidance_loader.load(inputs.guidance.path, ctx.device)
    _warn_of_unknown_words(guidance, prompt.text, ctx)
    views = plan_views(guidance.view_words, prompt.text)
    images = draw(guidance, views, prompt.negative, config, ctx)
    radius = guidance.view_words.camera.object_radius_m
    seen = _on_plain_ground(guidance, views, images, config, ctx)
    carved = None if seen is None else _carved(seen, radius, config, ctx)
    if seen is None or carved is None:
        gaussians = blob(config.blob_gaussians, radius, ctx.seed)
    else:
        gaussians, seen = _agreed(guidance, prompt.negative, carved, seen, config, ctx)
        views, images = seen.views, seen.images
    return Outputs(splats=_save(gaussians, ctx), understood=_save_understood(images, views, ctx))


def _warn_of_unknown_words(guidance: Guidance, prompt: str, ctx: Context) -> None:
    unknown = guidance.unknown_words(prompt)
    if unknown:
        ctx.log.warning(
            "the model does not know %s and will ignore %s. For any other words, "
            "pass an open-vocabulary model with --guidance PATH.",
            ", ".join(repr(word) for word in unknown),
            "it" if len(unknown) == 1 else "them",
        )


def _on_plain_ground(
    guidance: Guidance,
    views: Views,
    images: Float[Tensor, "v s s 3"],
    config: Config,
    ctx: Context,
) -> Seen | None:
    """The views whose background is plain, or None where a blob is wanted or too few are."""
    if config.method == "blob":
        return None
    plain = hull.silhouettes(images)[1] < STRAY_BORDER
    if config.method == "auto" and int(plain.sum()) < FEWEST_VIEWS:
        ctx.log.info(
            "%d of %d views have no plain background: starting from a blob",
            int((~plain).sum()),
            len(plain),
        )
        return None
    kept, shown = views.only(plain), images[plain]
    cameras = kept.cameras(guidance.view_words, images.shape[1])
    return Seen(kept, cameras, shown, hull.backgrounds(shown))


def _carved(seen: Seen, radius: float, config: Config, ctx: Context) -> Gaussians | None:
    """Gaussians on the surface of the visual hull, or None where it is next to nothing."""
    inside, _ = hull.silhouettes(seen.images)
    reach = 1.1 * radius
    occupancy = hull.carve(
        inside,
        seen.cameras,
        radius_m=reach,
        resolution=config.resolution,
        disagreeing=min(config.disagreeing_views, len(seen.images) // 4),
    )
    if int((occupancy > 0.5).sum()) < 0.001 * occupancy.numel():
        ctx.log.warning("the sampled views fit no common solid: starting from a blob")
        return None
    shell = hull.surface(occupancy, seen.images, seen.cameras, radius_m=reach)
    ctx.log.info("visual hull of %d views: %d surface cells", len(inside), len(shell.positions))
    return _gaussians(shell, config, ctx.seed)


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


def _agreed(
    guidance: Guidance,
    negative: str,
    hull_gaussians: Gaussians,
    seen: Seen,
    config: Config,
    ctx: Context,
) -> tuple[Gaussians, Seen]:
    """Fit; if views differ much, draw them again after what was fitted and fit anew."""
    if config.fit_steps == 0:
        return hull_gaussians, seen
    gaussians = _fitted(hull_gaussians, seen, config, ctx)
    apart = _apart(gaussians, seen, ctx)
    ctx.log.info("views differ by %.3f where they show the same", apart)
    if apart < config.redraw_above:
        return gaussians, seen
    again = draw_together(guidance, gaussians, seen, negative, config, ctx)
    seen = replace(seen, images=again, backgrounds=hull.backgrounds(again))
    return _fitted(gaussians, seen, replace(config, recolor=False), ctx), seen


def _apart(gaussians: Gaussians, seen: Seen, ctx: Context) -> float:
    there, renderer = seen.on(ctx.device), splat_renderer(ctx.device)
    inside, _ = hull.silhouettes(there.images)
    return disagreement(gaussians, there.images, inside, there.cameras, renderer)


def _fitted(gaussians: Gaussians, seen: Seen, config: Config, ctx: Context) -> Gaussians:
    there, renderer = seen.on(ctx.device), splat_renderer(ctx.device)
    with ctx.progress("fitting Gaussians to views", config.fit_steps) as bar:
        fitted = fit(
            moved(gaussians, ctx.device),
            there.images,
            there.backgrounds,
            there.cameras,
            renderer,
            steps=config.fit_steps,
            seed=ctx.seed,
            smooth=config.smooth,
            outline=config.outline,
            on_step=bar.advance,
        )
    if not config.recolor:
        return fitted
    inside, _ = hull.silhouettes(there.images)
    return recolored(fitted, there.images, inside, there.cameras, renderer)


def _save(gaussians: Gaussians, ctx: Context) -> SplatsFile:
    raw = deactivate(moved(gaussians, "cpu"))
    file = splats.RawSplats(
        raw.means.numpy(),
        raw.log_scales.numpy(),
        raw.logit_opacities.numpy(),
        raw.quaternions.numpy(),
        raw.sh.numpy(),
    )
    return SplatsFile(splats.save(file, ctx.out / "splats.ply"))


def _save_understood(images: Float[Tensor, "v s s 3"], views: Views, ctx: Context) -> PictureFile:
    tiles = [
        pictures.label(image.numpy(), text)
        for image, text in zip(images, views.labels, strict=True)
    ]
    columns = len(set(views.azimuths_deg))
    return PictureFile(pictures.save(pictures.sheet(tiles, columns), ctx.out / "understood.png"))
