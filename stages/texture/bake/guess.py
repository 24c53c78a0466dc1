"""Colors for texels that nothing has seen: of the Gaussians there, else of the surface around."""

import numpy as np
from jaxtyping import Bool, Float32, Int
from scipy.ndimage import binary_erosion
from scipy.spatial import cKDTree

from ....renderers.scene import Gaussians
from ....renderers.sh import C0
from ...geometry.bake import continued
from .layout import Layout

NEIGHBORS = 8
REACH = 0.03
"""Gaussians farther than this share of the mesh's radius say nothing."""
FAINTEST = 0.1
"""Nor do those with less opacity."""
RIM_PX = 2
"""Of what is known only texels so near to something unknown, or a chart's border, are needed."""


def from_gaussians(
    texels: Int[np.ndarray, " texel"], layout: Layout, scene: Gaussians
) -> tuple[Float32[np.ndarray, "texel 3"], Bool[np.ndarray, " texel"]]:
    """sRGB: the degree-0 color of the nearest Gaussians, weighted by opacity over squared distance;
    and whether any is near."""
    opaque = (scene.opacities > FAINTEST).numpy()
    means = scene.means.numpy()[opaque]
    count = len(texels)
    if not len(means):
        return np.zeros((count, 3), np.float32), np.zeros(count, bool)
    base = scene.sh.numpy()[opaque, 0] * C0 + 0.5
    neighbors = min(NEIGHBORS, len(means))
    points = layout.points(texels).positions
    distances, nearest = cKDTree(means).query(points, k=range(1, neighbors + 1))
    reach = REACH * layout.radius_m
    weights = scene.opacities.numpy()[opaque][nearest] / np.maximum(distances, 1e-3 * reach) ** 2
    weights /= weights.sum(axis=1, keepdims=True)
    colors = np.einsum("tk,tkc->tc", weights, np.clip(base, 0, 1)[nearest])
    return colors.astype(np.float32), distances[:, 0] <= reach


def from_around(
    colors: Float32[np.ndarray, "texel 3"], known: Bool[np.ndarray, " texel"], layout: Layout
) -> Float32[np.ndarray, "texel 3"]:
    """All colors, those of unknown texels continued from the nearest known surface that faces the
    same way."""
    if known.all() or not known.any():
        return colors
    sources = np.flatnonzero(known & _near_unknown(known, layout))
    missing = np.flatnonzero(~known)
    from_, to = layout.points(sources), layout.points(missing)
    out = colors.copy()
    out[missing] = continued(
        (from_.positions, from_.normals), colors[sources], (to.positions, to.normals),
        normal_m=0.5 * layout.radius_m,
    )  # fmt: skip
    return out


def _near_unknown(known: Bool[np.ndarray, " texel"], layout: Layout) -> Bool[np.ndarray, " t"]:
    """Known texels on the rim of what is known, where the nearest ones lie: a tree of all
    would take gigabytes."""
    picture = np.zeros((layout.size_px, layout.size_px), bool)
    picture[layout.rows[known], layout.columns[known]] = True
    inner = binary_erosion(picture, iterations=RIM_PX)
    return ~inner[layout.rows, layout.columns]
