"""What each byte of a view stands for in the colors of the scene: sRGB, 256 values per channel.

Values may exceed 1, where a view is darker than the scene.
"""

import numpy as np
from jaxtyping import Float, Float32

from ...formats.srgb import decode
from ...geometry.exposure import Exposure

BYTES = np.arange(256) / 255


def plain() -> Float32[np.ndarray, "3 256"]:
    """Taken as it is."""
    return np.broadcast_to(BYTES, (3, 256)).astype(np.float32)


def brightened(gains: Float[np.ndarray, "3"]) -> Float32[np.ndarray, "3 256"]:
    """Linear light multiplied by `gains`."""
    linear = decode(BYTES) * gains[:, None]
    power = 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    return np.where(linear <= 0.0031308, 12.92 * linear, power).astype(np.float32)


def undone(exposure: Exposure) -> Float32[np.ndarray, "3 256"]:
    """As the scene was before a photograph's exposure; nothing is darker than black."""
    gain, offset = (part.double().numpy()[:, None] for part in (exposure.gain, exposure.offset))
    return np.maximum((BYTES - offset) / gain, 0).astype(np.float32)
