"""What the views show of the mesh before anything is learned: which pixels, and which colors."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from ...pipeline.errors import InputError
from ...renderers import meshes
from ...renderers.meshes import MeshScene
from .views import View

SUPERSAMPLE = 2
GRAY = 0.5
"""Of triangles that no view shows, where no other one has a color either."""


@dataclass(frozen=True, slots=True)
class FirstLook:
    views: tuple[View, ...]
    """Pixels that the mesh does not fill do not count in views without a coverage of their own:
    what they show is something else."""
    colors: Float[np.ndarray, "face 3"]
    """sRGB of the scene, the mean over all pixels of the views that train; of all triangles where
    none is seen."""
    covered: float
    """The share of all views' pixels that count."""


def first_look(scene: MeshScene, views: Sequence[View]) -> FirstLook:
    """Cast rays from every view. InputError where no view sees the mesh."""
    count = len(scene.faces)
    total, pixels = np.zeros((count, 3)), np.zeros(count)
    out, counted, area = [], 0, 0
    for view in views:
        target = view.target("cpu")
        frames = meshes.render(scene, target.cameras, supersample=SUPERSAMPLE)
        # The ray through the centre is one more, and may slip through a crack.
        filled = (frames.alpha[0, ..., 0] > 1 - 1e-6) & (frames.face_id[0] >= 0)
        if not view.covers:
            view = replace(view, counts=filled[None])
        out.append(view)
        counted += int(filled.sum()) if not view.covers else filled.numel()
        area += filled.numel()
        if view.held_out:
            continue
        seen = filled.numpy()
        if target.counts is not None:
            seen = seen & (target.counts[0] > 0.5).numpy()
        face = frames.face_id[0].numpy()[seen]
        colors = view.exposure.undone(target.rgb).permute(1, 2, 0).numpy()[seen]
        for channel in range(3):
            total[:, channel] += np.bincount(face, colors[:, channel], minlength=count)
        pixels += np.bincount(face, minlength=count)
    if not pixels.any():
        raise InputError(
            "bind: no view shows the mesh. Is it in the same place as what the views show, and in "
            "their frame? (bind.views.mesh_frame: same or upright)"
        )
    mean = total.sum(axis=0) / pixels.sum()
    colors = np.where(pixels[:, None] > 0, total / np.maximum(pixels, 1)[:, None], mean)
    return FirstLook(tuple(out), colors, counted / area)
