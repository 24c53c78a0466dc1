"""Views of a fitted start, drawn again side by side and kept in agreement.

Views that are drawn one by one have dots and windows elsewhere in each. Here all are denoised
together: after a step the model's guesses at the clean pictures color the Gaussians
(`recolor.py`), and what these look like from a view takes the place of its guess. So a dot that
forms in one view is there in its neighbors' next steps. When half of the steps are done the
patterns stand, and what is left, sharpness, each view finds by itself.

After Liu et al. 2023, "Text-Guided Texturing by Synchronized Multi-View Diffusion", where latents
meet on the texture of a mesh. Two things are different:

- Noise is drawn anew at each level, for each view. A picture put together from several has less
  contrast than the model's own; with the noise that the model believes to see, as in DDIM, that
  adds up, and after a few steps no pattern is left.
- It does not begin with noise but with the start itself, at a level where hardly more than its
  broad bands of color can be told. What views agree upon already, such as stripes, stays in place.

Notation: v views of s x s, latents z_t = alpha x0 + sigma n.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from ...pipeline.contract import Context
from ...renderers.choose import splat_renderer
from ...renderers.scene import Cameras, Gaussians, Renderer
from ..guidance.cfg import predict_guided, repeated
from ..guidance.protocol import Condition, Guidance
from ..guidance.sample import timesteps
from ..randomness import generator
from . import Config, hull
from .fit import pictures_of
from .recolor import recolored
from .views import VIEWS_AT_ONCE, Seen, in_order

TOGETHER = 0.5
"""Share of the steps after which the views are brought into agreement."""


@torch.no_grad()
def draw_together(
    guidance: Guidance,
    gaussians: Gaussians,
    seen: Seen,
    negative: str,
    config: Config,
    ctx: Context,
) -> Float[Tensor, "v s s 3"]:
    """The views as they are drawn after what the Gaussians look like, in sRGB [0, 1].

    Args:
        seen: Pictures to which the Gaussians were fitted; only views and backgrounds are used.
    """
    there, renderer = seen.on(ctx.device), splat_renderer(ctx.device)
    batches = [slice(k, k + VIEWS_AT_ONCE) for k in range(0, len(seen.views), VIEWS_AT_ONCE)]
    texts = [guidance.embed(seen.views.captions[batch]) for batch in batches]
    empty = guidance.embed([negative])

    def in_batches(work: Callable[[int], Tensor]) -> Tensor:
        return torch.cat(in_order(work, list(range(len(batches))), ctx.threads))

    def encoded(pictures: Tensor) -> Tensor:
        return in_batches(lambda k: guidance.encode(pictures[batches[k]].permute(0, 3, 1, 2)))

    def decoded(x0: Tensor) -> Tensor:
        return in_batches(lambda k: _as_pictures(guidance.decode(x0[batches[k]])))

    def guessed(x0: Tensor, t: int) -> Tensor:
        noise = _noise(x0, ctx.seed, t)
        return in_batches(
            lambda k: _guess(
                guidance, x0[batches[k]], noise[batches[k]], t, texts[k], empty, config
            )
        )

    levels = timesteps(len(guidance.alphas_cumprod), config.redraw_steps, config.redraw_level)
    x0 = encoded(pictures_of(gaussians, there.backgrounds, there.cameras, renderer))
    with ctx.progress("drawing views together", len(levels)) as bar:
        for k, t in enumerate(levels):
            x0 = guessed(x0, t)
            if k < TOGETHER * len(levels):
                x0 = encoded(agreeing(gaussians, decoded(x0), there.cameras, renderer))
            bar.advance()
    return decoded(x0).cpu().contiguous()


def agreeing(
    gaussians: Gaussians,
    pictures: Float[Tensor, "v s s 3"],
    cameras: Cameras,
    renderer: Renderer,
) -> Float[Tensor, "v s s 3"]:
    """What the Gaussians look like in the colors of `pictures`, each before its background."""
    inside, _ = hull.silhouettes(pictures)
    colored = recolored(gaussians, pictures, inside, cameras, renderer)
    return pictures_of(colored, hull.backgrounds(pictures), cameras, renderer)


def _guess(
    guidance: Guidance,
    x0: Float[Tensor, "batch channel height width"],
    noise: Float[Tensor, "batch channel height width"],
    t: int,
    text: Condition,
    empty: Condition,
    config: Config,
) -> Float[Tensor, "batch channel height width"]:
    """The model's x0 for latents that were noised to level `t`."""
    rows = len(x0)
    abar = guidance.alphas_cumprod[t].to(x0)
    return predict_guided(
        guidance,
        abar.sqrt() * x0 + (1 - abar).sqrt() * noise,
        torch.full((rows,), t, dtype=torch.long, device=x0.device),
        text,
        repeated(empty, rows),
        scale=config.redraw_scale,
        method=config.guidance_method,
    ).x0


def _noise(like: Float[Tensor, "v channel height width"], seed: int, t: int) -> Tensor:
    """Of its own for each view and each level."""
    return torch.randn(like.shape, generator=generator(seed, "together", t)).to(like)


def _as_pictures(images: Float[Tensor, "v 3 s s"]) -> Float[Tensor, "v s s 3"]:
    return images.clamp(0, 1).permute(0, 2, 3, 1).float()
