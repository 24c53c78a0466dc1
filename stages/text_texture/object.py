"""The mesh as it is looked at."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ..geometry.components import Surface


@dataclass(frozen=True, slots=True)
class Object:
    """A mesh in the standard frame."""

    surface: Surface
    normals: Float[np.ndarray, "face 3 3"]
    """At the corners of each face, unit length."""
