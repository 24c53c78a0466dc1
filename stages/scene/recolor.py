"""Colors of Gaussians: from and to spherical harmonics, Oklab, and corrections of them.

A correction is an affine map of the three channels, c' = M c + b. The color towards a direction is
a sum of harmonics, so mapping the coefficients maps the color of every direction alike, exactly:

    sh'_k = M sh_k  (k > 0)        C0 sh'_0 + 0.5 = M (C0 sh_0 + 0.5) + b

(the renderer's max(0, ·) comes after both). M and b are made of, in this order,

    levels       (c - black) / (white - black)
    brightness   c + brightness
    gains        c * tint * (1 + 0.3 t, 1, 1 - 0.3 t) / luma of the latter,  t: temperature
    saturation   luma + saturation * (c - luma),  luma: Rec. 709 of the sRGB values
"""

import numpy as np
from jaxtyping import Float, Float32

from ...renderers.sh import C0
from ..formats.edits import Recolor

LUMA = np.array([0.2126, 0.7152, 0.0722])
WARMTH = 0.3


def base_colors(sh: Float[np.ndarray, "n coefficient 3"]) -> Float[np.ndarray, "n 3"]:
    """sRGB of degree 0: the mean over all directions; not clipped."""
    return C0 * sh[:, 0].astype(np.float64) + 0.5


def correction(edit: Recolor) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]:
    """M and b."""
    span = edit.white - edit.black
    warm = np.array([1 + WARMTH * edit.temperature, 1.0, 1 - WARMTH * edit.temperature])
    gains = np.asarray(edit.tint) * warm / (LUMA @ warm)
    gray = np.tile(LUMA, (3, 1))
    saturate = edit.saturation * np.eye(3) + (1 - edit.saturation) * gray
    matrix = saturate * (gains / span)
    return matrix, (saturate * gains) @ np.full(3, edit.brightness - edit.black / span)


def corrected(
    sh: Float32[np.ndarray, "n coefficient 3"],
    matrix: Float[np.ndarray, "3 3"],
    shift: Float[np.ndarray, "3"],
) -> Float32[np.ndarray, "n coefficient 3"]:
    """The coefficients after c' = M c + b."""
    out = np.einsum("ij,nkj->nki", matrix, sh.astype(np.float64))
    out[:, 0] += (matrix.sum(axis=1) * 0.5 + shift - 0.5) / C0
    return out.astype(np.float32)


def oklab(srgb: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """sRGB to Oklab (Ottosson 2020), where equal distances look about equal. Values outside 0 to 1
    are taken as the nearest inside."""
    held = srgb.clip(0, 1)
    linear = np.where(held <= 0.04045, held / 12.92, ((held + 0.055) / 1.055) ** 2.4)
    return np.cbrt(linear @ _TO_CONES.T) @ _TO_LAB.T


_TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
