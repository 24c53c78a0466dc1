"""The standard frame that guidance models are asked in: front to +Z, within 0.5 m of the origin."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

RADIUS_M = 0.5


@dataclass(frozen=True, slots=True)
class Frame:
    """x_standard = R (x - center) scale, R turning the front to +Z."""

    center: Float[np.ndarray, "3"]
    scale: float
    turn: Float[np.ndarray, "3 3"]

    def points(self, positions: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, "point 3"]:
        """From the mesh's own space."""
        return (positions - self.center) @ self.turn.T * self.scale

    def directions(self, unit: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, "point 3"]:
        """Normals, from the mesh's own space."""
        return unit @ self.turn.T


def standard(positions: Float[np.ndarray, "vertex 3"], radius_m: float, front_deg: float) -> Frame:
    """What puts the middle of the bounding box at the origin and all within `radius_m`.

    Args:
        front_deg: Azimuth at which the front looks; 0 is +Z, 90 is +X.
    """
    center = (positions.min(axis=0) + positions.max(axis=0)) / 2
    reach = float(np.linalg.norm(positions - center, axis=1).max())
    c, s = math.cos(math.radians(front_deg)), math.sin(math.radians(front_deg))
    turn = np.array([[c, 0.0, -s], [0.0, 1.0, 0.0], [s, 0.0, c]])
    return Frame(center, radius_m / reach, turn)
