"""The transfer curve of sRGB (IEC 61966-2-1), in NumPy."""

import numpy as np
from jaxtyping import Float


def decode(values: Float[np.ndarray, "*axes"]) -> Float[np.ndarray, "*axes"]:
    """sRGB to linear, both 0 to 1."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def encode(linear: Float[np.ndarray, "*axes"]) -> Float[np.ndarray, "*axes"]:
    """Linear to sRGB; clipped to 0 to 1."""
    linear = np.clip(linear, 0, 1)
    power = 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    return np.where(linear <= 0.0031308, 12.92 * linear, power)
