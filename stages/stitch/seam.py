"""How visible a seam is, and how much texture was kept: figures for the report.

- Color difference: CIE 1976 ΔE (D65) between the color of each boundary Gaussian (SH degree 0) and
  the mean color of its source neighbors, averaged over the boundary. 2.3 is just noticeable.
- Texture kept: correlation of the Sobel slope of the luma before and after, over all pixels of all
  views inside the outline of the target and away from the boundary, which takes over the source's
  texture on purpose: less than `AWAY` of the pixel's weight is from boundary Gaussians.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..scene.recolor import LUMA, base_colors
from .boundary import Boundary
from .views import View, colors_in, picture, sobel

_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
_KNEE = 6 / 29
AWAY = 0.05

Sh = Float[Tensor, "n coefficient 3"]


def lab(srgb: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """CIELAB of sRGB under D65. Values outside 0 to 1 are taken as the nearest inside."""
    held = srgb.clip(0, 1)
    linear = np.where(held <= 0.04045, held / 12.92, ((held + 0.055) / 1.055) ** 2.4)
    xyz = linear @ _TO_XYZ.T / _TO_XYZ.sum(axis=1)
    f = np.where(xyz > _KNEE**3, np.cbrt(xyz), xyz / (3 * _KNEE**2) + 4 / 29)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def seam_difference(
    target: Float[Tensor, "n coefficient 3"],
    source: Float[Tensor, "m coefficient 3"],
    boundary: Boundary,
) -> float:
    """Mean ΔE over the boundary."""
    own = base_colors(target.cpu().numpy())[boundary.members]
    theirs = base_colors(source.cpu().numpy())[boundary.neighbors].mean(axis=1)
    return float(np.linalg.norm(lab(own) - lab(theirs), axis=1).mean())


def texture_kept(views: Sequence[View], before: Sh, after: Sh, boundary: Boundary) -> float:
    """1 is all of it; 1 also where there was none to lose."""
    at_seam = before.new_zeros(len(before), 1)
    at_seam[torch.from_numpy(boundary.members)] = 1
    pairs = [np.stack([_slope(view, sh, at_seam) for sh in (before, after)]) for view in views]
    one, two = np.concatenate(pairs, axis=1)
    if len(one) < 2 or one.std() == 0 or two.std() == 0:
        return 1.0 if np.allclose(one, two) else 0.0
    return float(np.corrcoef(one, two)[0, 1])


def _slope(view: View, sh: Sh, at_seam: Float[Tensor, "n 1"]) -> np.ndarray:
    luma = picture(view, colors_in(view, sh)) @ torch.from_numpy(LUMA).to(sh)
    slope = torch.linalg.vector_norm(sobel(view, luma[:, None])[0], dim=0)
    away = (view.blend(at_seam)[:, 0] < AWAY).reshape(slope.shape)
    return slope[view.inner & away].cpu().numpy()
