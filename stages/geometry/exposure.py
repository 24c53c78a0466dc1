"""Photographs of one scene that a camera exposed and balanced differently.

One photograph's transform is a gain and an offset per channel of sRGB:

    photograph_c = gain_c scene_c + offset_c

A factor g of linear light is nearly such a transform (gain g^(1/2.4), offset 0.055 (gain - 1):
above the dark toe of sRGB exactly), and so is a camera's change of contrast or of the color of
white. It is affine, so that it may be applied to a finished picture as well as to the colors that
the picture was composited of, its background among them.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

FLAT = 1e-3
"""Standard deviation of a channel (sRGB) below which a picture has no contrast."""
LARGEST = 4.0
"""No gain exceeds this, nor falls below its inverse."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """Of one photograph."""

    gain: Float[Tensor, "3"]
    offset: Float[Tensor, "3"]

    def of(self, picture: Float[Tensor, "3 *rest"]) -> Float[Tensor, "3 *rest"]:
        """The scene's picture (sRGB) as that photograph would show it. Nothing is clipped."""
        gain, offset = self._beside(picture)
        return gain * picture + offset

    def undone(self, photo: Float[Tensor, "3 *rest"]) -> Float[Tensor, "3 *rest"]:
        """The inverse of `of`: the scene's colors in that photograph."""
        gain, offset = self._beside(photo)
        return (photo - offset) / gain

    def _beside(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        shape = (3, *[1] * (picture.dim() - 1))
        gain, offset = (each.to(picture.device).reshape(shape) for each in (self.gain, self.offset))
        return gain, offset


def unchanged() -> Exposure:
    """Of a photograph that shows the scene's colors as they are."""
    return Exposure(torch.ones(3), torch.zeros(3))


def fitted(
    picture: Float[Tensor, "3 height width"],
    photo: Float[Tensor, "3 height width"],
    counts: Float[Tensor, "1 height width"] | None,
) -> Exposure:
    """The one that makes a picture most like the photograph where pixels count.

    Least squares in closed form, channel by channel (linear regression), in float64: gain = cov(x,
    y) / var(x), within a factor of `LARGEST`. A picture without contrast says nothing about the
    gain, which is then 1. The transform of one photograph alone cannot be told from errors of the
    picture: what is blurred comes out with a gain below 1.
    """
    x, y = (part.clamp(0, 1).flatten(1).double() for part in (picture, photo))
    if counts is not None:
        there = counts.flatten() > 0.5
        x, y = x[:, there], y[:, there]
    if x.shape[1] == 0:
        return Exposure(picture.new_ones(3), picture.new_zeros(3))
    mean_x, mean_y = x.mean(dim=1), y.mean(dim=1)
    spread = x - mean_x[:, None]
    variance = spread.square().mean(dim=1)
    covariance = (spread * (y - mean_y[:, None])).mean(dim=1)
    some = variance > FLAT**2
    gain = torch.where(some, covariance / variance.clamp(min=FLAT**2), 1.0)
    gain = gain.clamp(1 / LARGEST, LARGEST)
    return Exposure(gain.to(picture.dtype), (mean_y - gain * mean_x).to(picture.dtype))
