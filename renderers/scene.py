"""What every splat renderer takes and gives. Conventions: `docs/conventions.md`.

Notation: n Gaussians, c cameras, images of height h and width w.
Cameras are OpenCV inside (x right, y down, z forward), the world is right-handed and +Y up.
Pixel (column i, row j) covers [i, i+1) x [j, j+1); its centre is (i + 0.5, j + 0.5).
"""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

ColorSpace = Literal["srgb", "linear"]
Output = Literal["rgb", "alpha", "depth", "median_depth", "normal", "channels", "weights"]
"""`weights` is, per camera and Gaussian, its blending weight summed over the pixels."""


@dataclass(frozen=True, slots=True)
class Gaussians:
    """Activated parameters: what enters the image formation, not what an optimizer holds."""

    means: Float[Tensor, "n 3"]
    """Centres in metres."""
    quaternions: Float[Tensor, "n 4"]
    """(w, x, y, z), local axes to world; need not be normalized."""
    scales: Float[Tensor, "n 3"]
    """Standard deviations along the local axes, in metres; positive."""
    opacities: Float[Tensor, " n"]
    """In (0, 1)."""
    sh: Float[Tensor, "n coefficient 3"]
    """Spherical harmonics of degree 0-3 (1, 4, 9 or 16 coefficients), reference 3DGS signs;
    color = max(0, sum + 0.5)."""
    channels: Float[Tensor, "n channel"] | None = None
    """Any further per-Gaussian values to be blended like a color (no SH, no offset)."""
    color_space: ColorSpace = "srgb"
    """What the colors are encoded in; blending never converts."""


@dataclass(frozen=True, slots=True)
class Cameras:
    """Pinhole cameras of one common image size."""

    world_to_camera: Float[Tensor, "camera 4 4"]
    focal_px: Float[Tensor, "camera 2"]
    """(fx, fy) in pixels."""
    center_px: Float[Tensor, "camera 2"]
    """(cx, cy), the principal point in pixels."""
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True)
class Contributors:
    """Per pixel the Gaussians with the largest blending weights, largest first."""

    ids: Int[Tensor, "camera height width count"]
    """Indices into the scene; -1 where fewer are seen."""
    weights: Float[Tensor, "camera height width count"]
    """T · alpha; 0 where the index is -1."""


@dataclass(frozen=True, slots=True)
class Frames:
    """Rendered images. `None` marks what was not asked for."""

    rgb: Float[Tensor, "camera height width 3"] | None = None
    """Premultiplied by `alpha`; composite with `rgb + (1 - alpha) * background`."""
    alpha: Float[Tensor, "camera height width 1"] | None = None
    depth: Float[Tensor, "camera height width 1"] | None = None
    """Expected view-space z in metres: blended and divided by `alpha`; 0 where alpha is 0."""
    median_depth: Float[Tensor, "camera height width 1"] | None = None
    """View-space z of the Gaussian at which transmittance first falls to 0.5 or below; 0 where
    it never does. Not differentiable."""
    normal: Float[Tensor, "camera height width 3"] | None = None
    """World space, of the shortest axis turned to the camera; blended, premultiplied."""
    channels: Float[Tensor, "camera height width channel"] | None = None
    """`Gaussians.channels` blended, premultiplied."""
    weights: Float[Tensor, "camera n"] | None = None
    means2d: Float[Tensor, "camera n 2"] | None = None
    """Projected centres in pixels, part of the graph: call `retain_grad()` before backward to
    read the image-plane gradient. Always given by differentiable renderers."""
    radii_px: Float[Tensor, "camera n"] | None = None
    """Three standard deviations along the longer axis; 0 for Gaussians that are not drawn."""
    color_space: ColorSpace = "srgb"
    contributors: Contributors | None = None
    """From renderers that can be asked for them (`cpu`); not differentiable."""


@runtime_checkable
class Renderer(Protocol):
    """Nothing to inherit, nothing to register; listed in `choose.py`."""

    def __call__(
        self,
        scene: Gaussians,
        cameras: Cameras,
        outputs: frozenset[Output] = frozenset({"rgb", "alpha"}),
    ) -> Frames: ...
