"""Vertex colors: what the splats around a vertex look like, without view dependence.

The color of degree 0 of the nearest Gaussians, weighted by what they contribute to the density at
the vertex; where none does, that of the nearest.
"""

import numpy as np
from jaxtyping import Float, Float32
from scipy.spatial import cKDTree

from ...renderers.cpu.compiled import kernel
from ...renderers.scene import Gaussians
from ...renderers.sh import C0
from ..formats.srgb import decode
from .shapes import Shapes

NEIGHBORS = 12
CHUNK = 1 << 17


def vertex_colors(
    positions: Float[np.ndarray, "v 3"], scene: Gaussians, shapes: Shapes
) -> Float32[np.ndarray, "v 3"]:
    """Linear, 0 to 1."""
    base = np.clip(scene.sh[:, 0].double().numpy() * C0 + 0.5, 0, 1)
    tree = cKDTree(shapes.means)
    whiten = np.ascontiguousarray(shapes.whiten.reshape(-1, 9))
    out = np.zeros((len(positions), 3))
    count = min(NEIGHBORS, len(shapes.means))
    for start in range(0, len(positions), CHUNK):
        part = slice(start, start + CHUNK)
        near = tree.query(positions[part], k=count)[1].reshape(-1, count)
        _mix(
            np.ascontiguousarray(positions[part], np.float64), near.astype(np.int64), shapes.means,
            whiten, shapes.opacities, base, out[part],
        )  # fmt: skip
    encoded = out if scene.color_space == "srgb" else None
    return (decode(out) if encoded is not None else out).astype(np.float32)


@kernel
def _mix(points, near, means, whiten, opacities, base, out):
    for p in range(len(points)):
        total = 0.0
        for k in range(near.shape[1]):
            g = near[p, k]
            square = 0.0
            for i in range(3):
                u = 0.0
                for j in range(3):
                    u += whiten[g, 3 * i + j] * (points[p, j] - means[g, j])
                square += u * u
            weight = opacities[g] * np.exp(-0.5 * square)
            if k == 0:
                weight += 1e-9
            total += weight
            for i in range(3):
                out[p, i] += weight * base[g, i]
        for i in range(3):
            out[p, i] /= total
