"""Vertex colors: what the splats around a vertex look like, without view dependence.

The color of degree 0 of the nearest Gaussians, weighted by what they contribute to the density at
the vertex; where none does, that of the nearest. Only Gaussians that some view sees count: what
lies below the surface may have any color.
"""

import numpy as np
import torch
from jaxtyping import Float, Float32
from scipy.spatial import cKDTree

from ...renderers.sh import C0
from ..formats.srgb import decode
from . import kernels
from .task import Task, hit_counts

NEIGHBORS = 12
CHUNK = 1 << 17


def vertex_colors(positions: Float[np.ndarray, "v 3"], task: Task) -> Float32[np.ndarray, "v 3"]:
    """Linear, 0 to 1."""
    seen = np.flatnonzero(hit_counts(task))
    sh = task.scene.sh[torch.from_numpy(seen), 0].double().numpy()
    base = np.clip(sh * C0 + 0.5, 0, 1)
    means = np.ascontiguousarray(task.shapes.means[seen])
    opacities = task.shapes.opacities[seen]
    tree = cKDTree(means)
    whiten = np.ascontiguousarray(task.shapes.whiten[seen].reshape(-1, 9))
    out = np.zeros((len(positions), 3))
    count = min(NEIGHBORS, len(means))
    for start in range(0, len(positions), CHUNK):
        part = slice(start, start + CHUNK)
        near = tree.query(positions[part], k=count)[1].reshape(-1, count)
        kernels.mix(
            np.ascontiguousarray(positions[part], np.float64), near.astype(np.int64), means,
            whiten, opacities, base, out[part],
        )  # fmt: skip
    return (decode(out) if task.scene.color_space == "srgb" else out).astype(np.float32)
