"""What is opaque and what is seen through share no chart, and no texel.

In one chart the texels along the edge between a frame and its glass would be mixtures: the frame
would be seen through at its rim, or the glass opaque there, on a line as wide as a texel. (For
colors alone charts of their own do not pay: what the edge gains the gutters take.)
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from ..formats.model import Model
from ..geometry.appearance import Appearance
from ..geometry.decimation import Decimation, correspond
from .vertices import lattice

STEPS = 3
"""A face is looked up at points of a triangular lattice with so many steps per side."""
MODES = ("OPAQUE", "MASK", "BLEND")


@dataclass(frozen=True, slots=True)
class Sides:
    """Of a level's faces."""

    of_faces: Int[np.ndarray, " face"]
    """The alpha mode that most of a face has, as an index into `MODES`."""
    whole: Bool[np.ndarray, " face"]
    """Whether all of it has."""

    def strays(
        self, faces: Int[np.ndarray, " texel"], modes: Int[np.ndarray, " texel"]
    ) -> Bool[np.ndarray, " texel"]:
        """Texels of a face that has one mode which show another: at its edge, next to which lies
        the surface of that mode."""
        return self.whole[faces] & (modes != self.of_faces[faces])


def alpha_modes(model: Model) -> Int[np.ndarray, " material"]:
    """Of each material, as an index into `MODES`."""
    return np.array([MODES.index(material.alpha_mode) for material in model.materials])


def sides(source: Appearance, decimation: Decimation, level: int, threads: int) -> Sides | None:
    """Which faces of a level are opaque; `None` where all materials have the same mode."""
    model, made = source.model, decimation.levels[level]
    modes = alpha_modes(model)
    if len(np.unique(modes)) == 1:
        return None
    weights = lattice(STEPS)
    faces = np.repeat(np.arange(len(made.faces)), len(weights))
    points = np.einsum("pc,fcx->fpx", weights, made.positions[made.faces]).reshape(-1, 3)
    found, _ = correspond(decimation, level, faces, points, threads=threads)
    votes = np.zeros((len(made.faces), len(MODES)), np.int64)
    np.add.at(votes, (faces, modes[model.face_materials[found]]), 1)
    return Sides(votes.argmax(axis=1), votes.max(axis=1) == len(weights))
