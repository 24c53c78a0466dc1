"""Where the edit is: what differs between the edited picture and the scene's own.

A picture that went through a paint program may carry noise everywhere (JPEG, rounding, dithering),
which must not count. So the signed difference is averaged over 5 x 5 px, where noise cancels and a
stroke does not; a place counts if it is above a threshold set by the picture's own noise, and if it
hangs together with a place twice as far above it. Noise is what is left of the average once a wider
one is taken off: a picture that was made darker all over is edited, not noisy.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

AVERAGED_PX, WIDELY_PX = 5, 15
FLOOR, CEILING = 0.03, 0.12
"""Averaged differences below the first never count, in 0 to 1; above the second always."""
NOISE_FACTOR = 5.0
QUIET = 0.25
"""Noise is estimated from the share of the picture that differs least, so that most of it may be
edited."""
OF_NORMAL, OF_LARGEST = 0.319, 0.9
"""That quantile of |z|, and of the largest of three, for z of standard deviation 1."""
SEED_FACTOR = 2.0
SMALLEST_PX = 12
MARGIN_PX = 3
"""The region is widened by so much, so that its border lies on unchanged pixels."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two pictures differ on purpose."""

    mask: Bool[np.ndarray, "height width"]
    noise: float
    """Standard deviation of what differs elsewhere, estimated robustly, in 0 to 1."""
    above: Bool[np.ndarray, "height width"]
    """Where they differ by more than the threshold, before cleaning and widening."""


def difference(
    render: Float[np.ndarray, "height width 3"], edited: Float[np.ndarray, "height width 3"]
) -> Difference:
    """Compare the scene's picture with the edited one; both sRGB, 0 to 1."""
    change = edited.astype(np.float64) - render
    noise = float(np.quantile(np.abs(change), QUIET)) / OF_NORMAL
    averaged = boxed(change, AVERAGED_PX)
    strength = np.abs(averaged).max(axis=-1)
    rough = np.abs(averaged - boxed(change, WIDELY_PX)).max(axis=-1)
    spread = float(np.quantile(rough, QUIET)) / OF_LARGEST
    threshold = min(max(FLOOR, NOISE_FACTOR * spread), CEILING)
    above = strength > threshold
    found = ndimage.label(above, structure=np.ones((3, 3)))
    assert isinstance(found, tuple)
    labels, count = found
    numbers = np.arange(1, count + 1)
    area = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    peak = ndimage.maximum(strength, labels, numbers) if count else np.zeros(0)
    smallest = max(SMALLEST_PX, round(2e-5 * strength.size))
    good = (area >= smallest) & (np.asarray(peak) >= SEED_FACTOR * threshold)
    mask = np.isin(labels, numbers[good])
    return Difference(widened(mask), noise, above)


def widened(mask: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    """By `MARGIN_PX`, with holes filled."""
    if not mask.any():
        return mask
    disk = ndimage.iterate_structure(ndimage.generate_binary_structure(2, 1), MARGIN_PX)
    return np.asarray(ndimage.binary_fill_holes(ndimage.binary_dilation(mask, disk)))


def boxed(
    picture: Float[np.ndarray, "height width channel"], size: int
) -> Float[np.ndarray, "height width channel"]:
    """Means over squares of `size` pixels; the border is continued."""
    rows = ndimage.uniform_filter1d(picture, size, axis=0, mode="nearest")
    return ndimage.uniform_filter1d(rows, size, axis=1, mode="nearest")
