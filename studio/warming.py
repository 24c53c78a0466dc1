"""Compiling and loading ahead, while the user looks at the page for the first time.

The renderer's kernels are compiled, or read from their cache, when they are first called: those of
pictures by the first picture, those behind "what is seen" (blending weights are a gradient, so the
backward pass) by the first selection, which then waits for seconds. Here a scene of a few Gaussians
calls them all.
"""

from typing import get_args

import numpy as np

from ..stages.formats.edits import Select
from ..stages.formats.regions import Rectangle, Term
from ..stages.formats.splats import RawSplats
from ..stages.scene.layers import Scene, new_layer
from ..stages.scene.operations import perform
from .gestures import Eye
from .pictures import Look, Mode, Pictures

_SIDE_PX = 32


def warm(threads: int) -> None:
    """Take a picture of each kind, and select what is seen."""
    scene = Scene((new_layer("few", _few()),))
    camera = Eye((0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 3.0), 1.0, (_SIDE_PX, _SIDE_PX)).viewpoint()
    for mode in get_args(Mode):
        Pictures(threads).take(scene, camera, Look(mode=mode))
    whole = Rectangle(
        camera=camera, corner=(0, 0), opposite=(_SIDE_PX, _SIDE_PX), through="visible"
    )
    perform(scene, Select(term=Term(shape=whole)))


def _few() -> RawSplats:
    """Four in a row, each hiding a part of the next."""
    ones = np.ones((4, 1), np.float32)
    return RawSplats(
        means=np.linspace([0, 0, 0], [0.5, 0, 1], 4, dtype=np.float32),
        log_scales=ones * np.float32([-1, -1, -1]),
        logit_opacities=ones[:, 0],
        quaternions=ones * np.float32([1, 0, 0, 0]),
        sh=np.zeros((4, 16, 3), np.float32),
    )
