"""Gradients by the picture itself, added to what comes down from the latents.

Notation: x the picture, enc and dec the model's image encoder and decoder, g the gradient by x
that came down from the latents and g_z the one by these, x0* the model's guess, a the alpha of the
picture; |.|_p the Euclidean length of one pixel.

    decoded (HiFA, Zhu et al. 2024, eq. 6)     g <- g + weight (x - dec(x0*))
    repair  (PixSDS, Skorokhodov 2026)         d = dec(enc(x) - beta g_z) - x
                                               g <- g - (d / |d|_p) |g|_p
    sparse  (DreamFusion's opacity loss)       d/da of weight sqrt(a^2 + 0.01)
    opaque  (Latent-NeRF's entropy)            d/da of weight (-a ln a - (1 - a) ln(1 - a))

Repair is the one that mends what clipping cannot: the encoder says nothing about directions to
which it is blind, whereas what its decoder paints has none of their noise. A descent direction is
-g, hence the sign. It keeps each pixel's strength and only adds a direction, so that a pixel's
gradient grows to at most twice its length; clipping comes after it.
"""

import torch
from jaxtyping import Float
from torch import Tensor

ALPHA_MARGIN = 1e-3
"""The slope of the entropy is taken no closer to 0 and 1 than this."""


def toward_decoded(
    image: Float[Tensor, "view 3 height width"],
    decoded: Float[Tensor, "view 3 height width"],
    weight: float,
) -> Float[Tensor, "view 3 height width"]:
    """Gradient of 0.5 weight |x - dec(x0*)|^2, the decoded guess held fixed."""
    return weight * (image - decoded)


def repaired(
    g: Float[Tensor, "view 3 height width"],
    image: Float[Tensor, "view 3 height width"],
    look_ahead: Float[Tensor, "view 3 height width"],
) -> Float[Tensor, "view 3 height width"]:
    """g with the direction of what the decoder would paint added, at each pixel's own strength.

    Args:
        look_ahead: dec(enc(x) - beta g_z).
    """
    d = look_ahead - image
    length = torch.linalg.vector_norm(d, dim=1, keepdim=True)
    strength = torch.linalg.vector_norm(g, dim=1, keepdim=True)
    return g - d * (strength / torch.where(length > 0, length, 1.0))


def alpha_gradient(
    alpha: Float[Tensor, "*shape"], sparse: float, opaque: float
) -> Float[Tensor, "*shape"]:
    """Of both terms on alpha, whose values lie in [0, 1]."""
    inside = alpha.clamp(ALPHA_MARGIN, 1 - ALPHA_MARGIN)
    slope = torch.log1p(-inside) - torch.log(inside)
    return sparse * alpha / (alpha.square() + 0.01).sqrt() + opaque * slope
