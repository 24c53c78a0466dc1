"""Pixel-wise gradient clipping of a rendered image.

Pan et al., "Enhancing High-Resolution 3D Generation through Pixel-wise Gradient Clipping",
ICLR 2024; the released code (fudan-zvg/PGC-3D) bounds the largest channel of a pixel, the paper's
text its Euclidean length.

Notation: g gradient of the loss by the image, g_p its channels at pixel p, c the threshold.

    linf          g_p * min(1, c / max_k |g_p,k|)        released code; keeps the color direction
    l2            g_p * min(1, c / |g_p|)                paper's text; keeps the color direction
    value         clamp(g_p,k, -c, c)                    turns the color direction
    global        g * min(1, c / max |g|), per image     one bad pixel silences the others
    pngd_channel  c g_p,k / (|g_p,k| + c)                smooth; turns the color direction
    pngd_pixel    c g_p / (max_k |g_p,k| + c)            smooth; keeps the color direction
    none          g_p                                    nothing is bounded

Units. The image is sRGB in [0, 1] at the size that the image encoder sees, and the loss is *summed*
over the images of a batch, so that c means the same for one view and for eight. Where the loss
was multiplied by something (a gradient scaler's current scale, 1 / batch), give that factor as
`loss_scale`: the gradient is then compared with c * loss_scale. Other sizes of the image change
the gradient of one pixel by about the ratio of the areas.

It does not remove noise to which the encoder is blind, does not cure a second face or
over-saturation, and under Adam only *relative* differences between pixels matter.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from .settings import Norm


@dataclass(frozen=True, slots=True)
class ClipReport:
    """What clipping did to one gradient."""

    pixels: int
    clipped: int
    """Finite pixels whose length was above the threshold (for `global`: all of an image)."""
    nonfinite: int
    """Pixels with an inf or nan in any channel."""

    @property
    def clipped_share(self) -> float:
        return self.clipped / max(1, self.pixels)

    @property
    def nonfinite_share(self) -> float:
        return self.nonfinite / max(1, self.pixels)

    def __add__(self, other: "ClipReport") -> "ClipReport":
        return ClipReport(
            self.pixels + other.pixels,
            self.clipped + other.clipped,
            self.nonfinite + other.nonfinite,
        )


@dataclass(frozen=True, slots=True)
class Clipped:
    gradient: Float[Tensor, "*batch channel height width"]
    report: ClipReport


def pixel_length(
    g: Float[Tensor, "*batch channel height width"], norm: Norm = "linf"
) -> Float[Tensor, "*batch 1 height width"]:
    """The length of each pixel's gradient that `norm` compares with the threshold."""
    wide = torch.promote_types(g.dtype, torch.float32)
    if norm == "l2":
        # In float64, where no square of a float32 overflows or vanishes.
        return g.double().square().sum(dim=-3, keepdim=True).sqrt().to(wide)
    return g.to(wide).abs().amax(dim=-3, keepdim=True)


def clip_pixels(
    g: Float[Tensor, "*batch channel height width"],
    threshold: float,
    norm: Norm = "linf",
    *,
    loss_scale: float = 1.0,
) -> Clipped:
    """Bound the gradient of each pixel; see the module for formulas and units.

    Non-finite pixels become zero in all channels and are counted; no other pixel changes for
    their sake. A caller with a gradient scaler should skip its step when any were found.

    Args:
        g: Gradient of the loss by a channels-first image.
        threshold: c, positive, in units of d loss / d sRGB; inf bounds nothing.
        loss_scale: What the loss was multiplied by; positive.
    """
    if not threshold > 0:
        raise ValueError(f"threshold must be positive, got {threshold}.")
    if not (loss_scale > 0 and math.isfinite(loss_scale)):
        raise ValueError(f"loss_scale must be positive and finite, got {loss_scale}.")
    c = threshold * loss_scale
    finite = torch.isfinite(pixel_length(g, "linf"))
    nonfinite = finite.numel() - int(finite.sum())
    safe = g.to(torch.promote_types(g.dtype, torch.float32))
    if nonfinite:
        safe = torch.where(finite, safe, 0.0)
    length = pixel_length(safe, norm)
    if norm == "global":
        length = length.amax(dim=(-2, -1), keepdim=True).expand_as(finite)
    above = (length > c) & finite
    if norm == "none":
        above, out = torch.zeros_like(above), safe
    elif math.isinf(c):
        out = safe
    elif norm in ("linf", "l2", "global"):
        out = safe * (c / length.clamp(min=c))
    elif norm == "value":
        out = safe.clamp(-c, c)
    elif norm == "pngd_channel":
        out = safe * (c / (safe.abs() + c))
    else:
        out = safe * (c / (length + c))
    report = ClipReport(
        pixels=finite.numel(),
        clipped=int(above.sum()),
        nonfinite=nonfinite,
    )
    return Clipped(out.to(g.dtype), report)


def clip_image_gradient(
    image: Float[Tensor, "*batch channel height width"],
    threshold: float,
    norm: Norm = "linf",
    *,
    loss_scale: float | Callable[[], float] = 1.0,
    on_report: Callable[[ClipReport], None] | None = None,
) -> RemovableHandle:
    """Make every backward pass through `image` go through `clip_pixels`.

    Args:
        image: Any tensor inside the graph, between the renderer and what judges its image.
        loss_scale: A number, or a function read at each backward pass, such as
            `scaler.get_scale`, whose value changes from step to step.
        on_report: Called with what happened, at each backward pass.
    """
    if not image.requires_grad:
        raise ValueError("image is not part of a graph: it has no gradient to clip.")

    def hook(g: Tensor) -> Tensor:
        scale = loss_scale() if callable(loss_scale) else loss_scale
        result = clip_pixels(g, threshold, norm, loss_scale=scale)
        if on_report is not None:
            on_report(result.report)
        return result.gradient

    return image.register_hook(hook)


def percentile(g: Float[Tensor, "*batch channel height width"], share: float, norm: Norm) -> float:
    """The length below which `share` (in [0, 1]) of the finite pixels lie; 0 if there are none.

    Used to find a threshold that fits an unknown guidance model: the nearest rank, no
    interpolation.
    """
    length = pixel_length(g, norm).flatten()
    length = length[torch.isfinite(length)]
    if not length.numel():
        return 0.0
    rank = min(length.numel(), max(1, math.ceil(share * length.numel())))
    return float(length.kthvalue(rank).values)
