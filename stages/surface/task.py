"""What every extractor works on: the splats, what the views see of them, and where."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ...pipeline.contract import Context
from ...renderers.scene import Gaussians
from . import Config
from .looking import Look
from .shapes import Shapes


@dataclass(frozen=True, slots=True)
class Region:
    """What is to be meshed."""

    center: Float[np.ndarray, "3"]
    radius_m: float
    """Of an object's bounding sphere; in a captured scene, of the foreground."""
    is_object: bool
    """Nothing lies outside, and all sides are seen."""


@dataclass(frozen=True, slots=True)
class Task:
    scene: Gaussians
    shapes: Shapes
    looks: Sequence[Look]
    region: Region
    config: Config
    ctx: Context


def hit_counts(task: Task) -> Int[np.ndarray, " n"]:
    """Of how many pixels, all views together, each Gaussian is the median one."""
    counts = np.zeros(len(task.shapes.means), np.int64)
    for seen in task.looks:
        counts += np.bincount(seen.hit[seen.hit >= 0], minlength=len(counts))
    return counts
