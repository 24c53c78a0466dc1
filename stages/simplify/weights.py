"""What must stay, and where being true to the surface matters more or less."""

import functools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from ..formats.model import Model
from ..geometry.appearance import Appearance
from ..geometry.components import Surface
from . import Inputs, Shape
from .opacity import opacity, seen_through, translucent
from .visibility import HIDDEN, at_vertices, openness


@dataclass(frozen=True, slots=True)
class Weights:
    """Of the input's vertices and faces."""

    locked: Bool[np.ndarray, " vertex"] | None
    of_vertices: Float[np.ndarray, " vertex"] | None
    of_faces: Float[np.ndarray, " face"] | None
    shown: Float[np.ndarray, " vertex"] | None = None
    """Share of the surface around each vertex that is not transparent."""


def weigh(source: Appearance, inputs: Inputs, shape: Shape) -> Weights:
    """Locks, and the product of what is seen, what is in focus and what the file says itself."""
    model = source.model
    surface = Surface(model.positions, model.faces)
    of_vertices = np.ones(len(model.positions))
    if model.importance is not None:
        of_vertices *= model.importance[:, 0]
    if inputs.focus is not None:
        of_vertices[_selected(inputs.focus.path, model)] *= shape.focus_weight
    of_faces = of_vertices[model.faces].mean(axis=1)
    through = functools.partial(seen_through, source) if translucent(source) else None
    share = opacity(source)
    if shape.visibility or through is not None:
        seen = openness(surface, through) if shape.visibility else 1.0
        worth = np.maximum(seen * share, HIDDEN)
        of_faces *= worth
        of_vertices *= at_vertices(surface, worth)
    locked = np.zeros(len(model.positions), bool)
    if inputs.lock is not None:
        locked |= _selected(inputs.lock.path, model)
    if shape.lock_materials:
        locked |= between_materials(model)
    return Weights(
        locked=locked if locked.any() else None,
        of_vertices=None if (of_vertices == 1).all() else of_vertices,
        of_faces=None if (of_faces == 1).all() else of_faces,
        shown=None if through is None else at_vertices(surface, np.maximum(share, HIDDEN)),
    )


def between_materials(model: Model) -> Bool[np.ndarray, " vertex"]:
    """Vertices at a place where faces of several materials meet."""
    place = np.unique(model.positions, axis=0, return_inverse=True)[1].reshape(-1)
    flat = place[model.faces.reshape(-1)]
    material = np.repeat(model.face_materials, 3)
    count = len(model.positions)
    low, high = np.full(count, len(model.materials)), np.full(count, -1)
    np.minimum.at(low, flat, material)
    np.maximum.at(high, flat, material)
    return (low < high)[place]


def _selected(path, model: Model) -> Bool[np.ndarray, " vertex"]:
    from .selection import selected  # regions are torch's neighbors, which takes a second

    return selected(path, model.positions)
