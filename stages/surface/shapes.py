"""The Gaussians' geometry, as every extractor needs it.

Notation: n Gaussians; A = Σ⁻¹ = Wᵀ W with W = diag(1/s) Rᵀ, which takes a place relative to a
Gaussian's center to standard deviations along its axes.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ...renderers.projection import rotation_matrices
from ...renderers.scene import Gaussians


@dataclass(frozen=True, slots=True)
class Shapes:
    """The Gaussians' geometry in float64."""

    means: Float[np.ndarray, "n 3"]
    axes: Float[np.ndarray, "n 3 3"]
    """Columns are the local axes in the world."""
    scales: Float[np.ndarray, "n 3"]
    opacities: Float[np.ndarray, " n"]

    @property
    def whiten(self) -> Float[np.ndarray, "n 3 3"]:
        """W."""
        return np.swapaxes(self.axes, 1, 2) / self.scales[:, :, None]

    @property
    def normals(self) -> Float[np.ndarray, "n 3"]:
        """The shortest axes; their sign means nothing."""
        thin = self.scales.argmin(axis=1)
        return np.take_along_axis(self.axes, thin[:, None, None], axis=2)[:, :, 0]

    @property
    def radii(self) -> Float[np.ndarray, " n"]:
        """Standard deviation within the plane: the middle one of the three."""
        return np.median(self.scales, axis=1)


def shapes_of(scene: Gaussians) -> Shapes:
    """From the activated splats."""
    axes = rotation_matrices(scene.quaternions.detach().double()).numpy()
    return Shapes(
        means=scene.means.detach().double().numpy(),
        axes=axes,
        scales=scene.scales.detach().double().numpy(),
        opacities=scene.opacities.detach().double().numpy(),
    )
