"""What wood and gold look like: factors of a surface's linear color.

Neither moves with the camera, because splats of a toy seen from all sides cannot show what does.
"""

import numpy as np
from numpy.typing import NDArray

RINGS_PER_M = 9.0
"""Year rings over the nominal shape, whose radius is 0.5 m."""
AXIS = np.array([0.94, 0.10, 0.33], dtype=np.float32)
"""Across the tree that the toy was cut from; not along an axis, so that no side is blank."""
HORIZON = 0.15
"""Height of the normals in which a golden toy mirrors the bright horizon."""


def grain(places: NDArray[np.float32]) -> NDArray[np.float32]:
    """Darker year rings, slightly wavy, at points of the nominal shape."""
    across = places @ AXIS + 0.05 * np.sin(7.0 * places[:, 1] + 3.0 * places[:, 2])
    ring = 0.5 + 0.5 * np.sin(2 * np.pi * RINGS_PER_M * across)
    return (1 - 0.5 * ring**3).astype(np.float32)


def sheen(normal: NDArray[np.float32]) -> NDArray[np.float32]:
    """A bright band where the normals meet the horizon, darker above and below it."""
    band = np.exp(-(((normal[:, 1] - HORIZON) / 0.22) ** 2))
    sky = np.clip(normal[:, 1], 0, 1) ** 4
    return (0.62 + 0.75 * band + 0.45 * sky).astype(np.float32)
